"""How the daemon stands, described: the answer of `GET /v1/status`."""

from typing import Generic, TypeVar

from pydantic import Field

from casd.dialects.native.models import CollectionReport, ExpireReport, RepairReport, ScrubReport
from casd.web.models import AnswerBody, Count, Time, Uuid

Report = TypeVar("Report")


class Totals(AnswerBody):
    """Logical bytes count a payload for each of its blobs, physical once, exclusive only where it has one blob."""

    payloads: Count
    physical_bytes: Count
    blobs: Count
    logical_bytes: Count
    exclusive_bytes: Count
    quarantined_payloads: Count


class Garbage(AnswerBody):
    payloads: Count
    bytes: Count


class Disk(AnswerBody):
    free_bytes: Count
    reserved_bytes: Count


class OpenUploads(AnswerBody):
    open: Count
    received_bytes: Count
    announced_bytes: Count
    active: Count


class Reads(AnswerBody):
    """What checking found since the start."""

    checked_blocks: Count
    mismatches: Count
    wrong_in_memory: Count
    judging: Count
    judged_good: Count
    judged_damaged: Count
    judged_missing: Count
    judged_unreadable: Count
    rewritten_block_lists: Count


class Queues(AnswerBody):
    connections: Count
    requests: Count
    transfers: Count
    catalogue_writes: Count


class Moved(AnswerBody):
    """What requests of all dialects moved since the start."""

    requests: Count
    received_bytes: Count
    sent_bytes: Count


class ScrubProgress(AnswerBody):
    oldest_checked_at: Time | None
    oldest_deep_checked_at: Time | None


class Run(AnswerBody, Generic[Report]):
    """A run of upkeep; without an end it is under way."""

    started_at: Time
    ended_at: Time | None
    report: Report | None
    error: str | None


class LastRuns(AnswerBody):
    expire: Run[ExpireReport] | None
    collect_garbage: Run[CollectionReport] | None = Field(alias="collect-garbage")
    scrub: Run[ScrubReport] | None
    repair: Run[RepairReport] | None


class FullNamespace(AnswerBody):
    """A namespace that has, with what is reserved, nine tenths of a quota or more."""

    namespace: str
    quota_bytes: Count | None
    quota_blobs: Count | None
    used_bytes: Count
    used_blobs: Count
    reserved_bytes: Count
    reserved_blobs: Count


class ExpiringToken(AnswerBody):
    id: Uuid
    name: str
    expires_at: Time


class NewestKey(AnswerBody):
    id: int
    created_at: Time
    age_s: Count


class Credentials(AnswerBody):
    expiring: list[ExpiringToken] = Field(description="tokens that end within 14 days, at most 100")
    signing_key: NewestKey | None = Field(description="the one that signs")
    signing_keys: Count


class Status(AnswerBody):
    """How the daemon stands."""

    version: str
    started_at: Time
    uptime_s: float
    totals: Totals
    garbage: Garbage
    disk: Disk
    uploads: OpenUploads
    quotas: list[FullNamespace] = Field(description="the fullest first, at most 100")
    reads: Reads
    queues: Queues
    moved: Moved
    scrub: ScrubProgress
    upkeep: LastRuns
    credentials: Credentials


class Samples(AnswerBody):
    """How the daemon stood each minute of the last day."""

    interval_s: Count
    times: list[Time] = Field(description="the oldest first, at most a day of them")
    series: dict[str, list[float | None]] = Field(
        description="a value for each time, null where there was none: `free_bytes`, `requests.native`, …"
    )
