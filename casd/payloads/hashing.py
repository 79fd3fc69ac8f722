"""All checksums of a payload in one pass: SHA-512, SHA-256, XXH3-128, and one XXH3-64 per block.

SHA-512 takes as long as the rest together with the write, so the two lanes can run in two threads.
"""

import bisect
import hashlib
from typing import NamedTuple

import xxhash

from casd.errors import DigestMismatch
from casd.model import BLOCK_SIZE, Digest, Expected, Receipt

CHECKPOINTS = 16  # kept per hasher, about 2 KiB each; the oldest go first


class Checkpoint(NamedTuple):
    """The state of all hashes after `offset` bytes, so that a cut back to there costs no second read."""

    offset: int
    sha512: "hashlib._Hash"
    sha256: "hashlib._Hash"
    xxh3_128: xxhash.xxh3_128
    block: xxhash.xxh3_64
    blocks: int  # how many blocks were complete


class PayloadHasher:
    """Running checksums over bytes that come in order. Not for two threads at once in the same lane."""

    def __init__(self) -> None:
        self.size = 0  # bytes that both lanes have seen; the caller adds to it
        self._sha512 = hashlib.sha512()
        self._sha256 = hashlib.sha256()
        self._xxh3_128 = xxhash.xxh3_128()
        self._block = xxhash.xxh3_64()
        self._blocks = bytearray()
        self._checkpoints = [self._checkpoint()]

    def update_sha512(self, data: bytes, start: int) -> None:
        """One lane; `start` is the offset of `data`."""
        self._sha512.update(data)

    def update_rest(self, data: bytes, start: int) -> None:
        """The other lane."""
        self._sha256.update(data)
        self._xxh3_128.update(data)
        view = memoryview(data)
        at, room = 0, BLOCK_SIZE - start % BLOCK_SIZE
        while at < len(view):
            part = view[at : at + room]
            self._block.update(part)
            at += len(part)
            if len(part) == room:
                self._blocks += self._block.digest()
                self._block.reset()
            room = BLOCK_SIZE

    def update(self, data: bytes) -> None:
        """Both lanes, one after the other."""
        self.update_sha512(data, self.size)
        self.update_rest(data, self.size)
        self.size += len(data)

    def keep(self) -> None:
        """Remember how it is now."""
        if self._checkpoints[-1].offset < self.size:
            self._checkpoints.append(self._checkpoint())
            if len(self._checkpoints) > CHECKPOINTS:
                del self._checkpoints[1]  # the first, of nothing, always stays

    def rewind(self, offset: int | None = None) -> None:
        """Be as it was kept last, at or before `offset` if that is told; what was kept later is forgotten."""
        if offset is not None:
            at = bisect.bisect_right(self._checkpoints, offset, key=lambda point: point.offset)
            del self._checkpoints[at:]
        self._restore(self._checkpoints[-1])

    def forget_kept(self) -> None:
        """Have no way back but to the beginning, and take little memory."""
        del self._checkpoints[1:]

    def digest(self) -> Digest:
        """Of all bytes so far. The hasher can go on."""
        return Digest(self._sha512.digest())

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            self.size,
            self._sha512.copy(),
            self._sha256.copy(),
            self._xxh3_128.copy(),
            self._block.copy(),
            len(self._blocks),
        )

    def _restore(self, to: Checkpoint) -> None:
        self.size = to.offset
        self._sha512 = to.sha512.copy()
        self._sha256 = to.sha256.copy()
        self._xxh3_128 = to.xxh3_128.copy()
        self._block = to.block.copy()
        del self._blocks[to.blocks :]

    def receipt(self) -> Receipt:
        """The checksums of all bytes so far. The hasher can go on."""
        last = self._block.digest() if self.size % BLOCK_SIZE else b""
        return Receipt(
            digest=self.digest(),
            sha256=self._sha256.digest(),
            xxh3_128=self._xxh3_128.digest(),
            size=self.size,
            blocks=bytes(self._blocks) + last,
        )


def check_digests(receipt: Receipt, expected: Expected) -> None:
    """Raise DigestMismatch unless the receipt has every digest that was announced."""
    for name, announced, got in (
        ("sha-512", expected.sha512, receipt.digest.raw),
        ("sha-256", expected.sha256, receipt.sha256),
        ("xxh3-128", expected.xxh3_128, receipt.xxh3_128),
    ):
        if announced is not None and announced != got:
            raise DigestMismatch(
                f"the {name} of what arrived is {got.hex()}, announced was {announced.hex()}; nothing was kept"
            )
