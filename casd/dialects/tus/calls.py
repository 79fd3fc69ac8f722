"""What tus asks for: to begin an upload, to say where it stands, to take bytes, to join uploads, to end one."""

import asyncio
from contextlib import suppress
from email.utils import format_datetime

from aiohttp import web

from casd.dialects.tus.asking import (
    CHECKSUMS,
    CHUNK_TYPE,
    Checksum,
    Concat,
    brings_chunk,
    checksum_of,
    concat_of,
    driver_of,
    header_number,
    new_hash,
    new_upload,
    told_size,
    uploads_of,
    uuid_of,
)
from casd.errors import CasdError, ChunkMismatch, OffsetConflict, QuotaExceeded, TooLarge, UploadBusy, UploadNotFound
from casd.model import Upload
from casd.uploads import NewUpload
from casd.uploads.joining import join
from casd.uploads.whole import WholeAppending, appending_whole
from casd.web.answers import path_of_version, time_text
from casd.web.dialect import Handler
from casd.web.errors import RouteError, problem
from casd.web.keys import LIMITS, principal_of
from casd.web.receive import announced_size, receive

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,expiration,termination,checksum,concatenation"
HASHED_INLINE_BYTES = 16 << 10  # 25 us at 0.7 GB/s; a thread costs 40-80


# -- what tus wants of every request and answer -------------------------------------------------------------------


def versioned(handler: Handler) -> Handler:
    """The handler, for requests that speak our version of the protocol."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Tus-Resumable") != VERSION:
            raise RouteError(
                412, "unknown-tus-version", f"Tus-Resumable: {VERSION} is wanted", {"Tus-Version": VERSION}
            )
        return await handler(request)

    return handle


def render_error(request: web.Request, status: int, error: CasdError) -> web.Response:
    if isinstance(error, QuotaExceeded):
        status = 413  # its clients try what is 5xx again, and again
    response = problem(request, status, error)
    response.headers["Tus-Resumable"] = VERSION
    if isinstance(error, OffsetConflict | UploadBusy):
        response.headers["Upload-Offset"] = str(error.offset)
    return response


def answer(status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(status=status, headers={"Tus-Resumable": VERSION, "Cache-Control": "no-store", **headers})


def location(upload: Upload) -> str:
    return f"/v1/uploads/{upload.uuid}"


def facts(upload: Upload) -> dict[str, str]:
    """Where the upload stands, and what it became."""
    headers = {"Upload-Expires": format_datetime(upload.expires_at.replace(microsecond=0), usegmt=True)}
    if not upload.joins or upload.blob is not None:  # tus: none before all is joined
        headers["Upload-Offset"] = str(upload.offset)
    if upload.blob is not None:
        assert upload.digest is not None
        headers |= {"Casd-Blob": str(upload.blob), "Casd-Sha512": upload.digest.hex}
        if upload.name is not None and upload.version is not None:
            headers["Content-Location"] = path_of_version(upload.namespace, upload.name, upload.version)
    return headers


async def outcome(request: web.Request, upload: Upload) -> dict[str, str]:
    """The same, and how long the bytes are kept in any case once they are a blob."""
    headers, store = facts(upload), uploads_of(request).store
    blob = None if upload.blob is None else await store.catalogue.blob(upload.blob, store.now())
    return headers if blob is None else headers | {"Casd-Lease-Until": time_text(blob.created_at + store.grace)}


# -- handlers -----------------------------------------------------------------------------------------------------


async def options(request: web.Request) -> web.StreamResponse:
    return answer(
        204,
        {
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(request.app[LIMITS].max_body_bytes),
            "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
            "Allow": "GET, POST, OPTIONS",
        },
    )


async def create(request: web.Request) -> web.StreamResponse:
    uploads, principal, driver, concat = (
        uploads_of(request),
        principal_of(request),
        driver_of(request),
        concat_of(request),
    )
    if concat.joins:
        new = new_upload(principal, None, request.headers.get("Upload-Metadata", ""), concat)
        upload = await join(uploads, principal, new, driver)
    else:
        upload = await begin(request, concat)
    return answer(
        201, {"Location": location(upload), "Casd-Upload": str(upload.uuid), **await outcome(request, upload)}
    )


async def begin(request: web.Request, concat: Concat) -> Upload:
    """A new upload, with the bytes that come along; or what there is of one that its client has begun before."""
    uploads, principal, driver = uploads_of(request), principal_of(request), driver_of(request)
    size, has_bytes = told_size(request), brings_chunk(request) and request.can_read_body
    if has_bytes:
        check_room(0, size, announced_size(request))
        checksum_of(request)
    new = new_upload(principal, size, request.headers.get("Upload-Metadata", ""), concat)
    upload = await uploads.create(principal, new, driver)
    if driver is not None:
        upload = await uploads.upload(principal, upload.uuid, driver)
    try:
        if has_bytes and upload.blob is None and upload.offset == 0:
            upload = await take(request, upload, 0)
        return await completed(request, upload)
    except (CasdError, ConnectionError) as error:
        with suppress(UploadNotFound):
            if isinstance(error, ChunkMismatch | TooLarge) or not await is_found_again(request, new, upload):
                await uploads.terminate(principal, upload.uuid, driver)
        raise


async def is_found_again(request: web.Request, new: NewUpload, upload: Upload) -> bool:
    """Whether a client that was told no URL can go on: by its content, see `listing.py`, or by creating it again.

    Without a session each creation makes another upload: of those that stayed empty nobody goes on with any.
    """
    if new.digest is None and new.xxh3_128 is None:
        return False
    uploads = uploads_of(request)
    if driver_of(request) is not None or uploads.is_receiving(upload.uuid):
        return True
    return (await uploads.upload(principal_of(request), upload.uuid)).offset > 0


async def head(request: web.Request) -> web.StreamResponse:
    upload = await uploads_of(request).upload(principal_of(request), uuid_of(request), driver_of(request))
    # A crash between the last byte and the blob: a client that is told all bytes are here would never come back.
    upload = await completed(request, upload)
    headers = facts(upload)
    headers |= {"Upload-Defer-Length": "1"} if upload.size is None else {"Upload-Length": str(upload.size)}
    if upload.metadata:
        headers["Upload-Metadata"] = upload.metadata
    if upload.is_partial:
        headers["Upload-Concat"] = "partial"
    if upload.joins:
        headers["Upload-Concat"] = "final;" + " ".join(f"/v1/uploads/{uuid}" for uuid in upload.joins)
    return answer(200, headers)


async def patch(request: web.Request) -> web.StreamResponse:
    uploads, principal, uuid, driver = uploads_of(request), principal_of(request), uuid_of(request), driver_of(request)
    if not brings_chunk(request):
        raise RouteError(415, "unsupported-media-type", f"the body of a PATCH is {CHUNK_TYPE}")
    offset, size = header_number(request, "Upload-Offset"), announced_size(request)
    checksum_of(request)
    upload = await uploads.upload(principal, uuid, driver)
    if upload.joins:
        raise RouteError(403, "forbidden", "this upload joins others: it takes no bytes of its own")
    if "Upload-Length" in request.headers:
        await uploads.announce(principal, uuid, told_size(request) or 0, driver)
    is_repeated = upload.blob is not None and offset == upload.offset and size == 0  # its answer was lost
    if not is_repeated:
        upload = await take(request, upload, offset)
    return answer(204, await outcome(request, await completed(request, upload)))


async def take(request: web.Request, upload: Upload, offset: int) -> Upload:
    """Append the body at `offset`; with a checksum it counts wholly or not at all."""
    uploads, principal, driver, size = (
        uploads_of(request),
        principal_of(request),
        driver_of(request),
        announced_size(request),
    )
    limit, checksum = request.app[LIMITS].max_body_bytes, checksum_of(request)
    if checksum is None:
        async with uploads.appending(principal, upload.uuid, offset, driver, limit) as appending:
            check_room(offset, appending.upload.size, size)
            await appending.expect(size)
            await receive(request, appending)
        return appending.upload
    async with appending_whole(uploads, principal, upload.uuid, limit, offset=offset, driver=driver) as whole:
        check_room(offset, whole.upload.size, size)
        await whole.expect(size)
        checked = Checked(whole, checksum)
        await receive(request, checked)
        checked.check()
    return whole.upload


class Checked:
    """One chunk on its way into an upload, and the checksum of what has arrived of it."""

    def __init__(self, into: WholeAppending, announced: Checksum) -> None:
        self._into = into
        self._announced = announced
        self._hash = new_hash(announced.algorithm)

    async def append(self, data: bytes) -> None:
        """Raises as `WholeAppending.append`."""
        if len(data) > HASHED_INLINE_BYTES:
            await asyncio.gather(self._into.append(data), asyncio.to_thread(self._hash.update, data))
        else:
            self._hash.update(data)
            await self._into.append(data)

    def check(self) -> None:
        """Raises ChunkMismatch."""
        if self._hash.digest() != self._announced.value:
            raise ChunkMismatch(
                f"the {self._announced.algorithm} of the chunk is not what Upload-Checksum says: send it again"
            )


def check_room(offset: int, size: int | None, more: int | None) -> None:
    """Raises TooLarge, before anything of the body is read."""
    if more is not None and size is not None and offset + more > size:
        raise TooLarge("what is announced, with what is here already,", size)


async def completed(request: web.Request, upload: Upload) -> Upload:
    """The upload, which has become what it was for if all bytes are here."""
    if upload.offset != upload.size or upload.is_partial or upload.joins:
        return upload
    return await uploads_of(request).complete(principal_of(request), upload.uuid, driver=driver_of(request))


async def terminate(request: web.Request) -> web.StreamResponse:
    await uploads_of(request).terminate(principal_of(request), uuid_of(request), driver_of(request))
    return answer(204, {})


async def overridden(request: web.Request) -> web.StreamResponse:
    """A POST that says by X-HTTP-Method-Override which method it would be, if something in between let it."""
    method = request.headers.get("X-HTTP-Method-Override", "").upper()
    meant = {"PATCH": patch, "DELETE": terminate, "HEAD": head}.get(method)
    if meant is None:
        raise RouteError(405, "method-not-allowed", "POST is not allowed here", {"Allow": "DELETE, HEAD, PATCH"})
    return await meant(request)
