"""`artifact cache`: a URL is fetched from hosts that are listed, wholly or not at all, and from no other."""

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from yarl import URL

from casd.dialects.shakenfist.fetching import AT_ONCE, Fetch, Fetches
from casd.errors import TooManyFetches
from casd.model import Naming
from casd.web.keys import Limits
from tests.conftest import Daemon
from tests.dialects.shakenfist.conftest import Client
from tests.dialects.shakenfist.test_shakenfist import access, made, refusal
from tests.dialects.shakenfist.upstream import Upstream
from tests.web.house import open_house
from tests.web.party import Party
from tests.web.wire import Answer, Wire, has_payload, head, incoming, raw, wait_until

LIMITS = Limits(max_body_bytes=1 << 30, body_idle_timeout_s=60, signed_url_max_s=60)
DISK = b"a disk image " * 100_000


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def fetching(
    request: pytest.FixtureRequest, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """A daemon that may fetch from upstream, by its address; by `localhost` it may not."""
    settings = {
        "CASD_SERVER__EVENT_LOOP": request.param,
        "CASD_SHAKENFIST__CACHE_HOSTS": f"127.0.0.1:{upstream.port}, listed.invalid, [::1]:1",
        "CASD_LIMITS__MAX_BODY_BYTES": "2000000",
    }
    daemon = Daemon(tmp_path_factory.mktemp("fetching") / "data", settings).start()
    yield daemon
    assert daemon.stop() == 0, daemon.log


@pytest.fixture
def we(fetching: Daemon) -> Iterator[Party]:
    party = Party(fetching)
    party.settings()
    yield party
    assert incoming(fetching) == []
    party.close()


def cache(wire: Wire, url: object, **more: object) -> Answer:
    return wire.ask("POST", "/artifacts", {"url": url, "shared": False, "namespace": None} | more)


def asking_for(daemon: Daemon, url: str, token: str) -> str:
    body = json.dumps({"url": url})
    return head(daemon, "POST /artifacts", f"Content-Length: {len(body)}", token=token) + body


def put(upstream: Upstream, path: str, body: bytes) -> str:
    upstream.bodies[path] = body
    return upstream.url + path


# -- what is fetched ------------------------------------------------------------------------------------------------


def test_what_is_at_a_url_becomes_an_artifact_that_remembers_it(we: Party, upstream: Upstream) -> None:
    data = DISK + we.namespace.encode()
    url = put(upstream, f"/{we.namespace}/disk%20one.qcow2", data)

    view = cache(we.writer, f"{url}?token=1#top").json

    assert (view["name"], view["index"], view["max_versions"]) == ("disk one.qcow2", 1, 3)
    assert (view["source_url"], view["shared"]) == (f"{url}?token=1#top", False)
    blob = we.writer.ask("GET", f"/v1/blobs/{view['blob_uuid']}").json
    assert (blob["size"], blob["content_type"]) == (len(data), "application/x-qemu-disk")
    assert blob["filename"] == "disk one.qcow2"
    assert we.writer.ask("GET", f"/blobs/{view['blob_uuid']}/data").body == data
    assert has_payload(we.daemon, data)


def test_an_encoded_slash_makes_no_folder_in_a_file_s_name(we: Party, upstream: Upstream) -> None:
    view = cache(we.writer, put(upstream, "/x/..%2Fetc%2fpasswd", b"x")).json

    blob = we.writer.ask("GET", f"/v1/blobs/{view['blob_uuid']}").json
    assert (view["name"], blob["filename"]) == ("passwd", "passwd")


@pytest.mark.parametrize("segment", ["a%0D%0Ab", "a%1B%5B2Jb", "a%00b", "a" * 1025])
def test_what_is_no_file_s_name_in_a_url_does_not_become_one(we: Party, upstream: Upstream, segment: str) -> None:
    url = put(upstream, f"/{we.namespace}/{segment}", b"new")
    older = made(we.writer, "disk", b"old", source_url=url)  # so that the segment does not become an artifact's name

    view = cache(we.writer, url).json

    assert (view["uuid"], view["index"]) == (older["uuid"], 2)
    assert we.writer.ask("GET", f"/v1/blobs/{view['blob_uuid']}").json["filename"] is None


def test_equal_bytes_add_no_version_and_others_do(we: Party, upstream: Upstream) -> None:
    url = put(upstream, f"/{we.namespace}/disk", b"one")

    first, again = cache(we.writer, url).json, cache(we.writer, url).json
    put(upstream, f"/{we.namespace}/disk", b"two")
    second = cache(we.writer, url).json

    assert again == first
    assert (second["uuid"], second["index"], sorted(second["blobs"])) == (first["uuid"], 2, ["1", "2"])


def test_an_artifact_of_that_name_from_elsewhere_is_left_alone(we: Party, upstream: Upstream) -> None:
    other = made(we.writer, "disk", b"ours")
    url = put(upstream, "/pub/disk", b"theirs")

    view = cache(we.writer, url).json

    assert (view["name"], view["uuid"] == other["uuid"]) == ("127.0.0.1/pub/disk", False)
    assert we.writer.ask("GET", "/artifacts/disk").json == other
    refusal(cache(we.writer, f"{url}?another"), 409)


def test_nothing_at_all_is_fetched_too(we: Party, upstream: Upstream) -> None:
    view = cache(we.writer, put(upstream, "/", b"")).json

    assert (view["name"], view["blobs"]["1"]["size"]) == ("127.0.0.1", 0)


def test_chunks_tell_where_a_body_ends(we: Party, upstream: Upstream) -> None:
    view = cache(we.writer, put(upstream, "/chunked/whole", DISK)).json

    assert view["blobs"]["1"]["size"] == len(DISK)


def test_redirects_are_followed_to_listed_hosts(we: Party, upstream: Upstream) -> None:
    put(upstream, "/disk", b"at last")

    view = cache(we.writer, f"{upstream.url}/again/4").json

    assert (view["name"], view["source_url"]) == ("4", f"{upstream.url}/again/4")
    assert we.writer.ask("GET", f"/blobs/{view['blob_uuid']}/data").body == b"at last"


def test_nothing_that_upstream_said_or_a_client_has_is_sent_along(we: Party, upstream: Upstream) -> None:
    url = put(upstream, f"/redirect/{we.namespace}", b"")
    cache(we.writer, f"{url}?to={quote(put(upstream, '/cookie', b'x'))}")

    sent = upstream.heads["/cookie"]

    assert set(sent) == {"Host", "Accept", "Accept-Encoding", "User-Agent"}
    assert (sent["Accept-Encoding"], sent["User-Agent"]) == ("identity", "casd")


def test_all_who_ask_at_once_get_the_same_and_hanging_up_ends_nothing(we: Party, upstream: Upstream) -> None:
    path = f"/waits/{we.namespace}"
    url = put(upstream, path, DISK)
    token = we.token("writer")
    upstream.go_on.clear()
    with raw(we.daemon) as gone:
        gone.send(asking_for(we.daemon, url, token))
        wait_until(lambda: upstream.asked[path] == 1, "it is being fetched")

    with ThreadPoolExecutor() as pool, Wire(we.daemon, token) as one, Wire(we.daemon, token) as another:
        asking = [pool.submit(cache, wire, url) for wire in (one, another)]
        assert we.reader.ask("GET", "/artifacts").json == []  # nothing is half visible
        upstream.go_on.set()
        views = [future.result().json for future in asking]

    assert views[0] == views[1]
    assert views[0]["index"] == 1


def test_a_fetch_whose_client_hung_up_ends_in_its_artifact(we: Party, upstream: Upstream) -> None:
    path = f"/waits/{we.namespace}-alone"
    url = put(upstream, path, b"12")
    upstream.go_on.clear()
    with raw(we.daemon) as gone:
        gone.send(asking_for(we.daemon, url, we.token("writer")))
        wait_until(lambda: upstream.asked[path] == 1, "it is being fetched")

    upstream.go_on.set()

    wait_until(lambda: len(we.writer.ask("GET", "/artifacts").json) == 1, "it is there")


def test_an_administrator_fetches_for_others_and_shares(we: Party, upstream: Upstream) -> None:
    url = put(upstream, f"/{we.namespace}/shared", b"x")
    we.admin.ask("POST", "/auth/namespaces", {"namespace": "system"})

    refusal(cache(we.writer, url, shared=True), 403)
    refusal(cache(we.writer, url, namespace="system"), 404)
    refusal(cache(we.reader, url), 403)
    with access(we.daemon, "system", we.daemon.token) as system:
        assert cache(system, url, namespace=we.namespace).json["namespace"] == we.namespace
        shared = cache(system, url, shared=True).json
        assert we.reader.ask("GET", f"/artifacts/{shared['uuid']}").json["shared"] is True
        system.ask("DELETE", f"/artifacts/{shared['uuid']}")


async def test_equal_fetches_at_once_are_one(tmp_path: Path, upstream: Upstream) -> None:
    url = URL(put(upstream, "/waits/joined", DISK))
    upstream.go_on.set()
    async with open_house(tmp_path) as house:
        fetches = Fetches(house.store, LIMITS)
        fetch, other = (Fetch(house.principal, url, "default", name, Naming()) for name in ("a", "b"))

        await asyncio.gather(*(fetches.run(wanted) for wanted in (fetch, fetch, other, fetch)))

        assert upstream.asked["/waits/joined"] == 2
        version, _ = await house.store.readable_version(house.principal, "default", "a")
        assert version.number == 1


async def test_only_so_many_are_under_way(tmp_path: Path, upstream: Upstream) -> None:
    url = URL(put(upstream, "/waits/many", DISK))
    upstream.go_on.clear()
    async with open_house(tmp_path) as house:
        fetches = Fetches(house.store, LIMITS)
        wanted = [Fetch(house.principal, url, "default", f"{number}", Naming()) for number in range(AT_ONCE + 1)]
        running = [asyncio.create_task(fetches.run(fetch)) for fetch in wanted[:AT_ONCE]]
        await asyncio.sleep(0)  # each has begun

        with pytest.raises(TooManyFetches):
            await fetches.run(wanted[AT_ONCE])

        upstream.go_on.set()
        await asyncio.gather(*running)
        await fetches.run(wanted[AT_ONCE])


# -- what is not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://127.0.0.1/disk",
            "http://127.0.0.1:1/disk",
            "http://localhost:{port}/disk",
            "http://127.1:{port}/disk",
        ),
        *("https://127.0.0.1/disk", "http://listed.invalid:{port}/", "https://listed.invalid:80/", "http://[::1]/"),
        *("http://listed.invalid.:80/", "http://a.listed.invalid/", "http://2130706433:{port}/", "http://unlisted/"),
        "http://[::ffff:127.0.0.1]:{port}/",
        *("ftp://127.0.0.1:{port}/disk", "file:///etc/passwd", "//127.0.0.1:{port}/disk", "/disk", "disk", ""),
        *("http://user@127.0.0.1:{port}/", "http://u:secret@127.0.0.1:{port}/", "http://:p@127.0.0.1:{port}/"),
        *("http://127.0.0.1:{port}@unlisted/", "http://unlisted#@127.0.0.1:{port}/", "http://127.0.0.1:99999/"),
        *("http://unlisted\\@127.0.0.1:{port}/", "http://[::1", "http://127.0.0.1:{port}\r\n/", "http:///disk"),
        *(
            "http://127.0.0.1:{port}/..%2f%2e%2e",
            "http://127.0.0.1:{port}/%00",
            "http://127.0.0.1:{port}/" + "x" * 4096,
        ),
        *(None, 1, ["http://127.0.0.1:{port}/disk"], {"a": 1}),
    ],
)
def test_what_is_no_url_of_a_listed_host_is_refused(we: Party, upstream: Upstream, url: object) -> None:
    asked = upstream.asked.total()

    text = refusal(cache(we.writer, url.format(port=upstream.port) if isinstance(url, str) else url), 400)

    assert "secret" not in text
    assert upstream.asked.total() == asked
    assert we.writer.ask("GET", "/artifacts").json == []


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/status/404", 502, "404"),
        ("/status/500", 502, "500"),
        ("/status/204", 502, "204"),
        ("/status/206", 502, "206"),
        ("/status/304", 502, "304"),
        ("/redirect?to=http://localhost/", 400, "localhost:80"),
        ("/redirect?to=http://localhost:{port}/disk", 400, "localhost:{port}"),
        ("/redirect?to=//169.254.169.254/latest", 400, "169.254.169.254:80"),
        ("/redirect?to=file:///etc/passwd", 400, "http or https"),
        ("/redirect?to=http://[", 502, "no URL"),
        ("/redirect?to=http://u:p@127.0.0.1:{port}/disk", 400, "credentials"),
        ("/again/5", 502, "more than 5 redirects"),
        ("/short", 502, "before all"),
        ("/chunked/cut", 502, "before all"),
        ("/lengthless", 502, "how long"),
        ("/gzip", 502, "Content-Encoding"),
        ("/garbage", 502, "did not answer as it should"),
    ],
)
def test_what_does_not_come_whole_is_not_there(
    we: Party, upstream: Upstream, path: str, status: int, said: str
) -> None:
    upstream.bodies |= dict.fromkeys(("/short", "/chunked/cut", "/lengthless", "/gzip", "/disk"), b"abc" * 1000)

    text = refusal(cache(we.writer, upstream.url + path.format(port=upstream.port)), status)

    assert said.format(port=upstream.port) in text
    assert we.writer.ask("GET", "/artifacts").json == []
    assert we.writer.ask("GET", f"/v1/blobs?namespace={we.namespace}").json["items"] == []


@pytest.mark.parametrize("path", ["/large", "/chunked/whole"])
def test_what_is_larger_than_a_body_may_be_is_refused(we: Party, upstream: Upstream, path: str) -> None:
    refusal(cache(we.writer, put(upstream, path, bytes(2_000_001))), 413)

    assert we.writer.ask("GET", "/artifacts").json == []


@pytest.mark.parametrize("url", ["http://listed.invalid/disk", "http://[::1]:1/disk"])
def test_a_host_that_is_not_there_is_told(we: Party, url: str) -> None:
    assert "cannot be reached" in refusal(cache(we.writer, url), 502)


def test_who_sends_nothing_for_too_long_is_given_up(new_daemon: Callable[..., Daemon], upstream: Upstream) -> None:
    settings = {"CASD_SHAKENFIST__CACHE_HOSTS": f"127.0.0.1:{upstream.port}", "CASD_LIMITS__BODY_IDLE_TIMEOUT_S": "0.2"}
    daemon = new_daemon(**settings).start()
    upstream.go_on.clear()

    with Wire(daemon) as wire:
        text = refusal(cache(wire, put(upstream, "/waits/for_ever", DISK)), 504)
        upstream.go_on.set()

        assert "sent nothing for 0.2 s" in text
        assert wire.ask("GET", "/artifacts").json == []
    assert incoming(daemon) == []
    assert daemon.stop() == 0


def test_a_stop_gives_up_what_is_being_fetched(new_daemon: Callable[..., Daemon], upstream: Upstream) -> None:
    settings = {"CASD_SHAKENFIST__CACHE_HOSTS": f"127.0.0.1:{upstream.port}", "CASD_LIMITS__DRAIN_TIMEOUT_S": "0"}
    daemon = new_daemon(**settings).start()
    url = put(upstream, "/waits/stop", DISK)
    upstream.go_on.clear()
    with raw(daemon) as connection:
        connection.send(asking_for(daemon, url, daemon.token))
        wait_until(lambda: upstream.asked["/waits/stop"] == 1, "it is being fetched")

        assert daemon.stop() == 0

    upstream.go_on.set()
    assert incoming(daemon) == []
    assert "Traceback" not in daemon.log


def test_nothing_is_fetched_unless_hosts_are_listed(us: Party, upstream: Upstream) -> None:
    asked = upstream.asked.total()

    assert "cache_hosts is empty" in refusal(cache(us.writer, f"{upstream.url}/disk"), 400)

    assert upstream.asked.total() == asked


# -- the clients ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.8.3", "0.7.9"])
def test_the_clients_cache_and_tell_what_is_refused(
    we: Party, upstream: Upstream, install: Callable[[str], Path], tmp_path: Path, version: str
) -> None:
    client = Client(install(version), tmp_path, we.daemon.url, we.namespace, we.token("writer"))
    url = put(upstream, f"/{we.namespace}/image", DISK)
    put(upstream, "/short", DISK)
    code = """
view = client.cache_artifact(url)
result = [view["index"], view["source_url"], view["blobs"]["1"]["size"],
  [outcome(client.cache_artifact, host + path) for path in ("/status/404", "/short")],
  outcome(client.cache_artifact, "http://unlisted/")]
"""

    result = client.result(code, url=url, host=upstream.url)
    listed = replace(client).command("artifact", "cache", url)

    failed = ["APIException", 502]
    assert result == [1, url, len(DISK), [failed, failed], ["RequestMalformedException", 400]]
    assert listed.returncode == 0, listed.stderr
