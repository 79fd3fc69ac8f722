"""Tokens and namespaces: who may do what, and where. Most of it is for admins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from casd.client.errors import UnknownPath
from casd.client.paths import namespace_path, pages
from casd.client.transport import Transport
from casd.client.values import JsonObject, parsed, time_or_none
from casd.model import checked_namespace

FIRST_NAMESPACE = "default"  # every daemon has it: the home of its first admin token


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for."""

    id: UUID
    name: str
    role: str  # reader, writer or admin
    namespaces: tuple[str, ...]  # the first is its home
    json: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as the daemon tells of it: never its secret."""

    id: UUID
    name: str
    role: str
    namespaces: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None  # to the minute; None: never, or an older daemon's
    json: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made, and its secret, which nobody can ask for again."""

    token: Token
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Namespace:
    """Who owns blobs and names, and the rules for them; None is no rule."""

    name: str
    readers: tuple[str, ...]  # namespaces whose members may read here too; "*": any token
    anonymous_read: bool
    share_by_uuid: bool | None  # None: the daemon's [auth] share_by_uuid
    quota_bytes: int | None
    quota_blobs: int | None
    keep_versions: int | None
    max_age_s: int | None
    used_bytes: int | None  # of its blobs, each counted fully; None: the daemon is too old to tell, so for the others
    used_blobs: int | None
    reserved_bytes: int | None  # for transfers under way
    json: JsonObject = field(repr=False, compare=False)


class NamespaceRules(TypedDict, total=False):
    """What can be set of a namespace; None sets a rule back to none."""

    readers: Sequence[str]
    anonymous_read: bool
    share_by_uuid: bool | None
    quota_bytes: int | None
    quota_blobs: int | None
    keep_versions: int | None
    max_age_s: int | None


class Accounts:
    """Tokens and namespaces of one daemon. Made by Client, and raises as it does."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def whoami(self) -> Identity:
        """Whom this client's token speaks for."""
        return parsed("identity", _identity, await self._transport.json("GET", "/v1/whoami"))

    async def home(self) -> str:
        """The namespace that is meant where none is named: the token's first; without a token `default`."""
        if not self._transport.has_token:
            return FIRST_NAMESPACE
        try:
            return (await self.whoami()).namespaces[0]
        except UnknownPath:  # from a daemon that is older than this client
            return FIRST_NAMESPACE

    # -- tokens -----------------------------------------------------------------------------------------------

    async def create_token(
        self, name: str, role: str, namespaces: Sequence[str], *, expires_in_s: int | None = None
    ) -> NewToken:
        """A new token; namespaces that are not there are made. The first is its home."""
        body: dict[str, Any] = {
            "name": name,
            "role": role,
            "namespaces": [checked_namespace(namespace) for namespace in namespaces],
        }
        if expires_in_s is not None:
            body["expires_in"] = expires_in_s
        answer = await self._transport.json("POST", "/v1/tokens", body=body)
        return parsed("token", lambda answer: NewToken(_token(answer), answer["token"]), answer)

    def tokens(self) -> AsyncIterator[Token]:
        """Every token that was ever made, expired and revoked ones too, oldest first."""
        return pages(self._transport, "/v1/tokens", {}, lambda item: parsed("token", _token, item))

    async def rotate_token(
        self, id: UUID, *, overlap_s: int = 3600, expires_in_s: int | None = None, for_ever: bool = False
    ) -> NewToken:
        """The same token with a new secret; the old one is good for `overlap_s` yet.

        It ends when it did, unless `expires_in_s` or `for_ever` says otherwise.
        """
        body: dict[str, Any] = {"overlap_s": overlap_s}
        if expires_in_s is not None or for_ever:
            body["expires_in"] = expires_in_s
        answer = await self._transport.json("POST", f"/v1/tokens/{id}/rotate", body=body)
        return parsed("token", lambda answer: NewToken(_token(answer), answer["token"]), answer)

    async def revoke_token(self, id: UUID) -> None:
        """The token opens nothing from now on. Revoking twice is no error."""
        await self._transport.json("DELETE", f"/v1/tokens/{id}")

    # -- namespaces -------------------------------------------------------------------------------------------

    def namespaces(self) -> AsyncIterator[Namespace]:
        """Those that this client's token may read in, by name; all of them for an admin."""
        return pages(self._transport, "/v1/namespaces", {}, _parsed_namespace)

    async def namespace(self, name: str) -> Namespace:
        return _parsed_namespace(await self._transport.json("GET", namespace_path("/v1/namespaces", name)))

    async def update_namespace(self, name: str, rules: NamespaceRules) -> Namespace:
        """The namespace with these rules, and the others as they were; made if it was not there."""
        path = namespace_path("/v1/namespaces", name)
        return _parsed_namespace(await self._transport.json("PUT", path, body={**rules}))


def _identity(answer: Any) -> Identity:
    return Identity(UUID(answer["id"]), answer["name"], answer["role"], _namespaces(answer), answer)


def _token(answer: Any) -> Token:
    return Token(
        id=UUID(answer["id"]),
        name=answer["name"],
        role=answer["role"],
        namespaces=_namespaces(answer),
        created_at=datetime.fromisoformat(answer["created_at"]),
        expires_at=time_or_none(answer["expires_at"]),
        revoked_at=time_or_none(answer["revoked_at"]),
        last_used_at=time_or_none(answer.get("last_used_at")),
        json=answer,
    )


def _namespaces(answer: Any) -> tuple[str, ...]:
    namespaces = tuple(checked_namespace(namespace) for namespace in answer["namespaces"])
    if not namespaces:
        raise ValueError("a token without namespaces")
    return namespaces


def _parsed_namespace(answer: Any) -> Namespace:
    return parsed("namespace", _namespace, answer)


def _namespace(answer: Any) -> Namespace:
    return Namespace(
        name=answer["name"],
        readers=tuple(answer["readers"]),
        anonymous_read=answer["anonymous_read"],
        share_by_uuid=answer["share_by_uuid"],
        quota_bytes=answer["quota_bytes"],
        quota_blobs=answer["quota_blobs"],
        keep_versions=answer["keep_versions"],
        max_age_s=answer["max_age_s"],
        used_bytes=answer.get("used_bytes"),
        used_blobs=answer.get("used_blobs"),
        reserved_bytes=answer.get("reserved_bytes"),
        json=answer,
    )
