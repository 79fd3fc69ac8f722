"""Ending what is past its time: own holds, hidden names, versions that no rule keeps, tokens, audit rows.

Time is a parameter.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from casd.catalogue.base import Catalogue
from casd.catalogue.values import Expired

BATCH = 500  # rows per transaction: a few milliseconds of the writer at a time


@dataclass(frozen=True, slots=True)
class Rules:
    """How long things are kept."""

    grace: timedelta  # a payload that nothing refers to, since it was last stored, asked for or let go
    hidden: timedelta  # a name under a delete marker
    ended: timedelta  # a token that has expired or was revoked
    audit: timedelta = timedelta(days=90)  # a row of the audit log
    signed: timedelta = timedelta(days=7)  # the longest life of anything that a signing key signs


async def expire(catalogue: Catalogue, rules: Rules, *, now: datetime, scan: bool = True) -> Expired:
    """End what is past its time but uploads: own holds, hidden names, tokens, and with `scan` versions.

    Nobody waits for it: reads judge expiry themselves, and publishing applies the rules on versions. Bytes become
    garbage.
    """
    blobs = names = tokens = 0
    while True:
        batch = await catalogue.expire(now, now - rules.hidden, now - rules.ended, now + rules.grace, BATCH)
        blobs, names, tokens = blobs + batch.blobs, names + batch.names, tokens + batch.tokens
        if max(batch.blobs, batch.names, batch.tokens) < BATCH:
            break
    await catalogue.expire_credentials(now, now - rules.signed)
    while await catalogue.forget_audit(now - rules.audit, BATCH) == BATCH:
        pass
    versions = await retain(catalogue, now=now, grace=rules.grace) if scan else 0
    return Expired(blobs, names, versions, tokens=tokens)


async def retain(catalogue: Catalogue, *, now: datetime, grace: timedelta, dry_run: bool = False) -> int:
    """Remove the versions that the rules of names and namespaces do not keep; returns how many.

    Publishing applies the rules too: this is for rules that were changed since, and for what has grown old.
    """
    versions, after = 0, None
    while True:
        count, after = await catalogue.retain(now, now + grace, after, dry_run=dry_run)
        versions += count
        if after is None:
            return versions
