"""Whom a request asks, and for what: absolute forms against Host, and ways round a namespace."""

import json
from collections.abc import Iterator

import pytest

from tests.conftest import Daemon
from tests.hostile.conftest import Target
from tests.hostile.sender import heard
from tests.web.party import Party, parties
from tests.web.wire import Wire, address_of


async def test_the_host_in_an_absolute_form_counts_and_not_the_other(target: Target) -> None:
    """RFC 9112, 3.2.2: so that a proxy that looks at one and casd that looks at the other mean the same."""
    answer = await heard(
        address_of(target.daemon), signing(target.daemon, "http://inner.test:8080/v1/signed-urls", "outer.test")
    )

    (url,) = [json.loads(line)["url"] for line in answer.raw.splitlines() if line.startswith(b"{")]
    assert url.startswith("http://inner.test:8080/v1/names/default/known?")


async def test_an_absolute_form_keeps_its_query(target: Target) -> None:
    own = f"Authorization: Bearer {target.daemon.token}\r\nConnection: close"

    answer = await heard(
        address_of(target.daemon), f"GET http://a?/v1/whoami HTTP/1.1\r\nHost: a\r\n{own}\r\n\r\n".encode()
    )

    with Wire(target.daemon) as wire:
        root = wire.ask("GET", "/?/v1/whoami")
    assert answer.statuses == [root.status]
    assert root.body in answer.raw


def signing(daemon: Daemon, form: str, host: str) -> bytes:
    body = json.dumps({"path": "/v1/names/default/known", "expires_in": 60})
    lines = [f"POST {form} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {daemon.token}"]
    return "\r\n".join([*lines, "Connection: close", f"Content-Length: {len(body)}", "", body]).encode()


# -- ways round a namespace -----------------------------------------------------------------------------------------

# What a path could be taken for, if it were normalised, decoded twice, folded or cut before it is looked up.
WRITTEN = """
    /v1/names/{them}/../{us}/a /v1/names/{them}/%2e%2e/{us}/a /v1/names/{them}%2F..%2F{us}/a /v1/names/./{us}/a
    /v1/names//{us}/a //v1/names/{us}/a /v1/names/{us}%00/a /v1/names/{us}%2500/a /v1/names/{them}/a/../../{us}/a
    /v1/names/{them}%252F..%252F{us}/a /v1%2Fnames%2F{us}%2Fa /v1/names/{US}/a /v1/names/{us};x/a
    /v1/names/{us}%20/a /v1/names/%20{us}/a /v1/names/{us}./a /v1/names/{us}%EF%BC%8Fa
    /v1/names/{them}%5C..%5C{us}/a /v1/names/{them}%C0%AF..%C0%AF{us}/a /v1/names/{them},{us}/a /v1/names/*/a
    /v1/versions/{them}/../{us}/a /v1/name-info/{them}%2F..%2F{us}/a /v1/namespaces/{them}%2F..%2F{us}
    /v1/blobs?namespace={them}&namespace={us} /v1/blobs?namespace={them}%00{us} /v1/blobs?namespace={them},{us}
    /workspaces/{them}/../{us}/files /workspaces/{them}%2F..%2F{us}/files /workspaces/{US}/files
    /workspaces/%2A/files /workspaces/{them}/files/../../{us}/files/{uuid}/content
    /workspaces/{them}/files/{uuid}/content /environments/{them}/../{us}/api/v1/data-store/list
    /environments/{them}%2F..%2F{us}/api/v1/data-store/list /api/v1/data-store/objects/{them}/../{us}/a
    /api/v1/data-store/objects/{them}%2F..%2F{us}/a /artifacts/{us}%2Fa /artifacts/..%2F{us}%2Fa
    /artifacts?namespace={us} /api/blobs/lookup/?name=a&owner={us} /api/blobs/lookup/?name=a&owner={them}&owner={us}
    /api/blobs/lookup/?name=..%2F{us}%2Fa&owner={them}
"""


@pytest.fixture(scope="module")
def two(target: Target) -> Iterator[tuple[Party, Party]]:
    with parties(target.daemon) as make:
        yield make(share_by_uuid=False), make(share_by_uuid=False)


@pytest.mark.parametrize("way", WRITTEN.split())
def test_no_spelling_of_a_path_leads_into_another_namespace(two: tuple[Party, Party], way: str) -> None:
    us, them = two
    ours = us.publish("a", b"ours alone")["blob"]
    path = way.format(us=us.namespace, US=us.namespace.upper(), them=them.namespace, uuid=ours["uuid"])
    with Wire(us.daemon, them.token("writer")) as bearer, Wire(us.daemon, None) as nobody:
        token = {"Authorization": f"Token {them.token('writer')}"}
        answers = [bearer.ask("GET", path), nobody.ask("GET", path), nobody.ask("GET", path, None, token)]

    for answer in answers:
        assert b"ours alone" not in answer.body
        assert ours["uuid"].encode() not in answer.body.replace(path.encode(), b"") or answer.status == 404
        assert answer.status < 500


def test_a_name_is_its_bytes_in_every_dialect(two: tuple[Party, Party]) -> None:
    """Neither Unicode's forms, nor its cases, nor how it was escaped make two names one."""
    us, _ = two
    names = [
        "caf\u00e9",
        "cafe\u0301",
        "CAF\u00c9",
        "\ufb01le",
        "file",
        "FILE",
        "\u212a",
        "K",
        "k",
        "a%2Fb",
        "a/b",
        "a%252Fb",
    ]
    for name in names:
        us.publish(name, name.encode())

    json_type = {"Content-Type": "application/json"}
    for name in names:
        assert us.reader.ask("GET", us.name(name)).body == name.encode()
        assert us.reader.ask("GET", us.name(name).replace("%C3%A9", "%c3%a9")).body == name.encode()
        told = us.reader.ask("POST", "/api/v1/data-store/information", {"path_to_object": name}, json_type).json
        assert (told["path"], told["size"]) == (name, len(name.encode()))
