"""The same bytes over TCP, TLS and Unix sockets, on both loops, and what becomes of a reader that takes nothing."""

import asyncio
import http.client
import logging
import random
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.conftest import skip_loudly
from tests.payloads.local_backend import path_of
from tests.web.house import House, open_house, run_on
from tests.web.wire import PATIENCE_S, wait_until

DATA = random.Random("transports").randbytes(5 << 20)
HUGE = 12 << 20  # more than the socket buffers of both sides hold


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    try:
        subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    except FileNotFoundError:
        skip_loudly("openssl is missing")
    return cert, key


@pytest.fixture(params=["tcp", "tls", "unix"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class Net:
    """Connections to a house over one transport."""

    def __init__(self, house: House, transport: str, certificate: tuple[Path, Path]) -> None:
        self._house = house
        self._transport = transport
        self._trust = ssl.create_default_context(cafile=str(certificate[0]))

    def connect(self, receive_buffer_bytes: int | None = None) -> socket.socket:
        is_unix = self._transport == "unix"
        sock = socket.socket(socket.AF_UNIX if is_unix else socket.AF_INET)
        sock.settimeout(PATIENCE_S)
        if receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        if is_unix:
            sock.connect(str(self._house.unix))
            return sock
        sock.connect(("127.0.0.1", self._house.tls_port if self._transport == "tls" else self._house.port))
        return self._trust.wrap_socket(sock, server_hostname="127.0.0.1") if self._transport == "tls" else sock

    def connection(self) -> http.client.HTTPConnection:
        found = http.client.HTTPConnection("casd.test")
        found.sock = self.connect()
        return found


def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


WANTED = [
    (None, (0, len(DATA))),
    ("bytes=0-0", (0, 1)),
    ("bytes=1-70000", (1, 70_001)),
    ("bytes=1048575-4194304", (1_048_575, 4_194_305)),
    ("bytes=-3000000", (len(DATA) - 3_000_000, len(DATA))),
]


def test_a_payload_and_its_ranges_come_out_equal(
    tmp_path: Path, loop_name: str, transport: str, certificate: tuple[Path, Path]
) -> None:
    def fetch(net: Net, house: House, uuid: object) -> list[bytes]:
        connection = net.connection()  # all on one, so that each answer begins where the last one ended
        found = []
        for header, _ in WANTED * 2:
            ranged = {} if header is None else {"Range": header}
            connection.request("GET", f"/v1/blobs/{uuid}/data", headers=house.headers | ranged)
            found.append(connection.getresponse().read())
        connection.close()
        return found

    async def scenario() -> list[bytes]:
        async with open_house(tmp_path / "house", tls=server_context(certificate)) as house:
            blob = await house.add(DATA)
            return await asyncio.to_thread(fetch, Net(house, transport, certificate), house, blob.uuid)

    found = run_on(loop_name, scenario())

    assert found == [DATA[start:stop] for _, (start, stop) in WANTED * 2]


@pytest.mark.parametrize("block", [0, 3])
def test_damage_is_not_sent_over_any_of_them(
    tmp_path: Path, loop_name: str, transport: str, certificate: tuple[Path, Path], block: int
) -> None:
    def fetch(net: Net, house: House, uuid: object) -> tuple[int, bytes]:
        connection = net.connection()
        connection.request("GET", f"/v1/blobs/{uuid}/data", headers=house.headers)
        response = connection.getresponse()
        try:
            return response.status, response.read()
        except http.client.IncompleteRead as error:
            return response.status, error.partial
        except OSError:  # over TLS a connection that is cut ends with an error
            return response.status, b""
        finally:
            connection.close()

    async def scenario() -> tuple[int, bytes]:
        async with open_house(tmp_path / "house", tls=server_context(certificate)) as house:
            blob = await house.add(DATA)
            with path_of(tmp_path / "house", blob.digest.hex).open("r+b") as file:
                file.seek(block << 20)
                file.write(bytes([DATA[block << 20] ^ 1]))
            return await asyncio.to_thread(fetch, Net(house, transport, certificate), house, blob.uuid)

    status, body = run_on(loop_name, scenario())

    assert status == (200 if block else 500)
    assert not block or DATA[: block << 20].startswith(body)


def test_several_ranges_are_framed_right(
    tmp_path: Path, loop_name: str, transport: str, certificate: tuple[Path, Path]
) -> None:
    def fetch(net: Net, house: House, uuid: object) -> tuple[bytes, bytes]:
        connection = net.connection()
        headers = house.headers | {"Range": "bytes=0-99999,200000-2999999"}
        connection.request("GET", f"/v1/blobs/{uuid}/data", headers=headers)
        response = connection.getresponse()
        boundary = str(response.headers["Content-Type"]).partition("boundary=")[2].encode()
        body = response.read()
        connection.close()
        return boundary, body

    async def scenario() -> tuple[bytes, bytes]:
        async with open_house(tmp_path / "house", tls=server_context(certificate)) as house:
            blob = await house.add(DATA)
            return await asyncio.to_thread(fetch, Net(house, transport, certificate), house, blob.uuid)

    boundary, body = run_on(loop_name, scenario())

    parts = body.split(b"\r\n--" + boundary)
    assert [part.partition(b"\r\n\r\n")[2] for part in parts[1:-1]] == [DATA[:100_000], DATA[200_000:3_000_000]]


def test_an_upload_arrives_whole(
    tmp_path: Path, loop_name: str, transport: str, certificate: tuple[Path, Path]
) -> None:
    def upload(net: Net, house: House) -> tuple[int, bytes]:
        connection = net.connection()
        connection.request("PUT", "/v1/names/default/x", DATA, house.headers)
        connection.getresponse().read()
        connection.request("GET", "/v1/names/default/x", headers=house.headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body

    async def scenario() -> tuple[int, bytes]:
        async with open_house(tmp_path / "house", tls=server_context(certificate)) as house:
            return await asyncio.to_thread(upload, Net(house, transport, certificate), house)

    assert run_on(loop_name, scenario()) == (200, DATA)


@pytest.mark.parametrize("header", ["", "Range: bytes=1-\r\n", "Range: bytes=0-0,2-\r\n"])
def test_a_reader_that_takes_nothing_is_cut_off(
    tmp_path: Path,
    loop_name: str,
    transport: str,
    certificate: tuple[Path, Path],
    header: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = bytes(HUGE)

    async def scenario() -> None:
        context = server_context(certificate)
        async with open_house(tmp_path / "house", tls=context, send_idle_timeout_s=0.1) as house:
            blob = await house.add(data)
            net = Net(house, transport, certificate)
            sock = await asyncio.to_thread(net.connect, 4096)
            secret = f"Authorization: {house.headers['Authorization']}"
            request = f"GET /v1/blobs/{blob.uuid}/data HTTP/1.1\r\nHost: x\r\n{secret}\r\n{header}\r\n"
            await asyncio.to_thread(sock.sendall, request.encode())

            async with asyncio.timeout(PATIENCE_S):
                await house.traffic.idle.wait()  # set when the handler is done

            sock.close()

    with caplog.at_level(logging.INFO):
        run_on(loop_name, scenario())

    assert "ending=stalled" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info]


def test_a_client_that_hangs_up_is_no_failing_disk(
    tmp_path: Path,
    loop_name: str,
    transport: str,
    certificate: tuple[Path, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        async with open_house(tmp_path / "house", tls=server_context(certificate)) as house:
            blob = await house.add(bytes(HUGE))
            net = Net(house, transport, certificate)
            sock = await asyncio.to_thread(net.connect, 4096)
            secret = f"Authorization: {house.headers['Authorization']}"
            request = f"GET /v1/blobs/{blob.uuid}/data HTTP/1.1\r\nHost: x\r\n{secret}\r\n\r\n"
            await asyncio.to_thread(sock.sendall, request.encode())
            await asyncio.to_thread(sock.recv, 1)

            sock.close()

            async with asyncio.timeout(PATIENCE_S):
                await house.traffic.idle.wait()

    with caplog.at_level(logging.INFO):
        run_on(loop_name, scenario())

    assert not [record for record in caplog.records if record.levelno >= logging.WARNING or record.exc_info]


def test_a_reader_of_many_small_answers_that_takes_nothing_is_cut_off(tmp_path: Path, loop_name: str) -> None:
    """Each answer is small enough to be written at once; together they are more than the sockets hold."""

    async def scenario() -> None:
        async with open_house(tmp_path / "house", send_idle_timeout_s=0.1) as house:
            blob = await house.add(bytes(60_000))
            secret = f"Authorization: {house.headers['Authorization']}"
            request = f"GET /v1/blobs/{blob.uuid}/data HTTP/1.1\r\nHost: x\r\n{secret}\r\n\r\n"
            sock = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", house.port))
            await asyncio.to_thread(sock.sendall, request.encode() * 400)

            await asyncio.to_thread(wait_until, lambda: not house.traffic.connections, "the connection is cut")

            sock.close()

    run_on(loop_name, scenario())
