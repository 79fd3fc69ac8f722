"""Catalogues of several sizes: starting on them, look-ups, pages of listings.

They are filled by SQL, with the daemon stopped, and have no payload files: nothing here reads bytes.
"""

import functools
import hashlib
import json
import random
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from casd import folder
from tests.bench.case import Case, Sample, rated
from tests.bench.latency import latencies
from tests.bench.peers import PATIENCE_S, Casd, used_by, wrk

NAMESPACE = "default"
SEED = 21
ASKED = 5000  # targets of one run, spread over the whole catalogue
CONNECTIONS = 4
PAGE = 100
NUMBERED_PAGE = 20  # Deep Lake's, as its documentation asks for it
NUMBERED_ASKED = 50
CHUNK = 50_000

INSERT = {
    "payload": """
      INSERT INTO payload (id, digest, sha256, xxh3_128, size, blob_count, keep_until, stored_at, checked_at)
      VALUES (:id, :digest, :sha256, :xxh3, 4096, 1, 0, :at, :at)""",
    "blob": """
      INSERT INTO blob (id, uuid, namespace_id, payload_id, holds_itself, version_count, content_type, created_at)
      VALUES (:id, :uuid, :namespace, :id, 1, 1, :content_type, :at)""",
    "name": """
      INSERT INTO name (id, uuid, namespace_id, name, created_at)
      VALUES (:id, :name_uuid, :namespace, :name, :at)""",
    "name_counter": """
      INSERT INTO name_counter (namespace_id, name, last_number, last_created_at)
      VALUES (:namespace, :name, 1, :at)""",
    "version": """
      INSERT INTO version (id, name_id, number, blob_id, created_at, published_by)
      VALUES (:id, :id, 1, :id, :at, 'bench')""",
}


def digest_of(number: int) -> bytes:
    return hashlib.sha512(b"%d" % number).digest()


def uuid_of(number: int) -> uuid.UUID:
    return uuid.UUID(bytes=hashlib.md5(b"%d" % number).digest(), version=4)


def name_of(number: int) -> str:
    return f"images/{number % 100:02d}/{number:08d}.img"


def content_type_of(number: int) -> str:
    return f"bench/{number % 100:02d}"


def rows(start: int, stop: int, namespace: int, at: int) -> Iterator[dict[str, object]]:
    for number in range(start, stop):
        digest = digest_of(number)
        yield {
            "id": number + 1,
            "digest": digest,
            "sha256": digest[:32],
            "xxh3": digest[32:48],
            "uuid": uuid_of(number).bytes,
            "name_uuid": uuid_of(-1 - number).bytes,
            "name": name_of(number).encode(),
            "namespace": namespace,
            "content_type": content_type_of(number),
            "at": at + number,
        }


def fill(file: Path, count: int) -> None:
    """Put so many blobs, each with a name, into an empty catalogue that a daemon has made."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = -1000000")
        (namespace,) = db.execute("SELECT id FROM namespace WHERE name = ?", (NAMESPACE,)).fetchone()
        at = time.time_ns() // 1000
        for start in range(0, count, CHUNK):
            chunk = list(rows(start, min(count, start + CHUNK), namespace, at))
            db.execute("BEGIN")
            for statement in INSERT.values():
                db.executemany(statement, chunk)
            db.execute("COMMIT")
        db.execute(
            "UPDATE namespace SET blob_count = :count, logical_bytes = 4096 * :count WHERE id = :id",
            {"count": count, "id": namespace},
        )
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class Catalogues:
    """One daemon for each size, all running beside each other, so that rounds can go from one to the next."""

    def __init__(self, root: Path, counts: list[int], for_s: float) -> None:
        self._folder, self._for_s = root, for_s
        self.daemons: dict[int, Casd] = {count: Casd(root / f"catalogue-{count}") for count in counts}

    def prepare(self) -> None:
        first, *others = self.daemons.values()
        first.start()  # makes a data folder
        first.stop()
        for other in others:
            shutil.copytree(first.data, other.data)
        for count, casd in self.daemons.items():
            fill(casd.data / folder.CATALOGUE, count)
            casd.start()

    def stop(self) -> None:
        for casd in self.daemons.values():
            casd.stop()

    def start_up(self, count: int) -> Sample:
        casd = self.daemons[count]
        casd.stop()
        return {"seconds": casd.start()}

    def ask(self, count: int, kind: str) -> Sample:
        casd = self.daemons[count]
        targets = [TARGETS[kind](number) for number in random.Random(SEED).choices(range(count), k=ASKED)]
        with used_by(casd) as usage:
            # Where bytes are asked for, `*` makes every answer a 304: the look-up alone, without its payload.
            answers, seconds, client_s = wrk(casd, targets, self._folder, self._for_s, CONNECTIONS, If_None_Match="*")
        return rated(answers, seconds, usage.cpu_s, client_s)

    def numbered(self, count: int, target: str) -> Sample:
        """How long each of some requests takes, one after the other."""
        casd, waits = self.daemons[count], []
        with closing(HTTPConnection(*casd.address, timeout=PATIENCE_S)) as connection:
            for _ in range(NUMBERED_ASKED):
                begin = time.perf_counter()
                connection.request("GET", target, headers=casd.credentials)
                response = connection.getresponse()
                body = response.read()
                waits.append(time.perf_counter() - begin)
                if response.status != 200 or len(json.loads(body)["data"]) != NUMBERED_PAGE:
                    raise RuntimeError(f"{target}: {response.status} {body[:500]!r}")
        return latencies(waits)


TARGETS: dict[str, Callable[[int], str]] = {
    "look-up by UUID": lambda number: f"/v1/blobs/{uuid_of(number)}/data",
    "look-up by digest": lambda number: f"/v1/payloads/sha512/{digest_of(number).hex()}",
    "look-up by name": lambda number: f"/v1/names/{NAMESPACE}/{name_of(number)}",
    "search by checksum": lambda number: f"/v1/checksums/sha512/{digest_of(number).hex()}",
    "page of names": lambda number: f"/v1/names/{NAMESPACE}?limit={PAGE}&prefix=images/{number % 100:02d}/",
    "page of blobs": lambda number: f"/v1/blobs?limit={PAGE}&content_type={content_type_of(number)}",
}
# Pages by number cost what they skip: where in the listing they begin.
NUMBERED: dict[str, Callable[[int], int]] = {
    "page of files by number, the first": lambda count: 0,
    "page of files by number, the last": lambda count: count - NUMBERED_PAGE,
}


def cases(at: Catalogues) -> list[Case]:
    def sides(run: Callable[..., Sample], *args: str) -> dict[str, Callable[[], Sample]]:
        return {f"{count:,}": functools.partial(run, count, *args) for count in at.daemons}

    found = [Case("start-up", sides(at.start_up))]
    found += [Case(kind, sides(at.ask, kind), "request") for kind in TARGETS]
    for kind, start in NUMBERED.items():
        targets = {
            count: f"/workspaces/{NAMESPACE}/files?limit={NUMBERED_PAGE}&offset={start(count)}" for count in at.daemons
        }
        found.append(
            Case(kind, {f"{count:,}": functools.partial(at.numbered, count, targets[count]) for count in at.daemons})
        )
    return found
