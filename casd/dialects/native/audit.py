"""The audit log: who did what, for admins, in pages or all of it as JSON lines."""

import json
from dataclasses import replace
from uuid import UUID

from aiohttp import web

from casd.audit import AuditFilter, Entry, verbs_like
from casd.errors import InvalidInput
from casd.model import checked_namespace
from casd.web.answers import json_response, time_text
from casd.web.keys import TRAIL, principal_of, store_of
from casd.web.query import PAGE_LIMIT, check_parameters, check_query, cursor, cursor_text, page_limit, time_in
from casd.web.receive import checked_text
from casd.web.send import cutting_failures

PARAMETERS = (
    *("principal", "token", "action", "blob", "namespace", "name", "address", "target", "since", "until"),
    *("limit", "cursor", "format"),
)


async def listing(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    check_query(request)
    check_parameters(request, *PARAMETERS)
    store, only = store_of(request), filter_of(request)
    form = request.query.get("format", "json")
    if form not in ("json", "jsonl"):
        raise InvalidInput("?format= is json or jsonl")
    await request.app[TRAIL].flush()  # what waits to be told is told now: who looks wants to see it
    if form == "jsonl":
        return await export(request, only)
    page = await store.catalogue.audit(only, page_limit(request), cursor(request))
    items = [entry_json(entry) for entry in page.items]
    return json_response({"items": items, "next": cursor_text(request, page.next)})


async def export(request: web.Request, only: AuditFilter) -> web.StreamResponse:
    """All rows that match, newest first; each page is fetched before it is sent, and a failure cuts the connection."""
    if "limit" in request.query or "cursor" in request.query:
        raise InvalidInput("format=jsonl is all that matches: no ?limit= and no ?cursor=")
    catalogue = store_of(request).catalogue
    # What is told while the export runs is newer than it, and not in it.
    page = await catalogue.audit(only, PAGE_LIMIT, None)
    response = web.StreamResponse(headers={"Content-Type": "application/jsonl", "Cache-Control": "no-store"})
    await response.prepare(request)
    async with cutting_failures(request):
        while True:
            lines = (json.dumps(entry_json(entry), ensure_ascii=False) + "\n" for entry in page.items)
            await response.write("".join(lines).encode())
            if page.next is None:
                break
            page = await catalogue.audit(only, PAGE_LIMIT, page.next)
        await response.write_eof()
    return response


def filter_of(request: web.Request) -> AuditFilter:
    """Raises InvalidInput."""
    query = request.query
    namespace, name, action = query.get("namespace"), query.get("name"), query.get("action")
    if name is not None and namespace is None:
        raise InvalidInput("?name= is looked for in a namespace: add ?namespace=")
    only = AuditFilter(
        principal=text_in(request, "principal"),
        token=uuid_in(request, "token"),
        blob=uuid_in(request, "blob"),
        namespace=None if namespace is None else checked_namespace(namespace),
        name=text_in(request, "name"),
        address=text_in(request, "address"),
        subject=text_in(request, "target"),
        since=time_in(query["since"], "since") if "since" in query else None,
        until=time_in(query["until"], "until") if "until" in query else None,
    )
    if action is None:
        return only
    verbs = verbs_like(action)
    if not verbs:
        raise InvalidInput("?action= is a verb such as blob.delete, or the beginning of some, with its dot: token.")
    return replace(only, verbs=verbs)


def text_in(request: web.Request, parameter: str) -> str | None:
    value = request.query.get(parameter)
    return None if value is None else checked_text(value, f"?{parameter}=")


def uuid_in(request: web.Request, parameter: str) -> UUID | None:
    value = request.query.get(parameter)
    if value is None:
        return None
    try:
        return UUID(value)
    except ValueError:
        raise InvalidInput(f"?{parameter}= is a UUID") from None


def entry_json(entry: Entry) -> dict[str, object]:
    told = entry.told
    who, deed = told.actor, told.deed
    return {
        "id": entry.id,
        "at": time_text(told.at),
        "principal": who.principal,
        "token": str(who.token) if who.token else None,
        "role": who.role,
        "address": who.address,
        "dialect": who.dialect,
        "request_id": who.request_id,
        "action": deed.verb.value,
        "target": target_of(entry),
        "blob": str(deed.blob) if deed.blob else None,
        "namespace": deed.namespace,
        "name": deed.name,
        "version": deed.version,
        "result": told.result.value,
        "code": told.code,
        "count": told.count,
        "note": deed.note,
    }


def target_of(entry: Entry) -> str | None:
    """What it was done to, in one text."""
    deed = entry.told.deed
    if deed.subject is not None:
        return deed.subject
    if deed.name is not None:
        version = "" if deed.version is None else f"@{deed.version}"
        return f"{deed.namespace}/{deed.name}{version}"
    return f"blob {deed.blob}" if deed.blob is not None else deed.namespace
