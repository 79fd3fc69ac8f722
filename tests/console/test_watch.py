"""How the store stands and stood, upkeep, open uploads, quarantine, audit, tokens and namespaces: an admin's pages."""

import base64
import json
import os
from pathlib import Path

import pytest

from tests.conftest import Daemon
from tests.console.browser import Tab
from tests.payloads.local_backend import path_of
from tests.web.party import Party
from tests.web.tus import created, patch
from tests.web.wire import Wire, ask


@pytest.fixture
def admin(tab: Tab, store: Daemon) -> Tab:
    tab.sign_in(store.token)
    return tab


def damaged(us: Party) -> str:
    """The digest of bytes that were damaged on the disk, and found so by who wanted them."""
    blob = us.publish("hit", os.urandom(300_000))["blob"]
    us.daemon.damaged.add(blob["sha512"])
    path = path_of(us.daemon.data, blob["sha512"])
    path.write_bytes(bytes(300_000))
    ask(us.daemon, "GET", f"/v1/blobs/{blob['uuid']}/data", headers=us.daemon.headers)
    digest: str = blob["sha512"]
    return digest


def test_the_store_is_told_in_numbers_and_drawn_for_a_day(admin: Tab, us: Party) -> None:
    us.publish("a", bytes(5 << 20))
    admin.role("link", "Watch").click()

    admin.css(".plot canvas").first.wait()
    tiles = " ".join(admin.css(".tile").texts())
    assert "Stored" in tiles
    assert "MiB" in tiles
    assert admin.css(".plot").count() == 8
    admin.css('.plot[aria-label^="Bytes stored, now: logical"]').wait()


def test_who_is_no_admin_is_not_led_there(writer: Tab) -> None:
    assert writer.role("link", "Browse").count() == 1
    assert writer.role("link", "Watch").count() == 0
    assert writer.role("link", "Access").count() == 0


def test_upkeep_tells_what_it_would_do_and_does_it(admin: Tab, us: Party) -> None:
    admin.open("#/watch/upkeep")

    admin.role("button", "Collect garbage").click()
    assert "It would do this now" in admin.css("dialog .effect").told()
    admin.css("dialog").role("button", "Collect now").click()
    admin.css("dialog").wait("detached")

    admin.css(".panel", "Collect garbage").css(".facts", "Began").wait()
    assert us.admin.ask("GET", "/v1/status").json["upkeep"]["collect-garbage"]["ended_at"]


def test_an_open_upload_is_shown_with_how_far_it_is_and_can_be_ended(admin: Tab, us: Party) -> None:
    url = created(us.writer, 4 << 20, name="big.img", namespace=us.namespace)
    patch(us.writer, url, 0, bytes(1 << 20))
    admin.open("#/watch/uploads")

    row = admin.css(".row.upload", us.namespace)
    told = row.do("textContent")  # all of it, whether it is in sight yet or not
    assert "1.0 MiB of 4.0 MiB" in told
    assert "a writer" in told
    assert row.role("progressbar", "big.img").do("getAttribute", "aria-valuenow") == "25"
    row.role("button", "End the upload").click()
    admin.css("dialog").role("button", "End it").click()
    row.wait("detached")

    assert us.writer.ask("GET", f"/v1/uploads?namespace={us.namespace}").json["items"] == []


def test_damaged_bytes_are_shown_with_whom_they_hit_and_can_be_purged(admin: Tab, us: Party) -> None:
    digest = damaged(us)
    admin.open("#/watch")
    admin.css(".note", "damaged").role("link", "Look").click()

    admin.css(".row", digest[:20]).role("link", digest[:20]).click()
    admin.role("link", "hit").wait()
    assert digest in admin.css(".copyable code").texts()
    admin.role("button", "Purge").click()
    assert "only copy" in admin.css("dialog .effect").told()
    admin.css("dialog").role("button", "Purge").click()
    admin.css("dialog").wait("detached")

    assert [one for one in us.admin.ask("GET", "/v1/quarantine").json["items"] if one["sha512"] == digest] == []


def test_the_audit_tells_who_did_what_and_is_narrowed_and_saved(admin: Tab, us: Party, tmp_path: Path) -> None:
    us.publish("plan.txt")
    us.writer.ask("DELETE", us.name("plan.txt"))
    admin.open("#/watch/audit")

    admin.label("Namespace").fill(us.namespace)
    admin.label("What").do("selectOption", "name.")
    admin.role("button", "Show", exact=True).click()
    admin.css(f'main[data-shown*="{us.namespace}"]').wait()
    admin.css("tbody tr", "name.hide").wait()

    rows = admin.css("tbody tr").texts()
    assert ["name.hide" in rows[0], "name.publish" in rows[1], len(rows)] == [True, True, 2]
    assert all("a writer" in row and "plan.txt" in row for row in rows)
    name = admin.download(admin.role("button", "Save as JSON lines"), tmp_path / "audit")
    saved = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert (name, [entry["action"] for entry in saved]) == ("casd-audit.jsonl", ["name.hide", "name.publish"])


def test_what_is_asked_wrongly_is_told_below_the_question(admin: Tab) -> None:
    admin.expected.append("400 (Bad Request)")
    admin.open("#/watch/audit?blob=nonsense")

    admin.css("main .failure").wait()
    assert admin.label("Blob").do("inputValue") == "nonsense"


def test_a_token_is_made_shown_once_and_revoked(admin: Tab, us: Party) -> None:
    name = f"node of {us.namespace}"
    admin.role("link", "Access").click()
    admin.role("button", "New token").click()
    admin.label("Name", exact=True).fill(name)
    admin.label("Role").do("selectOption", "reader")
    admin.label("Namespaces", exact=True).fill(us.namespace)
    admin.role("button", "Make it").click()

    secret = admin.css("dialog .copyable code").told()
    admin.key("Escape")  # which would lose it
    with Wire(us.daemon, secret) as node:
        assert node.ask("GET", "/v1/whoami").json["role"] == "reader"
        admin.role("button", "I have it").click()
        admin.css("dialog").wait("detached")
        row = admin.css("tbody tr", name)
        assert secret not in admin.css("body").told()
        row.role("button", "Revoke").click()
        admin.css("dialog").role("button", "Revoke").click()
        admin.css("section", "Ended").css("tr", name).wait()
        assert node.ask("GET", "/v1/whoami").status == 401


def test_a_namespace_is_given_a_quota(admin: Tab, us: Party) -> None:
    us.publish("a", bytes(3 << 20))
    admin.open("#/access/namespaces")
    row = admin.css("tbody tr", us.namespace)

    row.role("button", "Change").click()
    admin.label("Quota, bytes").fill("4")
    admin.label("Unit").do("selectOption", "MiB")
    admin.label("Versions that a name keeps").fill("2")
    admin.role("button", "Save", exact=True).click()
    admin.css("dialog").wait("detached")
    row.css(".quota").wait()

    settings = us.admin.ask("GET", f"/v1/namespaces/{us.namespace}").json
    assert (settings["quota_bytes"], settings["keep_versions"], settings["readers"]) == (4 << 20, 2, [])
    assert "4.0 MiB" in row.told()


def test_what_others_call_things_is_only_text(admin: Tab, us: Party) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    us.admin.ask("POST", "/v1/tokens", {"name": hostile, "role": "reader", "namespaces": [us.namespace]})
    metadata = base64.b64encode(hostile.encode()).decode()
    us.writer.ask(
        "POST",
        "/v1/uploads",
        headers={"Tus-Resumable": "1.0.0", "Upload-Length": "9", "Upload-Metadata": f"filename {metadata}"},
    )
    for page in ("#/access", "#/watch/uploads", "#/watch/audit"):
        admin.open(page)
        admin.text(hostile).first.wait()

        assert admin.css("main img").count() == 0
