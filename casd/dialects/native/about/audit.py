"""Who did what."""

import casd.dialects.native.telling as telling
from casd.audit import Verb
from casd.web.fields import NAMESPACE, PAGE, TEXT, TIME, UUID
from casd.web.operation import Answer, Operation, Parameter
from casd.web.refusals import ADMINS

ACTIONS = [*Verb, *sorted({f"{verb.partition('.')[0]}." for verb in Verb})]

LISTING = Operation(
    "listAudit",
    "Audit",
    "Read the audit log",
    (
        Answer(
            200,
            "A page of rows, the newest first; or all of them, a JSON object a line.",
            telling.AuditPage,
            media=("application/jsonl",),
        ),
    ),
    "For admins. `format=jsonl` streams all that matches, without `limit` and `cursor`.",
    query=(
        Parameter("principal", "Only what was done under this name: a token's, anonymous, upkeep, local.", TEXT),
        Parameter("token", "Only what the token with this id did.", UUID),
        Parameter(
            "action",
            "Only this verb, or those that begin so, up to the dot.",
            {"type": "string", "enum": ACTIONS},
        ),
        Parameter("blob", "Only what was done to this blob.", UUID),
        Parameter("namespace", "Only what was done in this namespace.", NAMESPACE),
        Parameter("name", "Only what was done to this name; with `namespace`.", TEXT),
        Parameter("address", "Only what came from there.", TEXT),
        Parameter("target", "Only what was done to this, such as `token 0f8f...`: neither blob nor name.", TEXT),
        Parameter("since", "Only what was done then or later, RFC 3339.", TIME),
        Parameter("until", "Only what was done before that, RFC 3339.", TIME),
        Parameter("format", "json, or jsonl for lines.", {"type": "string", "enum": ["json", "jsonl"]}),
        *PAGE,
    ),
    errors=ADMINS,
)
