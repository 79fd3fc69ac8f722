"""What users store is handed out so that no browser runs it, and makes no header and no line of the log."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest

from tests.conftest import serving
from tests.leaks import dangers
from tests.web.party import Party
from tests.web.party import make_party as make_party
from tests.web.party import us as us
from tests.web.wire import Answer, Wire, stored, wait_until

PAGE = b"<!DOCTYPE html><script>alert(document.domain)</script>" * 20
KINDS = ["text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript", "application/pdf", "text/xml"]
ASKED = [{}, {"Range": "bytes=0-9"}, {"Range": "bytes=0-9, 50-59"}, {"Range": "bytes=99999-"}, {"If-Match": '"x"'}]


@dataclass(frozen=True)
class Place:
    """Where some bytes can be had, and with which credential."""

    url: str
    scheme: str | None = "Bearer"


def places(us: Party, kind: str) -> Iterator[Place]:
    """Every route of every dialect that hands them out."""
    with_kind = {"Content-Type": kind}
    version = us.writer.ask("PUT", us.name("a.html"), PAGE, with_kind).json
    blob = stored(us.writer, PAGE, Content_Type=kind).json
    yield Place(us.name("a.html"))
    yield Place(f"{us.name('a.html')}?version=1")
    for uuid in (blob["uuid"], version["blob"]["uuid"]):
        yield Place(f"/v1/blobs/{uuid}/data")
        yield Place(f"/blobs/{uuid}/data")
        yield Place(f"/workspaces/{us.namespace}/files/{uuid}/content")
    yield Place(f"/v1/blobs/{blob['uuid']}/data?offset=3")
    yield Place(f"/v1/blobs/{blob['uuid']}/data?inline=1")
    yield Place(f"/v1/payloads/sha512/{blob['sha512']}")
    yield Place(f"/api/blobs/{version['blob']['uuid']}/data/", "Token")
    signed = us.reader.ask("POST", "/v1/signed-urls", {"path": f"/v1/blobs/{blob['uuid']}/data", "expires_in": 60})
    yield Place("{0.path}?{0.query}".format(urlsplit(signed.json["url"])), None)
    asked = {"path_to_object": "a.html"}, {"Content-Type": "application/json"}
    link = us.reader.ask("POST", "/api/v1/data-store/download", *asked).json["signed_url"]
    yield Place("{0.path}?{0.query}".format(urlsplit(link)), None)


@pytest.mark.parametrize("kind", KINDS)
def test_no_bytes_of_users_run_in_a_browser_however_they_are_asked_for(us: Party, kind: str) -> None:
    secret = us.token("reader")
    for place in places(us, kind):
        own = {} if place.scheme is None else {"Authorization": f"{place.scheme} {secret}"}
        answers = [us.nobody.ask("GET", place.url, headers=own | more) for more in ASKED]

        assert dangers(answers) == []
        assert answers[0].status == 200, place
        for answer in answers:
            assert answer.status >= 400 or "attachment" in str(answer["Content-Disposition"])
            assert b"<script" not in b"".join(part_heads(answer))


def part_heads(answer: Answer) -> Iterator[bytes]:
    """The header lines of each part of multipart/byteranges."""
    match = re.search(r'boundary="?([^";]+)', answer["Content-Type"] or "")
    for part in answer.body.split(b"--" + match[1].encode())[1:] if match else []:
        yield part.partition(b"\r\n\r\n")[0]


def test_what_an_error_repeats_is_no_markup(us: Party) -> None:
    script = "%3Cscript%3Ealert(1)%3C/script%3E"
    paths = [f"/{script}", f"/v1/{script}", f"/v1/blobs?limit={script}", f"/v1/names/{us.namespace}/{script}"]
    paths += [f"/workspaces/{us.namespace}/files/{script}", f"/api/blobs/{script}/", f"/artifacts/{script}"]
    paths += [f"/api/v1/data-store/objects/{us.namespace}/{script}", f"/v1/checksums/{script}/x"]
    answers = [wire.ask("GET", path) for path in paths for wire in (us.reader, us.nobody)]

    assert dangers(answers) == []
    xml = [answer.body for answer in answers if "xml" in str(answer["Content-Type"])]
    assert len(xml) == 2
    assert not [body for body in xml if b"<script" in body]


# -- filenames ------------------------------------------------------------------------------------------------------

TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u2028\u2029\ufeff"
SPOKEN = re.compile(r"""attachment; filename="([ !#$&-.0-\[\]-~]*)"(?:; filename\*=UTF-8''([A-Za-z0-9%._~-]+))?""")


@pytest.mark.parametrize(
    ("filename", "plain", "extended"),
    [
        ('a"; filename="b.exe', "a_; filename=_b.exe", 'a"; filename="b.exe'),
        ("invoice\u202egpj.exe", "invoice_gpj.exe", "invoice_gpj.exe"),
        *((f"a{sign}b", "a_b", "a_b") for sign in TURNING),
        ("../../etc/passwd", ".._.._etc_passwd", "../../etc/passwd"),
        ("..\\..\\boot.ini", ".._.._boot.ini", "..\\..\\boot.ini"),
        ("ü%0D%0ASet-Cookie: a=b", "__0D_0ASet-Cookie: a=b", "ü%0D%0ASet-Cookie: a=b"),
        ("a'b''c", "a'b''c", None),
        ("UTF-8''%41", "UTF-8''_41", "UTF-8''%41"),
        ("NUL", "NUL", None),
    ],
)
def test_a_filename_neither_ends_its_field_nor_misleads(
    us: Party, filename: str, plain: str, extended: str | None
) -> None:
    """RFC 6266 and 8187: the plain one is ASCII without folders; names of devices are those of who saves it."""
    blob = us.add(b"x", f"?filename={quote(filename, safe='')}")

    said = SPOKEN.fullmatch(us.reader.ask("GET", f"/v1/blobs/{blob['uuid']}/data")["Content-Disposition"] or "")

    assert blob["filename"] == filename  # in JSON as it was given
    assert said is not None
    assert said[1] == plain
    assert (unquote(said[2]) if said[2] else None) == extended


# -- log lines ------------------------------------------------------------------------------------------------------

FORGED = [
    "\r\n2026-01-01T00:00:00.000000Z WARNING forged=1",
    "\x1b[2J\x1b]0;pwned\x07",
    "\u2028forged\u2029",
    "\u202eforged",
]
FORGED += ['" forged=1 "', "\x85forged", "\x00forged", "\ufefffor\u200bged", "%s%n%d", '"}\n{"event":"forged"}']
SIGNS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@pytest.mark.parametrize("kind", ["text", "json"])
def test_no_line_of_the_log_can_be_forged(tmp_path: Path, kind: str) -> None:
    """By names, filenames, types, tokens' names, request ids, paths, queries, methods, and headers."""
    with serving(tmp_path / "data", CASD_LOG__FORMAT=kind) as daemon:
        with Wire(daemon) as wire:
            for text in FORGED:
                try_everywhere(wire, text)
            end = wire.ask("GET", "/v1/nothing", headers={"X-Request-ID": "the.end"})
            assert end.status == 404
        wait_until(lambda: "the.end" in daemon.log, "all is logged")
        lines = daemon.log.split("\n")

    assert lines.pop() == ""
    assert [line for line in lines if SIGNS.search(line)] == []
    if kind == "json":
        assert [line for line in map(json.loads, lines) if line["event"] == "forged" or "forged" in line] == []
    else:
        assert [line for line in lines if not re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z [A-Z]+ +\S|    ", line)] == []
        assert [line for line in lines if " forged=1" in re.sub(r'"(?:[^"\\]|\\.)*"', '""', line)] == []


def try_everywhere(wire: Wire, text: str) -> None:
    escaped, plain = quote(text, safe=""), text.encode("utf-8").decode("latin-1")
    in_header = re.sub(r"[\r\n\x00]", " ", plain)
    wire.ask("GET", f"/{escaped}")
    wire.ask("GET", f"/v1/names/default/{escaped}")
    wire.ask("PUT", f"/v1/names/default/a{escaped}", b"x")
    wire.ask("PUT", f"/v1/namespaces/{escaped}", {})
    wire.ask("POST", f"/v1/blobs?filename={escaped}", b"x")
    wire.ask("POST", f"/v1/blobs?namespace={escaped}", b"x")
    wire.ask("GET", f"/v1/blobs?cursor={escaped}")
    wire.ask("POST", "/v1/tokens", {"name": text, "role": "reader", "namespaces": ["default"]})
    named = wire.ask("POST", "/v1/tokens", {"name": f"a {text[-1]} b", "role": "reader", "namespaces": ["default"]})
    own = {"Authorization": f"Bearer {named.json['token']}"} if named.status == 201 else {}
    wire.ask("DELETE", "/v1/names/default/a", headers=own)
    for name in ("X-Request-ID", "Content-Type", "User-Agent", "Range", "X-Forwarded-For", "Repr-Digest", "If-Match"):
        wire.ask("PUT", "/v1/names/default/b", b"x", {name: in_header})
    wire.ask("POST", "/auth", {"namespace": text, "key": text})
    wire.ask("POST", "/artifacts", {"url": f"http://127.0.0.1/{text}", "shared": False})
