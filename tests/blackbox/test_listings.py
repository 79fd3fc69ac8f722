"""What holds for every listing of section 8: pages, limits, cursors, and completeness whatever goes on."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.blackbox.shapes import items_of, refusal
from tests.conftest import Daemon
from tests.web.party import Party, listed
from tests.web.wire import Wire


@dataclass(frozen=True)
class Listing:
    """A listing and how somebody fills it: `add` makes one item more, `drop` takes the one away that `key` shows."""

    path: str
    key: str
    add: Callable[[Party, int], str]  # returns what the item's key will be
    drop: Callable[[Party, str], Any]
    by_admin: bool = False

    def wire(self, party: Party) -> Wire:
        return party.admin if self.by_admin else party.reader

    def url(self, party: Party) -> str:
        digest = "0" * 128
        if "{digest}" in self.path:
            digest = party.add(party.namespace.encode())["sha512"]
        return self.path.format(namespace=party.namespace, digest=digest)


def add_blob(party: Party, index: int) -> str:
    uuid: str = party.add(party.namespace.encode())["uuid"]
    return uuid


def drop_blob(party: Party, uuid: str) -> None:
    assert party.writer.ask("DELETE", f"/v1/blobs/{uuid}").status == 204


def add_version(party: Party, index: int) -> str:
    return str(party.publish("a")["version"])


def add_token(party: Party, index: int) -> str:
    body = {"name": f"t{index}", "role": "reader", "namespaces": [party.namespace]}
    id: str = party.admin.ask("POST", "/v1/tokens", body).json["id"]
    return id


def add_namespace(party: Party, index: int) -> str:
    name = f"{party.namespace}-{index:03}"
    assert party.admin.ask("PUT", f"/v1/namespaces/{name}", {}).status == 200
    return name


LISTINGS = {
    "blobs": Listing("/v1/blobs", "uuid", add_blob, drop_blob),
    "blobs of a namespace": Listing("/v1/blobs?namespace={namespace}", "uuid", add_blob, drop_blob),
    "checksums": Listing("/v1/checksums/sha512/{digest}", "uuid", add_blob, drop_blob),
    "names": Listing(
        "/v1/names/{namespace}",
        "name",
        lambda party, index: str(party.publish(f"n/{index:03}")["name"]),
        lambda party, name: party.writer.ask("DELETE", party.name(name)),
    ),
    "versions": Listing(
        "/v1/versions/{namespace}/a",
        "version",
        add_version,
        lambda party, number: party.writer.ask("DELETE", f"{party.name('a')}?version={number}"),
    ),
    "tokens": Listing("/v1/tokens", "id", add_token, lambda party, id: None, by_admin=True),
    "namespaces": Listing("/v1/namespaces", "name", add_namespace, lambda party, name: None, by_admin=True),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon of their own, where pages of two through all of an admin's namespaces are not hundreds."""
    running = Daemon(tmp_path_factory.mktemp("listings") / "data").start()
    yield running
    assert running.stop() == 0, running.log


@pytest.fixture(params=LISTINGS)
def listing(request: pytest.FixtureRequest) -> Listing:
    return LISTINGS[request.param]


def plus(url: str, query: str) -> str:
    return url + ("&" if "?" in url else "?") + query


def keys(listing: Listing, party: Party, url: str) -> list[str]:
    return [str(item[listing.key]) for item in listed(listing.wire(party), plus(url, "limit=1000"))]


def test_pages_of_any_length_hold_the_same_items(us: Party, listing: Listing) -> None:
    url = listing.url(us)
    made = [listing.add(us, index) for index in range(7)]
    whole = keys(listing, us, url)

    assert set(made) <= set(whole)
    assert len(set(whole)) == len(whole)
    for limit in (2, 3, 7):
        found = [str(item[listing.key]) for item in listed(listing.wire(us), plus(url, f"limit={limit}"))]
        assert [key for key in found if key in made] == [key for key in whole if key in made]


NO_LIMITS = ["0", "-1", "", "x", "1.0", "1e2", "%D9%A1", "+1", "1%20", "null", "%C2%B2", "%FF"]


def test_a_limit_that_is_none_is_400_and_one_above_a_thousand_is_clamped(us: Party, listing: Listing) -> None:
    listing.add(us, 0)
    url = listing.url(us)

    for limit in NO_LIMITS:
        answer = listing.wire(us).ask("GET", plus(url, f"limit={limit}"))
        assert refusal(answer) == (400, "invalid-input"), limit
    for limit in ("1001", str(1 << 63), "9" * 5000):
        assert items_of(listing.wire(us).ask("GET", plus(url, f"limit={limit}"))), limit


def test_a_page_holds_a_hundred_by_default_and_a_thousand_at_most(new_daemon: Callable[[], Daemon]) -> None:
    with Wire(new_daemon().start()) as wire:
        for half in range(2):  # the cheapest thing to have more than a thousand of
            names = [f"n{index}" for index in range(600 * half, 600 * (half + 1))]
            wire.ask("POST", "/v1/tokens", {"name": "x", "role": "reader", "namespaces": names})

        queries = ("", "?limit=1000", "?limit=5000")
        sizes = {query: len(items_of(wire.ask("GET", f"/v1/namespaces{query}"))) for query in queries}

    assert sizes == {"": 100, "?limit=1000": 1000, "?limit=5000": 1000}


def bad_cursors(good: str) -> list[str]:
    """Junk, and one that was given, changed a little."""
    raw = base64.urlsafe_b64decode(good + "=" * (-len(good) % 4))
    changed = [raw[:-1], raw + b"\0", raw[:-1] + bytes([raw[-1] ^ 1]), bytes([raw[0] ^ 1]) + raw[1:], raw[::-1], b""]
    junk = [b"\0" * 16, b"\xff" * 40, b"a", b"default", (1 << 62).to_bytes(8), b"x" * 4000]
    found = [base64.urlsafe_b64encode(data).decode() for data in changed + junk]
    return [*found, "!", "a", "%00", "%FF", "%C3%BC", "null", "0", "-1", good + "=", good * 2, good[1:]]


def test_a_cursor_that_nobody_gave_is_400(us: Party, listing: Listing) -> None:
    url = listing.url(us)
    for index in range(3):
        listing.add(us, index)
    good = listing.wire(us).ask("GET", plus(url, "limit=1")).json["next"]
    assert listing.wire(us).ask("GET", plus(url, f"limit=1&cursor={good}")).status == 200

    for bad in bad_cursors(good):
        assert refusal(listing.wire(us).ask("GET", plus(url, f"cursor={bad}"))) == (400, "invalid-input"), bad


def test_a_cursor_of_another_listing_is_400(us: Party, them: Party) -> None:
    for name, other in LISTINGS.items():
        assert other.add(us, 0), name
        assert other.add(them, 1), name
        assert other.add(us, 2), name
        assert other.add(them, 3), name
    urls = {name: (other, other.url(us)) for name, other in LISTINGS.items() if name != "blobs of a namespace"}
    urls["another namespace"] = (LISTINGS["names"], LISTINGS["names"].url(them))
    urls["another name's"] = (LISTINGS["versions"], f"/v1/versions/{us.namespace}/n/000")
    given = {name: us.admin.ask("GET", plus(url, "limit=1")).json["next"] for name, (_, url) in urls.items()}

    assert [name for name, cursor in given.items() if cursor is None] == ["another name's"]
    for name, (_, url) in urls.items():
        for other, cursor in given.items():
            if cursor is not None and other != name:
                answer = us.admin.ask("GET", plus(url, f"cursor={cursor}"))
                assert refusal(answer)[0] == 400, (name, other)
    cursor = us.writer.ask("GET", "/v1/blobs?limit=1").json["next"]
    for wire, url in ((them.writer, "/v1/blobs"), (us.admin, f"/v1/blobs?namespace={them.namespace}")):
        assert refusal(wire.ask("GET", plus(url, f"cursor={cursor}")))[0] == 400  # not a page of theirs


def test_what_comes_and_goes_between_pages_upsets_nothing(us: Party, listing: Listing) -> None:
    """All that stays the whole time is found exactly once, however pages fall."""
    url = listing.url(us)
    stays = [listing.add(us, 10 * index) for index in range(6)]
    goes = [listing.add(us, 10 * index + 5) for index in range(6)]
    wire, found, cursor = listing.wire(us), [], ""

    for turn in range(1000):
        page = wire.ask("GET", plus(url, f"limit=2{cursor}")).json
        found += [str(item[listing.key]) for item in page["items"]]
        assert page["items"]
        if turn < 6:
            listing.drop(us, goes[turn])
            listing.add(us, 10 * turn + 7)
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert len(set(found)) == len(found)
    assert set(stays) <= set(found)


def test_an_item_that_a_cursor_stands_on_may_go(us: Party) -> None:
    names = [us.publish(f"n{index}")["name"] for index in range(4)]
    cursor = us.reader.ask("GET", f"/v1/names/{us.namespace}?limit=2").json["next"]

    for name in names[:3]:
        us.writer.ask("DELETE", f"{us.name(name)}?purge=1")

    left = us.reader.ask("GET", f"/v1/names/{us.namespace}?limit=2&cursor={cursor}").json
    assert [item["name"] for item in left["items"]] == [names[3]]
    assert left["next"] is None


# -- folders ------------------------------------------------------------------------------------------------------


def folder(party: Party, query: str) -> tuple[list[str], list[str]]:
    """Names and folders, of all pages."""
    names, folders, cursor = [], [], ""
    while True:
        page = party.reader.ask("GET", f"/v1/names/{party.namespace}?delimiter=/&{query}{cursor}").json
        names += [item["name"] for item in page["items"]]
        folders += page["folders"]
        if page["next"] is None:
            return names, folders
        cursor = f"&cursor={page['next']}"


@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_with_a_delimiter_names_and_folders_are_told_apart(us: Party, limit: int) -> None:
    for name in ("a", "a/1", "a/2/x", "a/2/y", "b/1", "c+%?/x"):
        us.publish(name)

    assert folder(us, f"limit={limit}") == (["a"], ["a/", "b/", "c+%?/"])
    assert folder(us, f"limit={limit}&prefix=a/") == (["a/1"], ["a/2/"])
    assert folder(us, f"limit={limit}&prefix=a/2/") == (["a/2/x", "a/2/y"], [])
    assert folder(us, f"limit={limit}&prefix=none/") == ([], [])


def test_folders_count_as_items_of_a_page(us: Party) -> None:
    for name in ("a", "b/1", "c"):
        us.publish(name)

    page = us.reader.ask("GET", f"/v1/names/{us.namespace}?delimiter=/&limit=2").json

    assert (len(page["items"]), page["folders"]) == (1, ["b/"])


@pytest.mark.parametrize("delimiter", ["", ".", "//", "%2F%2F", "%FF"])
def test_only_a_slash_delimits(us: Party, delimiter: str) -> None:
    answer = us.reader.ask("GET", f"/v1/names/{us.namespace}?delimiter={delimiter}")

    assert refusal(answer) == (400, "invalid-input")


def test_folders_of_a_namespace_that_is_not_ones_own_are_not_told(us: Party, them: Party) -> None:
    them.publish("a/b")

    answer = us.reader.ask("GET", f"/v1/names/{them.namespace}?delimiter=/")

    assert refusal(answer)[0] == 404
