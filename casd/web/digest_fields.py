"""Digests in header fields (RFC 9530): Repr-Digest, Content-Digest, Want-Content-Digest. No I/O."""

import base64
import binascii
import re

from casd.errors import InvalidInput
from casd.model import Expected

LENGTHS = {"sha-512": 64, "sha-256": 32}  # bytes; other algorithms are let pass unchecked

_KEY = r"[a-z*][a-z0-9_.*-]*"
_MEMBER = re.compile(rf"({_KEY})=:([A-Za-z0-9+/=]*):(?:;[^,]*)?")
_WANT = re.compile(rf"({_KEY})=(\d{{1,2}})(?:;[^,]*)?", re.ASCII)


def member(algorithm: str, digest: bytes) -> str:
    return f"{algorithm}=:{base64.b64encode(digest).decode()}:"


def announced(header: str | None, size: int | None) -> Expected:
    """What a request's Repr-Digest and Content-Length announce. Raises InvalidInput for what does not parse."""
    if header is None:
        return Expected(size=size)
    found: dict[str, bytes] = {}
    for text in header.split(","):
        parsed = _MEMBER.fullmatch(text.strip(" \t"))
        if parsed is None:
            raise InvalidInput("Repr-Digest is written as sha-512=:<base64>: (RFC 9530)")
        algorithm, encoded = parsed.groups()
        if algorithm not in LENGTHS:
            continue
        try:
            digest = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise InvalidInput(f"the {algorithm} in Repr-Digest is not base64") from None
        if len(digest) != LENGTHS[algorithm]:
            raise InvalidInput(f"a {algorithm} has {LENGTHS[algorithm]} bytes, Repr-Digest has {len(digest)}")
        found[algorithm] = digest
    return Expected(size, found.get("sha-512"), found.get("sha-256"))


def wanted(header: str | None) -> str | None:
    """The algorithm that Want-Content-Digest prefers among ours; None for none, or for what does not parse."""
    best, best_weight = None, 0
    for text in (header or "").split(","):
        parsed = _WANT.fullmatch(text.strip(" \t"))
        if parsed is not None and parsed[1] in LENGTHS and best_weight < int(parsed[2]) <= 10:
            best, best_weight = parsed[1], int(parsed[2])
    return best
