"""Repair: what is damaged is fetched from wherever it still is, and only its SHA-512 is believed."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from casd import changes
from casd.errors import PayloadNotFound
from casd.model import Blob, BlobState
from casd.repair import PAUSE_S, TRIES, Repair, RepairReport
from casd.web.sources import HttpSource
from tests.scrub.conftest import KINDS, LARGE, MIB, SMALL, some_data
from tests.verified.conftest import ALICE, House

Behaviour = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]
IDLE_S = 0.2  # of a source that stalls on purpose; no test asserts a time


@dataclass
class Folder:
    """A server of files by digest, which behaves as it is told to."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # paths, and their Range
    behaves: Behaviour | None = None
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, request.headers.get("Range")))
        data = self.files.get(request.path)
        if data is None:
            raise web.HTTPNotFound
        if self.behaves is not None:
            return await self.behaves(request, data)
        return ranged(request, data)

    def source(self, **how: Any) -> HttpSource:
        return HttpSource(self.url, how.pop("token_file", None), IDLE_S * 50, is_casd=False)

    def has(self, blob: Blob, data: bytes) -> None:
        self.files[f"/files/{blob.digest.hex}"] = data


def ranged(request: web.Request, data: bytes) -> web.StreamResponse:
    match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    if match is None:
        return web.Response(body=data)
    start = int(match[1])
    headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
    return web.Response(status=206, body=data[start:], headers=headers)


@pytest.fixture
async def folder() -> AsyncIterator[Folder]:
    made = Folder()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=1, handler_cancellation=True)  # for those that stall
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/files"
    yield made
    await runner.cleanup()


@dataclass
class Patience:
    """Pauses that nobody waits for."""

    pauses: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)


async def repaired(house: House, *sources: Any, digests: Any = None, pause: Any = None) -> RepairReport:
    report = await Repair(house.store, sources, pause or Patience()).run(digests)
    assert list((house.root / "incoming").iterdir()) == [], "a stage was left behind"
    return report


async def damaged(house: House, data: bytes, kind: str = "removed") -> Blob:
    """A blob of the data, found to be damaged."""
    blob = await house.add(data)
    KINDS[kind](house, blob)
    await house.store.judge.verdict(blob.digest, "a test")
    return blob


# -- what is healed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
async def test_damage_of_every_kind_is_healed_from_a_folder_of_files(house: House, folder: Folder, size: int) -> None:
    stored = {}
    for seed, kind in enumerate(KINDS):
        data = some_data(size, seed)
        stored[data] = await damaged(house, data, kind)
        folder.has(stored[data], data)
    again = [await house.store.bind(ALICE, (await house.add(b"good")).uuid, "alice", "good")]

    report = await repaired(house, folder.source())

    assert (report.payloads, report.repaired, report.failed) == (len(KINDS), len(KINDS), 0)
    assert report.bytes == size * len(KINDS)
    assert again
    for data, blob in stored.items():
        assert await house.read(blob) == data
        assert await house.states(blob) == {BlobState.CREATED}


async def test_files_in_folders_as_casd_has_them_are_found_too(house: House, folder: Folder) -> None:
    data = some_data(SMALL)
    blob = await damaged(house, data)
    hex = blob.digest.hex
    folder.files[f"/files/{hex[:2]}/{hex[2:4]}/{hex}"] = data

    assert (await repaired(house, folder.source())).repaired == 1

    assert [path for path, _ in folder.asked] == [f"/files/{hex}", f"/files/{hex[:2]}/{hex[2:4]}/{hex}"]
    assert await house.read(blob) == data


async def test_all_blobs_of_a_payload_are_healed_and_what_was_quarantined_is_kept(house: House, folder: Folder) -> None:
    data = some_data(SMALL)
    other = await house.add(data)
    blob = await damaged(house, data, "first bit")
    folder.has(blob, data)

    await repaired(house, folder.source())

    assert await house.states(blob, other) == {BlobState.CREATED}
    assert len(house.in_quarantine()) == 1
    assert await house.catalogue.damaged(9, None) is not None


async def test_an_empty_payload_is_healed(house: House, folder: Folder) -> None:
    blob = await damaged(house, b"")

    assert (await repaired(house, folder.source())).repaired == 1
    assert await house.read(blob) == b""


async def test_the_next_source_is_asked_where_one_does_not_help(house: House, folder: Folder) -> None:
    data = some_data(SMALL)
    blob = await damaged(house, data)
    folder.has(blob, data)
    nobody = HttpSource("http://127.0.0.1:1/", None, 5, is_casd=False)
    liar = HttpSource(folder.url.replace("/files", "/lies"), None, 5, is_casd=False)
    folder.files[f"/lies/{blob.digest.hex}"] = b"x" * SMALL

    assert (await repaired(house, nobody, liar, folder.source())).repaired == 1
    assert await house.read(blob) == data


async def test_a_payload_that_was_put_back_is_found_good_and_not_fetched(house: House, folder: Folder) -> None:
    data = some_data(SMALL)
    blob = await damaged(house, data)
    house.path(blob).write_bytes(data)

    report = await repaired(house, folder.source())

    assert (report.payloads, report.good, report.repaired) == (1, 1, 0)
    assert folder.asked == []
    assert await house.read(blob) == data


async def test_only_what_is_named_is_repaired_and_it_is_judged_first(house: House, folder: Folder) -> None:
    data = [some_data(SMALL, seed) for seed in range(3)]
    blobs = [await damaged(house, data[0]), await damaged(house, data[1]), await house.add(data[2])]
    for blob, each in zip(blobs, data, strict=True):
        folder.has(blob, each)
    house.flip(blobs[2], 0)  # nobody knows yet

    report = await repaired(house, folder.source(), digests=[blobs[0].digest, blobs[2].digest])

    assert (report.payloads, report.repaired) == (2, 2)
    assert await house.states(*blobs[::2]) == {BlobState.CREATED}
    assert await house.states(blobs[1]) == {BlobState.ERROR}


async def test_a_digest_that_is_not_known_is_refused_before_anything_is_done(house: House, folder: Folder) -> None:
    blob = await damaged(house, some_data(SMALL))
    unknown = (await house.add(b"x")).digest
    await changes.delete(house.store, ALICE, (await house.add(b"x")).uuid)
    unknown = type(unknown)(bytes(64))

    with pytest.raises(PayloadNotFound):
        await repaired(house, folder.source(), digests=[blob.digest, unknown])
    assert folder.asked == []


async def test_without_sources_what_is_damaged_stays_and_is_told(house: House) -> None:
    blob = await damaged(house, some_data(SMALL))

    report = await repaired(house)

    assert (report.failed, report.repaired) == (1, 0)
    assert "no source" in report.failures[0].why
    assert await house.states(blob) == {BlobState.ERROR}


async def test_a_payload_that_nobody_needs_any_more_is_left_alone(house: House, folder: Folder) -> None:
    blob = await damaged(house, some_data(SMALL))
    await changes.delete(house.store, ALICE, blob.uuid)

    assert (await repaired(house, folder.source())).payloads == 0
    assert folder.asked == []


# -- sources that cut, lie or stall -------------------------------------------------------------------------------


async def test_a_source_that_is_cut_again_and_again_is_asked_for_the_rest(house: House, folder: Folder) -> None:
    data = some_data(LARGE)
    blob = await damaged(house, data)
    folder.has(blob, data)
    step = 3 * MIB  # of which up to 2 MiB that aiohttp holds are lost with the connection

    async def cut(request: web.Request, data: bytes) -> web.StreamResponse:
        start = int((request.headers.get("Range") or "bytes=0-")[6:-1])
        whole = ranged(request, data)
        response = web.StreamResponse(status=whole.status, headers={"Content-Length": str(len(data) - start)})
        if start:
            response.headers["Content-Range"] = whole.headers["Content-Range"]
        await response.prepare(request)
        await response.write(data[start : start + step])
        if start + step < len(data):
            assert request.transport is not None
            request.transport.close()
        return response

    folder.behaves, patience = cut, Patience()
    report = await repaired(house, folder.source(), pause=patience)

    offsets = [int((asked or "bytes=0-")[6:-1]) for _, asked in folder.asked]
    assert report.repaired == 1
    assert offsets == sorted(offsets)
    assert len(set(offsets)) > 2
    assert len(patience.pauses) == len(offsets) - 1
    assert set(patience.pauses) <= {PAUSE_S * 2**tries for tries in range(TRIES)}
    assert await house.read(blob) == data


async def test_a_source_that_knows_no_ranges_sends_it_all_again(house: House, folder: Folder) -> None:
    data = some_data(LARGE)
    blob = await damaged(house, data)
    folder.has(blob, data)

    async def cut_once(request: web.Request, data: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data if len(folder.asked) > 1 else data[: LARGE // 2])
        if len(folder.asked) == 1:
            assert request.transport is not None
            request.transport.close()
        return response

    folder.behaves = cut_once
    assert (await repaired(house, folder.source())).repaired == 1
    assert len(folder.asked) == 2
    assert await house.read(blob) == data


def says(status: int = 200, body: Callable[[bytes], bytes] = lambda data: data, **headers: str) -> Behaviour:
    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body(data), headers=told)

    return answer


def chunked(body: Callable[[bytes], bytes]) -> Behaviour:
    """No length is told before the bytes come."""

    async def answer(request: web.Request, data: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(body(data))
        return response

    return answer


async def stalls(request: web.Request, data: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(data))})
    await response.prepare(request)
    await response.write(data[:10])
    await asyncio.Event().wait()
    return response


async def endless(request: web.Request, data: bytes) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    while True:
        await response.write(bytes(1 << 16))


LIES: dict[str, tuple[Behaviour, bool]] = {  # and whether there is use in asking again
    "other bytes": (says(body=lambda data: bytes(len(data))), False),
    "one bit": (says(body=lambda data: data[:-1] + bytes([data[-1] ^ 1])), False),
    "too long": (says(body=lambda data: data + b"x"), False),
    "too short": (says(body=lambda data: data[:-1]), False),
    "too long in chunks": (chunked(lambda data: data + b"x"), False),
    "without an end": (endless, False),
    "nothing": (says(body=lambda data: b""), False),
    "encoded": (says(Content_Encoding="gzip"), False),
    "a range": (says(206, Content_Range="bytes 0-499/500"), False),
    "not allowed": (says(403), False),
    "gone": (says(410), False),
    "elsewhere": (says(302, Location="/files/elsewhere"), False),
    "too short in chunks": (chunked(lambda data: data[:-1]), True),
    "busy": (says(503), True),
    "silent": (stalls, True),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_source_that_lies_changes_nothing(house: House, folder: Folder, lie: str) -> None:
    data = some_data(SMALL)
    blob = await damaged(house, data, "first bit")
    folder.has(blob, data)
    folder.files["/files/elsewhere"] = data
    folder.behaves, is_asked_again = LIES[lie]
    source = HttpSource(folder.url, None, IDLE_S, is_casd=False)

    report = await repaired(house, source)

    assert (report.repaired, report.failed) == (0, 1)
    assert source.name in report.failures[0].why
    assert await house.states(blob) == {BlobState.ERROR}
    assert not house.path(blob).exists()
    assert len(folder.asked) == (TRIES if is_asked_again else 1)
    folder.behaves = None
    assert (await repaired(house, source)).repaired == 1


async def test_another_range_than_was_asked_for_is_refused(house: House, folder: Folder) -> None:
    """It would be glued to what is there, and nobody would know before the end."""
    data = some_data(LARGE)
    blob = await damaged(house, data)
    folder.has(blob, data)

    async def shifted(request: web.Request, data: bytes) -> web.StreamResponse:
        if len(folder.asked) > 1:
            return web.Response(
                status=206, body=data[5:], headers={"Content-Range": f"bytes 5-{len(data) - 1}/{len(data)}"}
            )
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[: LARGE // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    folder.behaves = shifted
    report = await repaired(house, folder.source())

    assert (report.repaired, report.failed) == (0, 1)
    assert "another range" in report.failures[0].why


async def test_what_is_stored_again_meanwhile_is_not_touched(house: House, folder: Folder) -> None:
    data = some_data(SMALL)
    blob = await damaged(house, data)
    folder.has(blob, data)
    inode: list[int] = []

    async def store_first(request: web.Request, data: bytes) -> web.StreamResponse:
        await house.add(data)
        inode.append(house.path(blob).stat().st_ino)
        return web.Response(body=data)

    folder.behaves = store_first

    assert (await repaired(house, folder.source())).failed == 0
    assert [house.path(blob).stat().st_ino] == inode
    assert await house.read(blob) == data


async def test_what_is_collected_meanwhile_does_not_come_back(house: House, folder: Folder) -> None:
    data = some_data(SMALL)
    blob = await damaged(house, data)
    folder.has(blob, data)

    async def collect_first(request: web.Request, data: bytes) -> web.StreamResponse:
        await changes.delete(house.store, ALICE, blob.uuid)
        house.clock.move(days=1)
        async with house.locks.hold(blob.digest):
            assert await house.catalogue.forget_payload(blob.digest, house.clock())
        return web.Response(body=data)

    folder.behaves = collect_first
    await repaired(house, folder.source())

    assert not house.path(blob).exists()
    assert await house.catalogue.known_payloads([blob.digest]) == set()


# -- credentials --------------------------------------------------------------------------------------------------


async def test_the_token_is_read_from_its_file_each_time_and_never_told(
    house: House, folder: Folder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, seen = some_data(SMALL), []
    blob = await damaged(house, data)
    folder.has(blob, data)
    file = tmp_path / "token"

    async def look(request: web.Request, data: bytes) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.Response(status=403)

    folder.behaves = look
    source = HttpSource(folder.url, file, 5, is_casd=False)
    reports = [await repaired(house, source)]
    for secret in ("s3cret-one", "s3cret-two"):
        file.write_text(secret + "\n")
        reports.append(await repaired(house, source))

    assert seen == ["Bearer s3cret-one", "Bearer s3cret-two"]
    assert "cannot be used" in reports[0].failures[0].why
    assert "s3cret" not in caplog.text + repr(reports)


@pytest.mark.parametrize("text", ["", "\n", "two\nlines", "\xff"])
async def test_nobody_is_asked_with_a_token_that_is_none(
    house: House, folder: Folder, tmp_path: Path, text: str
) -> None:
    blob = await damaged(house, some_data(SMALL))
    folder.has(blob, some_data(SMALL))
    (tmp_path / "token").write_text(text, encoding="latin-1")

    report = await repaired(house, HttpSource(folder.url, tmp_path / "token", 5, is_casd=False))

    assert "not a token" in report.failures[0].why
    assert folder.asked == []


async def test_news_of_damage_is_news_once(house: House, folder: Folder) -> None:
    repair = Repair(house.store, [folder.source()], Patience())
    fresh = repair.is_news
    await damaged(house, some_data(SMALL), "first bit")
    found = repair.is_news
    await repair.run()

    assert (fresh, found, repair.is_news) == (False, True, False)
