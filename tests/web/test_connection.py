"""What a connection does with clients that say more or less than one request at a time."""

import json
import os
import random
import select
import signal
import socket
from collections.abc import Callable

import pytest

from tests.conftest import Daemon
from tests.web.wire import PATIENCE_S, Raw, Wire, ask, has_payload, head, incoming, raw, stored, wait_until

# -- half-closing ---------------------------------------------------------------------------------------------------


def half_closed(connection: Raw, text: str | bytes) -> None:
    connection.send(text)
    connection.sock.shutdown(socket.SHUT_WR)


def test_a_client_that_sends_no_more_gets_its_answer(shared_daemon: Daemon) -> None:
    with raw(shared_daemon) as connection:
        half_closed(connection, head(shared_daemon, "GET /v1/tokens"))

        assert connection.answer().status == 200
        assert connection.rest() == b""


def test_an_upload_whose_client_sends_no_more_is_stored(shared_daemon: Daemon) -> None:
    data = random.randbytes(300_000)
    with raw(shared_daemon) as connection:
        line = head(shared_daemon, "POST /v1/blobs", f"Content-Length: {len(data)}")
        half_closed(connection, line.encode() + data)

        assert connection.answer().status == 201
        assert connection.rest() == b""
    assert has_payload(shared_daemon, data)


def test_a_large_download_goes_on_when_its_client_sends_no_more(shared_daemon: Daemon) -> None:
    data = random.randbytes(8 << 20)  # more than the socket buffers hold
    with Wire(shared_daemon) as wire:
        uuid = stored(wire, data).json["uuid"]
    with raw(shared_daemon, receive_buffer_bytes=4096) as connection:
        half_closed(connection, head(shared_daemon, f"GET /v1/blobs/{uuid}/data"))

        assert connection.answer().body == data


def test_all_requests_of_a_client_that_sends_no_more_are_answered(shared_daemon: Daemon) -> None:
    with raw(shared_daemon) as connection:
        half_closed(connection, head(shared_daemon, "GET /v1/tokens") * 30)

        assert [connection.answer().status for _ in range(30)] == [200] * 30
        assert connection.rest() == b""


@pytest.mark.parametrize(
    "text", ["", "GET /healthz HT", "POST /v1/blobs HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"]
)
def test_a_client_that_sends_no_more_than_half_a_request_is_closed(shared_daemon: Daemon, text: str) -> None:
    with raw(shared_daemon) as connection:
        half_closed(connection, text)

        assert b" 201 " not in connection.rest()


# -- other protocols ------------------------------------------------------------------------------------------------

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")


def test_a_wish_for_another_protocol_is_ignored(shared_daemon: Daemon) -> None:
    """As curl --http2 asks: the answer is HTTP/1.1, and the connection goes on with it."""
    with raw(shared_daemon) as connection:
        for _ in range(2):
            connection.send(head(shared_daemon, "GET /v1/tokens", *H2C))

            assert connection.answer().status == 200


@pytest.mark.parametrize("protocol", ["h2c", "TLS/1.0", "websocket"])
@pytest.mark.parametrize(
    "body", ["", "Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]
)
def test_what_is_sent_behind_a_wish_for_another_protocol_is_never_lost_in_silence(
    shared_daemon: Daemon, protocol: str, body: str
) -> None:
    """It is answered, or the answer before it says that the connection ends."""
    method = "PUT /v1/namespaces/wishes" if body else "GET /v1/tokens"
    wish = head(shared_daemon, method, "Connection: Upgrade", f"Upgrade: {protocol}")
    with raw(shared_daemon) as connection:
        connection.send((wish[:-2] + body if body else wish) + head(shared_daemon, "GET /v1/tokens"))

        first = connection.answer()
        assert first.status == 200
        if first["Connection"] == "close":
            assert connection.rest() == b""
        else:
            assert connection.answer().status == 200


# -- bodies that nobody wants ---------------------------------------------------------------------------------------


def test_a_client_that_sends_on_after_a_refusal_can_read_it(shared_daemon: Daemon) -> None:
    """One that writes its whole body before it looks: closing at once would reset the connection under it."""
    size = 4 << 20
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, "POST /v1/blobs", f"Content-Length: {size}", token=None))
        connection.send(bytes(size))

        assert connection.answer().code == "unauthenticated"
        connection.send(head(shared_daemon, "GET /v1/tokens"))
        assert connection.answer().status == 200  # and the connection goes on


def test_a_refused_body_without_end_is_read_for_a_while_only(shared_daemon: Daemon) -> None:
    sent = 0
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, "POST /v1/blobs", f"Content-Length: {1 << 40}", token=None))
        try:
            while sent < 1 << 30:
                connection.send(bytes(1 << 20))
                sent += 1 << 20
        except ConnectionError:
            pass

    assert sent < 200 << 20  # what is dropped, and what the sockets hold


def test_a_client_whose_body_was_too_slow_sees_the_end_at_once(strict_daemon: Daemon) -> None:
    with raw(strict_daemon) as connection:
        connection.send(head(strict_daemon, "POST /v1/blobs", "Content-Length: 150000"))
        assert connection.answer().code == "body-timeout"

        is_ended = select.select([connection.sock], [], [], 1)[0]

        assert is_ended
        assert connection.rest() == b""


def test_a_stop_does_not_wait_for_bodies_that_nobody_wants(daemon: Daemon) -> None:
    with raw(daemon) as connection:
        connection.send(head(daemon, "POST /v1/blobs", "Content-Length: 150000", token=None))
        assert connection.answer().status == 401

        os.kill(daemon.pid, signal.SIGTERM)

        assert connection.rest() == b""
        assert daemon.process is not None
        assert daemon.process.wait(timeout=PATIENCE_S) == 0
    assert "Traceback" not in daemon.log
    assert "drain deadline" not in daemon.log


# -- the line in the log --------------------------------------------------------------------------------------------


def line_of(daemon: Daemon, request_id: str) -> str:
    wait_until(lambda: f"request={request_id} " in daemon.log, "the request is logged")
    (line,) = [line for line in daemon.log.splitlines() if f" request request={request_id} " in line]
    return line.partition(" INFO    ")[2]


def test_each_request_leaves_a_line(shared_daemon: Daemon) -> None:
    answer = ask(shared_daemon, "GET", "/v1/tokens?limit=1", headers={"X-Request-ID": "line.1"})

    line = line_of(shared_daemon, "line.1")

    sent = len(answer.body)
    facts = dict(fact.split("=") for fact in line.removeprefix("request ").split(" "))
    assert float(facts.pop("duration_ms")) >= float(facts.pop("response_ms")) > 0
    assert sent < int(facts.pop("sent_bytes")) < sent + 1000
    assert facts == {
        "request": "line.1",
        "address": "127.0.0.1",
        "method": "GET",
        "path": "/v1/tokens",
        "route": "/v1/tokens",
        "range": "-",
        "status": "200",
        "ending": "answered",
        "received_bytes": "0",
        "slow": "False",
        "principal": "admin",
        "dialect": "native",
    }


def test_a_line_counts_the_bytes_that_the_kernel_sent(shared_daemon: Daemon) -> None:
    with Wire(shared_daemon) as wire:
        uuid = stored(wire, random.randbytes(3 << 20)).json["uuid"]
        wire.ask("GET", f"/v1/blobs/{uuid}/data", headers={"X-Request-ID": "line.2"})

    sent = int(line_of(shared_daemon, "line.2").split("sent_bytes=")[1].split()[0])

    assert 3 << 20 < sent < (3 << 20) + 2000


def test_a_refusal_leaves_its_line_and_no_secret_is_in_it(shared_daemon: Daemon) -> None:
    headers = {"X-Request-ID": "line.3", "Authorization": "Bearer casd_wrong-secret"}
    ask(shared_daemon, "GET", "/v1/tokens?casd-signature=secret-signature", headers=headers, token=None)

    line = line_of(shared_daemon, "line.3")

    assert " dialect=native principal=- method=GET path=/v1/tokens route=/v1/tokens " in line
    assert " status=401 ending=answered " in line
    assert "casd_wrong-secret" not in shared_daemon.log
    assert "secret-signature" not in shared_daemon.log


def test_a_head_that_does_not_parse_leaves_a_line(shared_daemon: Daemon) -> None:
    with raw(shared_daemon) as connection:
        connection.send("nonsense\r\n\r\n")
        answer = connection.answer()

    assert " status=400 ending=answered " in line_of(shared_daemon, answer["X-Request-ID"] or "")


def test_a_path_forges_nothing(shared_daemon: Daemon) -> None:
    path = "/a%0A2026%20ERROR%20forged=1%1B"
    ask(shared_daemon, "GET", path, headers={"X-Request-ID": "line.4"})

    assert f" path={path} route=- range=- status=404 " in line_of(shared_daemon, "line.4")
    assert "\x1b" not in shared_daemon.log


def test_an_upload_that_hangs_up_leaves_a_line_without_a_status(shared_daemon: Daemon) -> None:
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, "POST /v1/blobs", "Content-Length: 150000", "X-Request-ID: line.5") + "x")

    assert " status=- ending=hung-up " in line_of(shared_daemon, "line.5")


def test_a_download_that_hangs_up_leaves_a_line_with_what_was_sent(shared_daemon: Daemon) -> None:
    size = 12 << 20  # more than the socket buffers of both sides hold
    with Wire(shared_daemon) as wire:
        uuid = stored(wire, bytes(size)).json["uuid"]
    with raw(shared_daemon, receive_buffer_bytes=4096) as connection:
        connection.send(head(shared_daemon, f"GET /v1/blobs/{uuid}/data", "X-Request-ID: line.6"))
        connection.head()

    line = line_of(shared_daemon, "line.6")

    assert " status=200 ending=hung-up " in line
    assert int(line.split("sent_bytes=")[1].split()[0]) < size


def test_what_is_cut_off_by_a_stop_leaves_a_line(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon(CASD_LIMITS__DRAIN_TIMEOUT_S="0.1", CASD_LOG__FORMAT="json").start()
    with raw(daemon) as connection:
        connection.send(
            head(daemon, "POST /v1/blobs", "Content-Length: 150000", "X-Request-ID: line.7") + "x" * 149_999
        )
        wait_until(lambda: incoming(daemon), "the upload is under way")

        assert daemon.stop() == 0

    lines = [json.loads(line) for line in daemon.log.splitlines()]
    (line,) = [line for line in lines if line.get("request") == "line.7"]
    assert (line["event"], line["status"], line["ending"]) == ("request", None, "cut-off")
    assert all({"time", "level", "logger", "event"} <= line.keys() for line in lines)


def test_behind_a_trusted_proxy_the_clients_own_address_is_logged(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon(CASD_SERVER__TRUSTED_PROXIES="127.0.0.1").start()

    ask(daemon, "GET", "/healthz", headers={"X-Forwarded-For": "1.2.3.4, 203.0.113.9", "X-Request-ID": "line.8"})

    assert " address=203.0.113.9 " in line_of(daemon, "line.8")
