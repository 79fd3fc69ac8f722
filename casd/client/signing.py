"""Signed URLs: reading one payload without a token, for a while; and the keys that sign them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from casd.client.paths import name_path, pages, which
from casd.client.transport import Transport, path_with
from casd.client.values import JsonObject, parsed
from casd.model import Digest


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """An absolute URL that whoever has it may GET and HEAD until then."""

    url: str = field(repr=False)
    expires_at: datetime
    json: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class SigningKey:
    id: int
    created_at: datetime
    json: JsonObject = field(repr=False, compare=False)


class Signing:
    """Signed URLs of one daemon. Made by Client, and raises as it does.

    A URL lives as long as was asked, never longer than the daemon's `[auth] signed_url_max_s` and the token.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def blob(self, uuid: UUID, *, expires_in_s: int) -> SignedUrl:
        return await self._sign(f"/v1/blobs/{uuid}/data", expires_in_s)

    async def payload(self, digest: Digest, *, expires_in_s: int) -> SignedUrl:
        return await self._sign(f"/v1/payloads/sha512/{digest}", expires_in_s)

    async def name(
        self,
        namespace: str,
        name: str,
        *,
        version: int | None = None,
        as_of: datetime | str | None = None,
        expires_in_s: int,
    ) -> SignedUrl:
        """Of whatever the name's latest version is when it is used, unless a version or a time is named."""
        path = name_path("/v1/names", namespace, name)
        return await self._sign(path_with(path, which(version, as_of)), expires_in_s)

    async def _sign(self, path: str, expires_in_s: int) -> SignedUrl:
        body = {"path": path, "expires_in": expires_in_s}
        return parsed("signed URL", _signed_url, await self._transport.json("POST", "/v1/signed-urls", body=body))

    # -- the keys, for admins ---------------------------------------------------------------------------------

    def keys(self) -> AsyncIterator[SigningKey]:
        """The keys whose URLs are good; new ones are signed with the newest."""
        return pages(self._transport, "/v1/signing-keys", {}, _parsed_key)

    async def new_key(self, *, revoke_older: bool = False) -> SigningKey:
        """A key that signs from now on. With `revoke_older` every URL that was signed before is dead at once."""
        query = {"revoke": 1 if revoke_older else None}
        return _parsed_key(await self._transport.json("POST", "/v1/signing-keys", query))

    async def retire_key(self, id: int) -> None:
        """Every URL that this key signed is dead at once. Not for the newest, which signs."""
        await self._transport.json("DELETE", f"/v1/signing-keys/{id}")


def _signed_url(answer: Any) -> SignedUrl:
    return SignedUrl(str(answer["url"]), datetime.fromisoformat(answer["expires_at"]), answer)


def _parsed_key(answer: Any) -> SigningKey:
    return parsed("signing key", _key, answer)


def _key(answer: Any) -> SigningKey:
    return SigningKey(int(answer["id"]), datetime.fromisoformat(answer["created_at"]), answer)
