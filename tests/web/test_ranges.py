"""The Range header and `?offset=&length=`, against sets of byte positions counted one by one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casd.errors import InvalidInput, RangeNotSatisfiable
from casd.model import ByteRange
from casd.web.ranges import RANGES_LIMIT, number, query_number, requested_ranges, requested_window

WHOLE: tuple[ByteRange, ...] = ()

numbers = st.integers(0, 80)
blanks = st.text(" \t", max_size=2)
specs = st.one_of(
    st.tuples(st.just("closed"), numbers, numbers),
    st.tuples(st.just("open"), numbers, st.just(0)),
    st.tuples(st.just("suffix"), numbers, st.just(0)),
)


def written(spec: tuple[str, int, int]) -> str:
    kind, first, last = spec
    return {"closed": f"{first}-{last}", "open": f"{first}-", "suffix": f"-{first}"}[kind]


def positions(spec: tuple[str, int, int], size: int) -> set[int]:
    """The bytes that one range names, by looking at each byte of the payload."""
    kind, first, last = spec
    if kind == "closed":
        return {at for at in range(size) if first <= at <= last}
    if kind == "open":
        return {at for at in range(size) if at >= first}
    return {at for at in range(size) if size - at <= first}


def runs(wanted: set[int]) -> int:
    """How many pieces the bytes fall into: each begins where the byte before it is not wanted."""
    return sum(1 for at in wanted if at - 1 not in wanted)


def spread(ranges: object) -> set[int]:
    return {at for part in ranges for at in range(part.start, part.stop)}  # type: ignore[attr-defined]


@given(st.lists(specs, min_size=1, max_size=40), st.integers(1, 60), blanks, st.booleans())
def test_ranges_are_the_bytes_that_were_named(
    wanted: list[tuple[str, int, int]], size: int, blank: str, has_empty_elements: bool
) -> None:
    comma = blank + (",," if has_empty_elements else ",") + blank
    header = "bytes=" + comma.join(written(spec) for spec in wanted)
    is_malformed = any(kind == "closed" and last < first for kind, first, last in wanted)
    union = set[int]().union(*(positions(spec, size) for spec in wanted))

    if not is_malformed and not union:
        with pytest.raises(RangeNotSatisfiable) as caught:
            requested_ranges(header, size)
        assert caught.value.size == size
        return
    found = requested_ranges(header, size)

    if is_malformed or runs(union) > 16:
        assert found == WHOLE
    else:
        assert spread(found) == union
        assert len(found) == runs(union)
        assert list(found) == sorted(found, key=lambda part: part.start)


@given(st.text() | st.text("0123456789-,= \tbytesBYTES").map("bytes=".__add__), st.integers(0, 1000))
def test_no_header_raises_anything_but_not_satisfiable(header: str, size: int) -> None:
    try:
        found = requested_ranges(header, size)
    except RangeNotSatisfiable:
        assert size > 0
        return

    assert len(found) <= RANGES_LIMIT
    assert all(0 <= part.start < part.stop <= size for part in found)
    assert all(before.stop < after.start for before, after in pairwise(found))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, []),
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-9", [(0, 10)]),
        ("bytes=0-99", [(0, 10)]),
        ("bytes=9-", [(9, 10)]),
        ("bytes=-3", [(7, 10)]),
        ("bytes=-10", [(0, 10)]),
        ("bytes=-11", [(0, 10)]),
        ("BYTES=1-2", [(1, 3)]),
        ("bytes=1-2,3-4", [(1, 5)]),  # touching
        ("bytes=1-4,2-3", [(1, 5)]),  # inside one another
        ("bytes=6-7,1-2", [(1, 3), (6, 8)]),  # sorted
        ("bytes=1-2,50-60", [(1, 3)]),  # the satisfiable part
        ("bytes=0-1,-0", [(0, 2)]),
        ("bytes= 1-2 , ,4-5", [(1, 3), (4, 6)]),
        ("bytes=000000000000000000000000000001-2", [(1, 3)]),
        ("bytes=1-" + "9" * 5000, [(1, 10)]),
        ("bytes=-" + "9" * 5000, [(0, 10)]),
    ],
)
def test_a_range_of_ten_bytes(header: str | None, expected: list[tuple[int, int]]) -> None:
    assert [(part.start, part.stop) for part in requested_ranges(header, 10)] == expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=5-2",
        "bytes=0-1,5-2",
        "bytes=a-b",
        "bytes=1",
        "bytes=1-2-3",
        "bytes=1 - 2",
        "bytes=+1-2",
        "bytes=-+1",
        "bytes=--1",
        "bytes=1-2;q=1",
        "bytes=1_0-20",
        "bytes=0x1-0x2",
        "bytes=\u0661-\u0662",
        "bytes=\u00b2-3",
        "bytes=1\n-2",
        "bytes:0-1",
        "chars=0-1",
        "items=0-1",
        "xbytes=0-1",
        "0-1",
    ],
)
def test_a_malformed_range_means_the_whole(header: str) -> None:
    assert requested_ranges(header, 10) == WHOLE


@pytest.mark.parametrize(
    "header",
    ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=-0,-0", "bytes=11-12,99-", "bytes=" + "9" * 5000 + "-"],
)
def test_a_range_past_the_end_is_not_satisfiable(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        requested_ranges(header, 10)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-0", "bytes=-5", "bytes=5-", "bytes=5-2", "x"])
def test_an_empty_payload_has_no_ranges(header: str) -> None:
    assert requested_ranges(header, 0) == WHOLE


@pytest.mark.parametrize(("pieces", "expected"), [(16, 16), (17, 0), (10_000, 0)])
def test_more_than_sixteen_pieces_mean_the_whole(pieces: int, expected: int) -> None:
    header = "bytes=" + ",".join(f"{at * 2}-{at * 2}" for at in range(pieces))

    assert len(requested_ranges(header, 1 << 20)) == expected


def test_ten_thousand_touching_ranges_are_one() -> None:
    header = "bytes=" + ",".join(f"{at}-{at}" for at in reversed(range(10_000)))

    assert requested_ranges(header, 1 << 20) == [ByteRange(0, 10_000)]


# -- ?offset= and ?length= ------------------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(0, 80), st.none() | st.integers(0, 80))
def test_a_window_is_the_bytes_from_its_offset(size: int, offset: int, length: int | None) -> None:
    query = {"offset": str(offset)} | ({} if length is None else {"length": str(length)})
    wanted = list(range(size))[offset:][:length]

    if offset > size:
        with pytest.raises(RangeNotSatisfiable):
            requested_window(query, size)
        return
    window = requested_window(query, size)

    assert window is not None
    assert list(range(window.start, window.stop)) == wanted


def test_a_length_that_is_none_is_told_before_an_offset_past_the_end() -> None:
    with pytest.raises(InvalidInput):
        requested_window({"offset": "11", "length": "-1"}, 10)


def test_without_offset_and_length_there_is_no_window() -> None:
    assert requested_window({"version": "1"}, 10) is None


def test_a_length_alone_starts_at_the_first_byte() -> None:
    assert requested_window({"length": "3"}, 10) == ByteRange(0, 3)


@pytest.mark.parametrize("text", ["9" * 25, "9" * 5000])
def test_a_huge_length_is_clipped(text: str) -> None:
    assert requested_window({"offset": "4", "length": text}, 10) == ByteRange(4, 10)


@pytest.mark.parametrize("text", ["9" * 25, "9" * 5000])
def test_a_huge_offset_is_past_the_end(text: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        requested_window({"offset": text}, 10)


NO_DIGITS = ["", " ", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "1_0", "\u0661", "\u00b2", "\uff11", "1\n", "one"]


@pytest.mark.parametrize("text", NO_DIGITS)
@pytest.mark.parametrize("name", ["offset", "length"])
def test_a_window_is_written_in_plain_digits(name: str, text: str) -> None:
    with pytest.raises(InvalidInput):
        requested_window({name: text}, 10)


@given(st.text())
def test_a_query_number_is_its_digits_or_invalid(text: str) -> None:
    is_plain = bool(text) and all("0" <= char <= "9" for char in text)

    if not is_plain:
        with pytest.raises(InvalidInput):
            query_number({"n": text}, "n", 7)
    else:
        assert query_number({"n": text}, "n", 7) == min(int(text), 1 << 63)
    assert query_number({}, "n", 7) == 7


@given(st.integers(0, 1 << 70), st.integers(0, 5))
def test_a_number_is_capped_far_past_any_payload(value: int, zeros: int) -> None:
    assert number("0" * zeros + str(value)) == min(value, 1 << 63)
