"""Logging in, and the namespaces with their keys.

A key is a casd token of the namespace, an admin token for `system`, or a named key. What a client gets for it speaks
for that token in that namespace alone, ends after a quarter of an hour, and dies at once when the token is revoked.
"""

from datetime import timedelta

from aiohttp import web

from casd import auth
from casd.auth import Principal
from casd.errors import InvalidInput, NamedKeyNotFound, NamespaceNotFound, Unauthenticated
from casd.model import JSON, NamedKey, Namespace, Role, Token, checked_namespace
from casd.web.answers import json_response
from casd.web.dialect import by_token
from casd.web.keys import NAMED_KEYS, TRAIL, principal_of, store_of
from casd.web.query import decode, raw_segments
from casd.web.receive import checked_text, read_json
from casd.web.signed import Target, opened, signature

SYSTEM = "system"  # the admins' namespace
LIFETIME_S = 900
MARK = "sf~"  # before the namespace, a ~ and the signature; casd's own secrets have no ~
PURPOSE = "shakenfist-access"
KEY_LIMIT_BYTES = 1024


async def log_in(request: web.Request) -> web.StreamResponse:
    store = store_of(request)
    body = await read_json(request)
    namespace, key = body.get("namespace"), body.get("key")
    if not isinstance(namespace, str) or not isinstance(key, str):
        raise InvalidInput('the body is {"namespace": "...", "key": "..."}')
    token = await token_for(request, namespace, key)
    ends_at = store.now() + timedelta(seconds=LIFETIME_S)
    text = await signature(store, token.uuid, PURPOSE, target_of(namespace), ends_at)
    return json_response(
        {"access_token": f"{MARK}{namespace}~{text}", "token_type": "Bearer", "expires_in": LIFETIME_S}
    )


async def token_for(request: web.Request, namespace: str, key: str) -> Token:
    """The token that the key speaks for, which is good. Raises Unauthenticated.

    The original tells an unknown namespace by 404; here nobody finds out which there are. Clients raise the same.
    """
    store = store_of(request)
    token = await store.catalogue.token(auth.secret_hash(key))
    is_admin_of_all = token is not None and token.role is Role.ADMIN and namespace == SYSTEM
    if token is not None and namespace not in token.namespaces and not is_admin_of_all:
        token = None
    if token is None and len(key.encode()) <= KEY_LIMIT_BYTES:
        token = await request.app[NAMED_KEYS].token(namespace, key)
    if token is None:
        raise Unauthenticated(f"this is no key of namespace {namespace[:128]}")
    request.app[TRAIL].used(auth.principal_of(token, store.now()).token)
    if namespace == SYSTEM and await store.catalogue.namespace(SYSTEM) is None:
        await store.catalogue.ensure_namespace(SYSTEM, store.now())
    return token


def target_of(namespace: str) -> Target:
    return Target(namespace.encode(), ())


async def identify(request: web.Request, secret: str) -> Principal:
    """Whom an access token speaks for; a casd token is taken as it is. Raises Unauthenticated."""
    if not secret.startswith(MARK):
        return await by_token(request, secret)
    namespace, _, text = secret.removeprefix(MARK).partition("~")
    try:
        principal, _ = await opened(store_of(request), text, PURPOSE, target_of(namespace))
    except Unauthenticated:
        raise Unauthenticated("this access token is not good, or its time is over: log in again") from None
    role = principal.role
    if role is Role.ADMIN and namespace != SYSTEM:
        role = Role.WRITER  # who logs in to another namespace works as one of its own
    return Principal(principal.token, principal.name, role, (namespace,))


def check_admin(principal: Principal, what: str) -> None:
    """Raise Unauthenticated, as the original does: its clients log in again and try once more."""
    if not principal.is_admin:
        raise Unauthenticated(f"only administrators may {what}: log in to the namespace {SYSTEM}")


# -- namespaces and their keys --------------------------------------------------------------------------------------


async def namespaces(request: web.Request) -> web.StreamResponse:
    principal = principal_of(request)
    known = await store_of(request).catalogue.namespaces(None if principal.is_admin else principal.namespaces)
    return json_response([await namespace_view(request, item) for item in known if principal.is_member(item.name)])


async def namespace(request: web.Request) -> web.StreamResponse:
    return json_response(await namespace_view(request, await members_namespace(request)))


async def namespace_view(request: web.Request, namespace: Namespace) -> dict[str, object]:
    return {
        "name": namespace.name,
        "state": "created",
        "keys": [key.name for key in await store_of(request).catalogue.named_keys(namespace.name)],
        "metadata": {},
        "trust": {"full": sorted(namespace.readers)},
    }


async def members_namespace(request: web.Request) -> Namespace:
    """The namespace in the path. Raises NamespaceNotFound unless the caller is a member."""
    name = namespace_in_path(request)
    if not principal_of(request).is_member(name):
        raise NamespaceNotFound(f"there is no namespace {name}")
    return await store_of(request).namespace(name)


def namespace_in_path(request: web.Request) -> str:
    return checked_namespace(decode(raw_segments(request)[2]))


async def add_namespace(request: web.Request) -> web.StreamResponse:
    check_admin(principal_of(request), "make namespaces")
    store, body = store_of(request), await read_json(request)
    name = checked_namespace(text_in(body, "namespace"))
    made = await store.catalogue.ensure_namespace(name, store.now())
    if body.get("key_name") is not None or body.get("key") is not None:
        await keep_key(request, name, body)
    return json_response(await namespace_view(request, made))


async def key_names(request: web.Request) -> web.StreamResponse:
    namespace = await members_namespace(request)
    return json_response([key.name for key in await store_of(request).catalogue.named_keys(namespace.name)])


async def set_key(request: web.Request) -> web.StreamResponse:
    check_admin(principal_of(request), "set keys")
    key = await keep_key(request, (await members_namespace(request)).name, await read_json(request))
    return json_response(key.name)


async def update_key(request: web.Request) -> web.StreamResponse:
    check_admin(principal_of(request), "set keys")
    namespace, body = await members_namespace(request), await read_json(request)
    name = text_in(body, "key_name")
    if all(key.name != name for key in await store_of(request).catalogue.named_keys(namespace.name)):
        raise NamedKeyNotFound(f"there is no key {name[:40]!r} of {namespace.name}")
    return json_response((await keep_key(request, namespace.name, body)).name)


async def keep_key(request: web.Request, namespace: str, body: dict[str, JSON]) -> NamedKey:
    name, key = text_in(body, "key_name"), text_in(body, "key")
    if not 1 <= len(key.encode()) <= KEY_LIMIT_BYTES:
        raise InvalidInput(f"a key has 1 to {KEY_LIMIT_BYTES} bytes of UTF-8")
    role = Role.ADMIN if namespace == SYSTEM else Role.WRITER
    return await request.app[NAMED_KEYS].set(namespace, checked_text(name, "key_name", 255), key, role)


async def delete_key(request: web.Request) -> web.StreamResponse:
    check_admin(principal_of(request), "delete keys")
    namespace, store = await members_namespace(request), store_of(request)
    await store.catalogue.remove_named_key(namespace.name, decode(raw_segments(request)[4]), store.now())
    return json_response(None)


def text_in(body: dict[str, JSON], field: str) -> str:
    """Raises InvalidInput."""
    value = body.get(field)
    if not isinstance(value, str):
        raise InvalidInput(f"{field} is missing, or no text")
    return value


# -- what casd has nothing for ---------------------------------------------------------------------------------------


async def namespace_metadata(request: web.Request) -> web.StreamResponse:
    await members_namespace(request)
    return json_response({})


async def change_namespace_metadata(request: web.Request) -> web.StreamResponse:
    raise InvalidInput("casd keeps no metadata of namespaces, only of blobs and artifacts")


async def delete_namespace(request: web.Request) -> web.StreamResponse:
    raise InvalidInput("casd keeps its namespaces: delete the artifacts, and the keys that open it")


# -- trust: whose members may read here too -------------------------------------------------------------------------


async def add_trust(request: web.Request) -> web.StreamResponse:
    check_admin(principal_of(request), "add trust")
    namespace, body = await members_namespace(request), await read_json(request)
    trusted = checked_namespace(text_in(body, "external_namespace"))
    return await trusting(request, namespace, namespace.readers | {trusted})


async def remove_trust(request: web.Request) -> web.StreamResponse:
    check_admin(principal_of(request), "remove trust")
    namespace = await members_namespace(request)
    return await trusting(request, namespace, namespace.readers - {decode(raw_segments(request)[4])})


async def trusting(request: web.Request, namespace: Namespace, readers: frozenset[str]) -> web.StreamResponse:
    store = store_of(request)
    changed = await store.catalogue.update_namespace(namespace.name, {"readers": readers}, store.now())
    return json_response(await namespace_view(request, changed))
