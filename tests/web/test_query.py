"""What stands in a path or a query, against a decoder that goes byte by byte."""

import re
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from casd.errors import InvalidInput, NotFound
from casd.model import checked_name, checked_namespace
from casd.web import query

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def asked(target: str) -> web.Request:
    return make_mocked_request("GET", target)


def decoded(text: str) -> bytes | None:
    """Percent-decoding by RFC 3986, 2.1; None where a % is followed by anything but two hex digits."""
    found, rest = bytearray(), text.encode("utf-8", "surrogatepass")
    while rest:
        if rest[:1] != b"%":
            found += rest[:1]
            rest = rest[1:]
        elif re.fullmatch(rb"[0-9a-fA-F]{2}", rest[1:3]):
            found.append(int(rest[1:3], 16))
            rest = rest[3:]
        else:
            return None
    return bytes(found)


# -- percent-encoding ---------------------------------------------------------------------------------------------


@given(st.text() | st.text("%0123456789abcdefABCDEFxz/é"))
def test_a_path_decodes_to_utf8_or_is_invalid(text: str) -> None:
    raw = decoded(text)
    try:
        expected = None if raw is None else raw.decode("utf-8")
    except UnicodeDecodeError:
        expected = None

    if expected is None:
        with pytest.raises(InvalidInput):
            query.decode(text)
    else:
        assert query.decode(text) == expected


@given(st.text(st.characters(codec="utf-8")))
def test_whatever_is_percent_encoded_whole_comes_back(text: str) -> None:
    assert query.decode("".join(f"%{byte:02x}" for byte in text.encode())) == text


@pytest.mark.parametrize(
    "text", ["x%FF", "%zz", "%", "%4", "%4g", "% 41", "%C3", "%C3%28", "%ED%A0%80", "%+4", "%\u0664\u0662"]
)
def test_a_path_that_is_no_utf8_is_invalid(text: str) -> None:
    with pytest.raises(InvalidInput):
        query.decode(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("x%25FF", "x%FF"), ("a%2Fb", "a/b"), ("a+b", "a+b"), ("%C3%BC", "ü"), ("a%20b", "a b")]
)
def test_a_path_is_decoded_once(text: str, expected: str) -> None:
    assert query.decode(text) == expected


# -- namespaces and names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/v1/names/ns/a", ("ns", "a")),
        ("/v1/names/ns/a/b%2Fc?version=1", ("ns", "a/b/c")),
        ("/v1/names/n%73/%C3%BC%20%2B+&%25%23%3F", ("ns", "ü ++&%#?")),
        ("/v1/names/ns/x%25FF", ("ns", "x%FF")),
        ("/v1/names/ns/...", ("ns", "...")),
    ],
)
def test_namespace_and_name_of_a_path(target: str, expected: tuple[str, str]) -> None:
    assert query.namespace_and_name(asked(target), 2) == expected


@pytest.mark.parametrize(
    "target",
    [
        "/v1/names/n%2Fs/a",  # %2F is no slash in a namespace
        "/v1/names/%C3%BC/a",
        "/v1/names/ns/",
        "/v1/names/ns/a//b",
        "/v1/names/ns/a%2F%2Fb",
        "/v1/names/ns/%2Fa",
        "/v1/names/ns/a/",
        "/v1/names/ns/%2e%2e",
        "/v1/names/ns/a/%2E/b",
        "/v1/names/ns/x%FF",
        "/v1/names/ns/x%zz",
        "/v1/names/ns/a%00b",
        "/v1/names/ns/a%0Ab",
        "/v1/names/ns/a%C2%85b",
    ],
)
def test_a_name_that_is_none_is_invalid(target: str) -> None:
    with pytest.raises(InvalidInput):
        query.namespace_and_name(asked(target), 2)


@given(st.text() | st.text("ab./\x00\x7f\x85é\ud800", max_size=8))
def test_a_name_has_no_control_characters_and_no_odd_segments(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        size = 0
    is_name = (
        1 <= size <= 1024
        and not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text)
        and not {"", ".", ".."} & set(text.split("/"))
    )

    if is_name:
        assert checked_name(text) == text
    else:
        with pytest.raises(InvalidInput):
            checked_name(text)


@pytest.mark.parametrize(("text", "is_name"), [("a" * 1024, True), ("a" * 1025, False), ("é" * 512, True)])
def test_a_name_has_at_most_1024_bytes(text: str, is_name: bool) -> None:
    if is_name:
        assert checked_name(text) == text
    else:
        with pytest.raises(InvalidInput):
            checked_name(text)


LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")


@given(st.text(max_size=4) | st.text("aZ09._- \né", max_size=140) | st.text("a", min_size=120, max_size=130))
def test_a_namespace_is_letters_digits_and_three_signs(text: str) -> None:
    is_namespace = 1 <= len(text) <= 128 and text[0] in LETTERS and set(text) <= LETTERS | set("._-")

    if is_namespace:
        assert checked_namespace(text) == text
    else:
        with pytest.raises(InvalidInput):
            checked_namespace(text)


# -- UUIDs and digests --------------------------------------------------------------------------------------------


@given(st.uuids(), st.booleans())
def test_a_uuid_is_read_in_either_case(uuid: UUID, is_upper: bool) -> None:
    text = str(uuid).upper() if is_upper else str(uuid)

    assert query.uuid_in_path(text) == uuid


@given(st.text() | st.text("0123456789abcdef-xX_{}+ \u0663", min_size=36, max_size=36))
def test_a_malformed_uuid_is_not_there(text: str) -> None:
    is_uuid = re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text)

    if not is_uuid:
        with pytest.raises(NotFound):
            query.uuid_in_path(text)


@pytest.mark.parametrize(
    "text",
    [
        "0123456789abcdef0123456789abcdef",
        "{01234567-89ab-cdef-0123-456789abcdef}",
        "urn:uuid:01234567-89ab-cdef-0123-456789abcdef",
        "0123456789abcdef0123456789abcdef----",  # 36 long, hyphens elsewhere
        "-012345678-9abcdef-0123456789abcdef-",
        "0x234567-89ab-cdef-0123-456789abcdef0",
        "0x345678-9abc-def0-1234-56789abcdef01"[:36],
        "0_123456-789a-bcde-f012-3456789abcde"[:36],
        "\u06601234567-89ab-cdef-0123-456789abcdef",
        "01234567-89ab-cdef-0123-456789abcde\n",
    ],
)
def test_a_uuid_has_one_form(text: str) -> None:
    with pytest.raises(NotFound):
        query.uuid_in_path(text)


def test_a_digest_is_lowered() -> None:
    assert query.digest_in_path("AB" * 64).raw == b"\xab" * 64


@given(st.text() | st.text("0123456789abcdefABCDEFg", min_size=126, max_size=130))
def test_a_malformed_digest_is_not_there(text: str) -> None:
    if re.fullmatch(r"[0-9a-fA-F]{128}", text, re.ASCII) is None:
        with pytest.raises(NotFound):
            query.digest_in_path(text)


# -- limits, cursors, flags ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "expected"),
    [("/", 100), ("/?limit=1", 1), ("/?limit=1000", 1000), ("/?limit=1001", 1000), ("/?limit=" + "9" * 400, 1000)],
)
def test_a_limit_above_a_thousand_is_clamped(target: str, expected: int) -> None:
    assert query.page_limit(asked(target)) == expected


@pytest.mark.parametrize("text", ["", "0", "00", "-1", "x", "1.0", "%D9%A1", "+1", "1%20"])
def test_a_limit_is_at_least_one(text: str) -> None:
    with pytest.raises(InvalidInput):
        query.page_limit(asked(f"/?limit={text}"))


@given(st.binary())
def test_a_cursor_comes_back_as_it_was_given(key: bytes) -> None:
    text = query.cursor_text(asked("/a/b?limit=1"), key)

    assert text is not None
    assert re.fullmatch(r"[A-Za-z0-9_=-]*", text)  # fit for a query as it stands
    assert query.cursor(asked(f"/a/%62?limit=2&cursor={text}")) == key
    with pytest.raises(InvalidInput):
        query.cursor(asked(f"/a/c?cursor={text}"))


def test_no_cursor_is_none() -> None:
    assert query.cursor(asked("/")) is None
    assert query.cursor_text(asked("/"), None) is None


@pytest.mark.parametrize(
    "text", ["!", "a", "abc", "ab=c", "", "YWJj", "YWJjZGVm", "%C3%BC", "a%20b", "YWJj%0A", "===="]
)
def test_a_cursor_that_casd_never_gave_is_invalid(text: str) -> None:
    with pytest.raises(InvalidInput):
        query.cursor(asked(f"/?cursor={text}"))


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("0", False)])
def test_a_flag_is_one_or_zero(text: str, expected: bool) -> None:
    assert query.is_flagged(asked(f"/?purge={text}"), "purge") is expected


@pytest.mark.parametrize("text", ["", "true", "yes", "2", "01"])
def test_any_other_flag_is_invalid(text: str) -> None:
    with pytest.raises(InvalidInput):
        query.is_flagged(asked(f"/?purge={text}"), "purge")


# -- times --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "seconds"), [("1", 1), ("007", 7), (1, 1), (1.5, 1.5), ("3600", 3600)])
def test_seconds_lead_to_a_time(value: object, seconds: float) -> None:
    assert query.seconds_from(value, "expires_in", NOW) == NOW + timedelta(seconds=seconds)


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "-1",
        "1.5",
        "x",
        "\u0661",
        "9" * 30,
        "9" * 5000,
        0,
        0.5,
        -1,
        True,
        None,
        [],
        {},
        1e300,
        NAN,
        INFINITY,
        10**400,
    ],
)
def test_seconds_that_are_none_are_invalid(value: object) -> None:
    with pytest.raises(InvalidInput):
        query.seconds_from(value, "expires_in", NOW)


offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=offsets))
def test_a_time_with_an_offset_is_read_as_utc(at: datetime) -> None:
    time = query.time_in(at.isoformat(), "?as_of=")

    assert time == at
    assert time.utcoffset() == timedelta(0)


def test_a_plus_that_became_a_space_is_read() -> None:
    assert query.time_in("2026-01-31T13:00:00 01:00", "?as_of=") == NOW


@given(st.text() | st.text("0123456789-:TZ+. W"))
def test_what_is_no_time_is_invalid(text: str) -> None:
    try:
        time = query.time_in(text, "?as_of=")
    except InvalidInput:
        return

    assert time.utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["", "now", "2026-01-31T12:00:00", "2026-01-31", "0001-01-01T00:00:00+23:00", "1e9"])
def test_a_time_without_an_offset_is_invalid(text: str) -> None:
    with pytest.raises(InvalidInput):
        query.time_in(text, "?as_of=")
