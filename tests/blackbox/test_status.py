"""Section 8, `GET /v1/status`: totals, queues, last runs."""

from collections.abc import Callable

from tests.blackbox.shapes import Shape, has, is_count, is_object, is_text, list_of, oddities, or_null, refusal
from tests.conftest import Daemon
from tests.web.party import Party, is_time
from tests.web.wire import Wire

RUN: Shape = {
    "started_at": is_time,
    "ended_at": or_null(is_time),
    "report": or_null(is_object),
    "error": or_null(is_text),
}


def counts(*names: str) -> Shape:
    return dict.fromkeys(names, is_count)


SIZES = ("blobs", "payloads", "logical_bytes", "physical_bytes", "exclusive_bytes", "quarantined_payloads")
VERDICTS = ("good", "damaged", "missing", "unreadable")
READS = (
    *("checked_blocks", "mismatches", "wrong_in_memory", "judging", "rewritten_block_lists"),
    *(f"judged_{verdict}" for verdict in VERDICTS),
)
STATUS: Shape = {
    "version": is_text,
    "started_at": is_time,
    "uptime_s": lambda value: isinstance(value, (int, float)) and value >= 0,
    "totals": has(counts(*SIZES)),
    "garbage": has(counts("payloads", "bytes")),
    "disk": has(counts("free_bytes", "reserved_bytes")),
    "uploads": has(counts("open", "received_bytes", "announced_bytes", "active")),
    "reads": has(counts(*READS)),
    "queues": has(counts("connections", "requests", "transfers", "catalogue_writes")),
    "scrub": has({"oldest_checked_at": or_null(is_time), "oldest_deep_checked_at": or_null(is_time)}),
    "quotas": list_of(is_object),
    "credentials": has({"expiring": list_of(is_object), "signing_key": is_object, "signing_keys": is_count}),
    "moved": has(counts("requests", "received_bytes", "sent_bytes")),
    "upkeep": has({kind: or_null(has(RUN)) for kind in ("expire", "collect-garbage", "scrub", "repair")}),
}


def test_the_status_is_told_to_the_letter_and_adds_up(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0", CASD_UPKEEP__INTERVAL_S="100000").start()
    with Wire(daemon) as wire:
        fresh = wire.ask("GET", "/v1/status").json
        uuids = [wire.ask("POST", "/v1/blobs", data).json["uuid"] for data in (b"12345", b"12345", b"123", b"")]
        wire.ask("PUT", f"/v1/names/default/n?blob={uuids[2]}")
        full = wire.ask("GET", "/v1/status").json
        wire.ask("DELETE", f"/v1/blobs/{uuids[0]}")
        wire.ask("DELETE", f"/v1/blobs/{uuids[3]}")
        wire.ask("DELETE", f"/v1/blobs/{uuids[1]}")
        less = wire.ask("GET", "/v1/status").json
        report = wire.ask("POST", "/v1/upkeep/collect-garbage?force=1").json
        wire.ask("POST", "/v1/upkeep/expire")
        end = wire.ask("GET", "/v1/status").json

    for status in (fresh, full, less, end):
        assert not oddities(STATUS, status)
        assert status["queues"]["connections"] >= 1
        assert status["queues"]["requests"] >= 1
    assert fresh["totals"] == dict.fromkeys(SIZES, 0)
    assert full["totals"] == {
        "blobs": 4,
        "payloads": 3,
        "logical_bytes": 13,
        "physical_bytes": 8,
        "exclusive_bytes": full["totals"]["exclusive_bytes"],
        "quarantined_payloads": 0,
    }
    assert full["garbage"] == {"payloads": 0, "bytes": 0}
    assert less["garbage"] == {"payloads": 2, "bytes": 5}
    assert (less["totals"]["blobs"], less["totals"]["logical_bytes"]) == (1, 3)
    assert report["payloads"] == 2
    assert end["garbage"] == {"payloads": 0, "bytes": 0}
    assert (end["totals"]["payloads"], end["totals"]["physical_bytes"]) == (1, 3)
    assert end["upkeep"]["collect-garbage"]["report"] == report
    assert end["upkeep"]["collect-garbage"]["error"] is None
    assert is_time(end["upkeep"]["expire"]["ended_at"])
    assert end["started_at"] == fresh["started_at"]
    assert end["uptime_s"] >= fresh["uptime_s"]


def test_the_status_is_an_admin_s(us: Party) -> None:
    for wire in (us.reader, us.writer):
        assert refusal(wire.ask("GET", "/v1/status")) == (403, "forbidden")
    assert refusal(us.nobody.ask("GET", "/v1/status")) == (401, "unauthenticated")
    assert us.admin.ask("HEAD", "/v1/status").status == 200
