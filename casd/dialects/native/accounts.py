"""Tokens and namespaces, for admins; a member may read its own namespace."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from aiohttp import web

from casd import auth
from casd.dialects.native.bodies import NamespaceChanges, RotationRequest, TokenRequest
from casd.dialects.native.render import namespace_json, page_json, token_json
from casd.errors import NamespaceNotFound
from casd.model import Namespace, Page, Token, checked_namespace
from casd.uuids import new_uuid
from casd.web.answers import json_response, time_text
from casd.web.bodies import checked
from casd.web.keys import ADMIN_TOKEN, TRAIL, principal_of, store_of
from casd.web.query import cursor, decode, page_limit, raw_segments, seconds_from, uuid_in_path
from casd.web.receive import read_json


async def add_token(request: web.Request) -> web.StreamResponse:
    store = store_of(request)
    principal_of(request).check_admin()
    wanted = checked(TokenRequest, await read_json(request))
    token = Token(
        uuid=new_uuid(),
        name=wanted.name,
        role=auth.checked_role(wanted.role),
        namespaces=tuple(wanted.namespaces),
        created_at=store.now(),
        expires_at=None if wanted.expires_in is None else seconds_from(wanted.expires_in, "expires_in", store.now()),
    )
    secret = auth.new_secret()
    await store.catalogue.add_token(token, auth.secret_hash(secret))
    return json_response(token_json(token) | {"token": secret}, 201, {"Location": f"/v1/tokens/{token.uuid}"})


async def whoami(request: web.Request) -> web.StreamResponse:
    principal = principal_of(request)
    return json_response(
        {
            "id": str(principal.token),
            "name": principal.name,
            "role": principal.role.value,
            "namespaces": list(principal.namespaces),
        }
    )


async def tokens(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    page = await store_of(request).catalogue.tokens(page_limit(request), cursor(request))
    trail = request.app[TRAIL]
    lately = [replace(token, last_used_at=trail.last_used(token.uuid) or token.last_used_at) for token in page.items]
    return page_json(request, page, [token_json(token) for token in lately])


async def rotate_token(request: web.Request) -> web.StreamResponse:
    """The same token with a new secret, shown this once; the old one is good for a while yet."""
    principal_of(request).check_admin()
    store, uuid = store_of(request), uuid_in_path(request.match_info["uuid"])
    wanted = checked(RotationRequest, await read_json(request))
    now = store.now()
    old_until = now + timedelta(seconds=wanted.overlap_s)
    changes: dict[str, object] = {}
    if "expires_in" in wanted.told:
        changes["expires_at"] = (
            None if wanted.expires_in is None else seconds_from(wanted.expires_in, "expires_in", now)
        )
    secret = auth.new_secret()
    token = await store.catalogue.rotate_token(uuid, auth.secret_hash(secret), now, old_until, changes)
    await request.app[ADMIN_TOKEN].rotated(token.uuid, secret)
    facts = {"token": secret, "old_secret_until": time_text(old_until)}
    return json_response(token_json(token) | facts)


async def revoke_token(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    store = store_of(request)
    await store.catalogue.revoke_token(uuid_in_path(request.match_info["uuid"]), store.now())
    return web.Response(status=204)


async def namespaces(request: web.Request) -> web.StreamResponse:
    """Of whose members the caller is one: what is merely readable keeps its rules to itself."""
    principal, limit, after = principal_of(request), page_limit(request), cursor(request)
    known = await store_of(request).catalogue.namespaces(None if principal.is_admin else principal.namespaces)
    own = [item for item in known if principal.is_member(item.name)]  # in the order of names
    left = [item for item in own if item.name.encode() > (after or b"")]
    page = Page(tuple(left[:limit]), left[limit - 1].name.encode() if len(left) > limit else None)
    return page_json(request, page, [await told(request, item) for item in page.items])


async def namespace(request: web.Request) -> web.StreamResponse:
    name = checked_namespace(decode(raw_segments(request)[2]))
    if not principal_of(request).is_member(name):
        raise NamespaceNotFound(f"there is no namespace {name}")
    return json_response(await told(request, await store_of(request).namespace(name)))


async def update_namespace(request: web.Request) -> web.StreamResponse:
    store = store_of(request)
    principal_of(request).check_admin()
    name = checked_namespace(decode(raw_segments(request)[2]))
    changes = checked(NamespaceChanges, await read_json(request)).told
    if changes.get("readers", False) is None:
        changes["readers"] = []
    if changes.get("anonymous_read", False) is None:
        changes["anonymous_read"] = False
    return json_response(await told(request, await store.catalogue.update_namespace(name, changes, store.now())))


async def told(request: web.Request, namespace: Namespace) -> dict[str, Any]:
    """Its rules, and what there is of it now."""
    store = store_of(request)
    use = await store.catalogue.use(namespace.name, store.now())
    return namespace_json(namespace, use, store.catalogue.claims.reserved(namespace.name))
