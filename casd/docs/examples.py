"""How each operation is asked with curl, and what people come here for most."""

import json
from collections.abc import Mapping
from typing import Any

from casd.docs.markup import Html, h, phrase

RESUME = """\
AUTH="Authorization: Bearer $TOKEN" TUS="Tus-Resumable: 1.0.0"

# begin: `Location` in the answer says where the bytes go
curl -i -X POST -H "$AUTH" -H "$TUS" -H "Upload-Length: $(stat -c %s disk.img)" \\
     -H "Upload-Metadata: name $(printf images/disk.img | base64)" "$CASD/v1/uploads"

# after an interruption: `Upload-Offset` says how much is there, here 734003200 bytes
curl -I -H "$AUTH" -H "$TUS" "$CASD/v1/uploads/UUID"

# the rest, or all of it with 0; the answer that completes it has the blob in `Casd-Blob`
tail -c +734003201 disk.img | curl -X PATCH -T - -H "$AUTH" -H "$TUS" -H "Upload-Offset: 734003200" \\
     -H "Content-Type: application/offset+octet-stream" "$CASD/v1/uploads/UUID\""""
RANGE = """\
BLOB="$CASD/v1/names/default/images/disk.img"
curl -r 0-511 -H "Authorization: Bearer $TOKEN" "$BLOB" | xxd      # the first 512 bytes
curl -r -512  -H "Authorization: Bearer $TOKEN" "$BLOB" | xxd      # the last 512
curl -C - -O  -H "Authorization: Bearer $TOKEN" "$BLOB"            # the rest of a download"""
TOKEN = """\
casd token create "node 7" --role writer --namespace cluster         # on the daemon's machine
curl "$CASD/v1/tokens" -H "Authorization: Bearer $ADMIN" \\
     -d '{"name": "node 7", "role": "writer", "namespaces": ["cluster"]}'"""

TASKS = (
    ("Make a token", TOKEN, "More: [Tokens and roles](/docs/tokens), [POST /v1/tokens](#addToken)."),
    (
        "Fetch a range, or the rest of a download",
        RANGE,
        "More: [Interrupted downloads](/docs/resuming), [GET /v1/names/…](#readName).",
    ),
    (
        "Resume an upload",
        RESUME,
        "More: [Uploads from other programs](/docs/uploads), [POST /v1/uploads](#createUpload).",
    ),
)


def tasks() -> Html:
    return h(
        "div",
        h("h2", h("a", "First of all", href="#first"), id="first"),
        h(
            "p",
            phrase(
                "`CASD` is the daemon's address, such as `http://127.0.0.1:8080`; `TOKEN` is what the first prints."
            ),
        ),
        [
            h(
                "section",
                h("h3", title),
                h("pre", h("code", text), tabindex="0", aria_label=title),
                h("p", phrase(more)),
            )
            for title, text, more in TASKS
        ],
    )


def curl(method: str, path: str, operation: Mapping[str, Any]) -> str:
    """A command that asks for the operation, with its examples in place."""
    words = ["curl"]
    if method == "head":
        words.append("-I")
    elif method != "get" and not (method == "post" and _is_json(operation)):
        words.append(f"-X {method.upper()}")
    if ["bearer"] in [list(way) for way in operation["security"]]:
        words.append('-H "Authorization: Bearer $TOKEN"')
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "header" and parameter.get("required"):
            words.append(f'-H "{parameter["name"]}: {parameter.get("example", "…")}"')
    words += _data(operation)
    words.append(f'"$CASD{_filled(path, operation)}"')
    return _lines(words)


def _is_json(operation: Mapping[str, Any]) -> bool:
    return "application/json" in operation.get("requestBody", {}).get("content", {})


def _data(operation: Mapping[str, Any]) -> list[str]:
    body = operation.get("requestBody")
    if body is None:
        return []
    ((media, content),) = body["content"].items()
    if media == "application/json":
        return [f"-d '{json.dumps(content.get('example', {}))}'"]
    return [f'-H "Content-Type: {media}"', "--data-binary @FILE"]


def _filled(path: str, operation: Mapping[str, Any]) -> str:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            schema = parameter["schema"]
            value = parameter.get("example") or (schema.get("enum") or [parameter["name"].upper()])[0]
            path = path.replace(f"{{{parameter['name']}}}", str(value))
    return path


def _lines(words: list[str]) -> str:
    """As few lines as fit."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) < 88:
            lines[-1] += f" {word}"
        else:
            lines[-1] += " \\"
            lines.append(f"     {word}")
    return "\n".join(lines)
