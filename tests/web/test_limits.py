"""Deadlines and caps: what a client may send and how long it may take, and how the daemon stops (DESIGN.md 5.10, 7)."""

import os
import random
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.conftest import Daemon
from tests.web.wire import (
    PATIENCE_S,
    Raw,
    Wire,
    address_of,
    ask,
    has_payload,
    head,
    incoming,
    raw,
    stored,
    wait_until,
)

LIMIT = 200_000  # of `strict_daemon`


@pytest.fixture(params=["POST /v1/blobs", "PUT /v1/names/default/limits"])
def line(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


# -- sizes ------------------------------------------------------------------------------------------------------------


def test_a_body_at_the_limit_is_taken(strict_daemon: Daemon, line: str) -> None:
    method, path = line.split()

    assert ask(strict_daemon, method, path, bytes(LIMIT)).status == 201


@pytest.mark.parametrize("size", [LIMIT + 1, 1 << 40, 10**30])
def test_a_declared_body_above_the_limit_is_413_before_it_comes(strict_daemon: Daemon, line: str, size: int) -> None:
    with raw(strict_daemon) as connection:
        connection.send(head(strict_daemon, line, f"Content-Length: {size}", "Expect: 100-continue"))

        answer = connection.answer()

    if size < 10**30:  # that one is no length at all
        assert (answer.status, answer.code) == (413, "too-large")
    assert answer.status in (400, 413)


def test_a_chunked_body_is_413_as_soon_as_it_is_too_large(strict_daemon: Daemon, line: str) -> None:
    data = uuid4().bytes * 12_501  # 16 bytes above the limit
    with raw(strict_daemon) as connection:
        connection.send(head(strict_daemon, line, "Transfer-Encoding: chunked"))
        connection.send(b"%x\r\n" % (1 << 30))
        connection.send(data)

        answer = connection.answer()

    assert (answer.status, answer.code) == (413, "too-large")
    assert not has_payload(strict_daemon, data)
    wait_until(lambda: not incoming(strict_daemon), "the stage is gone")


# -- slow senders -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", bytes(100_000)])
def test_a_body_that_stops_coming_is_408(strict_daemon: Daemon, line: str, sent: bytes) -> None:
    with raw(strict_daemon) as connection:
        connection.send(head(strict_daemon, line, "Content-Length: 150000"))
        connection.send(sent)

        answer = connection.answer()

    assert (answer.status, answer.code) == (408, "body-timeout")
    assert answer["Connection"] == "close"
    wait_until(lambda: not incoming(strict_daemon), "the stage is gone")


def test_a_json_body_that_stops_coming_is_408(strict_daemon: Daemon) -> None:
    with raw(strict_daemon) as connection:
        connection.send(head(strict_daemon, "PUT /v1/namespaces/x", "Content-Length: 10") + "{")

        assert connection.answer().code == "body-timeout"


def drip(connection: Raw, text: str) -> bytes:
    """Send `text` again and again byte by byte, slowly, until the server says something; what it says."""
    for _ in range(PATIENCE_S * 50):
        for byte in text.encode():
            if select.select([connection.sock], [], [], 0.02)[0]:
                return connection.rest()
            connection.send(bytes([byte]))
    raise AssertionError("the server waits for ever")


def test_a_body_that_drips_may_take_its_time(strict_daemon: Daemon) -> None:
    """There is no total deadline: 1 byte every 20 ms for longer than the idle deadline is progress."""
    data = random.randbytes(60)
    with raw(strict_daemon) as connection:
        connection.send(head(strict_daemon, "POST /v1/blobs", f"Content-Length: {len(data)}"))
        for byte in data:
            assert not select.select([connection.sock], [], [], 0.02)[0]
            connection.send(bytes([byte]))

        assert connection.answer().status == 201


@pytest.fixture
def paced(request: pytest.FixtureRequest, new_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon that wants 1000 bytes a second over 0.3 s, and otherwise has all the time of the world."""
    return new_daemon(
        CASD_SERVER__EVENT_LOOP=request.param,
        CASD_LIMITS__MIN_BYTES_PER_S="1000",
        CASD_LIMITS__MIN_RATE_WINDOW_S="0.3",
        CASD_LIMITS__BODY_IDLE_TIMEOUT_S="3600",
        CASD_LIMITS__SEND_IDLE_TIMEOUT_S="3600",
    ).start()


on_both_loops = pytest.mark.parametrize("paced", ["asyncio", "uvloop"], indirect=True)


@on_both_loops
def test_a_body_that_drips_for_ever_is_not_waited_for(paced: Daemon, line: str) -> None:
    with raw(paced) as connection:
        connection.send(head(paced, line, "Content-Length: 150000"))

        said = drip(connection, "x")

    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"less than 1000 bytes a second" in said
    wait_until(lambda: not incoming(paced), "the stage is gone")


@on_both_loops
def test_a_reader_that_drips_for_ever_is_not_waited_for(paced: Daemon) -> None:
    with Wire(paced) as wire:
        uuid = stored(wire, random.randbytes(12 << 20)).json["uuid"]
    with raw(paced, receive_buffer_bytes=4096) as connection:
        connection.send(head(paced, f"GET /v1/blobs/{uuid}/data", "X-Request-ID: drip.1"))
        for _ in range(PATIENCE_S * 50):
            if "request=drip.1 " in paced.log:
                break
            select.select([], [], [], 0.02)  # 50 bytes a second, whatever the machine's speed
            connection.sock.recv(1)

    assert "ending=stalled" in next(line for line in paced.log.splitlines() if "request=drip.1 " in line)


@on_both_loops
def test_a_reader_of_a_long_listing_that_takes_nothing_is_not_waited_for(paced: Daemon) -> None:
    with Wire(paced) as wire:
        uuid = stored(wire, b"described").json["uuid"]
        for key in range(12):
            described = wire.ask("PUT", f"/v1/blobs/{uuid}/metadata/{key}", {"value": "x" * 65_000})
            assert described.status in (200, 201)
    with raw(paced, receive_buffer_bytes=4096) as connection:
        connection.send(head(paced, f"GET /v1/blobs/{uuid}/metadata", "X-Request-ID: drip.2") * 20)
        wait_until(lambda: "ending=stalled" in paced.log, "it is cut off")


@on_both_loops
def test_a_fast_client_may_pause_for_longer_than_the_window(paced: Daemon) -> None:
    data = random.randbytes(100_000)
    with raw(paced) as connection:
        connection.send(head(paced, "POST /v1/blobs", f"Content-Length: {len(data)}"))
        connection.send(data[:-1])
        assert not select.select([connection.sock], [], [], 0.5)[0]
        connection.send(data[-1:])

        assert connection.answer().status == 201


def test_a_silent_connection_is_closed(strict_daemon: Daemon) -> None:
    with raw(strict_daemon) as connection:
        answer = connection.answer()

        assert (answer.status, answer.code) == (408, "head-timeout")
        assert answer["Connection"] == "close"
        assert connection.rest() == b""
    assert f"slow head cut off request={answer['X-Request-ID']} address=127.0.0.1" in strict_daemon.log


@pytest.mark.parametrize("start", ["GET /", "GET /healthz HTTP/1.1\r\nX-Slow: "])
def test_a_head_that_drips_is_closed(strict_daemon: Daemon, start: str) -> None:
    with raw(strict_daemon) as connection:
        connection.send(start)

        said = drip(connection, "x")

    assert said.startswith(b"HTTP/1.1 408 ")


def test_a_second_head_that_drips_is_closed_too(strict_daemon: Daemon) -> None:
    with raw(strict_daemon) as connection:
        connection.send(head(strict_daemon, "GET /healthz"))
        assert connection.answer().status == 200
        connection.send("GET /healthz HTTP/1.1\r\n")

        said = drip(connection, "X-Slow: x\r\n")

    assert said.startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_kept_beyond_the_head_deadline(strict_daemon: Daemon) -> None:
    with raw(strict_daemon) as idle, raw(strict_daemon) as silent:
        idle.send(head(strict_daemon, "GET /healthz"))
        assert idle.answer().status == 200
        silent.rest()  # opened later, and closed by the deadline meanwhile

        idle.send(head(strict_daemon, "GET /healthz"))

        assert idle.answer().status == 200


# -- heads that do not parse ------------------------------------------------------------------------------------------

HEADS = [
    b"\r\n\r\n\r\nnonsense\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/0.9\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    b"GET / HTTP/3.0\r\nHost: x\r\n\r\n",
    b"POST / HTTP/2.0\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET / HTTP/1.1\r\nNo colon\r\n\r\n",
    b"GET / HTTP/1.1\r\n: no name\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"G\xc3\x89T / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://a:99999999/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 10_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%d: x\r\n" % at for at in range(1000)) + b"\r\n",
]


@pytest.mark.parametrize("text", HEADS, ids=lambda text: repr(text[:24]))
def test_a_head_that_does_not_parse_is_a_problem_400(shared_daemon: Daemon, text: bytes) -> None:
    with raw(shared_daemon) as connection:
        connection.send(text)

        answer = connection.answer()
        after = connection.rest()

    assert (answer.status, answer.code) == (400, "unreadable-request")
    assert answer["Server"] == "casd"
    assert after == b""
    assert "Traceback" not in shared_daemon.log


def test_a_good_request_before_a_bad_one_is_answered(shared_daemon: Daemon) -> None:
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, "GET /v1/tokens"))
        first = connection.answer()
        connection.send("nonsense\r\n\r\n")

        assert first.status == 200
        assert connection.answer().code == "unreadable-request"


def test_a_bad_head_behind_a_whole_body_does_not_spoil_it(shared_daemon: Daemon) -> None:
    data = random.randbytes(100_000)
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, "POST /v1/blobs", f"Content-Length: {len(data)}"))
        connection.send(data)
        first = connection.answer()
        connection.send(b"\x00\r\n\r\n")

        assert first.status == 201
        assert connection.answer().status == 400


# -- connections ------------------------------------------------------------------------------------------------------


def counted(daemon: Daemon, host: str = "127.0.0.1") -> Raw:
    """A connection that the daemon knows of, and that waits for nothing."""
    connection = Raw(socket.create_connection(address_of(daemon), PATIENCE_S, (host, 0)))
    connection.send(head(daemon, "GET /healthz"))
    assert connection.answer().status == 200
    return connection


def busy(daemon: Daemon, host: str = "127.0.0.1") -> Raw:
    """A connection with an upload under way; its answer is 201 after one byte more."""
    connection = Raw(socket.create_connection(address_of(daemon), PATIENCE_S, (host, 0)))
    connection.send(head(daemon, "POST /v1/blobs", "Content-Length: 1", "Expect: 100-continue"))
    assert connection.head()[0] == 100
    return connection


CAPS = ["CASD_LIMITS__MAX_CONNECTIONS", "CASD_LIMITS__MAX_CONNECTIONS_PER_ADDRESS"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("setting", CAPS)
def test_one_connection_too_many_is_told_to_come_back(
    new_daemon: Callable[..., Daemon], setting: str, loop: str
) -> None:
    daemon = new_daemon(**{setting: "3", "CASD_SERVER__EVENT_LOOP": loop}).start()
    held = [busy(daemon) for _ in range(3)]

    with raw(daemon) as connection:
        answer = connection.answer()
        rest = connection.rest()
    held.pop().close()
    wait_until(lambda: is_served(daemon), "the daemon has seen that a connection is free again")

    assert (answer.status, answer.code, rest) == (503, "too-many-connections", b"")
    assert (answer["Retry-After"], answer["Connection"]) == ("1", "close")
    assert "too many connections, turning away address=127.0.0.1 connections=3" in daemon.log
    assert "room for connections again" in daemon.log
    for other in held:
        other.send(b"x")
        assert other.answer().status == 201  # those that were there have not been hurt
        other.close()
    assert "Traceback" not in daemon.log


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("setting", CAPS)
def test_who_has_been_idle_for_longest_makes_room(new_daemon: Callable[..., Daemon], setting: str, loop: str) -> None:
    daemon = new_daemon(**{setting: "3", "CASD_SERVER__EVENT_LOOP": loop}).start()
    at_work = busy(daemon)
    idle = [counted(daemon), counted(daemon)]
    idle[0].send(head(daemon, "GET /healthz"))  # so that the other one has been idle for longer
    assert idle[0].answer().status == 200

    newcomer = counted(daemon)

    assert idle[1].rest() == b""
    for kept in (idle[0], newcomer):
        kept.send(head(daemon, "GET /healthz"))
        assert kept.answer().status == 200
    at_work.send(b"x")
    assert at_work.answer().status == 201
    for connection in (at_work, newcomer, *idle):
        connection.close()


def test_who_never_says_anything_keeps_nobody_out(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon(CASD_LIMITS__MAX_CONNECTIONS="5").start()
    silent = [Raw(socket.create_connection(address_of(daemon), PATIENCE_S)) for _ in range(50)]

    assert [ask(daemon, "GET", "/v1/tokens").status for _ in range(50)] == [200] * 50
    for connection in silent:
        connection.close()


def test_a_full_address_takes_no_room_from_others(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon(CASD_LIMITS__MAX_CONNECTIONS_PER_ADDRESS="2").start()
    theirs = [counted(daemon, "127.0.0.2") for _ in range(2)]
    full = [busy(daemon, "127.0.0.3") for _ in range(2)]

    refused = Raw(socket.create_connection(address_of(daemon), PATIENCE_S, ("127.0.0.3", 0)))
    assert refused.answer().status == 503
    refused.close()
    for other in theirs:
        other.send(head(daemon, "GET /healthz"))
        assert other.answer().status == 200
    for connection in (*theirs, *full):
        connection.close()


def test_a_trusted_proxy_has_as_many_connections_as_it_wants(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon(CASD_LIMITS__MAX_CONNECTIONS_PER_ADDRESS="1", CASD_SERVER__TRUSTED_PROXIES="127.0.0.2").start()
    at_work = [busy(daemon, "127.0.0.2") for _ in range(3)]

    for connection in at_work:
        connection.send(b"x")
        assert connection.answer().status == 201
        connection.close()


# What sets the limit stays the parent: `Daemon.pid` wants one.
FEW = "import resource, subprocess, sys; resource.setrlimit(7, (130, 130)); sys.exit(subprocess.call(sys.argv[1:]))"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_process_with_few_descriptors_serves_as_many_as_it_can(new_daemon: Callable[..., Daemon], loop: str) -> None:
    assert resource.RLIMIT_NOFILE == 7
    daemon = new_daemon(CASD_SERVER__EVENT_LOOP=loop)
    daemon.prefix = (sys.executable, "-c", FEW)
    daemon.start()
    data = random.randbytes(300_000)
    uuid = ask(daemon, "POST", "/v1/blobs", data).json["uuid"]
    flood = []
    for _ in range(300):  # more than it may open files, all at once
        flood.append(Raw(socket.create_connection(address_of(daemon), PATIENCE_S)))
        flood[-1].send("GET / HTTP/1.1\r\n")

    wait_until(lambda: is_served(daemon), "there is room")
    assert ask(daemon, "GET", f"/v1/blobs/{uuid}/data").body == data
    for connection in flood:
        connection.close()
    wait_until(lambda: is_served(daemon), "there is room")
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log
    assert daemon.complaints() == []


def is_served(daemon: Daemon) -> bool:
    try:
        return ask(daemon, "GET", "/healthz").status == 200
    except ConnectionError:  # turned away while it was still sending
        return False


def test_a_flood_beyond_the_cap_costs_no_descriptors(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon(CASD_LIMITS__MAX_CONNECTIONS="5").start()
    before = len(os.listdir(f"/proc/{daemon.pid}/fd"))

    held = [busy(daemon) for _ in range(5)]
    flood = [Raw(socket.create_connection(address_of(daemon), PATIENCE_S)) for _ in range(100)]
    turned_away = [connection.head()[0] for connection in flood]
    during = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    for connection in (*flood, *held):
        connection.close()

    assert turned_away == [503] * 100
    assert during <= before + 5
    wait_until(lambda: is_served(daemon), "the daemon has recovered")


# -- stopping ---------------------------------------------------------------------------------------------------------

HUGE = 12 << 20  # more than the socket buffers of both sides hold


def is_refusing(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=PATIENCE_S).close()
    except OSError:
        return True
    return False


def terminate(daemon: Daemon) -> None:
    """SIGTERM; afterwards nobody listens any more, so the daemon has begun to stop."""
    address = address_of(daemon)  # its file is gone soon
    os.kill(daemon.pid, signal.SIGTERM)
    wait_until(lambda: is_refusing(address), "the daemon accepts no more")


def exit_code(daemon: Daemon) -> int:
    assert daemon.process is not None
    return daemon.process.wait(timeout=PATIENCE_S)


def test_what_is_under_way_when_the_daemon_stops_is_finished(daemon: Daemon) -> None:
    data, upload = random.randbytes(HUGE), random.randbytes(200_000)
    with Wire(daemon) as wire:
        uuid = stored(wire, data).json["uuid"]
    with raw(daemon, receive_buffer_bytes=4096) as down, raw(daemon) as up, raw(daemon) as idle:
        idle.send(head(daemon, "GET /healthz"))
        assert idle.answer().status == 200
        down.send(head(daemon, f"GET /v1/blobs/{uuid}/data"))
        down.head()
        up.send(head(daemon, "POST /v1/blobs", f"Content-Length: {len(upload)}"))
        up.send(upload[:-1])
        wait_until(lambda: incoming(daemon), "the upload is under way")

        terminate(daemon)
        was_closed = idle.rest()  # at once, while the others go on
        up.send(upload[-1:])
        answer = up.answer()
        body = down.file.read(HUGE)

        assert was_closed == b""
        assert (answer.status, answer["Connection"]) == (201, "close")
        assert up.rest() == b""
        assert body == data
    assert exit_code(daemon) == 0
    assert "Traceback" not in daemon.log
    daemon.start()
    assert ask(daemon, "GET", f"/v1/blobs/{answer.json['uuid']}/data").body == upload


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_outlasts_the_drain_deadline_is_cut(new_daemon: Callable[..., Daemon], loop: str) -> None:
    daemon = new_daemon(CASD_SERVER__EVENT_LOOP=loop, CASD_LIMITS__DRAIN_TIMEOUT_S="0.2").start()
    data, upload = random.randbytes(HUGE), random.randbytes(200_000)
    with Wire(daemon) as wire:
        uuid = stored(wire, data).json["uuid"]
    with raw(daemon, receive_buffer_bytes=4096) as down, raw(daemon) as up:
        down.send(head(daemon, f"GET /v1/blobs/{uuid}/data"))
        down.head()
        up.send(head(daemon, "POST /v1/blobs", f"Content-Length: {len(upload)}"))
        up.send(upload[:-1])
        wait_until(lambda: incoming(daemon), "the upload is under way")

        terminate(daemon)
        code = exit_code(daemon)
        body, said = down.rest(), up.rest()

    assert code == 0
    assert len(body) < len(data)
    assert said == b""
    assert incoming(daemon) == []
    assert "Traceback" not in daemon.log
    assert "drain deadline passed requests=2" in daemon.log


def test_a_request_behind_the_one_that_was_under_way_is_not_begun(daemon: Daemon) -> None:
    upload = random.randbytes(200_000)
    with raw(daemon) as up:
        up.send(head(daemon, "POST /v1/blobs", f"Content-Length: {len(upload)}"))
        up.send(upload[:-1])
        wait_until(lambda: incoming(daemon), "the upload is under way")

        terminate(daemon)
        up.send(upload[-1:] + head(daemon, "GET /healthz").encode())
        answer = up.answer()

        assert (answer.status, answer["Connection"]) == (201, "close")
        assert up.rest() == b""
    assert exit_code(daemon) == 0
