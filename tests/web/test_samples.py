"""`GET /v1/samples`: how the daemon stood each minute of the last day. In this process, so that the clock can move."""

import asyncio
import http.client
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from casd.dialects.deeplake import DEEPLAKE
from casd.dialects.native import NATIVE
from casd.web.metrics import quantile
from casd.web.samples import KEPT, Samples
from tests.conftest import Daemon
from tests.fakes import NOW, Clock
from tests.web.house import House, open_house, run_on
from tests.web.wire import PATIENCE_S, Wire, ask, wait_until

GAUGES = {
    *("logical_bytes", "physical_bytes", "free_bytes", "reserve_bytes", "transfers", "connections"),
    *("commit_p50_s", "commit_p95_s", "quarantined", "oldest_check_s", "uploads_open"),
}
MOVED = {
    f"{what}.{dialect}" for what in ("requests", "received_bytes", "sent_bytes") for dialect in ("native", "deeplake")
}

Fetch = Callable[..., Awaitable[Any]]


def told(tmp_path: Path, story: Callable[[House, Fetch, Clock], Awaitable[None]]) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with open_house(tmp_path / "house", dialects=(NATIVE, DEEPLAKE), now=clock) as house:
            connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=PATIENCE_S)

            def ask_now(method: str, target: str, body: bytes | None) -> Any:
                connection.request(method, target, body, house.headers)
                response = connection.getresponse()
                text = response.read()
                assert response.status < 300, text
                return json.loads(text)

            async def fetch(target: str, method: str = "GET", body: bytes | None = None) -> Any:
                answer = await asyncio.to_thread(ask_now, method, target, body)
                while house.traffic.busy:  # a client has its answer a little before the request has ended
                    await asyncio.sleep(0)
                return answer

            try:
                await story(house, fetch, clock)
            finally:
                connection.close()

    run_on("asyncio", scenario())


def test_each_sample_is_a_row_over_all_series(tmp_path: Path) -> None:
    async def story(house: House, fetch: Fetch, clock: Clock) -> None:
        await fetch("/v1/blobs", "POST", bytes(1000))
        await fetch("/v1/blobs", "POST", bytes(1000))
        await house.metrics.sample()
        clock.move(seconds=60)
        await house.metrics.sample()

        found = await fetch("/v1/samples")

        assert found["interval_s"] == 60
        assert found["times"] == ["2100-01-01T00:00:00.000000Z", "2100-01-01T00:01:00.000000Z"]
        series = found["series"]
        assert set(series) == GAUGES | MOVED
        assert {len(column) for column in series.values()} == {2}
        assert (series["logical_bytes"][0], series["physical_bytes"][0]) == (2000, 1000)
        assert series["connections"] == [1, 1]
        assert series["requests.native"] == [2, 0]
        assert series["requests.deeplake"] == [0, 0]
        assert series["received_bytes.native"] == [2000, 0]
        assert series["sent_bytes.native"][0] > 500
        assert series["sent_bytes.native"][1] == 0

    told(tmp_path, story)


def test_what_could_not_be_had_is_null(tmp_path: Path) -> None:
    async def story(house: House, fetch: Fetch, clock: Clock) -> None:
        await fetch("/v1/blobs", "POST", b"abc")
        await house.metrics.sample()
        await house.metrics.sample()

        series = (await fetch("/v1/samples"))["series"]

        assert series["commit_p50_s"][0] > 0
        assert series["commit_p95_s"][0] >= series["commit_p50_s"][0]
        assert series["commit_p50_s"][1] is None  # nothing was committed between the two

    told(tmp_path, story)


def test_samples_are_told_from_a_time_on(tmp_path: Path) -> None:
    async def story(house: House, fetch: Fetch, clock: Clock) -> None:
        for _ in range(3):
            await house.metrics.sample()
            clock.move(seconds=60)
        first, second, third = (await fetch("/v1/samples"))["times"]

        assert (await fetch(f"/v1/samples?since={first}"))["times"] == [second, third]
        later = await fetch(f"/v1/samples?since={third}")

        assert later["times"] == []
        assert set(map(len, later["series"].values())) == {0}

    told(tmp_path, story)


def test_a_day_is_kept_and_no_more() -> None:
    samples = Samples(("x",))

    for number in range(KEPT + 10):
        samples.add(NOW, {"x": number})

    kept = samples.since(None)
    assert (len(kept), kept[0].values, kept[-1].values) == (1440, (10,), (1449,))


def test_what_moves_in_a_request_under_way_counts_already(tmp_path: Path) -> None:
    async def story(house: House, fetch: Fetch, clock: Clock) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        try:
            head = f"POST /v1/blobs HTTP/1.1\r\nHost: x\r\nAuthorization: {house.headers['Authorization']}\r\n"
            writer.write(f"{head}Content-Length: 1000\r\n\r\n".encode() + bytes(400))
            async with asyncio.timeout(PATIENCE_S):
                while house.metrics.moved()["native"].received_bytes < 400:
                    await asyncio.sleep(0)
                early = house.metrics.moved()["native"]
                writer.write(bytes(600))
                assert b" 201 " in await reader.readline()
                while house.metrics.moved()["native"].requests < 1:
                    await asyncio.sleep(0)
        finally:
            writer.close()
            await writer.wait_closed()

        assert (early.requests, early.received_bytes) == (0, 400)
        assert house.metrics.moved()["native"].received_bytes == 1000

    told(tmp_path, story)


def test_a_quantile_is_a_value_that_there_was() -> None:
    assert quantile([0.001, 0.002, 0.003], 0.5) == 0.002
    assert quantile([0.001, 0.002, 0.003], 0.95) == 0.003
    assert quantile([0.005], 0.5) == 0.005


def test_samples_are_for_admins_and_of_now(shared_daemon: Daemon) -> None:
    with Wire(shared_daemon) as admin:
        body = {"name": "reader", "role": "reader", "namespaces": ["shelf"]}
        token = admin.ask("POST", "/v1/tokens", body).json["token"]
        wait_until(lambda: admin.ask("GET", "/v1/samples").json["times"], "the first is taken, at the start")
        found = admin.ask("GET", "/v1/samples").json
        wrong = admin.ask("GET", "/v1/samples?since=yesterday")

    assert {"requests.tus", "requests.shakenfist", "sent_bytes.craftai"} <= set(found["series"])
    assert (wrong.status, wrong.code) == (400, "invalid-input")
    assert ask(shared_daemon, "GET", "/v1/samples", token=token).status == 403
    assert ask(shared_daemon, "GET", "/v1/samples", token=None).status == 401
