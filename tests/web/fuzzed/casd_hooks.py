"""What schemathesis cannot know by itself. It loads this in a process of its own: see test_schemathesis.py."""

import os
from typing import Any
from uuid import UUID

import schemathesis

UNKNOWN = "00000000-0000-4000-8000-000000000000"
KEPT = {UUID(text) for text in os.environ["CASD_FUZZ_KEPT_TOKENS"].split(",")}


@schemathesis.serializer("application/offset+octet-stream")
def octets(ctx: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else repr(value).encode()


@schemathesis.hook
def before_call(ctx: Any, case: Any, kwargs: Any) -> None:
    """The token that it asks with is not to be revoked: every answer behind that would be a right 401."""
    if case.path.startswith("/v1/tokens/"):
        try:
            asked = UUID(str(case.path_parameters.get("uuid")))
        except ValueError:
            return
        if asked in KEPT:
            case.path_parameters["uuid"] = UNKNOWN
