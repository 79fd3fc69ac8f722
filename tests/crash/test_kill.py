"""kill -9 at random moments of everything at once: what was acknowledged is there, what was not is whole or absent.

Everything: the writes in `operations.py`, and beside them damage that is found and healed, blobs that expire, a name
that everybody publishes into, upkeep and scrub without a pause.

CASD_KILL_ROUNDS makes it longer, CASD_KILL_SEED repeats the choices of a run, though never its exact moments.
"""

import asyncio
import http.client
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.conftest import TEST_ALL, Daemon
from tests.crash import beside
from tests.crash.asking import ask, chunks, collect, data_of, eventually, listed_blobs, post
from tests.crash.beside import SHARED, Fleeting, SharedName, Victims
from tests.crash.folder import CATALOGUE, check_catalogue, incoming, payload_files, payload_path, sha512
from tests.crash.ledger import Blob, Ledger, Operation, State
from tests.crash.operations import NAMES, Contents, name_path, next_operation
from tests.crash.tracing import meddling
from tests.crash.uploading import VERSION

ROUNDS = int(os.environ.get("CASD_KILL_ROUNDS", "16" if TEST_ALL else "6"))
SEED = int(os.environ.get("CASD_KILL_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
CLIENTS = 8
ANSWERS = (10, 160)  # how many there are before a kill; about 150 come in a second
PAUSE_S = 0.02  # between damages, and between scrubs
LONGEST_DELAY_S = 0.02  # after the last of them: two commits or so
SAMPLE = 24  # payloads read by HTTP after each kill; all are read on the disk
TIMEOUT = aiohttp.ClientTimeout(total=60)

Unanswered = (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError)


@dataclass
class Storm:
    """All that was acknowledged, over the lives of all daemons."""

    ledgers: list[Ledger]
    victims: Victims
    shared: SharedName = field(default_factory=SharedName)
    fleeting: Fleeting = field(default_factory=Fleeting)
    upkeep_runs: int = 0


class Round:
    """The life of one daemon, from its start to its kill."""

    def __init__(self, storm: Storm, session: aiohttp.ClientSession, choice: random.Random) -> None:
        self._storm = storm
        self._session = session
        self._choice = choice
        self._answers = 0
        self._killed_after = choice.randint(*ANSWERS)
        self._is_time = asyncio.Event()

    async def run(self, kill: Callable[[], None]) -> int:
        """Let everybody work until the kill; returns how many answers there were."""
        common = Contents(random.Random(SEED), sha512)
        tasks = [asyncio.create_task(work) for work in (*self._works(common), *self._works_beside())]
        waiting = asyncio.create_task(self._is_time.wait())
        # A task that ends before the kill has failed; it is heard below.
        await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(self._choice.uniform(0, LONGEST_DELAY_S))  # not to wait for anything: a kill has no moment
        kill()
        waiting.cancel()
        await asyncio.gather(*tasks)
        return self._answers

    def _works(self, common: Contents) -> Iterator[Coroutine[Any, Any, None]]:
        for ledger in self._storm.ledgers:
            own = Contents(random.Random(self._choice.random()), sha512)
            yield until_killed(partial(self._work, ledger, own, common, random.Random(self._choice.random())))

    def _works_beside(self) -> Iterator[Coroutine[Any, Any, None]]:
        for go_on in (self._storm.victims.go_on, self._storm.fleeting.go_on):
            yield until_killed(partial(go_on, self._ask, random.Random(self._choice.random())), PAUSE_S)
        yield until_killed(partial(self._keep_up, beside.UPKEEP))
        yield until_killed(partial(self._keep_up, beside.SCRUBS), PAUSE_S)

    async def _keep_up(self, kinds: Sequence[str]) -> None:
        for kind in kinds:
            await beside.done(self._ask, "POST", f"/v1/upkeep/{kind}")
            self._storm.upkeep_runs += 1

    async def _work(self, ledger: Ledger, own: Contents, common: Contents, choice: random.Random) -> None:
        contents = choice.choice([own, common])
        if choice.random() < 0.1:
            await self._storm.shared.publish(self._ask, contents)
        else:
            await self._do(ledger, next_operation(ledger, self._storm.ledgers, contents, choice))

    async def _do(self, ledger: Ledger, operation: Operation) -> None:
        if operation.prepare is not None:
            operation = replace(await operation.prepare(self._ask), kind=operation.kind)
        ledger.begin(operation)
        status, answer = await self._ask(operation)
        if status == 404 and operation.may_be_absent:
            ledger.end_without_effect()
        else:
            assert status in (200, 201, 204), (status, answer, operation)
            ledger.end(answer)

    async def _ask(self, operation: Operation) -> tuple[int, Any]:
        answered = await request(self._session, operation)
        self._answers += 1
        if self._answers == self._killed_after:
            self._is_time.set()
        return answered


async def until_killed(turn: Callable[[], Coroutine[Any, Any, None]], pause_s: float = 0) -> None:
    """One turn after the other; a pause is not to wait for anything: it leaves more of the daemon to the others."""
    try:
        while True:
            await turn()
            await asyncio.sleep(pause_s)
    except Unanswered:
        return


async def request(session: aiohttp.ClientSession, operation: Operation) -> tuple[int, Any]:
    """The status, and the answer as JSON: of an upload what its headers tell, of other bytes their hash."""
    body = None if operation.body is None else pieces(operation.body)
    length = {} if operation.is_chunked or operation.body is None else {"Content-Length": str(len(operation.body))}
    url = URL(operation.path, encoded=True)
    async with session.request(operation.method, url, data=body, headers=operation.headers | length) as response:
        text = await response.read()
        if response.content_type.endswith("json") and text:
            return response.status, await response.json(content_type=None)
        if operation.method == "GET":
            return response.status, {"sha512": sha512(text)}
        told = {"location": response.headers.get("Location", ""), "uuid": response.headers.get("Casd-Blob", "")}
        return response.status, told


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for piece in chunks(data):
        yield piece


# -- what is seen after a restart -----------------------------------------------------------------------------------


@asynccontextmanager
async def client_of(daemon: Daemon) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(daemon.url, headers=daemon.headers, timeout=TIMEOUT) as session:
        yield session


async def items(session: aiohttp.ClientSession, path: str) -> list[Any]:
    """Of all pages of a listing; none where there is no such name."""
    found: list[Any] = []
    cursor = ""
    while True:
        async with session.get(URL(f"{path}limit=1000{cursor}", encoded=True)) as response:
            if response.status == 404:
                return []
            assert response.status == 200, await response.text()
            page = await response.json()
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


async def seen_state(session: aiohttp.ClientSession, ledger: Ledger) -> State:
    """The namespace as its listings show it; they agree with each other."""
    state = State()
    listed = await items(session, f"/v1/blobs?namespace={ledger.namespace}&")
    for blob in listed:
        assert blob["state"] == "created"
        facts = blob["holds_itself"], blob["metadata"], blob["expires_at"] is None
        state.blobs[blob["uuid"]] = Blob(blob["sha512"], *facts)
    for name in NAMES:
        path = name_path(ledger, name).replace("/v1/names/", "/v1/versions/")
        versions = await items(session, f"{path}?")
        if versions:
            state.names[name] = {item["version"]: (item["blob"] or {}).get("uuid") for item in versions}
            async with session.get(URL(path.replace("/versions/", "/name-info/"), encoded=True)) as response:
                assert response.status == 200, await response.text()
                if facts := (await response.json())["metadata"]:
                    state.described[name] = facts
    for blob in listed:
        held_by = {(item["name"], item["version"]) for item in blob["names"]}
        assert held_by == state.holders(blob["uuid"])
    return state


async def check_after_restart(daemon: Daemon, storm: Storm, choice: random.Random) -> int:
    """Everything acknowledged is there and nothing else; returns how many operations happened without an answer."""
    ledgers = storm.ledgers
    async with client_of(daemon) as session:
        await end_uploads(daemon, session, ledgers)
        seen = await asyncio.gather(*(seen_state(session, ledger) for ledger in ledgers))
        happened = sum(ledger.settle(state) for ledger, state in zip(ledgers, seen, strict=True))
        versions = await items(session, SHARED.replace("/names/", "/versions/") + "?")
        storm.shared.settle({item["version"]: item["blob"]["sha512"] for item in versions})
        await storm.victims.settle(partial(request, session), await items(session, "/v1/blobs?namespace=victims&"))

        held = {blob.digest for ledger in ledgers for blob in ledger.state.blobs.values()}
        held |= set(storm.shared.versions.values())
        assert held <= payload_files(daemon.data)
        async with session.post("/v1/upkeep/collect-garbage?force=1") as response:
            assert response.status == 200
        assert payload_files(daemon.data) - storm.fleeting.sent == held

        blobs = [(uuid, blob.digest) for ledger in ledgers for uuid, blob in ledger.state.blobs.items()]
        for uuid, digest in choice.sample(blobs, min(SAMPLE, len(blobs))):
            async with session.get(f"/v1/blobs/{uuid}/data") as response:
                assert sha512(await response.read()) == digest
        gone = sorted(set().union(*(ledger.gone for ledger in ledgers)))
        for uuid in choice.sample(gone, min(SAMPLE, len(gone))):
            async with session.get(f"/v1/blobs/{uuid}/data") as response:
                assert response.status == 404
    return happened


async def end_uploads(daemon: Daemon, session: aiohttp.ClientSession, ledgers: list[Ledger]) -> None:
    """What is in incoming/ are uploads that can go on; they are given up, and nothing is left of them."""
    started = {path for ledger in ledgers for path in ledger.uploads}
    for path in sorted(started | {f"/v1/uploads/{name}" for name in incoming(daemon.data)}):
        async with session.head(path, headers=VERSION) as response:
            assert response.status == 200 or (response.status == 404 and path in started)
            if response.status == 404:
                continue
        async with session.delete(path, headers=VERSION) as response:
            assert response.status == 204
    for ledger in ledgers:
        ledger.uploads.clear()
    assert incoming(daemon.data) == []


async def nothing_fleeting_is_left(daemon: Daemon, storm: Storm) -> None:
    eventually(lambda: not [blob for blob in listed_blobs(daemon) if blob["namespace"] == "fleeting"])
    assert ask(daemon, "POST", "/v1/upkeep/expire").status == 200
    collect(daemon)
    held = {blob.digest for ledger in storm.ledgers for blob in ledger.state.blobs.values()}
    assert payload_files(daemon.data) == held | set(storm.shared.versions.values())


async def make_namespaces(daemon: Daemon, names: Iterable[str]) -> None:
    async with client_of(daemon) as session:
        for name in names:
            async with session.put(f"/v1/namespaces/{name}", json={}) as response:
                assert response.status == 200, await response.text()


async def test_kill_at_any_moment_loses_nothing_acknowledged_and_leaves_nothing_half_done(
    new_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    print(f"CASD_KILL_SEED={SEED}")
    choice = random.Random(SEED)
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0").start()
    storm = Storm([Ledger(f"client-{number}") for number in range(CLIENTS)], Victims(daemon.data))
    await make_namespaces(daemon, ["victims", "fleeting", *(ledger.namespace for ledger in storm.ledgers)])
    answers = happened = 0

    for number in range(ROUNDS):
        async with client_of(daemon) as session:
            answers += await Round(storm, session, choice).run(daemon.kill)
        check_catalogue(daemon.data, tmp_path / "copy")
        payload_files(daemon.data, storm.victims.hurt)
        daemon.settings["CASD_SERVER__EVENT_LOOP"] = ("asyncio", "uvloop")[number % 2]
        daemon.start()
        happened += await check_after_restart(daemon, storm, choice)
    await nothing_fleeting_is_left(daemon, storm)

    acknowledged = sum((ledger.acknowledged for ledger in storm.ledgers), Counter[str]())
    print(f"rounds={ROUNDS} answers={answers} acknowledged={dict(acknowledged)} happened without an answer={happened}")
    print(f"healed={storm.victims.healed} expired={len(storm.fleeting.stored)} upkeep runs={storm.upkeep_runs}")
    assert daemon.stop() == 0
    check_catalogue(daemon.data, tmp_path / "copy")


# -- at one moment after the other ----------------------------------------------------------------------------------


CutOff = (ConnectionError, http.client.HTTPException)


def bury(daemon: Daemon) -> None:
    """Wait for the end of a daemon that was killed, and clear its address away as `Daemon.kill` does."""
    assert daemon.process is not None
    assert daemon.process.wait(timeout=30) == -signal.SIGKILL
    (daemon.data / "address").unlink()


def anywhere(daemon: Daemon, digest: str) -> list[Path]:
    return []


def the_shard(daemon: Daemon, digest: str) -> list[Path]:
    return [payload_path(daemon.data, digest).parent]


def its_parent(daemon: Daemon, digest: str) -> list[Path]:
    return [payload_path(daemon.data, digest).parent.parent]


def the_wal(daemon: Daemon, digest: str) -> list[Path]:
    return [daemon.data / f"{CATALOGUE}-wal"]


@pytest.mark.parametrize(
    ("call", "where"),
    [
        ("pwrite64", anywhere),  # of the staged file: the first there is
        ("fsync", anywhere),
        ("mkdir,mkdirat", anywhere),
        ("fsync", its_parent),
        ("rename,renameat,renameat2", anywhere),
        ("fsync", the_shard),
        ("pwrite64", the_wal),
        ("fdatasync", the_wal),
    ],
)
def test_a_kill_at_any_disk_call_of_an_upload_leaves_it_whole_or_absent(
    new_daemon: Callable[..., Daemon], tmp_path: Path, call: str, where: Callable[[Daemon, str], list[Path]]
) -> None:
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0", CASD_SERVER__EVENT_LOOP="asyncio").start()
    data = b"the only one"

    with meddling(daemon, [f"{call}:signal=KILL"], *where(daemon, sha512(data))):
        with pytest.raises(CutOff):
            post(daemon, data)
        bury(daemon)
    check_catalogue(daemon.data, tmp_path / "copy")
    daemon.start()

    assert incoming(daemon.data) == []
    happened = listed_blobs(daemon)
    for blob in happened:
        assert data_of(daemon, blob["uuid"]).body == data
    assert post(daemon, data).status == 201
    assert collect(daemon)["payloads"] == 0
    assert payload_files(daemon.data) == {sha512(data)}
    assert len(listed_blobs(daemon)) == len(happened) + 1


def test_a_kill_between_a_payloads_row_and_its_file_leaves_an_orphan_to_the_next_collection(
    new_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0").start()
    data = b"garbage"
    uuid = post(daemon, data).headers["Casd-Blob"]
    assert ask(daemon, "DELETE", f"/v1/blobs/{uuid}").status == 204

    with meddling(daemon, ["unlink,unlinkat:signal=KILL"], payload_path(daemon.data, sha512(data))):
        with pytest.raises(CutOff):
            collect(daemon)
        bury(daemon)
    check_catalogue(daemon.data, tmp_path / "copy")
    daemon.start()

    assert data_of(daemon, uuid).status == 404
    assert payload_files(daemon.data) == {sha512(data)}
    assert collect(daemon)["orphans"] == 1
    assert payload_files(daemon.data) == set()
