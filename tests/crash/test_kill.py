"""kill -9 at random moments of everything at once: what was acknowledged is there, what was not is whole or absent.

CASD_KILL_ROUNDS makes it longer, CASD_KILL_SEED repeats the choices of a run, though never its exact moments.
"""

import asyncio
import http.client
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.conftest import TEST_ALL, Daemon
from tests.crash.asking import ask, chunks, collect, data_of, listed_blobs, post
from tests.crash.folder import CATALOGUE, check_catalogue, incoming, payload_files, payload_path, sha512
from tests.crash.ledger import NAMES, Blob, Contents, Ledger, Operation, State, name_path, next_operation
from tests.crash.tracing import meddling

ROUNDS = int(os.environ.get("CASD_KILL_ROUNDS", "30" if TEST_ALL else "10"))
SEED = int(os.environ.get("CASD_KILL_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
CLIENTS = 8
ANSWERS = (10, 160)  # how many there are before a kill; about 150 come in a second
LONGEST_DELAY_S = 0.02  # after the last of them: two commits or so
SAMPLE = 24  # payloads read by HTTP after each kill; all are read on the disk
SHARED = "/v1/names/default/shared"
TIMEOUT = aiohttp.ClientTimeout(total=60)

Unanswered = (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError)


class SharedName:
    """The versions of a name into which everybody publishes."""

    def __init__(self) -> None:
        self.versions: dict[int, str] = {}  # acknowledged: number → digest
        self.under_way: Counter[str] = Counter()  # digests

    def settle(self, seen: dict[int, str]) -> None:
        """Numbers have no gap, what was acknowledged has its number, and the rest is of what was under way."""
        assert sorted(seen) == list(range(1, len(seen) + 1))
        assert self.versions.items() <= seen.items()
        surprising = Counter(digest for number, digest in seen.items() if number not in self.versions)
        assert surprising <= self.under_way
        self.versions, self.under_way = seen, Counter()


class Round:
    """The life of one daemon, from its start to its kill."""

    def __init__(
        self, ledgers: list[Ledger], shared: SharedName, session: aiohttp.ClientSession, choice: random.Random
    ) -> None:
        self._ledgers = ledgers
        self._shared = shared
        self._session = session
        self._choice = choice
        self._answers = 0
        self._killed_after = choice.randint(*ANSWERS)
        self._is_time = asyncio.Event()

    async def run(self, kill: Callable[[], None]) -> int:
        """Let everybody work until the kill; returns how many answers there were."""
        contents = [Contents(random.Random(self._choice.random()), sha512) for _ in self._ledgers]
        common = Contents(random.Random(SEED), sha512)
        tasks = [asyncio.create_task(self._work(*pair, common)) for pair in zip(self._ledgers, contents, strict=True)]
        tasks.append(asyncio.create_task(self._collect()))
        waiting = asyncio.create_task(self._is_time.wait())
        # A task that ends before the kill has failed; it is heard below.
        await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(self._choice.uniform(0, LONGEST_DELAY_S))  # not to wait for anything: a kill has no moment
        kill()
        waiting.cancel()
        await asyncio.gather(*tasks)
        return self._answers

    async def _work(self, ledger: Ledger, own: Contents, common: Contents) -> None:
        choice = random.Random(self._choice.random())
        try:
            while True:
                contents = choice.choice([own, common])
                if choice.random() < 0.1:
                    await self._publish_shared(contents)
                else:
                    await self._do(ledger, next_operation(ledger, self._ledgers, contents, choice))
        except Unanswered:
            return

    async def _do(self, ledger: Ledger, operation: Operation) -> None:
        ledger.begin(operation)
        status, answer = await self._ask(operation)
        if status == 404 and operation.may_be_absent:
            ledger.end_without_effect()
        else:
            assert status in (200, 201, 204), (status, answer, operation)
            ledger.end(answer)

    async def _publish_shared(self, contents: Contents) -> None:
        data, digest, _ = contents.next()
        self._shared.under_way[digest] += 1
        status, answer = await self._ask(Operation("PUT", SHARED, lambda state, uuid: None, data))
        assert status == 201, answer
        self._shared.versions[answer["version"]] = digest
        self._shared.under_way[digest] -= 1

    async def _collect(self) -> None:
        collection = Operation("POST", "/v1/upkeep/collect-garbage?force=1", lambda state, uuid: None)
        try:
            while True:
                status, answer = await self._ask(collection)
                assert status == 200, answer
        except Unanswered:
            return

    async def _ask(self, operation: Operation) -> tuple[int, Any]:
        body = None if operation.body is None else pieces(operation.body)
        length = {} if operation.is_chunked or operation.body is None else {"Content-Length": str(len(operation.body))}
        url = URL(operation.path, encoded=True)
        async with self._session.request(operation.method, url, data=body, headers=length) as response:
            text = await response.read()
            answer = await response.json(content_type=None) if text else None
        self._answers += 1
        if self._answers == self._killed_after:
            self._is_time.set()
        return response.status, answer


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
        state.blobs[blob["uuid"]] = Blob(blob["sha512"], blob["holds_itself"], blob["metadata"])
    for name in NAMES:
        path = name_path(ledger, name).replace("/v1/names/", "/v1/versions/")
        versions = await items(session, f"{path}?")
        if versions:
            state.names[name] = {item["version"]: (item["blob"] or {}).get("uuid") for item in versions}
    for blob in listed:
        held_by = {(item["name"], item["version"]) for item in blob["names"]}
        assert held_by == state.holders(blob["uuid"])
    return state


async def check_after_restart(daemon: Daemon, ledgers: list[Ledger], shared: SharedName, choice: random.Random) -> int:
    """Everything acknowledged is there and nothing else; returns how many operations happened without an answer."""
    async with client_of(daemon) as session:
        seen = await asyncio.gather(*(seen_state(session, ledger) for ledger in ledgers))
        happened = sum(ledger.settle(state) for ledger, state in zip(ledgers, seen, strict=True))
        versions = await items(session, SHARED.replace("/names/", "/versions/") + "?")
        shared.settle({item["version"]: item["blob"]["sha512"] for item in versions})

        held = {blob.digest for ledger in ledgers for blob in ledger.state.blobs.values()}
        held |= set(shared.versions.values())
        assert held <= payload_files(daemon.data)
        async with session.post("/v1/upkeep/collect-garbage?force=1") as response:
            assert response.status == 200
        assert payload_files(daemon.data) == held

        blobs = [(uuid, blob.digest) for ledger in ledgers for uuid, blob in ledger.state.blobs.items()]
        for uuid, digest in choice.sample(blobs, min(SAMPLE, len(blobs))):
            async with session.get(f"/v1/blobs/{uuid}/data") as response:
                assert sha512(await response.read()) == digest
        gone = sorted(set().union(*(ledger.gone for ledger in ledgers)))
        for uuid in choice.sample(gone, min(SAMPLE, len(gone))):
            async with session.get(f"/v1/blobs/{uuid}/data") as response:
                assert response.status == 404
    return happened


async def make_namespaces(daemon: Daemon, ledgers: list[Ledger]) -> None:
    async with client_of(daemon) as session:
        for ledger in ledgers:
            async with session.put(f"/v1/namespaces/{ledger.namespace}", json={}) as response:
                assert response.status == 200, await response.text()


async def test_kill_at_any_moment_loses_nothing_acknowledged_and_leaves_nothing_half_done(
    new_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    print(f"CASD_KILL_SEED={SEED}")
    choice = random.Random(SEED)
    ledgers = [Ledger(f"client-{number}") for number in range(CLIENTS)]
    shared = SharedName()
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0").start()
    await make_namespaces(daemon, ledgers)
    answers = happened = 0

    for number in range(ROUNDS):
        async with client_of(daemon) as session:
            answers += await Round(ledgers, shared, session, choice).run(daemon.kill)
        check_catalogue(daemon.data, tmp_path / "copy")
        payload_files(daemon.data)
        daemon.settings["CASD_SERVER__EVENT_LOOP"] = ("asyncio", "uvloop")[number % 2]
        daemon.start()
        assert incoming(daemon.data) == []
        happened += await check_after_restart(daemon, ledgers, shared, choice)

    acknowledged = sum((ledger.acknowledged for ledger in ledgers), Counter[str]())
    print(f"rounds={ROUNDS} answers={answers} acknowledged={dict(acknowledged)} happened without an answer={happened}")
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
