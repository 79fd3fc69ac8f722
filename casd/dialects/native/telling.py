"""What `GET /v1/audit` answers, for `/openapi.json`."""

from pydantic import Field

from casd.audit import Result, Verb
from casd.web.models import AnswerBody, Count, Cursor, Time, Uuid


class AuditRow(AnswerBody):
    """What somebody did."""

    id: Count = Field(description="unique, and higher than that of every older row")
    at: Time
    principal: str = Field(description="a token's name; or anonymous, upkeep, local, several")
    token: Uuid | None
    role: str | None
    address: str | None = Field(description="of the client, as far as proxies are trusted")
    dialect: str | None
    request_id: str | None
    action: str = Field(json_schema_extra={"enum": [*Verb]})
    target: str | None = Field(description="what it was done to, in one text")
    blob: Uuid | None
    namespace: str | None
    name: str | None
    version: int | None
    result: str = Field(json_schema_extra={"enum": [*Result]})
    code: str | None = Field(description="why it was denied, or failed")
    count: int = Field(description="how often, where repeats are told together", ge=1)
    note: str | None


class AuditPage(AnswerBody):
    items: list[AuditRow]
    next: Cursor
