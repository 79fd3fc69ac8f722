"""What JSON models of answers are made of.

These models describe: answers are written without them, which is quicker, and tests hold every answer against its
model. They forbid what they do not name, so that a field which nobody has described fails there; a client should
let new fields pass, so the document does not forbid them.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema


def _is_open(schema: dict[str, Any]) -> None:
    schema.pop("additionalProperties", None)


class AnswerBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, json_schema_extra=_is_open)


def _hex(digits: int) -> Any:
    return Field(pattern=f"^[0-9a-f]{{{digits}}}$")


Time = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-21T12:00:00.000000Z"]}),
]
Uuid = Annotated[
    str,
    Field(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
    WithJsonSchema({"type": "string", "format": "uuid"}),
]
Sha512 = Annotated[str, _hex(128)]
Sha256 = Annotated[str, _hex(64)]
Xxh3 = Annotated[str, _hex(32)]
Count = Annotated[int, Field(ge=0)]
Cursor = Annotated[str | None, Field(description="what `?cursor=` of the next page is; null on the last")]


class Problem(AnswerBody):
    """An error (RFC 9457)."""

    type: str = Field(description="about:blank: the code says what it is")
    title: str = Field(description="for people, of the status")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="for people: what, which one, and what to do")
    code: str = Field(description="stable: programs test this")
    request_id: str = Field(description="the same as X-Request-ID, and in the daemon's log")
