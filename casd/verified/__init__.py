"""Verified reads: the first time that a block is read since the start, its XXH3 is compared before its bytes leave.

After that the page cache is trusted, so that a download that was checked once costs what it costs without: nothing
but a look at a bit. XXH3 takes 0.02 s per GiB, and reading the block to hash it 0.1 s more, of bytes that are sent
next and are in memory then. Damage that is found is judged elsewhere (`judging.py`).
"""

from casd.verified.payload import Ahead, VerifiedPayload, check_unmarked
from casd.verified.reads import VerifiedReads

__all__ = ["Ahead", "VerifiedPayload", "VerifiedReads", "check_unmarked"]
