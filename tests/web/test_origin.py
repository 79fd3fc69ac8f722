"""Who asked and by which URL: proxies are believed as far as they are trusted, clients never."""

import asyncio
import socket
import string
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from casd.web.origin import Origins
from tests.web.house import LOOPS, run_on

PROXY, INNER, CLIENT = "10.0.0.7", "10.0.0.8", "203.0.113.9"
TRUSTED = [ip_network("10.0.0.0/24"), ip_network("fd00::/8")]


def asked(peer: str | None, *headers: tuple[str, str], sockname: Any = ("192.0.2.1", 8080)) -> web.Request:
    """A request as the connection's peer sent it. A Unix socket's peer is the empty text, as in asyncio."""
    transport = Mock()
    address = None if peer is None else (peer, 1234) if peer else ""
    extra = {"peername": address, "sockname": sockname, "sslcontext": None}
    transport.get_extra_info.side_effect = extra.get
    return make_mocked_request("GET", "/v1/blobs", CIMultiDict(headers), transport=transport)


def base_url(peer: str, *headers: tuple[str, str], trusted: Sequence[Any] = TRUSTED) -> str:
    return Origins(None, trusted).base_url(asked(peer, *headers))


def address(peer: str, *headers: tuple[str, str], trusted: Sequence[Any] = TRUSTED) -> str:
    return Origins(None, trusted).client_address(asked(peer, *headers))


# -- without proxies ------------------------------------------------------------------------------------------------

FORGED = [
    ("X-Forwarded-For", "198.51.100.1"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Prefix", "/evil"),
    ("Forwarded", "for=198.51.100.1;host=evil.example;proto=https"),
]


@pytest.mark.parametrize("trusted", [[], TRUSTED, ["unix"]])
@pytest.mark.parametrize("peer", [CLIENT, "2001:db8::9"])
def test_a_peer_that_is_not_trusted_is_the_client_whatever_it_says(peer: str, trusted: Sequence[Any]) -> None:
    headers = [("Host", "casd.test:81"), *FORGED]

    assert address(peer, *headers, trusted=trusted) == peer
    assert base_url(peer, *headers, trusted=trusted) == "http://casd.test:81"


def test_a_public_url_wins_over_everything() -> None:
    request = asked(PROXY, ("Host", "casd.test"), *FORGED)

    assert Origins("https://cdn.example.org/casd", TRUSTED).base_url(request) == "https://cdn.example.org/casd"


@pytest.mark.parametrize("host", ["casd.test", "casd.test:81", "127.0.0.1:80", "[::1]:80", "[2001:DB8::1]", "a_b-c"])
def test_the_host_that_was_asked_is_kept(host: str) -> None:
    assert base_url(CLIENT, ("Host", host)) == f"http://{host}"


NO_HOSTS = [
    *("", " ", "a b", "a/b", "a?b", "a#b", "a@b", "user:secret@host", "a:b", "a:", ":80", "a:65536", "a:80:80", "a\\b"),
    *("[", "[::1", "::1", "[::1]x", "[1.2.3.4]", "[:::]", "a%20b", "ä", '"a"', "<script>", "a" * 256),
]


@pytest.mark.parametrize("host", NO_HOSTS)
def test_a_host_that_is_none_gives_way_to_the_sockets_own_address(host: str) -> None:
    assert base_url(CLIENT, ("Host", host)) == "http://192.0.2.1:8080"
    assert base_url(PROXY, ("Host", host), ("X-Forwarded-Host", host)) == "http://192.0.2.1:8080"
    assert base_url(PROXY, ("Host", "casd.test"), ("X-Forwarded-Host", host)) == "http://casd.test"


def test_two_hosts_are_none() -> None:
    assert base_url(CLIENT, ("Host", "a.example, b.example")) == "http://192.0.2.1:8080"


@pytest.mark.parametrize(
    ("sockname", "host"),
    [
        (("::1", 80, 0, 0), "[::1]:80"),
        (("fe80::1%eth0", 80, 0, 3), "[fe80::1]:80"),
        (("::ffff:192.0.2.1", 80, 0, 0), "192.0.2.1:80"),
        ("/run/casd.sock", "localhost"),
    ],
)
def test_a_request_without_a_host_came_to_the_sockets_own_address(sockname: Any, host: str) -> None:
    assert Origins().base_url(asked(CLIENT, sockname=sockname)) == f"http://{host}"


@given(st.text(string.printable, max_size=30))
@example("a:0")
def test_whatever_host_is_sent_the_base_is_a_url_with_nothing_but_a_host(host: str) -> None:
    url = urlsplit(base_url(CLIENT, ("Host", host)))

    assert (url.scheme, url.path, url.query, url.fragment, url.username) == ("http", "", "", "", None)
    assert url.hostname
    assert url.netloc in (host, "192.0.2.1:8080")
    assert url.port is None or 0 <= url.port <= 65535


# -- behind proxies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("X-Forwarded-For", CLIENT)], CLIENT),
        ([("X-Forwarded-For", f"198.51.100.1, {CLIENT}")], CLIENT),
        ([("X-Forwarded-For", f"198.51.100.1,{CLIENT} ,{INNER}")], CLIENT),
        ([("X-Forwarded-For", f"{CLIENT}:5555")], CLIENT),
        ([("X-Forwarded-For", "[2001:db8::9]:5555")], "2001:db8::9"),
        ([("X-Forwarded-For", "2001:db8::9")], "2001:db8::9"),
        ([("X-Forwarded-For", "2001:DB8:0::9, fd00::1")], "2001:db8::9"),
        ([("X-Forwarded-For", f"::ffff:{CLIENT}")], CLIENT),
        ([("X-Forwarded-For", "nobody")], PROXY),
        ([("X-Forwarded-For", f"{CLIENT}, nobody")], PROXY),
        ([("X-Forwarded-For", f"{CLIENT}, nobody, {INNER}")], INNER),
        ([("X-Forwarded-For", f"{INNER}, 10.0.0.9")], INNER),  # all are trusted: the outermost is the client
        ([("X-Forwarded-For", "")], PROXY),
        ([("X-Forwarded-For", ",")], PROXY),
        ([("Forwarded", f"for={CLIENT}")], CLIENT),
        ([("Forwarded", f'for=198.51.100.1, For="{CLIENT}:5555";proto=http')], CLIENT),
        ([("Forwarded", f'for="[2001:db8::9]:5555", for={INNER}')], "2001:db8::9"),
        ([("Forwarded", "for=unknown")], PROXY),
        ([("Forwarded", f"for={CLIENT}, for=_hidden")], PROXY),
        ([("Forwarded", "proto=https")], PROXY),
        ([("Forwarded", f'for=", for={CLIENT}')], CLIENT),  # a client opened a quotation
        ([("Forwarded", f'for=198.51.100.1;x=", for={CLIENT}, for="{INNER}"')], CLIENT),
        ([("Forwarded", f"for=198.51.100.1 nonsense, for={CLIENT}")], CLIENT),
        ([("Forwarded", f"for={CLIENT}, nonsense")], PROXY),
        ([("X-Forwarded-For", CLIENT), ("Forwarded", "for=198.51.100.1")], CLIENT),
    ],
)
def test_the_client_is_who_the_outermost_trusted_proxy_spoke_to(headers: list[tuple[str, str]], expected: str) -> None:
    assert address(PROXY, *headers) == expected


def test_a_proxy_that_connects_by_a_unix_socket_is_trusted_by_that_name() -> None:
    headers = ("X-Forwarded-For", CLIENT), ("X-Forwarded-Proto", "https"), ("Host", "casd.test")

    assert address("", *headers, trusted=["unix"]) == CLIENT
    assert base_url("", *headers, trusted=["unix"]) == "https://casd.test"
    assert address("", *headers, trusted=TRUSTED) == "unix"
    assert base_url("", *headers, trusted=TRUSTED) == "http://casd.test"


def test_a_proxy_reached_through_a_socket_for_both_kinds_of_addresses_is_trusted() -> None:
    assert address(f"::ffff:{PROXY}", ("X-Forwarded-For", CLIENT)) == CLIENT
    assert address(f"::ffff:{CLIENT}", ("X-Forwarded-For", PROXY)) == CLIENT


def test_a_client_that_is_gone_has_no_address() -> None:
    assert Origins(None, TRUSTED).client_address(asked(None, ("X-Forwarded-For", CLIENT))) == ""


BAD_PREFIXES = ["store", "//evil", "/a/../b", "/a?b", "/", "/<x>"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("X-Forwarded-Proto", "https")], "https://casd.test"),
        ([("X-Forwarded-Proto", "HTTPS")], "https://casd.test"),
        ([("X-Forwarded-Proto", "javascript")], "http://casd.test"),
        ([("X-Forwarded-Host", "cdn.example:444")], "http://cdn.example:444"),
        ([("X-Forwarded-Host", "evil.example, cdn.example"), ("X-Forwarded-For", CLIENT)], "http://cdn.example"),
        ([("X-Forwarded-Prefix", "/store/")], "http://casd.test/store"),
        ([("X-Forwarded-Prefix", "/a/b%20c")], "http://casd.test/a/b%20c"),
        *(([("X-Forwarded-Prefix", bad)], "http://casd.test") for bad in BAD_PREFIXES),
        ([("Forwarded", "proto=https;host=cdn.example")], "https://cdn.example"),
        ([("Forwarded", 'for=unknown;host="cdn.example:444";proto=https')], "https://cdn.example:444"),
        ([("Forwarded", 'host="a b"')], "http://casd.test"),
        # Two proxies: what the outer one was asked counts, and not what it asked of the inner one.
        (
            [("Forwarded", f"host=evil.example, for={CLIENT};host=cdn.example;proto=https, for={INNER};host=in")],
            "https://cdn.example",
        ),
        (
            [
                ("X-Forwarded-For", f"198.51.100.1, {CLIENT}, {INNER}"),
                ("X-Forwarded-Host", "evil.example, cdn.example, in"),
                ("X-Forwarded-Proto", "http, https, http"),
            ],
            "https://cdn.example",
        ),
        (
            [("X-Forwarded-For", f"{CLIENT}, {INNER}"), ("X-Forwarded-Host", "cdn.example")],
            "http://cdn.example",
        ),
    ],
)
def test_links_begin_as_the_outermost_trusted_proxy_was_asked(headers: list[tuple[str, str]], expected: str) -> None:
    assert base_url(PROXY, ("Host", "casd.test"), *headers) == expected


ADDRESSES = st.ip_addresses()
INSIDE = st.integers(1, 254).map(lambda last: f"10.0.0.{last}")
NOISE = st.text(string.ascii_letters + string.digits + '.:[]"=;,_- \\%', max_size=40)


def is_trusted(text: str) -> bool:
    return any(ip_address(text) in network for network in TRUSTED)


def as_node(text: str) -> str:
    return f'"[{text}]"' if ":" in text else text


@given(
    noise=NOISE,
    client=ADDRESSES.filter(lambda found: not is_trusted(str(found)) and getattr(found, "ipv4_mapped", None) is None),
    proxies=st.lists(INSIDE, max_size=4),
    is_standard=st.booleans(),
)
def test_nothing_that_a_client_writes_hides_it_behind_proxies_that_append(
    noise: str, client: Any, proxies: list[str], is_standard: bool
) -> None:
    """Each proxy appends whom it got the request from; the last is our peer."""
    seen = [str(client), *proxies]
    appended = [f"for={as_node(found)}" if is_standard else found for found in seen]
    name = "Forwarded" if is_standard else "X-Forwarded-For"

    found = address(PROXY, (name, ", ".join([noise, *appended])))

    assert found == str(client)


@given(st.text(string.printable, max_size=200), st.sampled_from([name for name, _ in FORGED]))
def test_nothing_in_a_header_breaks_it(text: str, name: str) -> None:
    headers = ("Host", "casd.test"), (name, text)

    url = urlsplit(base_url(PROXY, *headers))

    assert url.scheme in ("http", "https")
    assert url.hostname
    assert (url.query, url.fragment, url.username) == ("", "", None)
    assert ip_address(address(PROXY, *headers))


@pytest.mark.parametrize("loop", LOOPS)
def test_a_unix_sockets_peer_looks_alike_on_both_loops(loop: str, tmp_path: Path) -> None:
    async def seen() -> str:
        found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def handler(request: web.BaseRequest) -> web.Response:
            found.set_result(Origins().client_address(request))
            return web.Response()

        runner = web.ServerRunner(web.Server(handler))
        await runner.setup()
        await web.UnixSite(runner, str(tmp_path / "socket")).start()
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, str(tmp_path / "socket"))
            await asyncio.get_running_loop().sock_sendall(client, b"GET / HTTP/1.0\r\n\r\n")
            address = await asyncio.wait_for(found, 30)
        await runner.cleanup()
        return address

    assert run_on(loop, seen()) == "unix"


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (CLIENT, CLIENT),
        (f"::ffff:{CLIENT}", CLIENT),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (PROXY, ""),
        ("fd00::7", ""),
        (f"::ffff:{PROXY}", ""),
        ("", ""),
    ],
)
def test_what_connections_are_counted_by(peer: str, expected: str) -> None:
    """An IPv6 customer has a network of addresses; a trusted proxy's connections are those of all its clients."""
    assert Origins(None, TRUSTED).counted(peer) == expected
