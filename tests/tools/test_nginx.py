"""The same tools once more through nginx, set up with the very lines that `casd help proxy` shows."""

import asyncio
import os
import random
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

import casd
from tests.bench.peers import nginx_binary
from tests.conftest import Daemon, skip_loudly
from tests.proxy import Fault, Proxy
from tests.tools import tus_js as tus_js_client
from tests.tools.shop import CUT, CUT_UPLOAD, RESET, SIZE, STALL, Shop, aria2c, convert, curl, ran, run, tool, wget
from tests.tools.tus_js import tus_js as tus_js
from tests.tools.tuspy import Client
from tests.tools.tuspy import tuspy as tuspy
from tests.web.tus import CHUNK, VERSION
from tests.web.wire import Raw, ask, has_payload, incoming, wait_until

TOPIC = (Path(casd.__file__).parent / "cli" / "help" / "proxy.md").read_text()
SPOOLS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")  # where nginx would put what it collects
CONFIGURATION = """
daemon off; worker_processes 1; {user} pid {root}/nginx.pid; error_log {root}/error.log info;
events {{ worker_connections 1024; }}
http {{
  {spools}
  {more}
  server {{ listen 127.0.0.1:{port};
{lines}
  }}
}}
"""


@dataclass
class Front:
    """An nginx before a daemon."""

    shop: Shop
    url: str
    root: Path

    @property
    def log(self) -> str:
        return (self.root / "error.log").read_text()

    def spooled(self) -> list[Path]:
        """What nginx has written to its own disk."""
        return [path for spool in SPOOLS for path in (self.root / spool).rglob("*") if path.is_file()]

    def open(self) -> Raw:
        address = urlsplit(self.url)
        return Raw(socket.create_connection((address.hostname, address.port), timeout=30))


def lines_for(upstream: str) -> str:
    """What is shown, with the address of this daemon."""
    (lines,) = re.findall(r"(?ms)^ {4}location / \{.*?^ {4}\}\n", TOPIC)
    assert "http://127.0.0.1:8080;" in lines
    return lines.replace("http://127.0.0.1:8080;", f"{upstream};")


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    trusted = re.findall(r'\[server\] trusted_proxies` alone, here `\["([^"]+)"\]`', TOPIC.replace("\n", " "))
    settings = {"CASD_SERVER__TRUSTED_PROXIES": trusted[0], "CASD_LIMITS__MAX_BODY_BYTES": str(50 << 20)}
    running = Daemon(tmp_path_factory.mktemp("behind") / "data", settings).start()
    yield running
    assert running.stop() == 0, running.log
    assert "Traceback" not in running.log


@pytest.fixture(scope="module")
def front(behind: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    root = tmp_path_factory.mktemp("nginx")
    with started(root, behind.url) as url:
        front = Front(Shop(behind), url, root)
        yield front
    assert "[emerg]" not in front.log
    assert "[alert]" not in front.log


def started(root: Path, upstream: str) -> AbstractContextManager[str]:
    """Yields the URL of an nginx that passes on to `upstream`."""
    return configured(root, lines_for(upstream))


@contextmanager
def configured(root: Path, lines: str, more: str = "access_log off;") -> Iterator[str]:
    """The same, with those lines for its server and more before it."""
    binary = nginx_binary()
    if binary is None:
        skip_loudly("nginx is missing")
        raise AssertionError
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    spools = " ".join(f"{spool}_temp_path {root / spool};" for spool in SPOOLS)
    user = "user root;" if os.geteuid() == 0 else ""
    text = CONFIGURATION.format(root=root, port=port, user=user, spools=spools, lines=lines, more=more)
    (root / "nginx.conf").write_text(text)
    process = subprocess.Popen([binary, "-p", root, "-c", root / "nginx.conf", "-e", root / "error.log"])
    try:
        wait_until(lambda: process.poll() is not None or answers(port), "nginx answers")
        assert process.poll() is None, (root / "error.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture(params=["blob", "name"])
def path(request: pytest.FixtureRequest, front: Front) -> str:
    return front.shop.blob if request.param == "blob" else front.shop.name


# -- downloads --------------------------------------------------------------------------------------------------------


async def test_curl_goes_on_where_it_was_cut(front: Front, path: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with Proxy(front.url, CUT) as proxy:
        await curl(front.shop, "-o", str(file), proxy.url + path)
        had = file.stat().st_size
        second = await curl(front.shop, "-C", "-", "-o", str(file), proxy.url + path)

    assert second == 0
    assert proxy.ranges == [f"{had}-"]
    assert file.read_bytes() == front.shop.data


async def test_wget_goes_on_by_itself(front: Front, path: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with Proxy(front.url, CUT, RESET, STALL) as proxy:
        arguments = ("--tries=9", "--waitretry=0", "--read-timeout=2")
        code = await wget(front.shop, file, proxy.url + path, *arguments)

    assert code == 0
    assert file.read_bytes() == front.shop.data
    assert len(proxy.ranges) >= 2


async def test_aria2c_fetches_the_parts_at_once(front: Front, path: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with Proxy(front.url, None, Fault("cut", 300_000), Fault("reset", 300_000)) as proxy:
        code = await aria2c(front.shop, file, proxy.url + path)

    assert code == 0
    assert file.read_bytes() == front.shop.data
    assert len(proxy.ranges) >= 3


async def test_what_is_cut_behind_nginx_is_never_taken_for_the_whole(
    behind: Daemon, front: Front, path: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    root = tmp_path / "nginx"
    root.mkdir()
    async with Proxy(behind.url, CUT, RESET) as proxy:
        with started(root, proxy.url) as url:
            code = await wget(front.shop, file, url + path, "--tries=9", "--waitretry=0")

    assert code == 0
    assert file.read_bytes() == front.shop.data
    assert len(proxy.ranges) >= 2


async def test_qemu_img_and_rclone_fetch(front: Front, tmp_path: Path) -> None:
    url = front.url + front.shop.signed(front.shop.name)
    first = await convert(url, tmp_path / "disk.raw", "-f", "raw")
    second = await run(tool("rclone"), "--config=/dev/null", "copyurl", url, tmp_path / "file")

    assert (first, second) == (0, 0)
    assert (tmp_path / "disk.raw").read_bytes() == front.shop.data
    assert (tmp_path / "file").read_bytes() == front.shop.data


async def test_a_download_does_not_go_through_nginx_own_disk(front: Front) -> None:
    """Who reads slowly makes casd wait; nginx would take it all, far more than sockets hold."""
    data = random.randbytes(32 << 20)
    name = f"/v1/names/default/tools/{uuid4()}"
    assert ask(front.shop.daemon, "PUT", name, data).status == 201
    connection = front.open()
    connection.send(f"GET {name} HTTP/1.1\r\nHost: casd.test\r\n{front.shop.auth}\r\n\r\n")
    status, headers = connection.head()
    begin = connection.file.read(1000)

    spooled = front.spooled()
    rest = connection.file.read(len(data) - 1000)
    connection.close()

    assert (status, headers["Content-Length"]) == (200, str(len(data)))
    assert spooled == []
    assert begin + rest == data


# -- uploads ----------------------------------------------------------------------------------------------------------


async def test_curl_sends_a_file_and_an_interrupted_try_leaves_nothing(front: Front, tmp_path: Path) -> None:
    file, data, name = tmp_path / "up", random.randbytes(SIZE), f"/v1/names/default/tools/{uuid4()}"
    file.write_bytes(data)
    daemon = front.shop.daemon
    async with Proxy(front.url, CUT_UPLOAD) as proxy:
        first = await curl(front.shop, "-T", str(file), proxy.url + name)
        is_kept = has_payload(daemon, data)

        second = await curl(front.shop, "-T", str(file), proxy.url + name)

    assert first != 0
    assert not is_kept
    assert second == 0
    assert ask(daemon, "GET", name).body == data
    wait_until(lambda: not incoming(daemon), "the cut upload's stage is gone")


@pytest.mark.parametrize("how", ["-H Expect:", "-H Expect: 100-continue", "-H Transfer-Encoding: chunked"])
async def test_curl_stores_a_file_however_it_announces_it(front: Front, tmp_path: Path, how: str) -> None:
    file, data, name = tmp_path / "up", random.randbytes(SIZE), f"/v1/names/default/tools/{uuid4()}"
    file.write_bytes(data)

    code = await curl(front.shop, *how.split(" ", 1), "-T", str(file), front.url + name)

    assert code == 0
    assert ask(front.shop.daemon, "GET", name).body == data


@pytest.mark.parametrize(
    ("header", "size", "status"),
    [
        ("Authorization: Bearer casd_nobody", 8 << 20, 401),
        ("If-None-Match: *", 8 << 20, 412),
        ("X-Nothing: 1", 51 << 20, 413),
        ("Content-Encoding: gzip", 8 << 20, 415),
    ],
)
async def test_a_refusal_in_the_middle_of_a_body_arrives(
    front: Front, tmp_path: Path, header: str, size: int, status: int
) -> None:
    """nginx goes on sending while casd answers; a connection that casd just closed would make this a 502."""
    file = tmp_path / "up"
    with file.open("wb") as opened:
        opened.truncate(size)
    name = front.shop.name if "If-None-Match" in header else f"/v1/names/default/tools/{uuid4()}"
    headers = (header,) if "Authorization" in header else (front.shop.auth, header)
    options = [word for each in (*headers, "Expect:") for word in ("-H", each)]
    command = (tool("curl"), "-sS", "-o", "/dev/null", "-w", "%{http_code}", *options)

    code, said = await ran(*command, "-T", file, front.url + name)

    assert (code, said) == (0, str(status))


async def test_tuspy_is_killed_and_goes_on_in_another_process(front: Front, tuspy: Path, tmp_path: Path) -> None:
    file, name = tmp_path / "up", f"tus/{uuid4()}"
    file.write_bytes(random.randbytes(SIZE))
    incoming = front.shop.daemon.data / "incoming"
    async with Proxy(front.url, None, Fault("stall", 1_500_000, of="requests")) as proxy:
        client = Client(tuspy, front.shop.daemon, proxy.url, file, tmp_path / "storage.json", name)
        first = await client.start()
        await proxy.stalled()
        is_there = partial(any_holds, incoming, 1_000_000)
        await asyncio.to_thread(wait_until, is_there, "nginx has passed on what it got")
        first.kill()
        await client.end(first)
        await proxy.mend()
        code, said, wrong = await client.end(await client.start())

    assert code == 0, wrong
    assert int(said[0]) >= 1_000_000
    assert ask(front.shop.daemon, "GET", f"/v1/names/default/{name}").body == file.read_bytes()


def any_holds(folder: Path, size: int) -> bool:
    with suppress(FileNotFoundError):  # what an earlier test broke off may go at any time
        return any(path.stat().st_size >= size for path in folder.iterdir())
    return False


async def test_tus_js_client_goes_on_by_itself_with_parts_at_once(front: Front, tus_js: Path, tmp_path: Path) -> None:
    file, name = tmp_path / "up", f"tus/{uuid4()}"
    file.write_bytes(random.randbytes(SIZE))
    options = {"parallelUploads": 3, "retryDelays": [0] * 9}
    reset = Fault("reset", 500_000, of="requests")
    async with Proxy(front.url, reset, reset) as proxy:
        sender = tus_js_client.Client(
            *(tus_js, front.shop.daemon, proxy.url, file, tmp_path / "storage.json", name, options)
        )
        code, _, wrong = await sender.run()

    assert code == 0, wrong
    assert ask(front.shop.daemon, "GET", f"/v1/names/default/{name}").body == file.read_bytes()


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_an_upload_does_not_go_through_nginx_own_disk(front: Front, is_chunked: bool) -> None:
    """casd has the first half of a body while the second is not sent yet."""
    daemon, half = front.shop.daemon, 2 << 20
    created = ask(daemon, "POST", "/v1/uploads", b"", VERSION | {"Upload-Length": str(2 * half)})
    upload = (created["Location"] or "").removeprefix(daemon.url)
    framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {2 * half}"
    lines = [f"PATCH {upload} HTTP/1.1", "Host: casd.test", front.shop.auth, framing]
    lines += [f"{name}: {value}" for name, value in (VERSION | CHUNK | {"Upload-Offset": "0"}).items()]
    piece = b"%x\r\n%b\r\n" % (half, bytes(half)) if is_chunked else bytes(half)
    connection = front.open()
    connection.send("\r\n".join([*lines, "", ""]).encode() + piece)

    stage = daemon.data / "incoming" / upload.rpartition("/")[2]
    await asyncio.to_thread(wait_until, lambda: stage.exists() and stage.stat().st_size >= half, "half has arrived")
    spooled = front.spooled()
    connection.send(piece + b"0\r\n\r\n" if is_chunked else piece)
    status, headers = connection.head()
    connection.close()

    assert spooled == []
    assert (status, headers["Upload-Offset"]) == (204, str(2 * half))


# -- what casd knows of who asks -----------------------------------------------------------------------------------


async def test_links_and_the_log_say_what_is_so_whatever_a_client_forwards(front: Front, tmp_path: Path) -> None:
    forged = ("X-Forwarded-Host: evil.test", "X-Forwarded-Prefix: /evil", "X-Forwarded-Proto: https")
    forged += ("X-Forwarded-For: 192.0.2.9", "Forwarded: for=192.0.2.9;host=evil.test")
    headers = [word for header in forged for word in ("-H", header)]
    body = f'{{"path": "{front.shop.blob}", "expires_in": 60}}'
    command = (tool("curl"), "-sS", "--interface", "127.0.0.2", "-H", front.shop.auth, *headers, "--json", body)

    code, said = await ran(*command, f"{front.url}/v1/signed-urls")
    (url,) = re.findall(r'"url": ?"([^"]+)"', said)
    fetched = await run(tool("curl"), "-sS", "--fail", "-o", tmp_path / "file", url)

    assert code == 0
    assert url.startswith(f"{front.url}/v1/blobs/")
    assert fetched == 0
    assert (tmp_path / "file").read_bytes() == front.shop.data
    assert re.search(r"address=127\.0\.0\.2 .*path=/v1/signed-urls ", front.shop.daemon.log)
    assert "192.0.2.9" not in front.shop.daemon.log
