"""What a daemon reports of reading and repairing all that is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from casd.client.values import JsonObject
from casd.model import Digest, VersionRef


@dataclass(frozen=True, slots=True)
class Damage:
    """A payload that is damaged, gone or cannot be read, and whom that hits: the first of them, and how many."""

    digest: Digest
    found: str  # damaged, missing, unreadable
    why: str
    blobs: tuple[tuple[UUID, str], ...]  # with their namespaces
    versions: tuple[VersionRef, ...]
    blob_count: int
    version_count: int


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What a scrub read and found."""

    payloads: int
    bytes: int
    damaged: int
    missing: int
    unreadable: int
    rewritten: int  # block lists that were wrong, of payloads that were right
    failed: int  # payloads that could not be judged
    repaired: int  # payloads that were fetched from elsewhere afterwards
    findings: tuple[Damage, ...]  # the first ones
    catalogue_problems: tuple[str, ...]
    is_deep: bool
    is_dry_run: bool
    is_whole: bool  # False: it was ended before it had come to all
    json: JsonObject = field(repr=False, compare=False)

    @property
    def hurt(self) -> int:
        """Payloads whose bytes could not be given to a reader then."""
        return self.damaged + self.missing + self.unreadable


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of payloads that were damaged."""

    payloads: int
    good: int  # of them, found right where they are, or not referred to any more
    repaired: int
    bytes: int
    failed: int
    failures: Mapping[Digest, str]  # the first ones, and why
    json: JsonObject = field(repr=False, compare=False)


def scrubbed(answer: Any) -> Scrubbed:
    return Scrubbed(
        payloads=int(answer["payloads"]),
        bytes=int(answer["bytes"]),
        damaged=int(answer["damaged"]),
        missing=int(answer["missing"]),
        unreadable=int(answer["unreadable"]),
        rewritten=int(answer["rewritten"]),
        failed=int(answer["failed"]),
        repaired=int(answer["repaired"]),
        findings=tuple(_damage(item) for item in answer["findings"]),
        catalogue_problems=tuple(map(str, answer["catalogue_problems"])),
        is_deep=bool(answer["deep"]),
        is_dry_run=bool(answer["dry_run"]),
        is_whole=bool(answer["whole"]),
        json=answer,
    )


def _damage(item: Any) -> Damage:
    return Damage(
        digest=Digest.parse(item["sha512"]),
        found=item["found"],
        why=item["why"],
        blobs=tuple((UUID(blob["uuid"]), str(blob["namespace"])) for blob in item["blobs"]),
        versions=tuple(VersionRef(ref["namespace"], ref["name"], int(ref["version"])) for ref in item["names"]),
        blob_count=int(item["blob_count"]),
        version_count=int(item["version_count"]),
    )


def repaired(answer: Any) -> Repaired:
    return Repaired(
        payloads=int(answer["payloads"]),
        good=int(answer["good"]),
        repaired=int(answer["repaired"]),
        bytes=int(answer["bytes"]),
        failed=int(answer["failed"]),
        failures={Digest.parse(item["sha512"]): str(item["why"]) for item in answer["failures"]},
        json=answer,
    )
