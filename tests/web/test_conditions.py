"""Preconditions: tags, dates and their order (RFC 9110, 13), against tags that are compared as values."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casd.errors import InvalidInput
from casd.model import Digest
from casd.web.conditions import Outcome, Validators, evaluate, guard_of, http_date, range_applies

GO_ON, NOT_MODIFIED, FAILED = Outcome.GO_ON, Outcome.NOT_MODIFIED, Outcome.FAILED

HEX = "ab" * 64
OTHER = "cd" * 64
TAG, STALE = f'"{HEX}"', f'"{OTHER}"'
AT = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
SAME = "Sat, 31 Jan 2026 12:00:00 GMT"
BEFORE = "Sat, 31 Jan 2026 11:59:59 GMT"
AFTER = "Sat, 31 Jan 2026 12:00:01 GMT"

BLOB = Validators(HEX, AT, is_name=False)
NAME = Validators(HEX, AT, is_name=True)


@pytest.mark.parametrize(
    ("headers", "on_a_blob", "on_a_name"),
    [
        ({}, GO_ON, GO_ON),
        # If-Match: strong comparison
        ({"If-Match": TAG}, GO_ON, GO_ON),
        ({"If-Match": "*"}, GO_ON, GO_ON),
        ({"If-Match": f"{STALE}, {TAG}"}, GO_ON, GO_ON),
        ({"If-Match": STALE}, FAILED, FAILED),
        ({"If-Match": f"W/{TAG}"}, FAILED, FAILED),
        ({"If-Match": HEX}, FAILED, FAILED),  # a tag has quotes
        ({"If-Match": ""}, FAILED, FAILED),
        # If-Unmodified-Since, only without If-Match
        ({"If-Unmodified-Since": SAME}, GO_ON, GO_ON),
        ({"If-Unmodified-Since": AFTER}, GO_ON, GO_ON),
        ({"If-Unmodified-Since": BEFORE}, FAILED, FAILED),
        ({"If-Unmodified-Since": "yesterday"}, GO_ON, GO_ON),
        ({"If-Match": TAG, "If-Unmodified-Since": BEFORE}, GO_ON, GO_ON),
        ({"If-Match": STALE, "If-Unmodified-Since": AFTER}, FAILED, FAILED),
        # If-None-Match: weak comparison
        ({"If-None-Match": TAG}, NOT_MODIFIED, NOT_MODIFIED),
        ({"If-None-Match": f"W/{TAG}"}, NOT_MODIFIED, NOT_MODIFIED),
        ({"If-None-Match": "*"}, NOT_MODIFIED, NOT_MODIFIED),
        ({"If-None-Match": f'"a,b" , {TAG}'}, NOT_MODIFIED, NOT_MODIFIED),
        ({"If-None-Match": STALE}, GO_ON, GO_ON),
        # If-Modified-Since, only without If-None-Match; on a name only the very second proves anything
        ({"If-Modified-Since": SAME}, NOT_MODIFIED, NOT_MODIFIED),
        ({"If-Modified-Since": AFTER}, NOT_MODIFIED, GO_ON),
        ({"If-Modified-Since": BEFORE}, GO_ON, GO_ON),
        ({"If-Modified-Since": "2026"}, GO_ON, GO_ON),
        ({"If-None-Match": STALE, "If-Modified-Since": SAME}, GO_ON, GO_ON),
        ({"If-None-Match": TAG, "If-Modified-Since": BEFORE}, NOT_MODIFIED, NOT_MODIFIED),
        # the order: 412 before 304
        ({"If-Match": STALE, "If-None-Match": TAG}, FAILED, FAILED),
        ({"If-Match": TAG, "If-None-Match": TAG}, NOT_MODIFIED, NOT_MODIFIED),
        ({"If-Unmodified-Since": BEFORE, "If-None-Match": TAG}, FAILED, FAILED),
        ({"If-Unmodified-Since": AFTER, "If-Modified-Since": SAME}, NOT_MODIFIED, NOT_MODIFIED),
    ],
)
def test_preconditions_in_the_order_of_the_rfc(headers: dict[str, str], on_a_blob: Outcome, on_a_name: Outcome) -> None:
    assert evaluate(headers, BLOB) is on_a_blob
    assert evaluate(headers, NAME) is on_a_name


@pytest.mark.parametrize(
    ("if_range", "on_a_blob", "on_a_name"),
    [
        (None, True, True),
        (TAG, True, True),
        (f" {TAG}\t", True, True),
        (STALE, False, False),
        (f"W/{TAG}", False, False),
        (f"{STALE}, {TAG}", False, False),  # it takes one tag
        (HEX, False, False),
        ("*", False, False),
        ("", False, False),
        (SAME, True, False),
        (BEFORE, False, False),
        (AFTER, False, False),
        ("tomorrow", False, False),
    ],
)
def test_if_range_wants_the_very_same(if_range: str | None, on_a_blob: bool, on_a_name: bool) -> None:
    assert range_applies(if_range, BLOB) is on_a_blob
    assert range_applies(if_range, NAME) is on_a_name


HEADERS = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
junk = st.text() | st.text('"W/*, \tab') | st.text("0123456789 :-+,MonJanGMT")


@given(st.dictionaries(st.sampled_from(HEADERS), junk))
def test_no_precondition_of_a_read_raises(headers: dict[str, str]) -> None:
    assert evaluate(headers, BLOB) in Outcome
    assert evaluate(headers, NAME) in Outcome


@given(junk)
def test_no_if_range_raises(text: str) -> None:
    assert isinstance(range_applies(text, BLOB), bool)
    assert range_applies(text, NAME) in (False, text.strip(" \t") == TAG)


@given(junk)
def test_what_is_no_date_is_none(text: str) -> None:
    date = http_date(text)

    assert date is None or date.tzinfo is not None


@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_all_three_forms_of_a_date_are_read(text: str) -> None:
    assert http_date(text) == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_last_modified_is_the_second_and_reads_back(at: datetime) -> None:
    text = Validators(HEX, at, is_name=False).last_modified

    assert text == f"{DAYS[at.weekday()]}, {at.day:02} {MONTHS[at.month - 1]} {at.year:04} {at:%H:%M:%S} GMT"
    assert http_date(text) == at - timedelta(microseconds=at.microsecond)


# -- lists of tags ------------------------------------------------------------------------------------------------


class Tag(NamedTuple):
    opaque: str
    is_weak: bool

    def __str__(self) -> str:
        return f'{"W/" if self.is_weak else ""}"{self.opaque}"'


opaques = st.sampled_from([HEX, OTHER, HEX.upper(), "", "a,b", "x"])
tags = st.builds(Tag, opaques, st.booleans())
separators = st.sampled_from([",", ", ", " ,", ",,", " , ,\t"])


@given(st.lists(tags, min_size=1, max_size=5), separators)
def test_a_read_matches_any_tag_of_a_list(wanted: list[Tag], separator: str) -> None:
    text = separator.join(map(str, wanted))
    is_same = any(tag.opaque == HEX for tag in wanted)
    is_strongly_same = any(tag == Tag(HEX, is_weak=False) for tag in wanted)

    assert evaluate({"If-None-Match": text}, BLOB) is (NOT_MODIFIED if is_same else GO_ON)
    assert evaluate({"If-Match": text}, BLOB) is (GO_ON if is_strongly_same else FAILED)


@given(st.lists(tags, min_size=1, max_size=5), separators)
def test_a_guard_holds_the_digests_of_a_list(wanted: list[Tag], separator: str) -> None:
    guard = guard_of({"If-Match": separator.join(map(str, wanted))})

    digests = {bytes.fromhex(tag.opaque) for tag in wanted if len(tag.opaque) == 128 and not tag.is_weak}
    assert guard.match == {Digest(raw) for raw in digests}
    assert not guard.match_any
    assert guard.none_match is None


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("text", ["", "x", HEX, f"{TAG} {TAG}", f"{TAG};", f"*, {TAG}", '"', '"a', "W/", "w/" + TAG])
def test_a_guard_that_does_not_parse_is_invalid(name: str, text: str) -> None:
    with pytest.raises(InvalidInput):
        guard_of({name: text})


@given(st.dictionaries(st.sampled_from(HEADERS[:2]), junk))
def test_a_guard_raises_nothing_but_invalid_input(headers: dict[str, str]) -> None:
    try:
        guard = guard_of(headers)
    except InvalidInput:
        return

    assert guard.match_any == (headers.get("If-Match", "").strip() == "*")
    assert guard.none_match_any == (headers.get("If-None-Match", "").strip() == "*")
    assert (guard.match is None) == ("If-Match" not in headers or guard.match_any)
