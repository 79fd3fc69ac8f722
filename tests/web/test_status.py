"""`GET /v1/status`: what the store holds and what it is doing."""

import random
from collections.abc import Callable

from tests.conftest import Daemon
from tests.web.party import Party, is_time
from tests.web.wire import Wire, stored

TUS = {"Tus-Resumable": "1.0.0"}


def test_status_tells_what_the_store_holds(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0").start()
    with Wire(daemon) as admin:
        data = random.randbytes(1000)
        stored(admin, data)
        stored(admin, data)
        stored(admin, b"abc")
        gone = stored(admin, b"gone").json["uuid"]
        admin.ask("DELETE", f"/v1/blobs/{gone}")
        begun = admin.ask("POST", "/v1/uploads", headers=TUS | {"Upload-Length": "5000"})
        chunk = TUS | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        assert admin.ask("PATCH", str(begun["Location"]), bytes(2000), chunk).status == 204

        status = admin.ask("GET", "/v1/status").json

    assert status["totals"] == {
        "blobs": 3,
        "payloads": 3,
        "logical_bytes": 2003,
        "physical_bytes": 1007,
        "exclusive_bytes": 3,
        "quarantined_payloads": 0,
    }
    assert status["garbage"] == {"payloads": 1, "bytes": 4}
    assert status["uploads"] == {"open": 1, "received_bytes": 2000, "announced_bytes": 5000, "active": 0}
    assert status["disk"]["free_bytes"] > 0
    assert status["disk"]["reserved_bytes"] == 3000
    assert status["queues"] == {"connections": 1, "requests": 1, "transfers": 0, "catalogue_writes": 0}
    assert status["upkeep"] == {"expire": None, "collect-garbage": None, "scrub": None, "repair": None}
    assert all(map(is_time, status["scrub"].values()))
    assert is_time(status["started_at"])
    assert 0 < status["uptime_s"] < 600


def test_a_backup_pins_what_it_copies_until_it_ends(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0").start()
    collection = "/v1/upkeep/collect-garbage?force=1"
    with Wire(daemon) as admin:
        admin.ask("DELETE", f"/v1/blobs/{stored(admin, b'abc').json['uuid']}")
        begun = admin.ask("POST", "/v1/backups")
        kept = admin.ask("POST", collection).json
        renewed = admin.ask("PUT", str(begun["Location"]))
        ended = [admin.ask("DELETE", str(begun["Location"])).status for _ in range(2)]
        too_late = admin.ask("PUT", str(begun["Location"]))
        collected = admin.ask("POST", collection).json

    assert (begun.status, begun["Location"]) == (201, f"/v1/backups/{begun.json['id']}")
    assert is_time(begun.json["pinned_until"])
    assert kept == {"payloads": 0, "bytes": 0, "orphans": 0, "dry_run": False, "pinned": 1}
    assert (renewed.status, renewed.json["id"]) == (200, begun.json["id"])
    assert ended == [204, 404]
    assert (too_late.status, too_late.json["code"]) == (404, "pin-not-found")
    assert collected == {"payloads": 1, "bytes": 3, "orphans": 0, "dry_run": False}


def test_status_tells_how_upkeep_went(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0").start()
    with Wire(daemon) as admin:
        admin.ask("DELETE", f"/v1/blobs/{stored(admin, b'abc').json['uuid']}")
        admin.ask("POST", "/v1/upkeep/expire")
        assert admin.ask("POST", "/v1/upkeep/collect-garbage").status == 409
        runs = admin.ask("GET", "/v1/status").json["upkeep"]
        admin.ask("POST", "/v1/upkeep/collect-garbage?force=1")
        last = admin.ask("GET", "/v1/status").json["upkeep"]["collect-garbage"]

    assert runs["expire"]["report"] == {"blobs": 0, "names": 0, "versions": 0, "uploads": 0, "tokens": 0}
    assert runs["expire"]["error"] is None
    assert runs["collect-garbage"]["report"] is None
    assert "more than half" in runs["collect-garbage"]["error"]
    assert last["report"] == {"payloads": 1, "bytes": 3, "orphans": 0, "dry_run": False}
    assert is_time(last["started_at"])
    assert is_time(last["ended_at"])


def test_status_is_for_admins(us: Party) -> None:
    assert us.writer.ask("GET", "/v1/status").status == 403
    assert us.nobody.ask("GET", "/v1/status").status == 401
