"""Any JSON on every route that takes it, any text in every place of a path, a query or a field.

What is right is written here from DESIGN.md alone: an answer is either what the text promises for good input, or a
4xx that says what is wrong with the rest.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.blackbox.shapes import SETTINGS, items_of, oddities, refusal
from tests.conftest import Daemon
from tests.web.wire import Answer, Wire

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
DATA = b"0123456789" * 10

outside = settings(settings.get_profile("outside"))


# -- what there is ----------------------------------------------------------------------------------------------------


class Place:
    """A blob, a name with two versions, and the admin's connection; none of what is asked here changes them."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.wire = Wire(daemon)
        self.wire.ask("PUT", "/v1/namespaces/any", {})
        self.blob = self.wire.ask("POST", "/v1/blobs?namespace=any", DATA).json["uuid"]
        for _ in range(2):
            self.wire.ask("PUT", "/v1/names/any/n", DATA)
        self.version = items_of(self.wire.ask("GET", "/v1/versions/any/n"))[0]
        for index in range(3):
            self.wire.ask("PUT", "/v1/names/listed/x", b"x") if index else self.wire.ask(
                "PUT", "/v1/namespaces/listed", {}
            )

    def ask(self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Never a 5xx, and an error is a problem."""
        answer = self.wire.ask(method, target, body, headers)
        assert answer.status < 500, (answer.status, answer.body)
        if answer.status >= 400:
            refusal(answer)
        return answer


@pytest.fixture(scope="module")
def place(service: Daemon) -> Iterator[Place]:
    place = Place(service)
    yield place
    assert place.wire.ask("GET", f"/v1/blobs/{place.blob}/data").body == DATA
    assert items_of(place.wire.ask("GET", "/v1/versions/any/n"))[0] == place.version
    assert place.wire.ask("GET", "/readyz").status == 200
    place.wire.connection.close()


# -- what may be said -------------------------------------------------------------------------------------------------

text = st.text(max_size=12) | st.text(st.sampled_from("aZ0/.%-_ \0\n\u00fc\u0661\ud800\uffff"), max_size=6)
speakable = text.filter(lambda value: is_utf8(value))  # without lone surrogates: what can be percent-encoded
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text | st.integers(-(1 << 70), 1 << 70)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=6
)
junk = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20).filter(
    lambda value: value == value.strip()
)
numbers = st.integers(-2, 120).map(str) | st.sampled_from(
    [str(1 << 63), "9" * 5000, "00", "1.5", "1e3", "+1", "\u0661", "0x1", "1_0", " 1"]
)


def is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_json(value: Any) -> bool:
    """Whether it is JSON without NaN, infinities and lone surrogates."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


def is_number(value: str) -> bool:
    return re.fullmatch(r"[0-9]+", value) is not None


def plain(value: Any) -> bytes:
    """JSON as the standard library writes it, NaN and surrogates escaped included."""
    return json.dumps(value).encode()


def query(**values: str) -> str:
    return urlencode(values, quote_via=quote)


# -- JSON -------------------------------------------------------------------------------------------------------------


@outside
@given(value=anything)
@example(value=1e-320)
@example(value=-0.0)
def test_any_json_value_is_kept_as_it_is_or_refused(place: Place, value: Any) -> None:
    url = f"/v1/blobs/{place.blob}/metadata/any"

    answer = place.ask("PUT", url, plain({"value": value}))

    if is_json(value):
        assert answer.status == 200
        assert place.ask("GET", url).body == answer.body
        assert answer.json == {"value": value}
        assert place.ask("DELETE", url).status == 204
    else:
        assert answer.status == 400


def is_count(value: Any, least: int) -> bool:
    """An integer that a daemon may well bound somewhere above what anybody needs."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 1 << 53


def is_settings(body: Any) -> bool:
    if not isinstance(body, dict) or not body.keys() <= SETTINGS.keys():
        return False
    rules = {
        "readers": lambda value: (
            isinstance(value, list)
            and all(isinstance(item, str) and (item == "*" or NAMESPACE.fullmatch(item)) for item in value)
        ),
        "anonymous_read": lambda value: isinstance(value, bool),
        "share_by_uuid": lambda value: isinstance(value, bool),
        "quota_bytes": lambda value: is_count(value, 0),
        "quota_blobs": lambda value: is_count(value, 0),
        "keep_versions": lambda value: is_count(value, 1),
        "max_age_s": lambda value: is_count(value, 1),
    }
    return all(value is None or rules[key](value) for key, value in body.items())


counts = st.integers(-1, 3) | st.integers(1 << 52, 1 << 65)
readers = st.lists(st.sampled_from(["*", "a", "b.c", "", "-a", "a b"]) | scalars, max_size=3)
wishes = st.fixed_dictionaries(
    {},
    optional={
        "readers": readers | anything,
        "anonymous_read": st.booleans() | scalars,
        "share_by_uuid": st.booleans() | scalars,
        "quota_bytes": counts | scalars,
        "quota_blobs": counts | scalars,
        "keep_versions": counts | scalars,
        "max_age_s": counts | scalars,
    },
)


def is_beyond(body: Any) -> bool:
    """Whether it has an integer between what every daemon takes and what none does."""
    return isinstance(body, dict) and any(isinstance(value, int) and value >= 1 << 53 for value in body.values())


@outside
@given(body=wishes | st.dictionaries(text, scalars, max_size=2) | anything)
def test_any_settings_are_kept_or_refused(place: Place, body: Any) -> None:
    before = place.ask("GET", "/v1/namespaces/listed").json

    answer = place.ask("PUT", "/v1/namespaces/listed", plain(body))

    after = place.ask("GET", "/v1/namespaces/listed").json
    assert answer.status in ({200, 400} if is_beyond(body) else {200} if is_settings(body) else {400})
    assert not oddities(SETTINGS, {key: after[key] for key in SETTINGS})
    if answer.status == 200:
        told = {key: value for key, value in body.items() if value is not None and key != "readers"}
        assert after == after | told
        if body.get("readers") is not None:
            assert sorted(after["readers"]) == sorted(set(body["readers"]))
    else:
        assert after == before


@outside
@given(
    body=st.fixed_dictionaries(
        {
            "name": st.just("x") | scalars,
            "role": st.sampled_from(["reader", "writer"]) | scalars,
            "namespaces": readers,
        },
        optional={"expires_in": st.integers(-1, 100) | scalars, "more": scalars},
    )
    | anything
)
def test_any_token_is_made_or_refused(place: Place, body: Any) -> None:
    answer = place.ask("POST", "/v1/tokens", plain(body))

    if answer.status == 201:
        assert (answer.json["name"], answer.json["role"]) == (body["name"], body["role"])
        assert answer.json["namespaces"] == list(dict.fromkeys(body["namespaces"]))
        assert all(NAMESPACE.fullmatch(name) for name in answer.json["namespaces"])
        assert (answer.json["expires_at"] is None) == (body.get("expires_in") is None)
    else:
        assert answer.status == 400
        plainly_good = {"name": "x", "role": "reader", "namespaces": ["a"]}
        assert body != plainly_good


@outside
@given(
    body=st.fixed_dictionaries(
        {},
        optional={
            "metadata": st.dictionaries(text, anything, max_size=3) | anything,
            "shared": st.booleans() | scalars,
            "protected": st.booleans() | scalars,
            "keep_versions": st.integers(-1, 3) | scalars,
        },
    )
    | anything
)
@example(body={"shared": None, "protected": None})
@example(body={"metadata": None, "keep_versions": None})
def test_any_change_of_a_name_is_kept_or_refused(place: Place, body: Any) -> None:
    before = place.ask("GET", "/v1/name-info/any/n").json

    answer = place.ask("PATCH", "/v1/name-info/any/n", plain(body))

    after = place.ask("GET", "/v1/name-info/any/n").json
    if answer.status == 200:
        assert is_json(body)
        fresh = {"metadata": {}, "shared": False, "protected": False, "keep_versions": None}
        assert after == before | {key: fresh[key] if value is None else value for key, value in body.items()}
    else:
        assert answer.status == 400
        assert after == before
        assert body != {}


@outside
@given(
    body=st.fixed_dictionaries(
        {
            "path": text | st.just("/v1/names/any/n") | text.map("/v1/names/any/{}".format),
            "expires_in": scalars | st.just(60),
        },
        optional={"more": scalars},
    )
    | anything
)
def test_any_wish_for_a_url_is_granted_or_refused(place: Place, body: Any) -> None:
    answer = place.ask("POST", "/v1/signed-urls", plain(body))

    assert answer.status in (200, 400, 404)
    if answer.status == 200:
        with Wire(place.daemon, None) as nobody:
            assert nobody.ask("GET", answer.json["url"].removeprefix(place.daemon.url)).status == 200


@outside
@given(body=st.binary(max_size=40) | st.text(st.sampled_from('{}[]":,\\u0dNa1e-.tfn \n'), max_size=30).map(str.encode))
def test_any_bytes_in_place_of_json_are_taken_or_refused(place: Place, body: bytes) -> None:
    url = f"/v1/blobs/{place.blob}/metadata/bytes"
    for method, target in (("PUT", url), ("POST", "/v1/tokens"), ("POST", "/v1/signed-urls")):
        assert place.ask(method, target, body).status in (200, 400)


# -- paths ------------------------------------------------------------------------------------------------------------


def is_name(value: str) -> bool:
    if not 1 <= len(value.encode()) <= 1024 or CONTROL.search(value):
        return False
    return all(segment not in ("", ".", "..") for segment in value.split("/"))


@outside
@given(name=speakable, is_raw_slash=st.booleans())
@example(name="\ufeff", is_raw_slash=False)
@example(name="a/..", is_raw_slash=False)
def test_any_text_is_a_name_or_refused(place: Place, name: str, is_raw_slash: bool) -> None:
    url = f"/v1/names/any/p/{quote(name, safe='/' if is_raw_slash else '')}"

    answer = place.ask("PUT", url, b"x")

    if is_name(f"p/{name}"):
        assert (answer.status, answer.json["name"]) == (201, f"p/{name}")
        assert place.ask("GET", url).body == b"x"
        prefix = query(prefix=f"p/{name}", limit="1000")
        assert f"p/{name}" in [item["name"] for item in items_of(place.ask("GET", f"/v1/names/any?{prefix}"))]
    else:
        assert answer.status == 400
        assert {place.ask(method, url).status for method in ("GET", "DELETE")} == {400}


@outside
@given(
    path=st.binary(max_size=6).map(lambda value: "".join(f"%{byte:02x}" for byte in value))
    | st.text("%afF0/.+~", max_size=8)
)
def test_any_encoding_is_a_name_s_or_refused(place: Place, path: str) -> None:
    """Against the standard library's strict decoding."""
    well_formed = re.fullmatch(r"(?:%[0-9a-fA-F]{2}|[^%])*", path) is not None
    name = None
    if well_formed:
        data = re.sub(rb"%(..)", lambda found: bytes.fromhex(found[1].decode()), path.encode())
        with suppress(UnicodeDecodeError):
            name = "e/" + data.decode("utf-8")

    answer = place.ask("PUT", f"/v1/names/any/e/{path}", b"x")

    if name is not None and is_name(name):
        assert (answer.status, answer.json["name"]) == (201, name)
    else:
        assert answer.status == 400


@outside
@given(namespace=speakable | st.text("aZ09._-/+%", max_size=4))
def test_any_text_is_a_namespace_or_refused(place: Place, namespace: str) -> None:
    quoted = quote(namespace, safe="")
    statuses = [
        place.ask("GET", f"/v1/names/{quoted}/n").status,
        place.ask("GET", f"/v1/blobs?namespace={quoted}").status,
        place.ask("POST", f"/v1/blobs?namespace={quoted}&expires_in=0", b"").status,
    ]
    if NAMESPACE.fullmatch(namespace):
        assert all(status in (200, 404, 400) for status in statuses)
    else:
        assert all(status in (400, 404, 405) for status in statuses)
        assert statuses[1] == 400


@outside
@given(uuid=speakable | st.from_regex(UUID, fullmatch=True) | st.text("0aF-{}", min_size=30, max_size=38))
def test_any_text_in_place_of_a_uuid_is_404(place: Place, uuid: str) -> None:
    quoted = quote(uuid, safe="").replace(".", "%2E")
    for path in (f"/v1/blobs/{quoted}/data", f"/v1/blobs/{quoted}/metadata/k"):
        assert place.ask("GET", path).status == 404
    assert place.ask("DELETE", f"/v1/tokens/{quoted}").status in (404, 405)
    assert place.ask("PUT", f"/v1/names/any/n?{query(blob=uuid)}").status == 404


@outside
@given(hexed=speakable | st.text("0aFg", min_size=126, max_size=130))
@example(hexed="{")
def test_any_text_in_place_of_a_digest_is_404_or_for_checksums_400(place: Place, hexed: str) -> None:
    quoted = quote(hexed, safe="").replace(".", "%2E")
    is_digest = re.fullmatch(r"[0-9a-fA-F]{128}", hexed) is not None

    assert place.ask("GET", f"/v1/payloads/sha512/{quoted}").status == 404
    found = place.ask("GET", f"/v1/checksums/sha512/{quoted}")
    if hexed:
        assert found.status == (200 if is_digest else 400)


# -- queries ----------------------------------------------------------------------------------------------------------


@outside
@given(limit=numbers | speakable)
def test_any_limit_is_obeyed_or_refused(place: Place, limit: str) -> None:
    answer = place.ask("GET", f"/v1/versions/any/n?{query(limit=limit)}")

    if is_number(limit) and int(limit[:20]) > 0:
        assert len(items_of(answer)) == min(2, int(limit[:20]))
    else:
        assert answer.status == 400


@outside
@given(cursor=speakable | st.binary(max_size=40).map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_any_cursor_that_was_not_given_is_400(place: Place, cursor: str) -> None:
    for path in ("/v1/blobs", "/v1/names/any", "/v1/versions/any/n", "/v1/tokens", "/v1/namespaces"):
        assert place.ask("GET", f"{path}?{query(cursor=cursor)}").status == 400


@outside
@given(offset=numbers | speakable, length=st.none() | numbers | speakable)
def test_any_offset_is_obeyed_or_refused(place: Place, offset: str, length: str | None) -> None:
    wanted = {"offset": offset} | ({} if length is None else {"length": length})

    answer = place.ask("GET", f"/v1/blobs/{place.blob}/data?{query(**wanted)}")

    if not is_number(offset):
        assert answer.status == 400
    elif int(offset[:20]) > len(DATA):
        assert answer.status in (416, 400)
    elif length is not None and not is_number(length):
        assert answer.status == 400
    else:
        start = int(offset[:20])
        stop = len(DATA) if length is None else start + int(length[:20])
        assert (answer.status, answer.body) == (200, DATA[start:stop])


@outside
@given(version=numbers | speakable)
def test_any_version_is_found_or_refused(place: Place, version: str) -> None:
    status = place.ask("GET", f"/v1/names/any/n?{query(version=version)}").status

    assert status == (400 if not is_number(version) else 200 if int(version[:20]) in (1, 2) else 404)


times = st.datetimes().map(lambda at: at.isoformat() + "Z") | st.from_regex(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.,]*[Z+-]?[0-9:]*", fullmatch=True
)


@outside
@given(as_of=times | speakable)
@example(as_of="0001-01-01T00:00:00+23:59")
@example(as_of="9999-12-31T23:59:59.999999-23:59")
def test_any_time_is_taken_or_refused(place: Place, as_of: str) -> None:
    status = place.ask("GET", f"/v1/names/any/n?{query(as_of=as_of)}").status

    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", as_of, re.ASCII) and is_date(as_of):
        made_at = datetime.fromisoformat(place.version["created_at"])
        assert status == (200 if datetime.fromisoformat(as_of) >= made_at else 404)
    else:
        assert status in (200, 404, 400)


def is_date(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


@outside
@given(filename=speakable, expires_in=numbers | speakable, content_type=junk)
def test_any_description_is_kept_or_refused(place: Place, filename: str, expires_in: str, content_type: str) -> None:
    wanted = query(namespace="any", filename=filename, expires_in=expires_in)

    answer = place.ask("POST", f"/v1/blobs?{wanted}", b"x", {"Content-Type": content_type})

    if answer.status == 201:
        assert answer.json["filename"] == filename
        assert answer.json["content_type"] == (content_type or "application/octet-stream")
        assert is_number(expires_in)
        got = place.ask("GET", f"/v1/blobs/{answer.json['uuid']}/data?inline=1")
        assert got["Content-Type"] == answer.json["content_type"]
        assert (got["Content-Disposition"] or "").isascii()
    else:
        assert answer.status == 400


@outside
@given(key=speakable, value=speakable, content_type=speakable)
def test_any_filter_finds_what_it_says(place: Place, key: str, value: str, content_type: str) -> None:
    wanted = query(**{"namespace": "any", f"metadata.{key}": value, "content_type": content_type})

    answer = place.ask("GET", f"/v1/blobs?{wanted}")

    assert answer.status in (200, 400)
    assert answer.status == 400 or answer.json == {"items": [], "next": None}


# -- fields -----------------------------------------------------------------------------------------------------------

specs = st.builds(
    "{}-{}".format, st.integers(0, 110).map(str) | st.just(""), st.integers(0, 110).map(str) | st.just("")
)


def meant(header: str) -> Any:
    """What the Range header asks for, by RFC 9110: whole, or the bytes of the parts, or nothing that is there."""
    specs = [spec.strip(" \t") for spec in header.removeprefix("bytes=").split(",")]
    wanted: set[int] = set()
    for spec in filter(None, specs):
        first, _, last = spec.partition("-")
        if not first and not last:
            return "whole"
        if first and last and int(last) < int(first):
            return "whole"
        start = int(first) if first else max(0, len(DATA) - int(last))
        stop = int(last) + 1 if first and last else len(DATA)
        wanted |= set(range(start, min(stop, len(DATA))))
    if not any(specs):
        return "whole"
    return wanted or "nothing"


@outside
@given(header=st.lists(specs, min_size=1, max_size=20).map(lambda found: "bytes=" + ",".join(found)))
def test_any_ranges_give_just_their_bytes(place: Place, header: str) -> None:
    answer = place.ask("GET", f"/v1/blobs/{place.blob}/data", headers={"Range": header})

    wanted = meant(header)
    runs = wanted if isinstance(wanted, str) else [at for at in wanted if at - 1 not in wanted]
    if wanted == "whole" or (wanted != "nothing" and len(runs) > 16):
        assert (answer.status, answer.body) == (200, DATA)
    elif wanted == "nothing":
        assert answer.status == 416
    elif len(runs) == 1:
        assert (answer.status, answer.body) == (206, bytes(DATA[at] for at in sorted(wanted)))
    else:
        found = re.findall(rb"Content-Range: bytes (\d+)-(\d+)/100", answer.body)
        covered = [at for start, last in found for at in range(int(start), int(last) + 1)]
        assert (answer.status, covered) == (206, sorted(wanted))


FIELDS = ["Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Authorization"]
FIELDS += ["Want-Content-Digest", "X-Request-ID", "Accept", "Accept-Encoding", "Content-Type", "Repr-Digest", "Cookie"]


@outside
@given(fields=st.dictionaries(st.sampled_from(FIELDS), junk, max_size=4))
def test_any_fields_of_a_get_are_answered(place: Place, fields: dict[str, str]) -> None:
    answer = place.ask("GET", f"/v1/blobs/{place.blob}/data", headers=fields)

    assert answer.status in (200, 206, 304, 400, 401, 412, 416)


@outside
@given(header=junk | st.binary(max_size=70).map(lambda data: f"sha-512=:{base64.b64encode(data).decode()}:"))
def test_any_repr_digest_is_held_or_refused(place: Place, header: str) -> None:
    answer = place.ask("PUT", "/v1/names/any/digests", b"x", {"Repr-Digest": header})

    known = re.fullmatch(r"sha-512=:([A-Za-z0-9+/=]*):", header)
    if known:
        assert answer.status == (422 if is_digest_length(known[1]) else 400)
    else:
        assert answer.status in (201, 400, 422)


def is_digest_length(encoded: str) -> bool:
    try:
        return len(base64.b64decode(encoded, validate=True)) == 64
    except binascii.Error:
        return False


@outside
@given(header=junk, is_match=st.booleans())
def test_any_guard_is_held_or_refused(place: Place, header: str, is_match: bool) -> None:
    answer = place.ask("PUT", "/v1/names/any/guarded", b"x", {"If-Match" if is_match else "If-None-Match": header})

    assert answer.status in (201, 400, 412)
    assert not (is_match and answer.status == 201)  # only the tag of these bytes, or *, would match
