"""A data frame as CSV, Excel or Arrow: for clients up to 0.9, which do not convert themselves."""

import asyncio
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from casd.dialects.datapane import frames, tables
from casd.dialects.datapane.blobs import send_as_it_is, version_in_path
from casd.dialects.datapane.render import EXPORT
from casd.errors import CasdError, InvalidInput, Unauthenticated
from casd.model import Version
from casd.web.acting import tell_read
from casd.web.errors import RouteError
from casd.web.keys import PRINCIPAL, REQUEST_ID, SIGNED_UNTIL, Ending, store_of
from casd.web.send import SAFETY, cut, disposition
from casd.web.signed import PARAMETER, Target, opened
from casd.web.validity import check_still_good

log = logging.getLogger(__name__)

FORMATS = {
    "CSV": ("csv", ".csv", "text/csv; charset=utf-8"),
    "EXCEL": ("excel", ".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
}
AT_ONCE = 2  # each takes a processor and up to a GiB for as long as it lasts
PIECE_BYTES = 256 << 10
PATIENCE_S = 600.0  # between two pieces: a sheet's first one comes when all of it is done
MESSAGE_BYTES = 2000
PROGRAM = Path(tables.__file__)
EXPORTS = web.AppKey("datapane_exports", asyncio.Semaphore)


def prepare(app: web.Application) -> None:
    app[EXPORTS] = asyncio.Semaphore(AT_ONCE)


async def export(request: web.Request) -> web.StreamResponse:
    await by_signature(request)
    version = await version_in_path(request)
    wanted = request.query.get("export_format", "").upper()
    if version.blob is None or version.blob.content_type != frames.CONTENT_TYPE:
        raise InvalidInput("this blob is no data frame: download it as it is")
    if wanted == "ARROW":
        return await send_as_it_is(request, version, filename(version, ".arrow"))
    if wanted not in FORMATS:
        raise InvalidInput(f"export_format is ARROW, {' or '.join(FORMATS)}")
    async with request.app[EXPORTS]:
        return await send_converted(request, version, *FORMATS[wanted])


async def by_signature(request: web.Request) -> None:
    """Find out who asks, where no token says so. The signature is good for each format. Raises Unauthenticated."""
    if request[PRINCIPAL] is not None:
        return
    if PARAMETER not in request.query:
        raise Unauthenticated("this needs a token, or a link that is signed")
    target = Target.of(request.raw_path)
    signed = replace(target, query=tuple(pair for pair in target.query if pair[0] != b"export_format"))
    request[PRINCIPAL], request[SIGNED_UNTIL] = await opened(
        store_of(request), request.query[PARAMETER], EXPORT, signed
    )


def filename(version: Version, suffix: str) -> str:
    stem = version.name.rpartition("/")[2]
    return stem if stem.lower().endswith(suffix) else stem + suffix


async def send_converted(
    request: web.Request, version: Version, kind: str, suffix: str, content_type: str
) -> web.StreamResponse:
    """What the program writes, as it comes; its status is known before the first byte leaves."""
    headers = {
        "Content-Type": content_type,
        "Content-Disposition": disposition({}, content_type, filename(version, suffix)),
        "Cache-Control": "no-store",
        **SAFETY,
    }
    if request.method == "HEAD":
        return web.Response(headers=headers)
    response = web.StreamResponse(headers=headers)
    response.enable_chunked_encoding()
    async with converting(request, version, kind) as process:
        assert process.stdout is not None
        piece = await next_piece(process.stdout)
        if not piece:
            raise await refusal(process)
        assert version.blob is not None
        tell_read(request, version.blob)
        await response.prepare(request)
        try:
            while piece:
                await check_still_good(request)
                await response.write(piece)
                piece = await next_piece(process.stdout)
            if await process.wait():
                raise await refusal(process)
            await response.write_eof()
        except (ConnectionError, CasdError) as error:  # the client is gone, or the rest is not to be had
            log.warning("export cut short request=%s error=%s", request[REQUEST_ID], error)
            cut(request, Ending.HUNG_UP if isinstance(error, ConnectionError) else Ending.FAILED)
        except BaseException:
            cut(request, Ending.FAILED)
            raise
    return response


@asynccontextmanager
async def converting(request: web.Request, version: Version, kind: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program at work on the payload; afterwards it has ended, and its temporary files are gone."""
    assert version.blob is not None
    payload = await store_of(request).open_payload(version.blob)
    scratch = await asyncio.to_thread(tempfile.mkdtemp, prefix="casd-export-")
    process: asyncio.subprocess.Process | None = None
    try:
        if payload.file is None:
            raise RouteError(501, "export-not-possible", "payloads that are not files cannot be exported")
        await payload.check(0, payload.size)  # all of it: the program reads the file by itself
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(PROGRAM), kind, f"/dev/fd/{payload.file}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=PIECE_BYTES,
            pass_fds=(payload.file,),
            env={"TMPDIR": scratch, "ARROW_DEFAULT_MEMORY_POOL": "system"},
        )
        yield process
    finally:
        payload.close()
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


async def next_piece(stream: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await stream.read(PIECE_BYTES)
    except TimeoutError:
        raise RouteError(422, "export-refused", f"the conversion took longer than {PATIENCE_S:g} s") from None


async def refusal(process: asyncio.subprocess.Process) -> RouteError:
    """Why the program gave up."""
    assert process.stderr is not None
    said = (await process.stderr.read(MESSAGE_BYTES)).decode("utf-8", "replace").strip()
    match await process.wait():
        case tables.NOT_INSTALLED:
            hint = f"{said}: on the daemon's machine, pip install 'casd[dataframes]'"
            return RouteError(501, "export-not-installed", f"this daemon cannot convert data frames; {hint}")
        case tables.UNREADABLE | tables.TOO_LARGE:
            return RouteError(422, "export-refused", f"this data frame cannot be exported: {said}")
        case code if code == -signal.SIGXCPU:
            said = f"it takes more than {tables.CPU_S} s of a processor"
            return RouteError(422, "export-refused", f"this data frame cannot be exported: {said}")
        case code:
            return RouteError(
                422, "export-refused", f"this data frame cannot be exported: the program ended with {code}"
            )
