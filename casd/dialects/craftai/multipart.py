"""Objects in parts: start, a link for each part, end. SDKs from 0.50 on do it in one way, those up to 0.46 in another.

The newer tell how large each part is; the older one's are as large as its first, which it sends first.
"""

from collections.abc import Mapping

from aiohttp import web

from casd.dialects.craftai.asking import (
    PATH,
    environment_of,
    fields_of,
    path_in_query,
    path_of,
    sdk_version,
    upload_id,
    whole_number,
)
from casd.dialects.craftai.links import KEEP_VERSIONS, PARTS, PUT, check_size, filename_of, link, upload_of
from casd.errors import Conflict, InvalidInput, PartMismatch
from casd.model import JSON
from casd.store import Description
from casd.uploads import NewUpload
from casd.uploads.parts import complete
from casd.web.answers import json_response
from casd.web.keys import LIMITS, UPLOADS, principal_of, store_of
from casd.web.ranges import query_number
from casd.web.receive import read_json

# SDKs from here on lose the last byte of an object of exactly so many parts and one byte. They tell the whole size with
# the last part, which in that case they never send: whoever does not tell it has lost a byte.
LOSES_A_BYTE_SINCE = (0, 54, 1)  # read in the packages 0.50.0 to 0.57.0, seen with 0.55.2


async def start(request: web.Request) -> web.StreamResponse:
    name = path_of((await fields_of(request)).get(PATH))
    upload = await request.app[UPLOADS].create(
        principal_of(request),
        NewUpload(
            environment_of(request),
            name=name,
            about=Description(filename=filename_of(name)),
            is_in_parts=True,
            keep_versions=KEEP_VERSIONS,
        ),
    )
    return json_response({"multipart_upload_id": str(upload.uuid)})


async def part(request: web.Request) -> web.StreamResponse:
    fields = await read_json(request)
    environment, name = environment_of(request), path_of(fields.get(PATH))
    upload = await upload_of(request, configured(fields), environment, name)
    limit = request.app[LIMITS].max_body_bytes
    size = whole_number(fields.get("chunk_size"), "chunk_size", limit)
    number = whole_number(fields.get("part_number"), "part_number", PARTS)
    start, total = (number - 1) * size, fields.get("size")
    if total is not None:  # this is the last part
        size = whole_number(whole_number(total, "size", limit) - start, "the size of the last part", size)
    check_size(request, start + size)
    query = {"upload": str(upload.uuid), "part": str(number), "start": str(start), "size": str(size)}
    url = await link(request, PUT, environment, name, query if total is None else query | {"total": str(start + size)})
    return json_response({"signed_url": url, "headers": {}})


async def end(request: web.Request) -> web.StreamResponse:
    fields = await read_json(request)
    return await finish(request, configured(fields), fields)


async def older_part(request: web.Request) -> web.StreamResponse:
    environment, name = environment_of(request), path_in_query(request)
    upload = await upload_of(request, str(upload_id(request.match_info["upload"])), environment, name)
    number = whole_number(query_number(request.query, "part_number", 0), "part_number", PARTS)
    query = {"upload": str(upload.uuid), "part": str(number), "start": "0"}
    if number > 1:
        first = next(iter(await store_of(request).catalogue.upload_parts(upload.uuid)), None)
        if first is None or first.number != 1:
            raise Conflict("part 1 has not arrived: its size says where the others go, so it is sent first")
        most = first.place.size
        query |= {"start": str((number - 1) * most), "most": str(most)}
    url = await link(request, PUT, environment, name, query)
    return json_response({"signed_url": url})


async def older_end(request: web.Request) -> web.StreamResponse:
    return await finish(request, str(upload_id(request.match_info["upload"])), await read_json(request))


async def finish(request: web.Request, id: str, fields: Mapping[str, JSON]) -> web.StreamResponse:
    name = path_of(fields.get(PATH))
    upload = await upload_of(request, id, environment_of(request), name)
    etags, version = etags_of(fields.get("parts")), sdk_version(request)
    if etags and upload.size is None and version is not None and version >= LOSES_A_BYTE_SINCE:
        raise PartMismatch(
            "this SDK has not sent the last byte, which it forgets of an object of whole parts and one byte: set "
            "CRAFT_AI__MULTIPART_PART_SIZE__B to another size and upload it again"
        )
    await complete(request.app[UPLOADS], principal_of(request), upload.uuid, etags)
    return json_response({"path": name})


def configured(fields: Mapping[str, JSON]) -> str:
    """The upload's id in what its start answered. Raises InvalidInput, UploadNotFound."""
    told = fields.get("multipart_upload_configuration")
    return str(upload_id(told.get("multipart_upload_id") if isinstance(told, dict) else None))


def etags_of(parts: JSON) -> dict[int, str]:
    """ETags by number, without their quotes: newer SDKs send them as they came. Raises InvalidInput, PartMismatch."""
    if not isinstance(parts, list) or len(parts) > PARTS:
        raise InvalidInput(f"parts is a list of at most {PARTS}")
    found: dict[int, str] = {}
    for item in parts:
        number = whole_number(item.get("number") if isinstance(item, dict) else None, "the number of a part", PARTS)
        etag = item.get("metadata") if isinstance(item, dict) else None
        if number in found:
            raise InvalidInput(f"part {number} is listed twice")
        if not isinstance(etag, str):
            raise PartMismatch(f"part {number} has no metadata: its ETag, which it gets when it has arrived")
        found[number] = etag.strip('"')
    return found
