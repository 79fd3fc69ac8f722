"""Tokens and namespaces, for admins; a member may read its own namespace."""

from aiohttp import web

from casd import auth
from casd.dialects.native.render import namespace_json, page_json, token_json
from casd.errors import InvalidInput, NamespaceNotFound
from casd.model import Page, Token, checked_namespace
from casd.uuids import new_uuid
from casd.web.answers import json_response
from casd.web.keys import principal_of, store_of
from casd.web.query import cursor, decode, page_limit, raw_segments, seconds_from, uuid_in_path
from casd.web.receive import checked_fields, checked_text, read_json

NAMESPACE_FIELDS = {
    "readers": list,
    "anonymous_read": bool,
    "share_by_uuid": bool,
    "quota_bytes": int,
    "quota_blobs": int,
    "keep_versions": int,
    "max_age_s": int,
}
NAMESPACES_LIMIT = 1000  # of one token, and readers of one namespace


async def add_token(request: web.Request) -> web.StreamResponse:
    store = store_of(request)
    principal_of(request).check_admin()
    wanted = checked_fields(
        await read_json(request), {"name": str, "role": str, "namespaces": list, "expires_in": float}
    )
    name, expires_in = wanted.get("name"), wanted.get("expires_in")
    if any(wanted.get(field) is None for field in ("name", "role", "namespaces")):
        raise InvalidInput("a token has a name, a role, and namespaces, of which the first is its home")
    token = Token(
        uuid=new_uuid(),
        name=checked_text(str(name), "name", 255),
        role=auth.checked_role(str(wanted.get("role"))),
        namespaces=tuple(namespace_list(wanted.get("namespaces"), "namespaces")),
        created_at=store.now(),
        expires_at=None if expires_in is None else seconds_from(expires_in, "expires_in", store.now()),
    )
    if not token.namespaces:
        raise InvalidInput("a token has at least one namespace: the first is its home")
    secret = auth.new_secret()
    await store.catalogue.add_token(token, auth.secret_hash(secret))
    return json_response(token_json(token) | {"token": secret}, 201, {"Location": f"/v1/tokens/{token.uuid}"})


def namespace_list(value: object, what: str) -> list[str]:
    """Distinct namespaces in their order. Raises InvalidInput."""
    if not isinstance(value, list) or len(value) > NAMESPACES_LIMIT:
        raise InvalidInput(f"{what} is a list of at most {NAMESPACES_LIMIT} namespaces")
    return list(dict.fromkeys(checked_namespace(item) if isinstance(item, str) else refuse(what) for item in value))


def refuse(what: str) -> str:
    raise InvalidInput(f"{what} is a list of namespaces, each a string")


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
    return page_json(request, page, [token_json(token) for token in page.items])


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
    return page_json(request, page, [namespace_json(item) for item in page.items])


async def namespace(request: web.Request) -> web.StreamResponse:
    name = checked_namespace(decode(raw_segments(request)[2]))
    if not principal_of(request).is_member(name):
        raise NamespaceNotFound(f"there is no namespace {name}")
    return json_response(namespace_json(await store_of(request).namespace(name)))


async def update_namespace(request: web.Request) -> web.StreamResponse:
    store = store_of(request)
    principal_of(request).check_admin()
    name = checked_namespace(decode(raw_segments(request)[2]))
    changes = checked_fields(await read_json(request), NAMESPACE_FIELDS)
    if "readers" in changes:
        readers = changes["readers"]
        assert isinstance(readers, list) or readers is None
        others = namespace_list([item for item in readers or [] if item != "*"], "readers")
        changes["readers"] = others + (["*"] if "*" in (readers or []) else [])
    if changes.get("anonymous_read", False) is None:
        changes["anonymous_read"] = False
    for field in ("quota_bytes", "quota_blobs", "keep_versions", "max_age_s"):
        value = changes.get(field)
        least = 1 if field in ("keep_versions", "max_age_s") else 0
        if isinstance(value, int) and not least <= value < 1 << 62:
            raise InvalidInput(f"{field} is at least {least}, or null for none")
    return json_response(namespace_json(await store.catalogue.update_namespace(name, changes, store.now())))
