"""How artifacts come to be: from an upload, a blob that is there, or a URL. Equal bytes add no version.

A label is an artifact that was made by labelling. Where an artifact came from, its source URL, is who it is: storing
with the URL of one that is there adds a version to that one.
"""

from dataclasses import replace
from uuid import UUID

from aiohttp import web
from yarl import URL

from casd.auth import Principal
from casd.dialects.shakenfist.access import text_in
from casd.dialects.shakenfist.artifacts import answer, artifact, namespace_in, visible
from casd.dialects.shakenfist.artifacts import drop_metadata as drop_name_metadata
from casd.dialects.shakenfist.artifacts import keep_metadata as keep_name_metadata
from casd.dialects.shakenfist.blobs import drop_metadata, keep_metadata, key_in_path, new_value
from casd.dialects.shakenfist.fetching import FETCHES, Fetch, checked_url
from casd.dialects.shakenfist.render import LABEL_URL
from casd.errors import BlobNotFound, Conflict, Forbidden, InvalidInput, NameNotFound, NotFound, UploadNotFound
from casd.model import JSON, Naming, checked_name
from casd.store import BlobStore
from casd.uploads import Target
from casd.web.keys import UPLOADS, principal_of, store_of
from casd.web.query import decode, raw_segments, uuid_in_path
from casd.web.receive import checked_text, read_json

NEW = Naming(keep_versions=3, unless_same=True)
URL_LIMIT_BYTES = 4096


async def upload(request: web.Request) -> web.StreamResponse:
    """A version of the artifact, from `upload_uuid` or `blob_uuid`."""
    store, principal, body = store_of(request), principal_of(request), await read_json(request)
    upload_uuid, blob_uuid = body.get("upload_uuid"), body.get("blob_uuid")
    if (upload_uuid is None) == (blob_uuid is None):
        raise InvalidInput("one of upload_uuid and blob_uuid is wanted, and not both")
    namespace, name = namespace_in(body, principal), name_in_path(request, 2)
    await store.addable_namespace(principal, namespace)
    naming = replace(NEW, source_url=source_url_in(body), shared=is_shared(body, principal))
    if naming.source_url is not None:
        name = await name_from(store, namespace, naming.source_url) or name
    if upload_uuid is not None:
        await complete(request, uuid_in(upload_uuid, UploadNotFound), Target(namespace, name, naming))
    else:
        await store.bind(principal, uuid_in(blob_uuid, BlobNotFound), namespace, name, naming=naming)
    return await described(request, namespace, name)


async def label(request: web.Request) -> web.StreamResponse:
    store, principal, body = store_of(request), principal_of(request), await read_json(request)
    namespace, name = principal.home, name_in_path(request, 1)
    await store.addable_namespace(principal, namespace)
    naming = replace(NEW, source_url_if_new=f"{LABEL_URL}{namespace}/{name}")
    await store.bind(principal, uuid_in(body.get("blob_uuid"), BlobNotFound), namespace, name, naming=naming)
    return await described(request, namespace, name)


async def fetch(request: web.Request) -> web.StreamResponse:
    """What is at a URL, if its host is listed, as a version of the artifact that came from there."""
    store, principal, body = store_of(request), principal_of(request), await read_json(request)
    source_url = source_url_in({"source_url": text_in(body, "url")})
    fetches = request.app[FETCHES]
    url = checked_url(source_url or "", fetches.hosts)
    namespace, shared = namespace_in(body, principal), is_shared(body, principal)
    await store.addable_namespace(principal, namespace)
    name = await name_for(store, namespace, url, source_url or "")
    await fetches.run(Fetch(principal, url, namespace, name, replace(NEW, source_url=source_url, shared=shared)))
    return await described(request, namespace, name)


async def name_for(store: BlobStore, namespace: str, url: URL, source_url: str) -> str:
    """The name that came from there, else the URL's last segment, else host and path. Raises InvalidInput, Conflict."""
    known = await store.catalogue.name_by_source_url(namespace, source_url)
    if known is not None:
        return known.name
    segments = [segment for segment in url.path.split("/") if segment]
    host = url.host or ""
    for name in (segments[-1] if segments else host, "/".join([host, *segments])):
        if await store.catalogue.name_info(namespace, checked_name(name)) is None:
            return name
    raise Conflict(f"there is an artifact {url.name} from elsewhere: fetch it yourself, and upload it by another name")


async def complete(request: web.Request, uuid: UUID, target: Target) -> None:
    """The upload is the newest version. Asked again, because its answer was lost, this changes nothing.

    Raises UploadNotFound for one that became something else.
    """
    store, principal = store_of(request), principal_of(request)
    done = await request.app[UPLOADS].complete(principal, uuid, target)
    assert target.name is not None
    newest = await store.catalogue.version(target.namespace, target.name)
    if newest is None or newest.blob is None or newest.blob.digest != done.digest:
        raise UploadNotFound(f"upload {uuid} is finished: begin another")


async def described(request: web.Request, namespace: str, name: str) -> web.StreamResponse:
    """The artifact as it is now. Raises NameNotFound if it has gone meanwhile."""
    info = await store_of(request).catalogue.name_info(namespace, name)
    if info is None:
        raise NameNotFound(f"there is no artifact {name}")
    return await answer(request, info)


# -- what a request says --------------------------------------------------------------------------------------------


def name_in_path(request: web.Request, position: int) -> str:
    return checked_name(decode(raw_segments(request)[position]))


def uuid_in(value: JSON, missing: type[NotFound]) -> UUID:
    """Raises InvalidInput for what is no text, `missing` for what is no UUID."""
    if not isinstance(value, str):
        raise InvalidInput("a UUID is wanted, as a text")
    try:
        return uuid_in_path(value)
    except NotFound:
        raise missing(f"there is nothing with the UUID {value[:40]!r}") from None


def is_shared(body: dict[str, JSON], principal: Principal) -> bool:
    """Raises InvalidInput, Forbidden."""
    shared = body.get("shared") or False
    if not isinstance(shared, bool):
        raise InvalidInput("shared is true or false")
    if shared and not principal.is_admin:
        raise Forbidden("only administrators share artifacts with everybody")
    return shared


def source_url_in(body: dict[str, JSON]) -> str | None:
    """Raises InvalidInput."""
    url = body.get("source_url")
    if url is None:
        return None
    if not isinstance(url, str):
        raise InvalidInput("source_url is a text")
    return checked_text(url, "source_url", URL_LIMIT_BYTES)


async def name_from(store: BlobStore, namespace: str, source_url: str) -> str | None:
    known = await store.catalogue.name_by_source_url(namespace, source_url)
    return known.name if known is not None and known.hidden_at is None else None


# -- the path that the command line uses for the metadata of blobs and artifacts ------------------------------------


async def set_any_metadata(request: web.Request) -> web.StreamResponse:
    value, key = new_value(await read_json(request)), key_in_path(request)
    if await is_artifact(request):
        return await keep_name_metadata(request, await visible(request), key, value)
    return await keep_metadata(request, uuid_in_path(request.match_info["reference"]), key, value)


async def delete_any_metadata(request: web.Request) -> web.StreamResponse:
    key = key_in_path(request)
    if await is_artifact(request):
        return await drop_name_metadata(request, await visible(request), key)
    return await drop_metadata(request, uuid_in_path(request.match_info["reference"]), key)


async def is_artifact(request: web.Request) -> bool:
    try:
        await artifact(store_of(request), principal_of(request), decode(raw_segments(request)[1]))
    except NameNotFound:
        return False
    return True
