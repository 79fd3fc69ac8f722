"""What the JSON of the native API looks like, to the letter: keys, types and how each value is written."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.web.party import is_time
from tests.web.wire import Answer

Shape = Mapping[str, Callable[[Any], bool]]

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_uuid(value: Any) -> bool:
    return isinstance(value, str) and UUID.fullmatch(value) is not None


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_object(value: Any) -> bool:
    return isinstance(value, dict)


def hex_of(length: int) -> Callable[[Any], bool]:
    pattern = re.compile(rf"[0-9a-f]{{{length}}}")
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def one_of(*values: Any) -> Callable[[Any], bool]:
    return lambda value: value in values


def or_null(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(check, value))


def has(shape: Shape) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and not oddities(shape, value)


def oddities(shape: Shape, value: Mapping[str, Any]) -> dict[str, Any]:
    """What is missing, too much, or not written as it should be."""
    unlike = {key: value.get(key) for key, check in shape.items() if key not in value or not check(value[key])}
    return unlike | {key: value[key] for key in value.keys() - shape.keys()}


HELD_BY: Shape = {"namespace": is_text, "name": is_text, "version": is_count}
BLOB: Shape = {
    "uuid": is_uuid,
    "sha512": hex_of(128),
    "sha256": hex_of(64),
    "xxh3_128": hex_of(32),
    "size": is_count,
    "content_type": is_text,
    "filename": or_null(is_text),
    "namespace": is_text,
    "state": one_of("created"),
    "holds_itself": is_bool,
    "created_at": is_time,
    "expires_at": or_null(is_time),
    "metadata": is_object,
    "names": list_of(has(HELD_BY)),
}
VERSION: Shape = {
    "namespace": is_text,
    "name": is_text,
    "version": is_count,
    "blob": has(BLOB),
    "created_at": is_time,
    "deleted": one_of(False),
    "published_by": or_null(is_text),
    "protected": is_bool,
}
MARKER: Shape = {**VERSION, "blob": one_of(None), "deleted": one_of(True)}
NAME_INFO: Shape = {  # the design names these five; a daemon may tell more
    "uuid": is_uuid,
    "metadata": is_object,
    "shared": is_bool,
    "keep_versions": or_null(is_count),
    "protected": is_bool,
}
SETTINGS: Shape = {
    "readers": list_of(is_text),
    "anonymous_read": is_bool,
    "share_by_uuid": or_null(is_bool),
    "quota_bytes": or_null(is_count),
    "quota_blobs": or_null(is_count),
    "keep_versions": or_null(is_count),
    "max_age_s": or_null(is_count),
}
PROBLEM: Shape = {
    "type": is_text,
    "title": is_text,
    "status": is_count,
    "detail": is_text,
    "code": is_text,
    "request_id": is_text,
}


def is_blob(value: Any) -> bool:
    return not oddities(BLOB, value)


def refusal(answer: Answer) -> tuple[int, str]:
    """Status and code of an error, after a look at its form, its headers, and whether the two agree."""
    problem = answer.json
    assert answer["Content-Type"] == "application/problem+json"
    assert not oddities(PROBLEM, problem), problem
    assert problem["status"] == answer.status
    assert problem["request_id"] == answer["X-Request-ID"]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", problem["code"])
    assert (answer["WWW-Authenticate"] is not None) == (answer.status == 401)
    assert (answer["Allow"] is not None) == (answer.status == 405)
    return answer.status, problem["code"]


def items_of(answer: Answer) -> list[Any]:
    """Of a page."""
    assert answer.status == 200, answer.body
    assert set(answer.json) == {"items", "next"}
    found: list[Any] = answer.json["items"]
    return found
