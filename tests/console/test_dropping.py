"""Files that are dropped or chosen: hashed in the browser, found, uploaded, and gone on with after what may happen."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Daemon
from tests.console.browser import Browser, Tab
from tests.console.line import Line
from tests.web.party import Party
from tests.web.wire import wait_until

SIZE = 6 << 20
LOST = "net::ERR_"  # what a browser calls it differs by the moment


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    file = tmp_path / "disk.img"
    file.write_bytes(os.urandom(SIZE))
    return file


def stored(us: Party, name: str) -> str:
    """The SHA-512 of what is under the name."""
    return hashlib.sha512(us.writer.ask("GET", us.name(name)).body).hexdigest()


def sha512(file: Path) -> str:
    return hashlib.sha512(file.read_bytes()).hexdigest()


def offsets(us: Party) -> list[int]:
    """Of unfinished uploads."""
    items = us.writer.ask("GET", f"/v1/uploads?namespace={us.namespace}").json["items"]
    return [item["offset"] for item in items]


@pytest.fixture
def line(store: Daemon) -> Iterator[Line]:
    """What lies between the browser and the store, and stops in the middle of an upload."""
    with Line.stalling(store.url, SIZE // 3) as line:
        yield line


@pytest.fixture
def far(browser: Browser, line: Line, us: Party) -> Iterator[Tab]:
    """A tab of our writer at the other end of the line."""
    with browser.tab(line.url) as tab:
        tab.sign_in(us.token("writer"))
        tab.open(f"#/ns/{us.namespace}/")
        tab.role("heading", us.namespace).wait()
        yield tab
        assert tab.unexpected_complaints() == []


def begin(tab: Tab, line: Line, file: Path) -> None:
    """Upload it until a part of it is at the daemon, and nothing more comes through."""
    tab.choose(file)
    tab.css(".item").role("button", "Upload").click()
    line.stalled()


def test_what_is_dropped_and_here_is_found_under_its_names(writer: Tab, us: Party) -> None:
    us.publish("texts/known.txt", b"known to the store")

    writer.drop("copy of it.txt", "known to the store")

    item = writer.css(".item")
    item.css(".badge", "here").wait()
    item.role("link", "texts/known.txt").click()
    writer.role("heading", "known.txt").wait()


def test_only_the_digest_of_what_is_dropped_is_sent(writer: Tab) -> None:
    writer.drop("secret.txt", "nobody else's business")

    writer.text("does not have it yet").wait()

    assert {request["method"] for request in writer.requests()} == {"GET"}
    assert all(request["size"] == 0 for request in writer.requests())


def test_what_is_dropped_into_a_folder_is_uploaded_there(writer: Tab, us: Party) -> None:
    us.publish("plans/old.txt")
    writer.open(f"#/ns/{us.namespace}/plans/")
    writer.role("link", "old.txt").wait()

    writer.drop("new.txt", "the plan")
    writer.css(".item").role("button", "Upload").click()

    writer.css(".item .badge", "stored").wait()
    writer.css("main").role("link", "new.txt").wait()
    assert us.writer.ask("GET", us.name("plans/new.txt")).body == b"the plan"


def test_an_empty_file_is_uploaded_too(writer: Tab, us: Party) -> None:
    writer.drop("nothing.txt", "")

    writer.css(".item").role("button", "Upload").click()
    writer.css(".item .badge", "stored").wait()

    assert us.writer.ask("GET", us.name("nothing.txt")).body == b""


def test_known_bytes_get_another_name_without_being_sent(writer: Tab, us: Party) -> None:
    us.publish("first", b"once")
    writer.drop("second", "once")

    writer.text("Give it another name").click()
    writer.role("button", "Give it this name").click()
    writer.css(".item .badge", "stored").wait()

    assert us.writer.ask("GET", us.name("second")).body == b"once"
    assert "POST" not in {request["method"] for request in writer.requests()}


def test_an_upload_goes_on_after_a_reload(far: Tab, line: Line, us: Party, disk: Path) -> None:
    begin(far, line, disk)

    far.do("reload")
    far.text("Its upload was interrupted").wait()
    line.mend()
    far.choose(disk)

    far.css(".item .badge", "stored").wait()
    assert stored(us, "disk.img") == sha512(disk)
    assert len([request for request in far.requests() if request["method"] == "POST"]) == 1


def test_an_upload_goes_on_when_the_connection_is_back(far: Tab, line: Line, us: Party, disk: Path) -> None:
    far.expected.append(LOST)
    begin(far, line, disk)

    line.lead_nowhere()
    far.text("The connection is lost").wait()
    line.lead_to(us.daemon.url)

    far.css(".item .badge", "stored").wait()
    assert stored(us, "disk.img") == sha512(disk)


def test_an_upload_is_paused_and_resumed(far: Tab, line: Line, us: Party, disk: Path) -> None:
    begin(far, line, disk)

    far.role("button", "Pause").click()
    far.text("Paused.").wait()
    line.mend()
    far.role("button", "Resume").click()

    far.css(".item .badge", "stored").wait()
    assert stored(us, "disk.img") == sha512(disk)


def test_an_upload_that_is_stopped_leaves_nothing(far: Tab, line: Line, us: Party, disk: Path) -> None:
    begin(far, line, disk)

    far.role("button", "Stop").click()
    far.text("does not have it yet").wait()

    wait_until(lambda: offsets(us) == [], "it is gone")


def test_who_may_only_read_can_ask_by_dropping(tab: Tab, us: Party) -> None:
    tab.sign_in(us.token("reader"))

    tab.drop("unknown.txt", "not there")

    tab.text("Your token may not upload").wait()


@pytest.mark.parametrize("fact", ["sha512", "sha256", "xxh3_128", "uuid"])
def test_the_box_finds_by_checksum_and_uuid(writer: Tab, us: Party, fact: str) -> None:
    blob = us.publish("found/me.txt", f"by {fact}".encode())["blob"]

    writer.key("/")
    writer.label("Find by name, checksum or UUID").fill(blob[fact])
    writer.key("Enter")

    writer.css("main").role("link", "found/me.txt").wait()


def test_the_box_finds_by_the_beginning_of_a_name(writer: Tab, us: Party) -> None:
    us.publish(f"{us.namespace} report.txt")

    writer.label("Find by name, checksum or UUID").fill(us.namespace)
    writer.key("Enter")

    writer.css("main").role("link", f"{us.namespace} report.txt").wait()


def test_what_is_not_found_is_told_with_what_to_do(writer: Tab) -> None:
    writer.open(f"#/find/{'0' * 128}")

    assert "Drop the file on this page" in writer.css(".empty").told()
