"""Digests in header fields (RFC 9530), against dictionaries that are written from known members."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casd.errors import InvalidInput
from casd.model import Expected
from casd.web.digest_fields import announced, member, wanted

SHA512 = hashlib.sha512(b"casd").digest()
SHA256 = hashlib.sha256(b"casd").digest()


def written(algorithm: str, raw: bytes) -> str:
    return f"{algorithm}=:{base64.b64encode(raw).decode()}:"


GOOD512, GOOD256 = written("sha-512", SHA512), written("sha-256", SHA256)

members = st.one_of(
    st.tuples(st.just("sha-512"), st.binary(min_size=64, max_size=64)),
    st.tuples(st.just("sha-256"), st.binary(min_size=32, max_size=32)),
    st.tuples(st.sampled_from(["md5", "unixsum", "sha-3.new", "*x"]), st.binary(max_size=20)),
)


@given(
    st.lists(members, min_size=1, max_size=5),
    st.sampled_from([",", ", ", "\t,  "]),
    st.sampled_from(["", ";a=1", ";q"]),
    st.none() | st.integers(0, 1 << 40),
)
def test_known_digests_are_expected_and_others_let_pass(
    found: list[tuple[str, bytes]], separator: str, parameter: str, size: int | None
) -> None:
    header = separator.join(written(*each) + parameter for each in found)
    last = dict(found)  # of equal keys a dictionary field keeps the last (RFC 8941, 4.2.2)

    assert announced(header, size) == Expected(size, last.get("sha-512"), last.get("sha-256"))


def test_without_a_header_only_the_size_is_expected() -> None:
    assert announced(None, 5) == Expected(size=5)


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",",
        "sha-512",
        "sha-512=",
        "sha-512=::",  # no bytes at all
        f"sha-512={base64.b64encode(SHA512).decode()}",  # no colons
        f'sha-512="{base64.b64encode(SHA512).decode()}"',
        f"sha-512=:{SHA512.hex()}:",  # hex happens to be base64, of 96 bytes
        written("sha-512", SHA512[:-1]),
        written("sha-512", SHA512 + b"x"),
        written("sha-256", SHA512),
        written("SHA-512", SHA512),  # keys are lower case (RFC 8941, 3.2)
        "sha-512=:===:",
        "sha-512=:a:",
        "sha-512=:a=a=:",
        f"{GOOD512},",
        f"{GOOD512} {GOOD256}",
        f"{GOOD512}; {GOOD256}, junk",
        f"{GOOD512}\n",
    ],
)
def test_a_digest_that_does_not_parse_is_invalid(header: str) -> None:
    with pytest.raises(InvalidInput):
        announced(header, None)


@given(st.text() | st.text("sha-512=:AQ+/;, 6") | st.text("=:,;").map(GOOD512.__add__))
def test_no_header_raises_anything_but_invalid_input(header: str) -> None:
    try:
        found = announced(header, None)
    except InvalidInput:
        return

    assert found.sha512 is None or len(found.sha512) == 64
    assert found.sha256 is None or len(found.sha256) == 32


def test_a_member_is_written_as_it_is_read() -> None:
    assert member("sha-512", SHA512) == GOOD512


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("sha-512=1", "sha-512"),
        ("sha-256=10", "sha-256"),
        ("sha-256=3, sha-512=7", "sha-512"),
        ("sha-256=7,sha-512=3", "sha-256"),
        ("md5=10, sha-256=1", "sha-256"),
        ("sha-512=0", None),  # 0 is "do not" (RFC 9530, 4)
        ("sha-512=0, sha-256=1", "sha-256"),
        ("sha-512=11", None),  # weights end at 10
        ("sha-512=-1", None),
        ("sha-512=1.5", None),
        ("sha-512=\u0661", None),
        ("sha-512", None),
        ("md5=1", None),
        ("junk, sha-256=1", "sha-256"),
    ],
)
def test_the_algorithm_with_the_greatest_weight_is_wanted(header: str | None, expected: str | None) -> None:
    assert wanted(header) == expected


@given(st.text() | st.text("sha-512=6, ;"))
def test_no_wish_raises(header: str) -> None:
    assert wanted(header) in (None, "sha-512", "sha-256")
