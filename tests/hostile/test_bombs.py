"""Ten MiB of gzip that mean ten GiB: neither memory nor disk has to hold them, and the client is told what is wrong."""

import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Daemon, serving
from tests.web.party import Party
from tests.web.wire import Answer, Wire, incoming

LIMIT_BYTES = 32 << 20
MEANT_BYTES = 10 << 30
STEP = bytes(1 << 20)


def members() -> bytes:
    """A member for each MiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return (packer.compress(STEP) + packer.flush()) * (MEANT_BYTES // len(STEP))


def member() -> bytes:
    """One without end: after a full flush a block stands for itself, so it can be repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(STEP) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + block * (MEANT_BYTES // len(STEP))


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    data = tmp_path_factory.mktemp("narrow") / "data"
    with serving(data, CASD_LIMITS__MAX_BODY_BYTES=str(LIMIT_BYTES)) as daemon:
        yield daemon


def form(data: bytes) -> bytes:
    name = json.dumps({"name": "bomb"}).encode()
    head = b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
    file = head % (b"uploaded_file", b'; filename="f"\r\nContent-Encoding: gzip', data)
    return file + head % (b"json_data", b"", name) + b"--b--\r\n"


def sent(daemon: Daemon, body: bytes, secret: str) -> Answer:
    headers = {"Authorization": f"Token {secret}", "Content-Type": "multipart/form-data; boundary=b"}
    with Wire(daemon, None) as wire:
        return wire.ask("POST", "/api/blobs/", body, headers)


def peak_bytes(daemon: Daemon) -> int:
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{daemon.pid}/status").read_text())
    return int(peak) << 10


@pytest.mark.parametrize("bomb", [members, member], ids=["members", "member"])
def test_a_part_that_means_a_thousand_times_as_much_is_refused_at_its_limit(narrow: Daemon, bomb: object) -> None:
    assert callable(bomb)
    data = bomb()
    assert len(data) < 12 << 20
    before = peak_bytes(narrow)

    answer = sent(narrow, form(data), narrow.token)

    assert (answer.status, answer.json["code"]) == (413, "too-large")
    assert incoming(narrow) == []
    assert peak_bytes(narrow) - before < 2 * LIMIT_BYTES  # what arrives is held in part, what it means is not


def test_a_part_is_stored_up_to_the_limit(narrow: Daemon) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    data = packer.compress(bytes(LIMIT_BYTES)) + packer.flush()

    answer = sent(narrow, form(data), narrow.token)

    assert (answer.status, answer.json["size_bytes"]) == (201, LIMIT_BYTES)


def test_a_body_of_gzip_is_not_looked_into(narrow: Daemon) -> None:
    bomb = members()
    with Wire(narrow) as wire:
        coded = wire.ask("POST", "/v1/blobs", bomb, {"Content-Encoding": "gzip"})
        stored = wire.ask("POST", "/v1/blobs", bomb, {"Content-Type": "application/gzip"})

    assert (coded.status, coded.code) == (415, "unsupported-encoding")
    assert (stored.status, stored.json["size"]) == (201, len(bomb))


def test_a_part_means_no_more_than_its_namespace_may_hold(narrow: Daemon) -> None:
    us = Party(narrow)
    us.settings(quota_bytes=1 << 20)

    answer = sent(narrow, form(members()), us.token("writer"))
    us.close()

    assert (answer.status, answer.json["code"]) == (507, "quota-exceeded")
    assert incoming(narrow) == []
