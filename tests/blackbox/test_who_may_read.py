"""Section 8, "Who may read": everybody in every namespace on every route, against an oracle that reads the text.

A case is one principal at one place. Every route is asked there, and for what the principal must not see the same
is asked of a place that nobody has: the two answers must not be told apart.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Daemon
from tests.web.party import Party
from tests.web.wire import PATIENCE_S, Answer, Wire

# -- who and where ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Who:
    """A credential; without a role it is good for nothing."""

    role: str | None = None
    namespaces: tuple[str, ...] = ()
    is_nobody: bool = False  # no credential at all


WHO = {
    "nobody": Who(is_nobody=True),
    "a bad token": Who(),
    "an expired token": Who(),
    "a revoked token": Who(),
    "a reader": Who("reader", ("own",)),
    "a writer": Who("writer", ("own",)),
    "an admin of it": Who("admin", ("own",)),
    "a reader with two homes": Who("reader", ("elsewhere", "own")),
    "a friend": Who("writer", ("friends",)),
    "a reading friend": Who("reader", ("elsewhere", "friends")),
    "a stranger": Who("writer", ("elsewhere",)),
    "an admin from elsewhere": Who("admin", ("elsewhere",)),
}


@dataclass(frozen=True)
class Where:
    """A namespace's settings, as PUT takes them but with our names of namespaces."""

    readers: tuple[str, ...] = ()
    anonymous_read: bool = False
    share_by_uuid: bool | None = None


WHERE = {
    "own": Where(),
    "foreign": Where(),
    "readable": Where(readers=("friends",)),
    "readable to all": Where(readers=("*",)),
    "anonymous": Where(anonymous_read=True),
    "unshared": Where(share_by_uuid=False),
    "shared on purpose": Where(share_by_uuid=True),
    "unshared but anonymous": Where(anonymous_read=True, share_by_uuid=False),
    "unshared but readable": Where(readers=("friends", "nobody"), share_by_uuid=False),
}

# These everywhere; the others, who differ from one of them in a detail, where that detail counts.
EVERYWHERE = ("nobody", "a reader", "a writer", "a friend", "a stranger")
CASES = [(somebody, place) for somebody in EVERYWHERE for place in WHERE]
CASES += [(somebody, place) for somebody in WHO for place in ("own", "anonymous") if somebody not in EVERYWHERE]
CASES += [("an admin of it", "unshared"), ("an admin from elsewhere", "unshared"), ("a reading friend", "readable")]


# -- what the text says -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Right:
    """How a caller stands to a namespace, by the words of DESIGN.md 8."""

    who: Who
    name: str
    where: Where

    @property
    def is_member(self) -> bool:
        return self.who.role == "admin" or (self.who.role is not None and self.name in self.who.namespaces)

    @property
    def is_reading(self) -> bool:
        """ "A namespace is readable to its members and to members of those in its `readers`"; `"*"`: any token."""
        if self.who.role is None:
            return False
        return self.is_member or "*" in self.where.readers or bool({*self.who.namespaces} & {*self.where.readers})

    @property
    def may_see(self) -> bool:
        """ "`anonymous_read` opens blob info and data by UUID, name or digest"."""
        return self.is_reading or self.where.anonymous_read

    @property
    def knows_by_uuid(self) -> bool:
        """ "possession of a blob's UUID is evidence that you may read that blob": any valid token will do."""
        return self.may_see or (self.who.role is not None and self.where.share_by_uuid is not False)


def reading(right: Right) -> int:
    return 200 if right.is_reading else 404


def seeing(right: Right) -> int:
    return 200 if right.may_see else 404


def by_uuid(right: Right) -> int:
    return 200 if right.knows_by_uuid else 404


def belonging(right: Right) -> int:
    return 200 if right.is_member else 404


def writing(right: Right) -> int:
    """403 is for a role that is too small in one's own namespace."""
    if not right.is_member:
        return 404
    return 403 if right.who.role == "reader" else 200


def administering(right: Right) -> int:
    return 200 if right.who.role == "admin" else 403


@dataclass(frozen=True)
class Call:
    method: str
    path: str  # with {namespace}, {name}, {uuid}, {digest}, {sha256}
    expected: Callable[[Right], int]  # of a good token; 200 stands for any success
    body: Any = None
    is_open: bool = False  # "anonymous_read opens …": also without a token

    def asked(self, wire: Wire, things: dict[str, str], method: str = "") -> Answer:
        body = self.body
        if isinstance(body, dict):
            body = {key: value.format(**things) if key == "path" else value for key, value in body.items()}
        return wire.ask(method or self.method, self.path.format(**things), body)

    def status(self, right: Right) -> int:
        if right.who.role is None and not (self.is_open and right.who.is_nobody and right.where.anonymous_read):
            return 401
        return self.expected(right)


NAME, BLOB = "{namespace}/{name}", "/v1/blobs/{uuid}"
READS = [
    Call("GET", BLOB, by_uuid, is_open=True),
    Call("GET", BLOB + "/data", by_uuid, is_open=True),
    Call("GET", BLOB + "/data?offset=1", by_uuid, is_open=True),
    Call("GET", BLOB + "/blocks", by_uuid, is_open=True),
    Call("GET", BLOB + "/metadata", by_uuid),
    Call("GET", BLOB + "/metadata/k", by_uuid),
    Call("GET", "/v1/payloads/sha512/{digest}", seeing, is_open=True),
    Call("GET", "/v1/payloads/sha512/{digest}/blocks", seeing, is_open=True),
    Call("GET", "/v1/names/" + NAME, seeing, is_open=True),
    Call("GET", "/v1/names/" + NAME + "?version=1", seeing, is_open=True),
    Call("GET", "/v1/names/" + NAME + "?as_of=9999-01-01T00:00:00Z", seeing, is_open=True),
    Call("GET", "/v1/names/{namespace}", reading),
    Call("GET", "/v1/names/{namespace}?prefix=a", reading),
    Call("GET", "/v1/versions/" + NAME, reading),
    Call("GET", "/v1/name-info/" + NAME, reading),
    Call("GET", "/v1/blobs?namespace={namespace}", reading),
    Call("GET", "/v1/namespaces/{namespace}", belonging),
]
SIGNED = [
    Call("POST", "/v1/signed-urls", rights, {"path": path, "expires_in": 60})
    for path, rights in (
        (BLOB + "/data", by_uuid),
        ("/v1/payloads/sha512/{digest}", seeing),
        ("/v1/names/" + NAME, seeing),
        ("/v1/names/" + NAME + "?version=1", seeing),
    )
]
WRITES = [
    Call("POST", "/v1/blobs?namespace={namespace}", writing, b"x"),
    Call("PUT", "/v1/names/" + NAME, writing, b"x"),
    Call("PUT", "/v1/names/{namespace}/new", writing, b"x"),
    Call("PUT", "/v1/names/" + NAME + "?blob={uuid}", writing),
    Call("PATCH", "/v1/name-info/" + NAME, writing, {"shared": True}),
    Call("PUT", BLOB + "/metadata/k", writing, {"value": 1}),
    Call("DELETE", BLOB + "/metadata/k", writing),
    Call("DELETE", "/v1/names/" + NAME + "?version=1", writing),
    Call("DELETE", "/v1/names/" + NAME, writing),
    Call("DELETE", "/v1/names/" + NAME + "?purge=1", writing),
    Call("DELETE", BLOB, writing),
]
ADMINS = [
    Call("POST", "/v1/tokens", administering, {"name": "x", "role": "reader", "namespaces": ["x"]}),
    Call("GET", "/v1/tokens", administering),
    Call("PUT", "/v1/namespaces/{namespace}", administering, {}),
    Call("GET", "/v1/signing-keys", administering),
    Call("POST", "/v1/signing-keys", administering),
    Call("GET", "/v1/quarantine", administering),
    Call("GET", "/v1/status", administering),
    Call("POST", "/v1/upkeep/expire", administering),
    Call("POST", "/v1/upkeep/collect-garbage?dry_run=1", administering),
    Call("POST", "/v1/upkeep/scrub?dry_run=1", administering),
    Call("POST", "/v1/upkeep/repair", administering),
]


# -- the town ---------------------------------------------------------------------------------------------------------


@dataclass
class Town:
    """Everybody's connection, and every place with a blob and a name of its own, all names equally long."""

    daemon: Daemon
    party: Party
    wires: dict[str, Wire] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # of namespaces
    kept: dict[str, dict[str, str]] = field(default_factory=dict)  # by place

    def things(self, place: str) -> dict[str, str]:
        """Things of that place that nobody changes."""
        if place not in self.kept:
            self.kept[place] = self.new_things(place)
        return self.kept[place]

    def new_things(self, place: str) -> dict[str, str]:
        """A blob that holds itself, and a name that it is bound to."""
        namespace = self.names[place]
        data = uuid4().bytes
        blob = self.party.admin.ask("POST", f"/v1/blobs?namespace={namespace}", data).json
        self.party.admin.ask("PUT", f"/v1/blobs/{blob['uuid']}/metadata/k", {"value": "v"})
        name = f"a/{uuid4()}"
        assert self.party.admin.ask("PUT", f"/v1/names/{namespace}/{name}?blob={blob['uuid']}").status == 201
        found = {"namespace": namespace, "name": name, "uuid": blob["uuid"], "digest": blob["sha512"]}
        return found | {"sha256": blob["sha256"]}


def nothing() -> dict[str, str]:
    """What nobody has, written as what somebody has."""
    data = uuid4().bytes
    found = {"namespace": f"t-{uuid4()}", "name": f"a/{uuid4()}", "uuid": str(uuid4())}
    return found | {"digest": hashlib.sha512(data).hexdigest(), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.fixture(scope="module")
def town(service: Daemon) -> Iterator[Town]:
    party = Party(service)
    town = Town(service, party)
    everywhere = [*WHERE, "friends", "elsewhere", "nobody"]
    town.names = {name: f"t-{uuid4()}" for name in everywhere}
    for name in everywhere:
        where = WHERE.get(name, Where())
        readers = [town.names.get(reader, reader) for reader in where.readers]
        settings = {"readers": readers, "anonymous_read": where.anonymous_read, "share_by_uuid": where.share_by_uuid}
        assert party.admin.ask("PUT", f"/v1/namespaces/{town.names[name]}", settings).status == 200
    for label, who in WHO.items():
        town.wires[label] = Wire(service, credential(town, label, who))
    expire(town.wires["an expired token"])
    yield town
    for wire in town.wires.values():
        wire.connection.close()
    party.close()


def credential(town: Town, label: str, who: Who) -> str | None:
    if who.is_nobody:
        return None
    if label == "a bad token":
        return "casd_" + "A" * 43
    home = [town.names[name] for name in who.namespaces or ("own",)]
    body: dict[str, Any] = {"name": "somebody", "role": who.role or "admin", "namespaces": home}
    if label == "an expired token":
        body["expires_in"] = 1
    made = town.party.admin.ask("POST", "/v1/tokens", body).json
    if label == "a revoked token":
        town.party.admin.ask("DELETE", f"/v1/tokens/{made['id']}")
    secret: str = made["token"]
    return secret


def expire(wire: Wire) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while wire.ask("GET", "/v1/blobs").status != 401:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def told(answer: Answer, things: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """An answer without what the question said, and without what differs from one request to the next."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("Date", "X-Request-ID")}
    text = answer.body.decode("latin-1").replace(answer["X-Request-ID"] or "-", "ID")
    for label, value in things.items():
        text = text.replace(value, f"<{label}>")
    return answer.status, headers, text


@pytest.mark.parametrize(("somebody", "place"), CASES)
def test_everybody_may_do_just_what_the_text_says(town: Town, somebody: str, place: str) -> None:
    who, wire = WHO[somebody], town.wires[somebody]
    right = Right(who, place, WHERE[place])
    things, absent = town.new_things(place) if writing(right) == 200 else town.things(place), nothing()
    wrong, apart = [], []

    for call in READS + SIGNED + ADMINS + WRITES:
        methods = [call.method, "HEAD"] if call.method == "GET" and somebody in EVERYWHERE else [call.method]
        for method in methods:
            answer = call.asked(wire, things, method)
            expected = call.status(right)
            is_right = answer.status in (200, 201, 204) if expected == 200 else answer.status == expected
            if not is_right:
                wrong.append(f"{method} {call.path}: {answer.status} instead of {expected}")
            if method != "HEAD" and (expected in (401, 404) or (expected == 403 and call in ADMINS)):
                other = call.asked(wire, absent, method)
                if told(answer, things) != told(other, absent):
                    apart.append((method, call.path, told(answer, things), told(other, absent)))

    assert wrong == []
    assert apart == []


@pytest.mark.parametrize("place", WHERE)
def test_who_must_not_write_changes_nothing(town: Town, place: str) -> None:
    things = town.things(place)

    def state() -> list[Any]:
        paths = ["{uuid}", "{uuid}/metadata"]
        urls = [f"/v1/blobs/{path}" for path in paths] + [f"/v1/{kind}/{NAME}" for kind in ("versions", "name-info")]
        urls += ["/v1/names/{namespace}", "/v1/blobs?namespace={namespace}"]
        return [town.party.admin.ask("GET", url.format(**things)).json for url in urls]

    before = state()
    for somebody, who in WHO.items():
        right = Right(who, place, WHERE[place])
        for call in WRITES:
            if call.status(right) != 200:
                call.asked(town.wires[somebody], things)

    assert state() == before


@pytest.mark.parametrize(("somebody", "place"), CASES)
def test_everybody_finds_just_what_is_readable(town: Town, somebody: str, place: str) -> None:
    """Listings without a namespace show a member's own alone; a checksum finds what is readable."""
    who, wire = WHO[somebody], town.wires[somebody]
    right = Right(who, place, WHERE[place])
    things = town.things(place)

    def found(path: str, key: str) -> list[str]:
        answer = wire.ask("GET", path)
        return [item[key] for item in answer.json["items"]] if answer.status == 200 else [f"{answer.status}"]

    by_checksum = found(f"/v1/checksums/sha512/{things['digest']}", "namespace")
    by_sha256 = found(f"/v1/checksums/sha256/{things['sha256']}", "namespace")
    listed = found("/v1/namespaces?limit=1000", "name")

    if who.role is None:
        assert by_checksum == by_sha256 == listed == ["401"]
        assert found("/v1/blobs", "uuid") == ["401"]
        return
    assert by_checksum == by_sha256 == ([things["namespace"]] if right.is_reading else [])
    assert (things["namespace"] in listed) is right.is_member
    if who.role != "admin":
        own = {town.names[name] for name in who.namespaces}
        assert set(listed) == own
        assert set(found("/v1/blobs?limit=1000", "namespace")) <= own
        assert (things["uuid"] in found("/v1/blobs?limit=1000", "uuid")) is right.is_member


@pytest.mark.parametrize(("somebody", "place"), CASES)
def test_names_of_a_blob_are_for_whom_its_namespace_is_readable(town: Town, somebody: str, place: str) -> None:
    right = Right(WHO[somebody], place, WHERE[place])
    things = town.things(place)

    answer = town.wires[somebody].ask("GET", f"/v1/blobs/{things['uuid']}")

    if answer.status == 200:
        names = [ref["name"] for ref in answer.json["names"]]
        assert names == ([things["name"]] if right.is_reading else [])
        assert answer.json["metadata"] == {"k": "v"}


@pytest.mark.parametrize("place", WHERE)
def test_only_a_member_binds_a_blob_elsewhere(town: Town, place: str) -> None:
    things, absent = town.new_things(place), nothing()
    for somebody, who in WHO.items():
        if who.role not in ("writer", "admin"):
            continue
        home = town.names[who.namespaces[0]]
        wire = town.wires[somebody]

        bound = wire.ask("PUT", f"/v1/names/{home}/bound?blob={things['uuid']}")

        assert bound.status == (201 if Right(who, place, WHERE[place]).is_member else 404), somebody
        if bound.status == 404:
            other = wire.ask("PUT", f"/v1/names/{home}/bound?blob={absent['uuid']}")
            assert told(bound, things) == told(other, absent)


@pytest.mark.parametrize("place", ["anonymous", "unshared but anonymous"])
def test_what_anybody_may_read_may_be_cached_by_anybody(town: Town, place: str) -> None:
    things = town.things(place)
    for path in ("/v1/blobs/{uuid}/data", "/v1/payloads/sha512/{digest}"):
        for somebody in ("nobody", "a stranger"):
            answer = town.wires[somebody].ask("GET", path.format(**things))
            assert answer["Cache-Control"] == "public, immutable, max-age=31536000"
    assert (
        town.wires["nobody"].ask("GET", f"/v1/names/{things['namespace']}/{things['name']}")["Cache-Control"]
        == "no-cache"
    )


@pytest.mark.parametrize("place", WHERE)
def test_a_signed_url_opens_what_its_signer_may_read_to_nobody_in_particular(town: Town, place: str) -> None:
    things = town.things(place)
    for somebody, who in WHO.items():
        for call in SIGNED:
            if call.status(Right(who, place, WHERE[place])) == 200:
                url = call.asked(town.wires[somebody], things).json["url"].removeprefix(town.daemon.url)
                answer = town.wires["nobody"].ask("GET", url)
                assert hashlib.sha512(answer.body).hexdigest() == things["digest"], (somebody, call.body)


def test_settings_count_at_once(town: Town, us: Party) -> None:
    """On connections that are open, for things that were read a moment ago."""
    blob, version = us.add(b"now"), us.publish("n", b"now")
    url, name = f"/v1/blobs/{blob['uuid']}/data", us.name("n")
    stranger, friend, nobody = (town.wires[label] for label in ("a stranger", "a friend", "nobody"))

    def statuses() -> list[int]:
        return [wire.ask("GET", path).status for wire in (stranger, friend, nobody) for path in (url, name)]

    assert version["version"] == 1
    assert statuses() == [200, 404, 200, 404, 401, 401]
    us.settings(share_by_uuid=False)
    assert statuses() == [404, 404, 404, 404, 401, 401]
    us.settings(readers=[town.names["friends"]])
    assert statuses() == [404, 404, 200, 200, 401, 401]
    us.settings(anonymous_read=True)
    assert statuses() == [200, 200, 200, 200, 200, 200]
    us.settings(anonymous_read=False, readers=["*"])
    assert statuses() == [200, 200, 200, 200, 401, 401]
    us.settings(readers=[])
    assert statuses() == [404, 404, 404, 404, 401, 401]


def test_the_daemon_can_say_no_and_a_namespace_yes(new_daemon: Callable[..., Daemon]) -> None:
    closed = new_daemon(CASD_AUTH__SHARE_BY_UUID="false").start()
    us, them = Party(closed), Party(closed)
    url = f"/v1/blobs/{us.add()['uuid']}/data"

    refused = them.reader.ask("GET", url).status
    us.settings(share_by_uuid=True)
    allowed = them.reader.ask("GET", url).status

    us.close()
    them.close()
    assert (refused, allowed) == (404, 200)
