"""What ends by the clock ends at its time, whether upkeep ran or not: the application in this process, time moved."""

import asyncio
import http.client
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from casd.dialects.deeplake import DEEPLAKE
from casd.dialects.native import NATIVE
from tests.fakes import Clock
from tests.web.house import open_house, run_on
from tests.web.wire import PATIENCE_S

Ask = Callable[..., Awaitable[tuple[int, Any]]]


def told(tmp_path: Path, story: Callable[[Ask, Clock], Awaitable[None]]) -> None:
    """Run `story` with something to ask and a clock to move."""

    async def scenario() -> None:
        clock = Clock()
        async with open_house(tmp_path / "house", dialects=(NATIVE, DEEPLAKE), now=clock) as house:
            connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=PATIENCE_S)

            def fetch(method: str, target: str, body: Any, token: str | None) -> tuple[int, Any]:
                data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
                headers = house.headers if token is None else {"Authorization": f"Bearer {token}"}
                connection.request(method, target, data, headers)
                response = connection.getresponse()
                text = response.read()
                return response.status, json.loads(text) if "json" in response.headers.get_content_type() else text

            async def ask(method: str, target: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
                return await asyncio.to_thread(fetch, method, target, body, token)

            try:
                await story(ask, clock)
            finally:
                connection.close()

    run_on("asyncio", scenario())


@pytest.mark.parametrize("lifetime_s", [1, 60, 1.5])
def test_a_token_opens_nothing_from_its_expiry_on(tmp_path: Path, lifetime_s: float) -> None:
    async def story(ask: Ask, clock: Clock) -> None:
        body = {"name": "short", "role": "reader", "namespaces": ["default"], "expires_in": lifetime_s}
        _, made = await ask("POST", "/v1/tokens", body)

        assert (await ask("GET", "/v1/blobs", token=made["token"]))[0] == 200
        clock.move(seconds=lifetime_s, microseconds=-1)
        assert (await ask("GET", "/v1/blobs", token=made["token"]))[0] == 200
        clock.move(microseconds=1)
        status, problem = await ask("GET", "/v1/blobs", token=made["token"])

        assert (status, problem["code"]) == (401, "unauthenticated")

    told(tmp_path, story)


def test_a_blob_is_gone_from_its_expiry_on(tmp_path: Path) -> None:
    async def story(ask: Ask, clock: Clock) -> None:
        _, blob = await ask("POST", "/v1/blobs?expires_in=60", b"short-lived")
        url = f"/v1/blobs/{blob['uuid']}"
        one = [url, f"{url}/data", f"{url}/metadata", f"/v1/payloads/sha512/{blob['sha512']}"]
        many = ["/v1/blobs", f"/v1/checksums/sha512/{blob['sha512']}"]

        clock.move(seconds=60, microseconds=-1)
        assert {(await ask("GET", path))[0] for path in one} == {200}
        assert {len((await ask("GET", path))[1]["items"]) for path in many} == {1}
        clock.move(microseconds=1)

        assert {(await ask("GET", path))[0] for path in one} == {404}
        assert {len((await ask("GET", path))[1]["items"]) for path in many} == {0}
        assert (await ask("DELETE", url))[0] == 404
        assert (await ask("PUT", f"/v1/names/default/x?blob={blob['uuid']}"))[0] == 404

    told(tmp_path, story)


def test_a_blob_that_a_version_holds_outlives_its_expiry(tmp_path: Path) -> None:
    async def story(ask: Ask, clock: Clock) -> None:
        _, blob = await ask("POST", "/v1/blobs?expires_in=60", b"held")
        await ask("PUT", f"/v1/names/default/x?blob={blob['uuid']}")
        clock.move(hours=1)

        _, kept = await ask("GET", f"/v1/blobs/{blob['uuid']}")

        assert (kept["expires_at"], kept["holds_itself"]) == (None, False)
        assert await ask("GET", f"/v1/blobs/{blob['uuid']}/data") == (200, b"held")
        assert (await ask("POST", "/v1/upkeep/expire"))[1] == {
            "blobs": 1,
            "names": 0,
            "versions": 0,
            "uploads": 0,
            "tokens": 0,
        }
        assert (await ask("GET", f"/v1/blobs/{blob['uuid']}"))[1] == kept

    told(tmp_path, story)


@pytest.mark.parametrize("upkeep_ran", [True, False])
def test_a_file_of_deep_lake_is_gone_from_its_expiry_on_though_a_version_holds_it(
    tmp_path: Path, upkeep_ran: bool
) -> None:
    async def story(ask: Ask, clock: Clock) -> None:
        _, blob = await ask("POST", "/v1/blobs?expires_in=60", b"held")
        await ask("PUT", f"/v1/names/default/x?blob={blob['uuid']}")
        url = f"/workspaces/default/files/{blob['uuid']}"
        assert await ask("GET", f"{url}/content") == (200, b"held")

        clock.move(seconds=60)
        if upkeep_ran:
            await ask("POST", "/v1/upkeep/expire")

        for method, path in (("GET", url), ("GET", f"{url}/content"), ("DELETE", url)):
            assert (await ask(method, path))[0] == 404
        assert await ask("GET", "/v1/names/default/x") == (200, b"held")

    told(tmp_path, story)


def test_versions_keep_apart_though_the_clock_stands_still_or_goes_back(tmp_path: Path) -> None:
    async def story(ask: Ask, clock: Clock) -> None:
        for number in range(1, 6):
            assert (await ask("PUT", "/v1/names/default/x", b"%d" % number))[0] == 201
            clock.move(seconds=-1 if number == 3 else 0)

        _, listed = await ask("GET", "/v1/versions/default/x")

        times = [version["created_at"] for version in listed["items"]]
        assert times == sorted(set(times))
        for number, time in enumerate(times, start=1):
            assert await ask("GET", f"/v1/names/default/x?as_of={time}") == (200, b"%d" % number)

    told(tmp_path, story)
