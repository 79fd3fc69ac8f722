"""Whether an answer is one that `/openapi.json` describes. `wire.Wire` asks this of every answer that any test gets."""

import functools
import json
import re
from email.message import Message

from casd.daemon.composition import DIALECTS
from casd.web.dialect import Route
from casd.web.openapi import refusals_of
from casd.web.operation import Answer, Operation

ELEMENT = re.compile(r"\{\w+(?::((?:[^{}]|\{[^{}]*\})*))?\}")


@functools.cache
def routes() -> list[tuple[str, re.Pattern[str], Route, Operation]]:
    """Those that are described, in the order in which they are tried."""
    return [
        (route.method, re.compile(pattern(route.path)), route, route.about)
        for dialect in DIALECTS
        for route in dialect.routes
        if route.about is not None
    ]


def pattern(path: str) -> str:
    found, at = "", 0
    for element in ELEMENT.finditer(path):
        found += re.escape(path[at : element.start()]) + f"(?:{element[1] or '[^{}/]+'})"
        at = element.end()
    return found + re.escape(path[at:])


def check_described(method: str, target: str, status: int, headers: Message, body: bytes) -> None:
    path, where = target.partition("?")[0], f"{method} {target} -> {status}"
    for its_method, its_path, route, operation in routes():
        if method in ({"GET", "HEAD"} if its_method == "GET" else {its_method}) and its_path.fullmatch(path):
            told = next((answer for answer in operation.answers if answer.status == status), None)
            if told is None:
                check_refusal(where, route, operation, status, body)
            else:
                check_answer(where, told, headers, body, is_head=method == "HEAD")
            return


def check_answer(where: str, told: Answer, headers: Message, body: bytes, *, is_head: bool) -> None:
    missing = [name for name in told.headers if name not in headers]
    assert not missing, f"{where}: described with {missing}, which are not there"
    media = (headers.get("Content-Type") or "").partition(";")[0].strip()
    if told.model is not None and media == "application/json" and body:
        told.model.model_validate(json.loads(body))
    elif told.model is not None:
        assert is_head or media in told.media, f"{where}: {media} is not described"
    elif not told.media:
        assert body == b"", f"{where}: described without a body"
    else:
        assert "*/*" in told.media or media in told.media, f"{where}: {media} is not described"


def check_refusal(where: str, route: Route, operation: Operation, status: int, body: bytes) -> None:
    known = {(refusal.status, refusal.code) for refusal in refusals_of(route, operation)}
    assert status in {each for each, _ in known}, f"{where}: the status is not described"
    if body:
        code = json.loads(body)["code"]
        if code == "no-such-path":
            return  # what stands for an element is none that the router lets pass: the operation was not asked
        assert (status, code) in known, f"{where}: the code {code} is not described"
