"""What casd should have computed, from hashlib and xxhash alone, and bytes to compute it of."""

import hashlib
import random

import xxhash

from casd.model import Digest, Receipt

MIB = 1 << 20


def some_bytes(size: int, seed: int = 0) -> bytes:
    """Bytes that do not repeat, the same in every run."""
    return random.Random(seed).randbytes(size)


def digest_of(data: bytes) -> Digest:
    return Digest(hashlib.sha512(data).digest())


def checksum_of(data: bytes, algorithm: str) -> bytes:
    """`algorithm` as the catalogue and the native API call it."""
    if algorithm == "xxh3-128":
        return xxhash.xxh3_128_digest(data)
    return hashlib.new(algorithm, data).digest()


def receipt_of(data: bytes) -> Receipt:
    """Every checksum of `data`, each from one call over the whole or over one MiB."""
    blocks = (xxhash.xxh3_64_digest(data[start : start + MIB]) for start in range(0, len(data), MIB))
    return Receipt(
        digest=digest_of(data),
        sha256=hashlib.sha256(data).digest(),
        xxh3_128=xxhash.xxh3_128_digest(data),
        size=len(data),
        blocks=b"".join(blocks),
    )
