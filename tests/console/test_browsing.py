"""Namespaces, folders, names and their versions; what is done to them; what is said about a blob."""

from pathlib import Path

from tests.console.browser import Tab
from tests.web.party import Party


def versions(us: Party, name: str) -> list[bool]:
    """Whether each is a delete marker, the oldest first."""
    items = us.writer.ask("GET", us.name(name).replace("/names/", "/versions/")).json["items"]
    return [item["deleted"] for item in items]


def test_names_are_browsed_as_folders(writer: Tab, us: Party) -> None:
    for name in ("readme.txt", "photos/a.png", "photos/old/b.png"):
        us.publish(name)

    writer.role("link", us.namespace).click()
    writer.role("heading", us.namespace).wait()
    assert writer.css("[data-row]").texts() == ["photos/", "readme.txt"]
    writer.role("link", "photos/").click()
    writer.role("link", "old/").click()
    writer.role("link", "b.png").click()

    writer.role("heading", "b.png").wait()
    assert writer.css(".trail li").texts() == ["Namespaces", us.namespace, "photos", "old", "b.png"]


def test_blobs_without_a_name_are_listed_too(writer: Tab, us: Party) -> None:
    us.add(b"nameless")
    us.publish("named")
    writer.open(f"#/ns/{us.namespace}/")

    writer.role("link", "All blobs").click()
    writer.role("heading", "Blobs").wait()

    assert [row.splitlines()[1] for row in writer.css(".row").texts()] == ["no name", "version 1"]


def test_typing_narrows_a_folder(writer: Tab, us: Party) -> None:
    for name in ("alpha", "beta", "beton"):
        us.publish(name)
    writer.open(f"#/ns/{us.namespace}/")

    writer.label("Names here that begin with").fill("bet")
    writer.role("link", "alpha").wait("detached")

    assert writer.css("[data-row]").texts() == ["beta", "beton"]


def test_an_empty_namespace_teaches_how_to_fill_it(writer: Tab, us: Party) -> None:
    writer.open(f"#/ns/{us.namespace}/")

    assert "Drop a file anywhere" in writer.css(".empty").told()


def test_a_name_shows_its_versions_with_who_published_them(writer: Tab, us: Party) -> None:
    us.publish("report.txt", b"one")
    us.publish("report.txt", b"two and more")

    writer.open(f"#/name/{us.namespace}/report.txt")

    rows = writer.css("table tbody tr").texts()
    assert [row.split()[0] for row in rows] == ["2", "1"]
    assert all("a writer" in row for row in rows)
    writer.role("link", "1", exact=True).click()
    writer.text("This is version 1").wait()
    assert writer.css(".preview pre").told() == "one"


def test_a_download_has_the_name_and_the_bytes(writer: Tab, us: Party, tmp_path: Path) -> None:
    us.publish("data/numbers.bin", bytes(range(256)))
    writer.open(f"#/name/{us.namespace}/data/numbers.bin")

    name = writer.download(writer.role("button", "Download", exact=True), tmp_path / "got")

    assert name == "numbers.bin"
    assert (tmp_path / "got").read_bytes() == bytes(range(256))


def test_deleting_tells_what_it_frees_and_can_be_undone(writer: Tab, us: Party) -> None:
    us.publish("old.bin", bytes(3 << 20))
    writer.open(f"#/name/{us.namespace}/old.bin")

    writer.role("button", "Delete", exact=True).click()
    dialog = writer.css("dialog")
    assert "3.0 MiB" in dialog.css(".effect").told()
    dialog.role("button", "Delete").click()
    writer.text("This name is deleted").wait()
    assert versions(us, "old.bin") == [False, True]
    writer.role("button", "Undelete").click()
    writer.text("This name is deleted").wait("detached")

    assert versions(us, "old.bin") == [False]


def test_what_others_hold_too_is_not_called_free(writer: Tab, us: Party) -> None:
    blob = us.publish("one", b"the same")["blob"]["uuid"]
    us.writer.ask("PUT", f"{us.name('two')}?blob={blob}")
    writer.open(f"#/name/{us.namespace}/one")

    writer.role("button", "Delete", exact=True).click()

    assert "frees nothing" in writer.css("dialog .effect").told()
    writer.key("Escape")
    writer.css("dialog").wait("detached")
    assert versions(us, "one") == [False]


def test_a_version_is_deleted_for_good(writer: Tab, us: Party) -> None:
    us.publish("v", b"one")
    us.publish("v", b"two")
    writer.open(f"#/name/{us.namespace}/v")

    writer.role("button", "Delete version 1 for good").click()
    writer.css("dialog").role("button", "Delete for good").click()
    writer.role("button", "Delete version 1 for good").wait("detached")

    assert versions(us, "v") == [False]


def test_a_deleted_name_is_purged(writer: Tab, us: Party) -> None:
    us.publish("gone")
    us.writer.ask("DELETE", us.name("gone"))
    writer.open(f"#/name/{us.namespace}/gone")

    writer.role("button", "Delete for good").click()
    writer.css("dialog").role("button", "Delete for good").click()
    writer.role("heading", us.namespace).wait()

    assert us.writer.ask("GET", us.name("gone").replace("/names/", "/name-info/")).status == 404


def test_a_protected_name_cannot_be_deleted_until_that_is_lifted(writer: Tab, us: Party) -> None:
    us.publish("keep")
    writer.open(f"#/name/{us.namespace}/keep")

    writer.role("button", "Protect").click()
    writer.css(".title .badge", "protected").wait()
    assert writer.role("button", "Delete", exact=True).do("isDisabled")
    writer.role("button", "Lift protection").click()

    writer.css(".title .badge", "protected").wait("detached")


def test_metadata_is_added_changed_and_removed(writer: Tab, us: Party) -> None:
    uuid = us.add(b"m")["uuid"]
    writer.open(f"#/blob/{uuid}")

    for value, kept in (("debian 12", "debian 12"), ("[1, 2]", [1, 2])):
        writer.css("button", "Add" if kept == "debian 12" else "Edit os").first.click()
        if kept == "debian 12":
            writer.label("Key").fill("os")
        writer.label("Value").fill(value)
        writer.role("button", "Save").click()
        writer.css("dialog").wait("detached")
        writer.role("button", "Edit os").wait()
        assert us.writer.ask("GET", f"/v1/blobs/{uuid}/metadata").json == {"os": kept}
    writer.role("button", "Remove os").click()
    writer.role("button", "Edit os").wait("detached")

    assert us.writer.ask("GET", f"/v1/blobs/{uuid}/metadata").json == {}


def test_a_blob_tells_its_digests_and_what_holds_it(writer: Tab, us: Party) -> None:
    blob = us.publish("held/by", b"bytes")["blob"]
    writer.open(f"#/blob/{blob['uuid']}")

    assert writer.css(".copyable code").first.told() == blob["sha512"]
    writer.css(".holders").role("link", "held/by").wait()


def test_a_blob_is_deleted_with_a_look_at_what_that_frees(writer: Tab, us: Party) -> None:
    uuid = us.add(b"x" * 2048)["uuid"]
    writer.open(f"#/blob/{uuid}")

    writer.role("button", "Delete", exact=True).click()
    assert "2.0 KiB" in writer.css("dialog .effect").told()
    writer.role("button", "Delete for good").click()
    writer.role("heading", us.namespace).wait()

    assert us.writer.ask("GET", f"/v1/blobs/{uuid}").status == 404


def test_who_may_only_read_is_offered_nothing_else(tab: Tab, us: Party) -> None:
    us.publish("a")
    tab.sign_in(us.token("reader"))
    tab.open(f"#/name/{us.namespace}/a")

    tab.role("button", "Download", exact=True).wait()

    assert tab.role("button", "Delete").count() == 0
    assert tab.role("button", "Protect").count() == 0


def test_what_is_not_there_is_told_with_the_way_out(writer: Tab, us: Party) -> None:
    writer.expected.append("404 (Not Found)")
    writer.open(f"#/name/{us.namespace}/never")

    assert "Its folder shows what is there" in writer.css("main .failure").told()


def test_keys_lead_everywhere(writer: Tab, us: Party) -> None:
    for name in ("a", "b"):
        us.publish(name)
    writer.open(f"#/ns/{us.namespace}/")
    writer.role("link", "a", exact=True).wait()

    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "ArrowDown"):
        writer.key(key)
    assert writer.run("document.activeElement.textContent") == "b"
    writer.key("/")
    assert writer.run("document.activeElement.type") == "search"
    writer.key("Escape")
    writer.key("ArrowDown")
    writer.key("Enter")

    writer.role("heading", "a", exact=True).wait()
