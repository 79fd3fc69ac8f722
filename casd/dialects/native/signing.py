"""Signed URLs of payloads, and the keys that sign them."""

import secrets

from aiohttp import web

from casd.auth import Principal
from casd.dialects.native.bodies import SignRequest
from casd.dialects.native.names import version_asked_for
from casd.errors import InvalidInput, SigningKeyNotFound
from casd.model import SigningKey, checked_name, checked_namespace
from casd.store import BlobStore
from casd.web.answers import json_response, time_text
from casd.web.bodies import checked
from casd.web.keys import ORIGINS, TRAIL, principal_of, store_of
from casd.web.links import link_end
from casd.web.query import check_parameters, decode, digest_in_path, is_flagged, uuid_in_path
from casd.web.receive import read_json
from casd.web.signed import READ, Target, sign

SECRET_BYTES = 32


async def add(request: web.Request) -> web.StreamResponse:
    store, principal = store_of(request), principal_of(request)
    wanted = checked(SignRequest, await read_json(request))
    target = checked_target(wanted.path)
    ends_at = await link_end(request, wanted.expires_in, "expires_in")
    await check_readable(store, principal, target)
    base = request.app[ORIGINS].base_url(request)
    url = base + await sign(store, principal.token, READ, target, ends_at)
    request.app[TRAIL].signed(decode(target.url.partition("?")[0]))
    return json_response({"url": url, "expires_at": time_text(ends_at)})


def checked_target(path: str) -> Target:
    """Raises InvalidInput."""
    if not path.startswith("/") or not path.isascii() or not path.isprintable():
        raise InvalidInput("path is one of this daemon's, percent-encoded, such as /v1/blobs/<uuid>/data")
    if "#" in path or " " in path:
        raise InvalidInput("path has no fragment and no space")
    decode(path)  # well-formed, and so is each of its pieces
    return Target.of(path)


async def check_readable(store: BlobStore, principal: Principal, target: Target) -> None:
    """Raises InvalidInput for what is not a payload's path, NotFound for what the caller may not read."""
    path = decode(target.url.partition("?")[0])
    match path.split("/"):
        case ["", "v1", "blobs", uuid, "data"]:
            await store.readable_blob(principal, uuid_in_path(uuid))
        case ["", "v1", "payloads", "sha512", hex]:
            await store.readable_payload(principal, digest_in_path(hex))
        case ["", "v1", "names", namespace, *segments]:
            query = {name.decode(): value.decode() for name, value in target.query}
            if len(query) < len(target.query):  # which of them counts would be the order's to say, which is not signed
                raise InvalidInput("a parameter of the query comes once")
            name = checked_name("/".join(segments))
            await version_asked_for(store, principal, checked_namespace(namespace), name, query)
        case _:
            raise InvalidInput(
                "what can be signed: /v1/blobs/<uuid>/data, /v1/payloads/sha512/<hex>, /v1/names/<namespace>/<name>"
            )


# -- keys ---------------------------------------------------------------------------------------------------------


async def keys(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    known = await store_of(request).catalogue.signing_keys()
    return json_response({"items": [key_json(key) for key in known], "next": None})


async def add_key(request: web.Request) -> web.StreamResponse:
    """A new key signs from now on; with `?revoke=1` whatever was signed before is dead."""
    principal_of(request).check_admin()
    store = store_of(request)
    key = await store.catalogue.add_signing_key(
        secrets.token_bytes(SECRET_BYTES), store.now(), revoke_older=is_flagged(request, "revoke")
    )
    return json_response(key_json(key), 201)


async def retire_key(request: web.Request) -> web.StreamResponse:
    """What the key signed is dead; not for the newest, which signs."""
    principal_of(request).check_admin()
    check_parameters(request)
    text = request.match_info["id"]
    if not text.isascii() or not text.isdecimal() or len(text) > 18:  # SQLite's integers end there
        raise SigningKeyNotFound("there is no such signing key")
    await store_of(request).catalogue.retire_signing_key(int(text))
    return web.Response(status=204)


def key_json(key: SigningKey) -> dict[str, object]:
    return {"id": key.id, "created_at": time_text(key.created_at)}
