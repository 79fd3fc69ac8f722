"""Power cuts: a daemon starts on the worst that a disk may have kept, and all that was acknowledged is there.

Its file system calls are recorded under writes of every kind, expiry, collection, and damage that is found and healed;
then the folder is rebuilt as `powercut.py` says: at the moments of answers, whose promises hold from then on, and at
moments between them. CASD_POWER_CUTS says how many folders are rebuilt, CASD_POWER_SEED repeats the choices of a run.
"""

import asyncio
import copy
import os
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import TEST_ALL, Daemon
from tests.crash.asking import ask, collect, eventually, listed_blobs
from tests.crash.beside import DAMAGES, done
from tests.crash.folder import CATALOGUE, check_catalogue, everything, payload_files, payload_path, sha512
from tests.crash.ledger import Ledger, Operation, State
from tests.crash.operations import Contents, next_operation, nothing
from tests.crash.powercut import NEVER, Keep, Recorded, texts
from tests.crash.test_kill import client_of, request, seen_state
from tests.crash.tracing import Call, recording_bytes

CUTS = int(os.environ.get("CASD_POWER_CUTS", "10" if TEST_ALL else "5"))
SEED = int(os.environ.get("CASD_POWER_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
OPERATIONS = 60
SETTINGS = {"CASD_UPKEEP__GRACE_S": "0", "CASD_SERVER__EVENT_LOOP": "asyncio"}
# What is kept of the unsynced: nothing; all names and no bytes; all bytes and no names; any part of both.
WORST = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.8, 0.2)]


class Small(Contents):
    """Little traffic: each byte takes four in the record."""

    def next(self) -> tuple[bytes, str, bool]:
        data, _, is_chunked = super().next()
        data = data[:20_000]
        return data, sha512(data), is_chunked


@dataclass
class Promises:
    """What holds at the moment of each answer."""

    ledger: Ledger
    victims: dict[str, str] = field(default_factory=dict)  # blob → its state
    hurt: set[str] = field(default_factory=set)  # digests that were damaged and not healed
    answers: list["tuple[State, dict[str, str], set[str]]"] = field(default_factory=list)

    def now(self) -> tuple[State, dict[str, str], set[str]]:
        return copy.deepcopy(self.ledger.state), dict(self.victims), set(self.hurt)


@dataclass
class Record:
    recorded: Recorded
    promises: Promises
    calls: list[Call]
    real: Path  # a copy of the folder from when the record ended

    @property
    def answers(self) -> list[Call]:
        sends = [call for call in self.calls if call.name in ("sendto", "sendmsg", "write", "writev")]
        return sorted(
            (call for call in sends if (said := texts(call)) and said[0].startswith(b"HTTP/1.1 ")),
            key=lambda call: call.began,
        )


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    folder = tmp_path_factory.mktemp("power")
    print(f"CASD_POWER_SEED={SEED}")
    daemon = Daemon(folder / "data", SETTINGS).start()
    wal = daemon.data / f"{CATALOGUE}-wal"
    choice = random.Random(SEED)
    try:
        promises, victims = prepare(daemon, choice)
        eventually(lambda: wal.stat().st_size == 0)  # folded back: nothing is written any more
        shutil.copytree(daemon.data, folder / "before")
        with recording_bytes(daemon, folder / "record") as calls:
            asyncio.run(traffic(daemon, promises, victims, choice))
            eventually(lambda: wal.stat().st_size == 0)
        shutil.copytree(daemon.data, folder / "real")
    finally:
        daemon.kill()
    recorded = Recorded(folder / "before", daemon.data)
    recorded.play(calls)
    return Record(recorded, promises, calls, folder / "real")


def prepare(daemon: Daemon, choice: random.Random) -> tuple[Promises, dict[str, bytes]]:
    """Blobs that have expired, and damaged payloads."""
    promises, victims = Promises(Ledger("client")), {}
    for namespace in ("client", "victims", "fleeting"):
        assert ask(daemon, "PUT", f"/v1/namespaces/{namespace}", b"{}").status == 200
    for _ in range(3):
        path = "/v1/blobs?namespace=fleeting&expires_in=1"
        assert ask(daemon, "POST", path, choice.randbytes(3000)).status == 201
    for damage in DAMAGES:
        content = choice.randbytes(3000)
        uuid = ask(daemon, "POST", "/v1/blobs?namespace=victims", content).json["uuid"]
        damage(payload_path(daemon.data, sha512(content)))
        victims[uuid], promises.victims[uuid] = content, "created"
        promises.hurt.add(sha512(content))
    eventually(lambda: all(blob["namespace"] != "fleeting" for blob in listed_blobs(daemon)))
    return promises, victims


async def traffic(daemon: Daemon, promises: Promises, victims: dict[str, bytes], choice: random.Random) -> None:
    async with client_of(daemon) as session:
        await writes(session, promises, victims, choice)


async def writes(
    session: aiohttp.ClientSession, promises: Promises, victims: dict[str, bytes], choice: random.Random
) -> None:
    """One request after the other; what is promised by an answer is noted when the next request begins."""
    requests = 0

    async def ask(operation: Operation) -> tuple[int, Any]:
        nonlocal requests
        if requests:
            promises.answers.append(promises.now())
        requests += 1
        return await request(session, operation)

    ledger, contents = promises.ledger, Small(choice, sha512)
    beside = [partial(judge, ask, promises, uuid) for uuid in victims]
    beside += [partial(heal, ask, promises, *victim) for victim in victims.items()]
    upkeep = [partial(done, ask, "POST", f"/v1/upkeep/{kind}") for kind in ("expire", "collect-garbage?force=1")]
    for number in range(OPERATIONS):
        operation = next_operation(ledger, [ledger], contents, choice)
        if operation.prepare is not None:
            operation = await operation.prepare(ask)
        ledger.begin(operation)
        status, answer = await ask(operation)
        assert status in (200, 201, 204), (status, answer)
        ledger.end(answer)
        if number % 8 == 3 and beside:
            await beside.pop(0)()
        if number % 8 == 7:
            for run in upkeep:
                await run()
    promises.answers.append(promises.now())


async def judge(ask: Any, promises: Promises, uuid: str) -> None:
    status, _ = await ask(Operation("GET", f"/v1/blobs/{uuid}/data", nothing))
    assert status >= 500
    promises.victims[uuid] = "error"


async def heal(ask: Any, promises: Promises, uuid: str, content: bytes) -> None:
    blob = await done(ask, "POST", "/v1/blobs?namespace=victims", content)
    promises.victims |= {uuid: "created", blob["uuid"]: "created"}
    promises.hurt.discard(sha512(content))


# -- the tests --------------------------------------------------------------------------------------------------------


def test_a_full_replay_of_the_record_is_the_real_folder(record: Record, tmp_path: Path) -> None:
    record.recorded.leave(tmp_path / "replayed", NEVER, Keep(1, 1))

    real, replayed = everything(record.real), everything(tmp_path / "replayed")
    del real["address"]
    assert replayed == real
    assert len(record.answers) == len(record.promises.answers)


@pytest.mark.parametrize("number", range(CUTS))
async def test_after_a_power_cut_all_that_was_acknowledged_is_there(
    record: Record, tmp_path: Path, number: int
) -> None:
    choice = random.Random(SEED + number)
    answers, promised = record.answers, record.promises.answers
    index = choice.randrange(1, len(answers))
    if choice.random() < 0.6:
        line, allowed = answers[index].began, [promised[index]]
    else:
        line = choice.randrange(answers[index - 1].began, answers[index].began)
        allowed = [promised[index - 1], promised[index]]
    names, data = WORST[number % len(WORST)]
    after = Daemon(tmp_path / "data", SETTINGS)
    print(f"{SEED=} {index=} {line=} {names=} {data=}")

    record.recorded.leave(after.data, line, Keep(names, data, SEED + number))
    check_catalogue(after.data, tmp_path / "copy")
    hurt = set.union(*(hurt for _, _, hurt in allowed))
    assert rows(tmp_path / "copy") <= payload_files(after.data, hurt) | hurt
    after.start()
    try:
        await check(after, allowed, hurt)
    finally:
        after.kill()


def test_when_a_payload_was_just_moved_or_removed_every_row_has_its_file(record: Record, tmp_path: Path) -> None:
    """The moments that collection, quarantine and commits must be right about."""
    moves = [call for call in record.calls if call.name.startswith(("rename", "unlink")) and call.is_good]
    moves = [call for call in moves if b"/payloads/" in b"".join(texts(call))]
    removals = [call for call in moves if call.name.startswith("unlink")]
    assert removals
    hurt = record.promises.answers[0][2]
    choice = random.Random(SEED)

    for call in choice.sample(removals, min(len(removals), CUTS)) + choice.sample(moves, min(len(moves), CUTS)):
        # All names and no bytes: the file is gone, or in its place, and the catalogue knows only what it synced.
        record.recorded.leave(tmp_path / "data", call.ended + 1, Keep(1, 0))
        check_catalogue(tmp_path / "data", tmp_path / "copy")
        assert rows(tmp_path / "copy") - hurt <= payload_files(tmp_path / "data", hurt), call.name


def rows(catalogue: Path) -> set[str]:
    """The digests of which the catalogue says that their bytes are there."""
    with closing(sqlite3.connect(catalogue / CATALOGUE)) as db:
        return {digest.hex() for (digest,) in db.execute("SELECT digest FROM payload")}


async def check(daemon: Daemon, allowed: list[tuple[State, dict[str, str], set[str]]], hurt: set[str]) -> None:
    ledger = Ledger("client")
    async with client_of(daemon) as session:
        state = await seen_state(session, ledger)
    everywhere = listed_blobs(daemon)
    victims = {blob["uuid"]: blob["state"] for blob in everywhere if blob["namespace"] == "victims"}
    assert (state, victims) in [one[:2] for one in allowed]
    held = {blob["sha512"] for blob in everywhere}
    for blob in everywhere:
        answer = ask(daemon, "GET", f"/v1/blobs/{blob['uuid']}/data")
        assert sha512(answer.body) == blob["sha512"] if answer.status == 200 else blob["sha512"] in hurt
    assert ask(daemon, "POST", "/v1/upkeep/expire").status == 200
    collect(daemon)
    assert payload_files(daemon.data, hurt) - hurt == held - hurt
