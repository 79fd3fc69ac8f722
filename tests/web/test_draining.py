"""The end of the daemon, as connections see it that have just been made, and readiness."""

import asyncio
import http.client
from pathlib import Path

import pytest

from casd.web import traffic as traffic_module
from tests.web.house import House, open_house, run_on
from tests.web.wire import PATIENCE_S, wait_until


def connected(house: House) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=PATIENCE_S)
    connection.connect()
    return connection


def answered(connection: http.client.HTTPConnection, target: str) -> tuple[int, str | None, bytes]:
    connection.request("GET", target)
    response = connection.getresponse()
    return response.status, response.getheader("Connection"), response.read()


def test_who_had_connected_before_the_drain_is_answered(
    tmp_path: Path, loop_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic_module, "FIRST_REQUEST_S", PATIENCE_S)

    async def scenario() -> tuple[int, str | None, bytes]:
        async with open_house(tmp_path / "house") as house:
            connection = await asyncio.to_thread(connected, house)
            await asyncio.to_thread(wait_until, lambda: bool(house.traffic.connections), "it is taken")

            draining = asyncio.create_task(house.traffic.drain(PATIENCE_S))
            found = await asyncio.to_thread(answered, connection, "/readyz")

            assert await draining
            connection.close()
            return found

    status, kept, body = run_on(loop_name, scenario())

    assert (status, kept) == (503, "close")
    assert b'"code":"draining"' in body


def test_who_says_nothing_does_not_hold_up_a_drain(
    tmp_path: Path, loop_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic_module, "FIRST_REQUEST_S", 0.01)

    async def scenario() -> bytes:
        async with open_house(tmp_path / "house") as house:
            connection = await asyncio.to_thread(connected, house)
            await asyncio.to_thread(wait_until, lambda: bool(house.traffic.connections), "it is taken")

            assert await house.traffic.drain(PATIENCE_S)

            assert connection.sock is not None
            found = await asyncio.to_thread(connection.sock.recv, 1)
            connection.close()
            return found

    assert run_on(loop_name, scenario()) == b""
