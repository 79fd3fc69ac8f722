"""REDbot, which knows HTTP better than most servers: what it has to say about what casd answers.

It asks again with If-None-Match, If-Modified-Since, Range and Accept-Encoding, and compares. A finding of level "bad"
or "warning" is a failure, unless it stands here with the reason why casd is right.
"""

import itertools
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon
from tests.tools.shop import PATIENCE_S
from tests.web.wire import ask

PACKAGES = ["redbot==2.7.1", "httplint==2026.10.4"]

# REDbot's own command sends no headers of the user's; this is that command with headers, and an answer for machines.
SCRIPT = """
import json, sys
from configparser import ConfigParser
import thor
from redbot.resource import HttpResource

config = ConfigParser()
config.read_dict({"redbot": {"enable_local_access": "True"}})

def all_of(notes):
    for note in notes:
        yield [note.level.value, type(note).__name__]
        yield from all_of(note.subnotes)

def begin(url, headers):
    resource = HttpResource(config["redbot"])
    resource.set_request(url, headers=list(headers.items()))
    resource.on("check_done", end)
    resource.check()
    return resource

def end():
    waiting.pop()
    if not waiting:
        thor.stop()

def findings_of(resource):
    return {
        "status": resource.response.status_code,
        "supported": [resource.partial_support, resource.inm_support, resource.ims_support],
        "notes": list(all_of(resource.response.notes)),
    }

tasks = json.load(sys.stdin)
waiting = list(tasks)
resources = {name: begin(*what) for name, what in tasks.items()}
thor.run()
print(json.dumps({name: findings_of(resource) for name, resource in resources.items()}))
"""

# A shared cache may keep the answer to a request with a token only if it says `public` (RFC 9111, 3.5), and the nodes
# that fetch from a namespace with anonymous reading mostly have one. It does no harm to the others.
PUBLIC = "STORE_PUBLIC_UNNECESSARY"
# RFC 9110, 15.3.7.2: a multipart answer must not have a Content-Range of its own; its parts have theirs.
MULTIPART = "PARTIAL_WITHOUT_RANGE"


WHOLE = ("blob", "digest", "name", "version", "inline", "signed", "with a token")
PARTS = {
    "bytes=1000-1999": (206, {PUBLIC}),
    "bytes=-5": (206, {PUBLIC}),
    "bytes=0-0,1000-1999": (206, {PUBLIC, MULTIPART}),
    "bytes=99999999-": (416, set()),
}
OTHERS = {
    "/healthz": 200,
    "/readyz": 200,
    "/v1/blobs": 200,
    "/v1/names/open?limit=1": 200,
    "/v1/names/open/none": 404,
    "/v1/signed-urls": 405,
    "/nowhere": 404,
}


@pytest.fixture(scope="module")
def findings(one_daemon: Daemon, client_environment: Callable[..., Path]) -> dict[str, Any]:
    """What REDbot found in each answer; all are asked for by one process."""
    python = client_environment("redbot", PACKAGES) / "python"
    assert ask(one_daemon, "PUT", "/v1/namespaces/open", {"anonymous_read": True}).status == 200
    data = b"\x89PNG\r\n\x1a\n" + random.randbytes(300_000)  # REDbot looks whether it is what it says
    kind = {"Content-Type": "image/png"}
    blob = ask(one_daemon, "POST", "/v1/blobs?namespace=open&filename=picture.png", data, kind).json
    paths = {"blob": f"/v1/blobs/{blob['uuid']}/data", "name": "/v1/names/open/redbot/picture.png"}
    assert ask(one_daemon, "PUT", paths["name"], data, kind).status == 201
    paths["digest"] = f"/v1/payloads/sha512/{blob['sha512']}"
    paths["version"] = f"{paths['name']}?version=1"
    paths["inline"] = f"{paths['blob']}?inline=1"
    signed = ask(one_daemon, "POST", "/v1/signed-urls", {"path": paths["blob"], "expires_in": 3600}).json["url"]
    paths["signed"] = signed.removeprefix(one_daemon.url)

    tasks: dict[str, tuple[str, dict[str, str]]] = {kind: (path, {}) for kind, path in paths.items()}
    tasks["with a token"] = (paths["blob"], one_daemon.headers)
    for kind, wanted in itertools.product(("blob", "name"), PARTS):
        tasks[f"{kind} {wanted}"] = (paths[kind], {"Range": wanted})
    tasks["known"] = (paths["name"], {"If-None-Match": f'"{blob["sha512"]}"'})
    tasks |= {path: (path, one_daemon.headers) for path in OTHERS}

    task = {name: (one_daemon.url + path, headers) for name, (path, headers) in tasks.items()}
    command = [python, "-W", "ignore", "-c", SCRIPT]
    done = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def complaints(found: Any) -> set[str]:
    return {name for level, name in found["notes"] if level in ("bad", "warning")}


@pytest.mark.parametrize("kind", WHOLE)
def test_what_is_fetched_can_be_validated_and_read_by_range(findings: dict[str, Any], kind: str) -> None:
    found = findings[kind]

    assert found["status"] == 200
    assert found["supported"] == [True, True, True]
    assert complaints(found) <= {PUBLIC}
    assert {"RANGE_CORRECT", "INM_304", "IMS_304", "CL_CORRECT", "DATE_CORRECT"} <= {name for _, name in found["notes"]}


@pytest.mark.parametrize("kind", ["blob", "name"])
@pytest.mark.parametrize("wanted", PARTS)
def test_a_range_is_answered_as_it_should_be(findings: dict[str, Any], kind: str, wanted: str) -> None:
    status, explained = PARTS[wanted]
    found = findings[f"{kind} {wanted}"]

    assert found["status"] == status
    assert complaints(found) <= explained


def test_a_payload_that_is_known_is_not_sent_again(findings: dict[str, Any]) -> None:
    assert findings["known"]["status"] == 304
    assert complaints(findings["known"]) == set()


@pytest.mark.parametrize("path", OTHERS)
def test_what_is_no_payload_gives_no_cause_for_complaint(findings: dict[str, Any], path: str) -> None:
    assert findings[path]["status"] == OTHERS[path]
    assert complaints(findings[path]) == set()
