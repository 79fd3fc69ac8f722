"""Listings: every page is one index range, resumed by key, so a page costs the same wherever it starts.

They run on aiosqlite's connection; each page is fetched before anything is sent, so that no cursor stays open while a
client is waited for (an open read transaction keeps the WAL from being folded back).
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import aiosqlite

from casd.catalogue.sqlite import folders
from casd.catalogue.sqlite.accounts import SELECT_NAMESPACES, SELECT_TOKENS
from casd.catalogue.sqlite.rows import (
    BLOB_COLUMNS,
    BLOB_FROM,
    IS_LIVE,
    NAME_FROM,
    NAME_INFO_COLUMNS,
    NEWEST,
    VERSION_COLUMNS,
    VERSION_FROM,
    Row,
    blob_of,
    compact_json,
    in_list,
    match_hash,
    metadata_of,
    name_info_of,
    number_after,
    time_of,
    time_or_none,
    token_of,
    version_of,
)
from casd.catalogue.sqlite.schema import read_only
from casd.catalogue.sqlite.writer import storage_error
from casd.catalogue.values import BlobFilter, Holders, HoldingVersion, Unreferenced
from casd.errors import InvalidInput
from casd.model import Blob, BlobView, Digest, NameInfo, Namespace, Page, Token, Version, VersionRef

T = TypeVar("T")

NAMES_SHOWN = 100  # at most so many names are shown with a blob (DESIGN.md 8)
VERSION_COLUMN_COUNT = 6  # before those of its blob

PAGE_BYTES = 8 << 20  # of metadata; a blob may have 1 MiB, so a page of 1000 could otherwise be a GiB in memory
FETCH_ROWS = 32  # in one hop to the thread

# A blob's metadata and the versions that hold it, in the statement that finds it, so that they belong together.
BELONGINGS = f"""
 (SELECT json_group_object(key, json(value)) FROM blob_metadata WHERE blob_id = b.id),
 (SELECT json_group_array(json_array(name, number)) FROM (
    SELECT CAST(m.name AS TEXT) AS name, v.number FROM version v JOIN name m ON m.id = v.name_id
    WHERE v.blob_id = b.id ORDER BY v.id LIMIT {NAMES_SHOWN}))"""
VIEW_COLUMNS = f"{BLOB_COLUMNS}, {BELONGINGS}"
VERSION_VIEW_COLUMNS = f"{VERSION_COLUMNS}, {BELONGINGS}"
CHECKSUM_COLUMNS = {"sha512": "digest", "sha256": "sha256", "xxh3-128": "xxh3_128"}


class Listings:
    """Pages of many rows, on a read-only connection in a thread."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self._db = db
        # One statement at a time: one that begins while another's rows are being fetched reads what that one reads,
        # which may be older than what its caller was told is stored (SQLite: a connection has one read transaction).
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> "Listings":
        db = await aiosqlite.connect(read_only(path), uri=True, isolation_level=None)
        await db.execute_fetchall("PRAGMA wal_autocheckpoint = 0")
        return cls(db)

    async def rows(self, sql: str, values: dict[str, Any]) -> list[Row]:
        try:
            async with self._turn:
                return [tuple(row) for row in await self._db.execute_fetchall(sql, values)]
        except sqlite3.Error as error:
            raise storage_error(error) from error

    async def _page(
        self, sql: str, values: dict[str, Any], limit: int, page_bytes: int = PAGE_BYTES
    ) -> tuple[list[Row], bool]:
        """At most `limit` rows, fewer once they hold `page_bytes` of metadata; and whether there are more.

        The last two columns are BELONGINGS.
        """
        found: list[Row] = []
        size = 0
        try:
            async with self._turn, self._db.execute(sql, values | {"limit": limit + 1}) as cursor:
                while rows := await cursor.fetchmany(FETCH_ROWS):
                    for row in rows:
                        if len(found) == limit or size > page_bytes:
                            return found, True
                        found.append(tuple(row))
                        size += metadata_size(found[-1])
        except sqlite3.Error as error:
            raise storage_error(error) from error
        return found, False

    async def first(self, sql: str, values: dict[str, Any]) -> Row | None:
        rows = await self.rows(sql, values)
        return rows[0] if rows else None

    async def close(self) -> None:
        await self._db.close()

    # -- blobs --------------------------------------------------------------------------------------------

    async def view(self, uuid: UUID, now: int) -> BlobView | None:
        sql = f"SELECT {VIEW_COLUMNS} FROM {BLOB_FROM} WHERE b.uuid = :uuid AND {IS_LIVE}"
        row = await self.first(sql, {"uuid": uuid.bytes, "now": now})
        return None if row is None else view_of(row, now)

    async def blobs(
        self, namespaces: Sequence[str] | None, only: BlobFilter, limit: int, after: bytes | None, now: int
    ) -> Page[BlobView]:
        """Namespace by namespace, in the order of their names, each by UUID."""
        start_namespace, start_uuid = split_cursor(after)
        if namespaces is None:
            known = await self.rows("SELECT name FROM namespace ORDER BY name", {})
            namespaces = [name for (name,) in known]
        if after is not None and start_namespace not in namespaces:
            raise InvalidInput("this cursor does not belong to this listing")
        found: list[Row] = []
        has_more = False
        for namespace in sorted(set(namespaces)):
            if namespace < start_namespace:
                continue
            sql, values = blob_page(only)
            values |= {
                "namespace": namespace,
                "after": start_uuid if namespace == start_namespace else b"",
                "now": now,
            }
            left = PAGE_BYTES - sum(metadata_size(row) for row in found)
            rows, has_more = await self._page(sql, values, limit - len(found), left)
            found += rows
            if has_more:
                break
        views = [view_of(row, now) for row in found]
        last = views[-1].blob if has_more and views else None
        return Page(tuple(views), last.uuid.bytes + last.namespace.encode() if last else None)

    async def own_blobs(self, namespace: str, limit: int, offset: int, now: int) -> list[Blob]:
        # What is skipped is skipped in an index that covers it; only what is returned is looked up.
        sql = f"""SELECT {BLOB_COLUMNS} FROM {BLOB_FROM} WHERE b.uuid IN (
          SELECT o.uuid FROM blob o WHERE o.namespace_id = (SELECT id FROM namespace WHERE name = :namespace)
            AND o.holds_itself AND (o.expires_at IS NULL OR o.expires_at > :now)
          ORDER BY o.uuid LIMIT :limit OFFSET :offset) ORDER BY b.uuid"""
        values = {"namespace": namespace, "now": now, "limit": limit, "offset": offset}
        return [blob_of(row) for row in await self.rows(sql, values)]

    async def by_checksum(
        self,
        algorithm: str,
        value: bytes,
        namespaces: Collection[str] | None,
        limit: int,
        after: bytes | None,
        now: int,
    ) -> Page[BlobView]:
        if after is not None and len(after) != 16:
            raise InvalidInput("this cursor does not belong to this listing")
        chosen, values = namespace_clause(namespaces)
        sql = f"""SELECT {VIEW_COLUMNS} FROM {BLOB_FROM}
          WHERE p.id IN (SELECT id FROM payload WHERE {CHECKSUM_COLUMNS[algorithm]} = :value) {chosen}
            AND b.uuid > :after AND {IS_LIVE} ORDER BY b.uuid LIMIT :limit"""
        rows, has_more = await self._page(sql, values | {"value": value, "after": after or b"", "now": now}, limit)
        return page_of([view_of(row, now) for row in rows], has_more, lambda view: view.blob.uuid.bytes)

    async def blob_of_payload(self, digest: Digest, namespaces: Collection[str] | None, now: int) -> Row | None:
        chosen, values = namespace_clause(namespaces)
        sql = f"""SELECT {BLOB_COLUMNS} FROM {BLOB_FROM}
          WHERE p.digest = :digest {chosen} AND {IS_LIVE} ORDER BY b.created_at, b.uuid LIMIT 1"""
        return await self.first(sql, values | {"digest": digest.raw, "now": now})

    # -- names --------------------------------------------------------------------------------------------

    async def names(self, namespace: str, prefix: str, limit: int, after: bytes | None, now: int) -> Page[Version]:
        low = prefix.encode()
        # One lower bound: given two, SQLite seeks to the first of them and steps over all the names up to `after`.
        start = low if after is None else max(low, after + b"\0")
        sql = f"""SELECT {VERSION_VIEW_COLUMNS} FROM {VERSION_FROM}
          WHERE n.name = :namespace AND m.hidden_at IS NULL AND m.name >= :start AND m.name < :stop AND {NEWEST}
          ORDER BY m.name LIMIT :limit"""
        values = {"namespace": namespace, "start": start, "stop": after_prefix(low)}
        rows, has_more = await self._page(sql, values, limit)
        return page_of([seen_version_of(row, now) for row in rows], has_more, lambda version: version.name.encode())

    async def folder(
        self, namespace: str, prefix: str, limit: int, after: bytes | None, now: int
    ) -> Page[Version | str]:
        low = prefix.encode()
        start = low if after is None else max(low, after + b"\0")
        values = folders.entry_values(namespace, low, start, after_prefix(low))
        rows, has_more = await self._page(folders.entries_page(BELONGINGS), values, limit)
        return page_of([entry_of(row, now) for row in rows], has_more, folders.key_of)

    async def name_infos(self, namespace: str | None, limit: int, after: bytes | None) -> Page[NameInfo]:
        """Keys are the namespace's name, a zero byte, and the name, which has none."""
        start_namespace, _, start = (after or b"\0").partition(b"\0")
        chosen = "m.shared" if namespace is None else "n.name = :namespace"
        sql = f"""SELECT {NAME_INFO_COLUMNS} FROM {NAME_FROM}
          WHERE {chosen} AND m.hidden_at IS NULL AND (n.name, m.name) > (:start_namespace, :start)
          ORDER BY n.name, m.name LIMIT :limit"""
        values = {"namespace": namespace, "start_namespace": start_namespace.decode(), "start": start}
        rows = await self.rows(sql, values | {"limit": limit + 1})
        infos = [name_info_of(row) for row in rows[:limit]]
        return page_of(infos, len(rows) > limit, lambda info: f"{info.namespace}\0{info.name}".encode())

    async def versions(
        self, namespace: str, name: str, limit: int, after: bytes | None, now: int, newer_than: int
    ) -> Page[Version]:
        sql = f"""SELECT {VERSION_VIEW_COLUMNS} FROM {VERSION_FROM}
          WHERE n.name = :namespace AND m.name = :name AND v.number > :after ORDER BY v.number LIMIT :limit"""
        values = {"namespace": namespace, "name": name.encode(), "after": max(number_after(after, 0), newer_than)}
        rows, has_more = await self._page(sql, values, limit)
        return page_of(
            [seen_version_of(row, now) for row in rows], has_more, lambda version: version.number.to_bytes(8)
        )

    async def holding_versions(self, uuid: UUID, limit: int) -> tuple[VersionRef, ...]:
        sql = """SELECT n.name, CAST(m.name AS TEXT), v.number
          FROM blob b JOIN version v ON v.blob_id = b.id JOIN name m ON m.id = v.name_id
            JOIN namespace n ON n.id = m.namespace_id
          WHERE b.uuid = :uuid ORDER BY v.id LIMIT :limit"""
        return tuple(VersionRef(*row) for row in await self.rows(sql, {"uuid": uuid.bytes, "limit": limit}))

    async def holders(self, uuid: UUID, namespaces: Collection[str] | None, limit: int, now: int) -> Holders | None:
        chosen, values = namespace_clause(namespaces)
        # One statement, so that its parts belong together.
        sql = f"""SELECT {BLOB_COLUMNS}, p.keep_until,
          (SELECT count(*) FROM blob o JOIN namespace n ON n.id = o.namespace_id
             WHERE o.payload_id = p.id AND o.id <> b.id {chosen} AND {IS_LIVE.replace("b.", "o.")}),
          (SELECT json_group_array(json_array(name, number, hidden_at)) FROM (
             SELECT CAST(m.name AS TEXT) AS name, v.number, m.hidden_at
             FROM version v JOIN name m ON m.id = v.name_id WHERE v.blob_id = b.id ORDER BY v.id LIMIT :limit))
          FROM {BLOB_FROM} WHERE b.uuid = :uuid AND {IS_LIVE}"""
        row = await self.first(sql, values | {"uuid": uuid.bytes, "now": now, "limit": limit})
        return None if row is None else holders_of(row, now)

    # -- namespaces and tokens ----------------------------------------------------------------------------

    async def namespaces(self, readable_to: Collection[str] | None) -> list[Namespace]:
        if readable_to is None:
            return [namespace_of(row) for row in await self.rows(f"{SELECT_NAMESPACES} ORDER BY name", {})]
        names, values = in_list(readable_to, "ns")
        readers, reader_values = in_list((*readable_to, "*"), "reader")
        sql = f"""{SELECT_NAMESPACES} WHERE name IN {names} OR id IN
          (SELECT namespace_id FROM namespace_reader WHERE reader IN {readers}) ORDER BY name"""
        return [namespace_of(row) for row in await self.rows(sql, values | reader_values)]

    async def tokens(self, limit: int, after: bytes | None) -> Page[Token]:
        sql = f"{SELECT_TOKENS} WHERE id > :after ORDER BY id LIMIT :limit"
        rows = await self.rows(sql, {"after": number_after(after, 0), "limit": limit + 1})
        last = rows[limit - 1][-1].to_bytes(8) if len(rows) > limit else None
        return Page(tuple(token_of(row) for row in rows[:limit]), last)

    # -- payloads, for upkeep -----------------------------------------------------------------------------

    async def unreferenced(self, now: int, limit: int, after: bytes | None) -> Page[Unreferenced]:
        """In the order of keep-until, then digest."""
        if after is not None and len(after) != 72:
            raise InvalidInput("this cursor does not belong to this listing")
        sql = """SELECT keep_until, digest, size FROM payload
          WHERE blob_count = 0 AND keep_until <= :now AND (keep_until, digest) > (:keep_until, :digest)
          ORDER BY keep_until, digest LIMIT :limit"""
        values = {
            "now": now,
            "keep_until": number_after(after[:8] if after else None, -1),
            "digest": after[8:] if after else b"",
        }
        rows = await self.rows(sql, values | {"limit": limit + 1})
        last = rows[limit - 1] if len(rows) > limit else None
        items = tuple(Unreferenced(Digest(digest), size) for _, digest, size in rows[:limit])
        return Page(items, last[0].to_bytes(8) + last[1] if last else None)


def blob_page(only: BlobFilter) -> tuple[str, dict[str, Any]]:
    """The statement for one namespace's page, driven by the index that narrows most."""
    values: dict[str, Any] = {}
    source, uuid, clauses = BLOB_FROM, "b.uuid", ""
    for index, (key, text) in enumerate(only.metadata):
        values |= {f"key{index}": key, f"hash{index}": match_hash(text), f"string{index}": compact_json(text)}
        # A value that starts with a quote could be the compact form of a string, which only equals its own text.
        values[f"text{index}"] = None if text.startswith('"') else text
        matches = f"""x.key = :key{index} AND x.match_hash = :hash{index}
          AND (x.value = :string{index} OR x.value = :text{index})"""
        if index == 0:
            source = f"blob_metadata x CROSS JOIN {BLOB_FROM}"
            uuid = "x.uuid"
            clauses = f"""AND b.id = x.blob_id AND {matches}
              AND x.namespace_id = (SELECT id FROM namespace WHERE name = :namespace)"""
        else:
            clauses += f" AND EXISTS (SELECT 1 FROM blob_metadata x WHERE x.blob_id = b.id AND {matches})"
    if only.content_type is not None:
        values["content_type"] = only.content_type
        clauses += " AND b.content_type = :content_type"
    sql = f"""SELECT {VIEW_COLUMNS} FROM {source}
      WHERE n.name = :namespace AND {uuid} > :after {clauses} AND {IS_LIVE} ORDER BY {uuid} LIMIT :limit"""
    return sql, values


def namespace_clause(namespaces: Collection[str] | None) -> tuple[str, dict[str, Any]]:
    if namespaces is None:
        return "", {}
    names, values = in_list(namespaces, "ns")
    return f"AND n.name IN {names}", dict(values)


def view_of(row: Row, now: int) -> BlobView:
    """From VIEW_COLUMNS. A blob is held by names of its own namespace only: binding elsewhere copies it."""
    blob = blob_of(row)
    blob = blob.at(time_of(now)) or blob  # the statement chose living ones
    metadata, names = row[-2:]
    held = tuple(VersionRef(blob.namespace, name, number) for name, number in json.loads(names))
    return BlobView(blob, metadata_of(metadata), held)


def holders_of(row: Row, now: int) -> Holders:
    """From the statement of `Listings.holders`."""
    blob = blob_of(row)
    keep_until, others, versions = row[-3:]
    held = tuple(
        HoldingVersion(VersionRef(blob.namespace, name, number), time_or_none(hidden_at))
        for name, number, hidden_at in json.loads(versions)
    )
    return Holders(blob.at(time_of(now)) or blob, held, others, time_of(keep_until))


def seen_version_of(row: Row, now: int) -> Version:
    """From VERSION_VIEW_COLUMNS."""
    version = version_of(row)
    return version if version.is_marker else replace(version, view=view_of(row[VERSION_COLUMN_COUNT:], now))


def entry_of(row: Row, now: int) -> Version | str:
    """From `folders.entries_page`."""
    return seen_version_of(row[1:], now) if row[0] is None else bytes(row[0]).decode()


def namespace_of(row: Row) -> Namespace:
    """From SELECT_NAMESPACES."""
    name, readers, anonymous_read, share_by_uuid, *limits = row
    return Namespace(
        name,
        frozenset(json.loads(readers)),
        bool(anonymous_read),
        None if share_by_uuid is None else bool(share_by_uuid),
        *limits,
    )


def page_of(items: list[T], has_more: bool, key: Callable[[T], bytes]) -> Page[T]:
    """A page that the last item's key resumes if there are more."""
    return Page(tuple(items), key(items[-1]) if has_more and items else None)


def metadata_size(row: Row) -> int:
    return len(row[-2] or "")


def split_cursor(after: bytes | None) -> tuple[str, bytes]:
    """Namespace and UUID of a blob listing's cursor. Raises InvalidInput."""
    if after is None:
        return "", b""
    if len(after) <= 16 or not after[16:].isascii():
        raise InvalidInput("this cursor does not belong to this listing")
    return after[16:].decode("ascii"), after[:16]


def after_prefix(low: bytes) -> bytes:
    """The first bytes that are past everything that starts with `low`. UTF-8 never holds 0xFF."""
    return low[:-1] + bytes([low[-1] + 1]) if low else b"\xff"
