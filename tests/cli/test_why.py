"""`casd why`: what keeps a blob."""

import hashlib
from typing import Any
from uuid import uuid4

from tests.cli.conftest import RunInside
from tests.cli.test_browse import put
from tests.crash.folder import payload_path


def test_why_tells_what_keeps_a_blob_and_what_its_end_would_free(inside: RunInside, name: str) -> None:
    content = uuid4().bytes
    version = put(inside, name, content)

    ran = inside("why", name)

    uuid = version["blob"]["uuid"]
    assert inside("why", uuid).out == ran.out
    told = dict(line.split(None, 1) for line in ran.out.replace("held by", "held").splitlines())
    assert told["uuid"] == uuid
    assert told["held"] == f"default/{name}@1"
    assert told["lease"].startswith("its bytes stay until ")
    assert ran.lines[-1] == "would free 16 B, once nothing holds it"


def test_why_tells_hidden_names_and_other_blobs(inside: RunInside, name: str) -> None:
    content = uuid4().bytes
    blob = put(inside, None, content)
    put(inside, name, content)
    inside("rm", name)

    ran = inside("why", blob["uuid"])
    hidden = inside("why", name, "--version", "1")

    assert "held by    itself, until it is deleted" in ran.lines
    assert ran.lines[-1] == "would free nothing: 1 other blob with the same bytes"
    assert any(line.startswith(f"held by    default/{name}@1 (hidden since ") for line in hidden.lines)
    assert inside("why", name).code == 3
    assert inside("why", blob["uuid"], "--json").json["other_blobs"] == 1


def test_why_of_what_is_not_there_ends_in_3(inside: RunInside) -> None:
    assert inside("why", str(uuid4())).code == 3


def test_a_name_whose_bytes_are_damaged_can_be_looked_at(inside: RunInside, daemon: Any, name: str) -> None:
    content = uuid4().bytes
    put(inside, name, content)
    payload_path(daemon.data, hashlib.sha512(content).hexdigest()).write_bytes(content[:-1])

    got = inside("get", name, "-")

    assert (got.code, got.out) == (6, "")
    assert "damaged" in inside("stat", name).out or "error" in inside("stat", name).out
    assert inside("why", name).code == 0
    put(inside, name, content)
    assert inside("get", name, "-").code == 0
