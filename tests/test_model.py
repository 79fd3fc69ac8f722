"""The values: what parses, what is refused, and what a blob is at a given time."""

import re
import time
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casd import errors, model
from casd.errors import CasdError, InvalidInput
from casd.model import (
    Blob,
    BlobState,
    ByteRange,
    Digest,
    Guard,
    Version,
    checked_name,
    checked_namespace,
)
from casd.uuids import new_uuid
from tests.contracts.oracle import digest_of, receipt_of
from tests.fakes import NOW

HEX = "0123456789abcdef" * 8


# -- digests ------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=64, max_size=64))
def test_a_digest_is_read_back_from_its_hex_in_any_case(raw: bytes) -> None:
    assert Digest.parse(raw.hex()) == Digest.parse(raw.hex().upper()) == Digest(raw)
    assert str(Digest(raw)) == Digest(raw).hex == raw.hex()


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX[:-1],
        HEX + "0",
        HEX[:-1] + "g",
        HEX[:-1] + " ",
        HEX[:-1] + "\n",
        HEX + "\n",
        " " + HEX[1:],
        "../" + HEX[3:],
        "\uff10" * 128,  # full-width digits: int() and str.isdigit take them
        "0x" + HEX[2:],
        HEX[:2] + "/" + HEX[3:],
    ],
)
def test_what_is_not_128_hex_digits_is_no_digest(text: str) -> None:
    with pytest.raises(InvalidInput):
        Digest.parse(text)


@given(st.text(max_size=200))
def test_a_text_that_parses_as_a_digest_is_the_digests_own_hex(text: str) -> None:
    try:
        digest = Digest.parse(text)
    except InvalidInput:
        return
    assert digest.hex == text.lower()


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_digest_has_64_bytes(size: int) -> None:
    with pytest.raises(InvalidInput, match=f"not {size}"):
        Digest(bytes(size))


def test_digests_are_ordered_and_hashed_by_their_bytes() -> None:
    low, high = Digest(bytes(64)), Digest(b"\1" + bytes(63))

    assert low < high
    assert {low: 1}[Digest(bytes(64))] == 1


# -- namespaces and names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a", "0", "A.b_c-d", "x" * 128, "a..", "0-"])
def test_a_namespace_is_letters_digits_and_a_few_signs(text: str) -> None:
    assert checked_namespace(text) == text


@pytest.mark.parametrize(
    "text", ["", ".", "..", "-a", "_a", "a/b", "a b", "x" * 129, "ä", "a\n", "a\0", "\uff21", "a%2F"]
)
def test_what_is_no_namespace_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        checked_namespace(text)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a/b/c",
        "with space",
        "+&%#?",
        "ä",
        "日本/語",
        "...",
        ".a",
        "a.",
        "x" * 1024,
        "é" * 512,
        "\U0001f600",
        "a\\b",
        "%2F",
    ],
)
def test_a_name_is_path_like_text(text: str) -> None:
    assert checked_name(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/./b",
        "a/../b",
        "../a",
        "a/..",
        "x" * 1025,
        "é" * 513,
        "a\nb",
        "a\0",
        "\x7f",
        "a\x85b",
        "\ud800",
        "a/\udfff",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        checked_name(text)


@given(st.text(st.characters(codec=None), max_size=40))
def test_a_name_that_is_accepted_goes_through_utf8_and_stays_inside_its_folder(text: str) -> None:
    try:
        name = checked_name(text)
    except InvalidInput:
        return
    assert 1 <= len(name.encode("utf-8")) <= 1024
    assert not {"", ".", ".."} & set(name.split("/"))


# -- blobs at a time ----------------------------------------------------------------------------------------------


def blob(*, is_own: bool = True, versions: int = 0, expires_at: datetime | None = None) -> Blob:
    receipt = receipt_of(b"abc")
    return Blob(
        uuid=UUID(int=1),
        namespace="alice",
        digest=receipt.digest,
        sha256=receipt.sha256,
        xxh3_128=receipt.xxh3_128,
        size=3,
        content_type="text/plain",
        filename=None,
        state=BlobState.CREATED,
        holds_itself=is_own,
        was_let_go=False,
        version_count=versions,
        created_at=NOW,
        expires_at=expires_at,
    )


@pytest.mark.parametrize(
    ("one", "holds_itself"),
    [
        (blob(), True),
        (blob(expires_at=NOW + timedelta(microseconds=1)), True),
        (blob(expires_at=NOW), None),
        (blob(expires_at=NOW, versions=1), False),
        (blob(is_own=False, versions=1), False),
        (blob(expires_at=NOW + timedelta(days=1), versions=2), True),
    ],
)
def test_a_blob_lives_while_it_holds_itself_or_a_version_does(one: Blob, holds_itself: bool | None) -> None:
    then = one.at(NOW)

    assert (then and then.holds_itself) is holds_itself
    if then is not None and not then.holds_itself:
        assert then.expires_at is None
        assert then.was_let_go == one.holds_itself


# -- guards -------------------------------------------------------------------------------------------------------

OLD, NEW = digest_of(b"abc"), digest_of(b"new")


def version(one: Blob | None) -> Version:
    return Version("alice", "name", 1, one, NOW)


@pytest.mark.parametrize(
    ("guard", "there", "hidden", "absent"),
    [
        (Guard(), True, True, True),
        (Guard(match_any=True), True, False, False),
        (Guard(match=frozenset({OLD, NEW})), True, False, False),
        (Guard(match=frozenset({NEW})), False, False, False),
        (Guard(match=frozenset()), False, False, False),
        (Guard(none_match_any=True), False, True, True),
        (Guard(none_match=frozenset({OLD})), False, True, True),
        (Guard(none_match=frozenset({NEW})), True, True, True),
        (Guard(none_match=frozenset()), True, True, True),
        (Guard(match=frozenset({OLD}), none_match=frozenset({OLD})), False, False, False),
    ],
)
def test_a_guard_takes_a_hidden_name_for_an_absent_one(guard: Guard, there: bool, hidden: bool, absent: bool) -> None:
    assert guard.allows(version(blob())) is there
    assert guard.allows(version(None)) is hidden
    assert guard.allows(None) is absent


# -- identifiers and errors ---------------------------------------------------------------------------------------


def test_a_new_uuid_is_a_uuidv7_of_its_millisecond() -> None:
    before = time.time_ns() // 1_000_000
    uuids = [new_uuid() for _ in range(200)]
    after = time.time_ns() // 1_000_000

    assert {(uuid.version, uuid.variant) for uuid in uuids} == {(7, RFC_4122)}
    assert all(before <= uuid.int >> 80 <= after for uuid in uuids)


def test_the_rest_of_a_uuid_is_fresh_each_time() -> None:
    """74 bits: whoever knows one UUID must not be able to guess the next."""
    seen = [new_uuid().int & ((1 << 80) - 1) for _ in range(200)]
    random = [bit for bit in range(80) if len({value >> bit & 1 for value in seen}) == 2]

    assert len(random) == 74
    assert len(set(seen)) == len(seen)


def test_every_error_has_a_code_of_its_own_that_clients_may_test() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, CasdError)]
    codes = [
        error.code for error in classes if error is not errors.UploadMismatch
    ]  # which is a DigestMismatch to clients

    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


# -- all of them --------------------------------------------------------------------------------------------------


def test_a_range_is_half_open() -> None:
    assert ByteRange(3, 7).size == 4
    assert ByteRange(0, 0).size == 0


def test_values_cannot_be_changed() -> None:
    one = blob()

    for field in fields(one):
        with pytest.raises(FrozenInstanceError):
            setattr(one, field.name, None)


def test_every_time_of_a_value_is_said_to_be_one_by_its_name() -> None:
    values = [value for value in vars(model).values() if hasattr(value, "__dataclass_fields__")]
    times = [field.name for value in values for field in fields(value) if "datetime" in str(field.type)]

    assert times
    assert all(name.endswith("_at") for name in times), times
    assert NOW.tzinfo is UTC
