"""How a tus 1.0.0 client speaks (https://tus.io/protocols/resumable-upload), with nothing of casd's code."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.web.party import Party
from tests.web.wire import Answer, Wire, incoming, wait_until

VERSION = {"Tus-Resumable": "1.0.0"}
CHUNK = {"Content-Type": "application/offset+octet-stream"}


def metadata(**values: str | bytes) -> str:
    """Of Upload-Metadata."""
    encoded = {
        key: base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
        for key, value in values.items()
    }
    return ",".join(f"{key} {value}" for key, value in encoded.items())


def tus(wire: Wire, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
    """An answer says which version it speaks, and is not for keeping, whatever else it says."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    answer = wire.ask(method, target, body, VERSION | named)
    assert answer["Tus-Resumable"] == "1.0.0"
    assert answer["Cache-Control"] == "no-store"
    return answer


def created(wire: Wire, size: int, **values: str | bytes) -> str:
    """The path of a new upload."""
    more = {"Upload_Metadata": metadata(**values)} if values else {}
    answer = tus(wire, "POST", "/v1/uploads", Upload_Length=str(size), **more)
    assert answer.status == 201, answer.body
    location = answer["Location"]
    assert location is not None
    return location


def patch(wire: Wire, upload: str, offset: int, data: bytes, **headers: str) -> Answer:
    return tus(wire, "PATCH", upload, data, Upload_Offset=str(offset), **CHUNK_, **headers)


CHUNK_: dict[str, Any] = {"Content_Type": CHUNK["Content-Type"]}


def offset_of(wire: Wire, upload: str) -> int:
    answer = tus(wire, "HEAD", upload)
    assert answer.status == 200
    return int(answer["Upload-Offset"] or "")


@pytest.fixture
def us(us: Party) -> Iterator[Party]:
    """Who leaves no unfinished bytes behind: other tests of the same daemon look for what theirs leave."""
    yield us

    def is_tidy() -> bool:
        for name in incoming(us.daemon):
            tus(us.admin, "DELETE", f"/v1/uploads/{name}")
        return not incoming(us.daemon)

    wait_until(is_tidy, "nothing is left in incoming/")
