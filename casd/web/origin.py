"""Where a request comes from and by which URL it reached us, through proxies that are trusted and past all others.

A header on a forwarded request is whatever the client wrote, unless the peer is a proxy that we were told to trust
(`[server] trusted_proxies`). A proxy in front must set or drop both kinds, X-Forwarded-* and Forwarded; where both
come, X-Forwarded-* counts: nearly all proxies write it, and hand a client's Forwarded through as it is.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal, TypeAlias

from aiohttp import web

Address: TypeAlias = IPv4Address | IPv6Address
Proxy: TypeAlias = IPv4Network | IPv6Network | Literal["unix"]

# Whoever forwards a request writes one of these, trusted or not.
FORWARDING = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via")
UNIX = "unix"  # who connects by a Unix socket has no address
_HOST = re.compile(
    r"(?P<name>[A-Za-z0-9._-]{1,255}|\[(?P<v6>[0-9A-Fa-f:.]{2,45})\])(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+", re.ASCII)
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR = rf'({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*")'
_PAIRS = re.compile(_PAIR)
_ELEMENT = re.compile(rf"[ \t]*({_PAIR}(?:[ \t]*;[ \t]*{_PAIR})*)[ \t]*(?:,|\Z)")


@dataclass(frozen=True, slots=True)
class Hop:
    """What one proxy says of the request that it got; empty where it says nothing."""

    address: str = ""
    scheme: str = ""
    host: str = ""
    prefix: str = ""


class Origins:
    """Answers both questions for a request, by what the configuration says about proxies."""

    def __init__(self, public_url: str | None = None, trusted_proxies: Iterable[Proxy] = ()) -> None:
        """`public_url` is absolute, without a slash at its end."""
        proxies = tuple(trusted_proxies)
        self._public_url = public_url
        self._networks = tuple(proxy for proxy in proxies if not isinstance(proxy, str))
        self._is_unix_trusted = UNIX in proxies

    def base_url(self, request: web.BaseRequest) -> str:
        """The URL that the client put before our paths, without a slash at its end.

        `public_url`, else scheme and host as the client wrote them; where that is no host, the socket's own address.
        """
        if self._public_url is not None:
            return self._public_url
        hop = self._outermost(request)
        scheme = hop.scheme.lower() if hop.scheme.lower() in ("http", "https") else request.scheme
        host = next((host for host in (hop.host, request.headers.get("Host", "")) if is_host(host)), None)
        prefix = hop.prefix.rstrip("/")
        return f"{scheme}://{host or own_host(request)}{prefix if is_prefix(prefix) else ''}"

    def client_address(self, request: web.BaseRequest) -> str:
        """The address nearest to us that is no trusted proxy's; the outermost one if all are. "unix" for a peer on a
        Unix socket, empty if there is no peer any more.
        """
        return self._outermost(request).address

    def counted(self, peer: str) -> str:
        """What the connections of a peer are counted by: its address, of IPv6 the network that a customer is given.

        Empty for a proxy that is trusted: its connections are those of all its clients.
        """
        if self._is_trusted(peer):
            return ""
        address = node(peer.partition("%")[0])
        return str(IPv6Network((address, 64), strict=False)) if isinstance(address, IPv6Address) else str(address or "")

    def is_local(self, request: web.BaseRequest) -> bool:
        """Whether the client itself is on this machine, as far as can be seen: nobody forwarded the request, and its
        peer is the loopback or a Unix socket.
        """
        if any(name in request.headers for name in FORWARDING):
            return False
        address = node(request.remote or "")
        return request.remote == "" or (address is not None and address.is_loopback)  # empty is a Unix socket's

    def _outermost(self, request: web.BaseRequest) -> Hop:
        """The word of the proxy that the client itself spoke to, as far as proxies are trusted."""
        peer = request.remote
        found = Hop(UNIX if peer == "" else plain(peer or ""))
        if not self._is_trusted(found.address):
            return found
        for hop in hops(request.headers):
            address = node(hop.address)
            found = Hop(
                str(address or found.address),
                hop.scheme or found.scheme,
                hop.host or found.host,
                hop.prefix or found.prefix,
            )
            if address is None or not self._is_trusted(found.address):
                break
        return found

    def _is_trusted(self, address: str) -> bool:
        if address == UNIX:
            return self._is_unix_trusted
        parsed = node(address) if self._networks else None
        return parsed is not None and any(parsed in network for network in self._networks)


def hops(headers: Mapping[str, str]) -> list[Hop]:
    """What the proxies said, the nearest one first."""
    lists = [items(headers.get(f"X-Forwarded-{name}", "")) for name in ("For", "Proto", "Host", "Prefix")]
    if not any(lists):
        return forwarded(headers.get("Forwarded", ""))
    # Each proxy adds an item to the end, or sets a list anew: a list that is too short was set by the outermost.
    count = max(len(lists[0]), 1)
    return [Hop(*(found[max(len(found) - at, 0)] if found else "" for found in lists)) for at in range(1, count + 1)]


def items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text.strip() else []


def forwarded(text: str) -> list[Hop]:
    """The elements of Forwarded (RFC 7239, 4), the nearest proxy's first.

    What does not parse ends what can be believed: a client can open a quotation that a proxy's own words then stand in.
    """
    found: list[Hop] = []
    at = 0
    while at < len(text):
        element = _ELEMENT.match(text, at)
        if element is None:
            found.clear()
            at = (text.find(",", at) + 1) or len(text)
            continue
        pairs = {name.lower(): unquoted(value) for name, value in _PAIRS.findall(element[1])}
        found.append(Hop(pairs.get("for", ""), pairs.get("proto", ""), pairs.get("host", "")))
        at = element.end()
    return found[::-1]


def unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def node(text: str) -> Address | None:
    """The address in `192.0.2.7`, `192.0.2.7:80`, `2001:db8::7`, `[2001:db8::7]` or `[2001:db8::7]:80`; None if none.

    An IPv4 address in an IPv6 one, which a socket for both kinds reports, is the IPv4 one.
    """
    bare = text[1:].partition("]")[0] if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def plain(peer: str) -> str:
    """The peer's address as it is shown; what is none is shown as it is."""
    return str(node(peer) or peer) if peer.startswith("::ffff:") else peer


def is_host(text: str) -> bool:
    """Whether it is `host` or `host:port` of a URL: a name, an IPv4 address, or an IPv6 address in brackets."""
    match = _HOST.fullmatch(text)
    if match is None or int(match["port"] or 0) > 65535:
        return False
    return match["v6"] is None or (":" in match["v6"] and node(match["v6"]) is not None)


def is_prefix(text: str) -> bool:
    return _PREFIX.fullmatch(text) is not None and not {".", ".."} & set(text.split("/"))


def own_host(request: web.BaseRequest) -> str:
    """The address at which this connection came in."""
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if not isinstance(name, tuple):
        return "localhost"  # a Unix socket, or the client is gone and nobody reads this
    host, port = name[:2]
    address = str(node(host) or host).partition("%")[0]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
