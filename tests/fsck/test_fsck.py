"""`casd fsck`: damage of every kind, seeded by hand, is found, explained, and mended where nothing is lost by it."""

import contextlib
import json
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.backup.conftest import BIG, NewDaemon, assert_serves_all, back_up, casd, got, put, sha512
from tests.conftest import Daemon
from tests.crash.asking import ask
from tests.crash.folder import CATALOGUE, check_catalogue, everything, payload_files, payload_path

OLD, NEW, OF_B = b"old", b"new" * 1000, b"of b"


def sql(data: Path, *statements: str) -> None:
    """Foreign keys are off: as damage is."""
    with closing(sqlite3.connect(data / CATALOGUE)) as db:
        for statement in statements:
            changed = db.execute(statement).rowcount
            assert changed != 0, statement
        db.commit()


def rows(data: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(data / CATALOGUE)) as db:
        return db.execute(statement).fetchall()


def fsck(data: Path, *flags: str) -> tuple[int, Any]:
    ran = casd("fsck", "--data", data, "--json", *flags)
    return ran.code, json.loads(ran.out)


def codes(told: Any) -> dict[str, str]:
    """The outcome of each finding by its code; several of one code end alike."""
    return {finding["code"]: finding["outcome"] for finding in told["findings"]}


def path_of(data: Path, payload: bytes) -> Path:
    return payload_path(data, sha512(payload))


# -- a store that is whole ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [(), ("--deep",), ("--repair",), ("--repair", "--deep")])
def test_nothing_is_found_in_a_store_that_is_whole(stopped: Daemon, flags: tuple[str, ...]) -> None:
    before = everything(stopped.data)

    code, told = fsck(stopped.data, *flags)

    assert (code, told["findings"], told["is_whole"]) == (0, [], True)
    assert (told["payloads"], told["blobs"]) == (4, 5)
    assert told["read_payloads"] == (4 if "--deep" in flags else 0)
    if "--repair" not in flags:
        assert everything(stopped.data) == before
    assert_serves_all(stopped.start())


def test_a_store_that_was_killed_is_whole_and_checking_it_changes_nothing(new_daemon: NewDaemon) -> None:
    daemon = new_daemon().start()
    put(daemon, "n", b"bytes")
    daemon.kill()
    before = everything(daemon.data)

    code, told = fsck(daemon.data, "--deep")

    assert (code, told["findings"], told["blobs"]) == (0, [], 1)
    assert everything(daemon.data) == before


def test_a_backup_is_checked_as_a_store_is(stopped: Daemon, dest: Path) -> None:
    back_up(stopped, dest)
    assert fsck(dest, "--deep")[0] == 0
    flip(path_of(dest, BIG))

    code, told = fsck(dest, "--deep")

    assert (code, codes(told)) == (6, {"damaged": "left"})


def test_a_store_that_is_served_is_not_checked(new_daemon: NewDaemon) -> None:
    daemon = new_daemon().start()

    ran = casd("fsck", "--data", daemon.data)

    assert ran.code == 1
    assert f"a daemon serves {daemon.data}: stop it first" in ran.err
    assert ask(daemon, "GET", "/readyz").status == 200


def test_what_is_no_store_is_told(tmp_path: Path) -> None:
    assert "is no data folder" in casd("fsck", "--data", tmp_path / "absent").err
    assert casd("fsck", "--data", tmp_path, "--rebuild", "--repair").code == 2


# -- damage that is mended ------------------------------------------------------------------------------------------

Damage = Callable[[Path], None]


def set_sql(*statements: str) -> Damage:
    return lambda data: sql(data, *statements)


def misplace(data: Path) -> None:
    elsewhere = data / "payloads" / "00" / "00"
    elsewhere.mkdir(parents=True, exist_ok=True)
    path_of(data, BIG).rename(elsewhere / sha512(BIG))


def open_to_others(data: Path) -> None:
    path_of(data, BIG).chmod(0o666)


def shown_to_others(data: Path) -> None:
    (data / "admin.token").chmod(0o644)


def without_note(data: Path) -> None:
    """Of what was quarantined long ago, and stored again since."""
    (data / "quarantine" / f"{sha512(BIG)}.20260101T000000.000000Z").write_bytes(b"damaged")


def of_block(number: int) -> str:
    return f"payload_id = (SELECT id FROM payload WHERE size = {len(BIG)}) AND gib = {number}"


MENDED: dict[str, tuple[Damage, str]] = {
    "too many references": (set_sql("UPDATE payload SET blob_count = blob_count + 1"), "blob-count"),
    "too few references": (set_sql("UPDATE payload SET blob_count = 0"), "blob-count"),
    "too many versions": (set_sql("UPDATE blob SET version_count = version_count + 1"), "version-count"),
    "too few versions": (set_sql("UPDATE blob SET version_count = 0"), "version-count"),
    "blobs of a namespace": (set_sql("UPDATE namespace SET blob_count = 77"), "namespace-totals"),
    "bytes of a namespace": (set_sql("UPDATE namespace SET logical_bytes = 1"), "namespace-totals"),
    "a counter": (set_sql("UPDATE name_counter SET last_number = 0"), "name-counter"),
    "a counter's time": (set_sql("UPDATE name_counter SET last_created_at = 0"), "name-counter"),
    "no counter": (set_sql("DELETE FROM name_counter"), "name-counter"),
    "hidden without a marker": (set_sql("UPDATE name SET hidden_at = 5"), "hidden"),
    "a short block list": (set_sql(f"UPDATE payload_blocks SET xxh3 = zeroblob(8) WHERE {of_block(0)}"), "wrong-facts"),
    "no block list": (set_sql(f"DELETE FROM payload_blocks WHERE {of_block(0)}"), "wrong-facts"),
    "a block list elsewhere": (set_sql(f"UPDATE payload_blocks SET gib = 3 WHERE {of_block(0)}"), "wrong-facts"),
    "a wrong size": (set_sql("UPDATE payload SET size = size + 1"), "wrong-facts"),
    "a wrong state": (set_sql("UPDATE payload SET quarantined_at = 5"), "wrong-facts"),
    "misplaced": (misplace, "misplaced-payload"),
    "open to others": (open_to_others, "writable-by-others"),
    "shown to others": (shown_to_others, "readable-by-others"),
    "without a note": (without_note, "no-note"),
}


@pytest.mark.parametrize("what", MENDED)
def test_what_can_be_mended_is_found_and_then_mended_without_a_loss(stopped: Daemon, what: str, tmp_path: Path) -> None:
    damage, code = MENDED[what]
    damage(stopped.data)
    before = everything(stopped.data)

    found = fsck(stopped.data)
    assert found[0] == 6
    assert codes(found[1])[code] == "left"
    assert everything(stopped.data) == before
    mended = fsck(stopped.data, "--repair")

    assert mended[0] == 7
    assert set(codes(mended[1]).values()) == {"repaired"}
    assert mended[1]["is_whole"]
    assert fsck(stopped.data, "--deep")[0] == 0
    check_catalogue(stopped.data, tmp_path / "scratch")
    assert_serves_all(stopped.start())
    assert put(stopped, "a", b"next")["version"] == 3


DEEP = {
    "a block list of the right length": set_sql(
        f"UPDATE payload_blocks SET xxh3 = zeroblob(length(xxh3)) WHERE {of_block(0)}"
    ),
    "SHA-256": set_sql("UPDATE payload SET sha256 = zeroblob(32)"),
    "XXH3-128": set_sql("UPDATE payload SET xxh3_128 = zeroblob(16)"),
}


@pytest.mark.parametrize("what", DEEP)
def test_wrong_checksums_are_found_by_reading_and_mended(stopped: Daemon, what: str) -> None:
    DEEP[what](stopped.data)

    shallow, deep = fsck(stopped.data)[0], fsck(stopped.data, "--deep")
    mended = fsck(stopped.data, "--deep", "--repair")

    assert (shallow, deep[0], mended[0]) == (0, 6, 7)
    assert codes(deep[1]) == {"wrong-facts": "left"}
    assert fsck(stopped.data, "--deep")[0] == 0
    assert_serves_all(stopped.start())


def test_metadata_that_was_filed_wrong_is_found_by_searches_again(stopped: Daemon) -> None:
    stopped.start()
    uuid = ask(stopped, "GET", "/v1/versions/default/b").json["items"][0]["blob"]["uuid"]
    for key, value in (("os", '"debian"'), ("cpus", "4")):
        ask(stopped, "PUT", f"/v1/blobs/{uuid}/metadata/{key}", f'{{"value": {value}}}'.encode())
    assert stopped.stop() == 0
    sql(stopped.data, "UPDATE blob_metadata SET match_hash = 5, uuid = zeroblob(16)")

    found, mended = fsck(stopped.data), fsck(stopped.data, "--repair")
    stopped.start()

    assert codes(found[1]) == {"metadata-owner": "left", "metadata-index": "left"}
    assert mended[0] == 7
    for query in ("metadata.os=debian", "metadata.cpus=4"):
        assert [blob["uuid"] for blob in ask(stopped, "GET", f"/v1/blobs?{query}").json["items"]] == [uuid]


def test_an_index_that_disagrees_with_its_table_is_made_anew(stopped: Daemon) -> None:
    """Wrong rows under a right index: the schema is told another index for a moment (SQLite's `writable_schema`)."""
    with closing(sqlite3.connect(stopped.data / CATALOGUE)) as db:
        db.execute("PRAGMA writable_schema = ON")
        (text,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'blob_payload'").fetchone()
        hide = text.replace("CREATE INDEX blob_payload ON blob (", "CREATE INDEX blob_payload ON blob (created_at, ")
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'blob_payload'", (hide,))
        db.commit()
    with closing(sqlite3.connect(stopped.data / CATALOGUE)) as db:
        db.execute("REINDEX blob_payload")
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'blob_payload'", (text,))
        db.commit()

    found, mended = fsck(stopped.data), fsck(stopped.data, "--repair")

    assert (found[0], codes(found[1])) == (6, {"catalogue-damaged": "left"})
    assert (mended[0], codes(mended[1])) == (7, {"catalogue-damaged": "repaired"})
    assert rows(stopped.data, "PRAGMA integrity_check") == [("ok",)]
    assert_serves_all(stopped.start())


def test_an_upload_that_lost_bytes_goes_on_where_they_end(new_daemon: NewDaemon) -> None:
    daemon = new_daemon().start()
    uuid = begun_upload(daemon, b"x" * 1000)
    assert daemon.stop() == 0
    os.truncate(daemon.data / "incoming" / uuid, 400)

    found, mended = fsck(daemon.data), fsck(daemon.data, "--repair")
    daemon.start()

    assert (found[0], codes(found[1])) == (6, {"short-stage": "left"})
    assert (mended[0], codes(mended[1])) == (7, {"short-stage": "repaired"})
    tus = {"Tus-Resumable": "1.0.0"}
    assert ask(daemon, "HEAD", f"/v1/uploads/{uuid}", headers=tus).headers["Upload-Offset"] == "400"
    chunk = tus | {"Upload-Offset": "400", "Content-Type": "application/offset+octet-stream"}
    assert ask(daemon, "PATCH", f"/v1/uploads/{uuid}", b"y" * 1600, chunk).status == 204
    [blob] = ask(daemon, "GET", "/v1/blobs").json["items"]
    assert ask(daemon, "GET", f"/v1/blobs/{blob['uuid']}/data").body == b"x" * 400 + b"y" * 1600


def begun_upload(daemon: Daemon, data: bytes) -> str:
    tus = {"Tus-Resumable": "1.0.0"}
    begun = ask(daemon, "POST", "/v1/uploads", headers=tus | {"Upload-Length": "2000"})
    url = begun.headers["Location"]
    uuid = str(url).rpartition("/")[2]
    chunk = tus | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert ask(daemon, "PATCH", f"/v1/uploads/{uuid}", data, chunk).status == 204
    return uuid


# -- bytes that are lost --------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def extend(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"!")


def empty(path: Path) -> None:
    os.truncate(path, 0)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "code"),
    [(flip, "damaged"), (truncate, "damaged"), (extend, "damaged"), (empty, "damaged"), (remove, "missing")],
)
def test_lost_bytes_are_told_with_whom_they_hit_contained_and_healed_by_storing_them_again(
    stopped: Daemon, damage: Damage, code: str
) -> None:
    damage(path_of(stopped.data, BIG))

    found = fsck(stopped.data, "--deep")
    for_people = casd("fsck", "--data", stopped.data, "--deep")
    contained = fsck(stopped.data, "--deep", "--repair")
    again = fsck(stopped.data, "--deep")
    stopped.start()

    (finding,) = found[1]["findings"]
    assert (found[0], finding["code"], finding["outcome"], finding["sha512"]) == (6, code, "left", sha512(BIG))
    assert finding["names"] == [{"namespace": "default", "name": "big", "version": 1}]
    assert "default/big version 1" in for_people.out
    assert (contained[0], codes(contained[1])) == (6, {code: "contained"})
    assert (again[0], codes(again[1])) == (6, {"quarantined": "left"})
    kept = [path for path in (stopped.data / "quarantine").iterdir() if path.suffix != ".json"]
    assert len(kept) == (0 if damage is remove else 1)
    assert ask(stopped, "GET", "/v1/versions/default/big").json["items"][0]["blob"]["state"] == "error"
    assert got(stopped, "b") == OF_B
    put(stopped, "big", BIG)
    assert_serves_all(stopped)
    assert stopped.stop() == 0
    assert fsck(stopped.data, "--deep")[0] == 0


def test_damage_that_keeps_the_size_is_found_only_by_reading(stopped: Daemon) -> None:
    flip(path_of(stopped.data, BIG))

    assert fsck(stopped.data)[0] == 0
    assert fsck(stopped.data, "--deep")[0] == 6


def test_two_payloads_that_were_swapped_are_both_found(stopped: Daemon, tmp_path: Path) -> None:
    one, other = path_of(stopped.data, OLD), path_of(stopped.data, OF_B)
    one.rename(tmp_path / "one")
    other.rename(one)
    (tmp_path / "one").rename(other)

    _, told = fsck(stopped.data, "--deep")

    assert {finding["sha512"] for finding in told["findings"]} == {sha512(OLD), sha512(OF_B)}
    assert codes(told) == {"damaged": "left"}


# -- what a crash may leave, and what casd did not put there --------------------------------------------------------


def test_what_a_crash_may_leave_is_noted_and_tidied_up(stopped: Daemon) -> None:
    orphan = path_of(stopped.data, b"orphan")
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.write_bytes(b"orphan")
    (stopped.data / "incoming" / "stale").write_bytes(b"half")

    found, mended = fsck(stopped.data), fsck(stopped.data, "--repair")

    assert (found[0], codes(found[1])) == (0, {"unknown-payload": "noted", "stale-stage": "noted"})
    assert (mended[0], set(codes(mended[1]).values())) == (7, {"repaired"})
    assert orphan.read_bytes() == b"orphan"
    assert os.listdir(stopped.data / "incoming") == []
    assert fsck(stopped.data, "--deep")[1]["findings"] == []
    ((blobs, days),) = rows(
        stopped.data,
        f"""SELECT blob_count, (keep_until / 1000000 - unixepoch()) / 86400.0 FROM payload
            WHERE hex(digest) = '{sha512(b"orphan").upper()}'""",
    )
    assert blobs == 0
    assert 29 < days < 31


def test_an_orphan_with_other_bytes_than_its_name_says_goes_to_quarantine(stopped: Daemon) -> None:
    orphan = path_of(stopped.data, b"orphan")
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.write_bytes(b"orphaN")

    code, told = fsck(stopped.data, "--repair")

    assert (code, codes(told)) == (6, {"damaged": "contained"})
    assert not orphan.exists()
    assert fsck(stopped.data, "--deep")[0] == 0


def test_what_casd_did_not_put_there_is_noted_and_never_touched(stopped: Daemon, tmp_path: Path) -> None:
    payloads = stopped.data / "payloads"
    (payloads / "notes.txt").write_text("of an operator")
    (payloads / "ab" / "notes.txt").write_text("of an operator")
    (payloads / "ab" / "cd").mkdir(exist_ok=True)
    (payloads / "ab" / "cd" / "notes.txt").write_text("of an operator")
    (payloads / "ab" / "cd" / ("abcd" + "0" * 124)).mkdir()
    (payloads / "ab" / "cd" / ("ABCD" + "0" * 124)).write_text("upper case")
    (payloads / "ab" / "cd" / ("abcd" + "1" * 124)).symlink_to(tmp_path)
    os.mkfifo(payloads / "ab" / "cd" / ("abcd" + "2" * 124))
    (stopped.data / "quarantine" / "notes.txt").write_text("of an operator")

    code, told = fsck(stopped.data, "--repair", "--deep")

    assert (code, codes(told)) == (0, {"foreign-file": "noted"})
    assert len(told["findings"]) == 8
    assert (payloads / "ab" / "cd" / "notes.txt").read_text() == "of an operator"
    assert (payloads / "ab" / "cd" / ("abcd" + "1" * 124)).is_symlink()


def test_a_second_copy_in_the_wrong_place_is_left_alone(stopped: Daemon) -> None:
    elsewhere = stopped.data / "payloads" / "00" / "00" / sha512(BIG)
    elsewhere.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path_of(stopped.data, BIG), elsewhere)

    code, told = fsck(stopped.data, "--repair")

    assert (code, codes(told)) == (0, {"misplaced-payload": "noted"})
    assert elsewhere.exists()


# -- what cannot be mended ------------------------------------------------------------------------------------------

LEFT: dict[str, tuple[Damage, str]] = {
    "a name without versions": (set_sql("DELETE FROM version WHERE number = 1 AND name_id = 2"), "empty-name"),
    "a version before the first": (set_sql("UPDATE version SET number = 0 WHERE name_id = 2"), "version-number"),
    "versions out of order": (set_sql("UPDATE version SET created_at = 5 WHERE number = 2"), "version-order"),
    "rows of nothing": (set_sql("DELETE FROM payload WHERE size = 3"), "dangling-rows"),
    "metadata that is none": (
        set_sql(
            """INSERT INTO blob_metadata (blob_id, key, value, match_hash, namespace_id, uuid)
               SELECT id, 'k', '{"half', 0, namespace_id, uuid FROM blob LIMIT 1"""
        ),
        "metadata-value",
    ),
    "a version of another namespace": (
        set_sql(
            "INSERT INTO namespace (name, created_at) VALUES ('other', 0)",
            "UPDATE blob SET namespace_id = (SELECT id FROM namespace WHERE name = 'other') WHERE id = 1",
        ),
        "version-namespace",
    ),
}


@pytest.mark.parametrize("what", LEFT)
def test_what_cannot_be_mended_is_left_and_told(stopped: Daemon, what: str) -> None:
    damage, code = LEFT[what]
    damage(stopped.data)

    found, mended = fsck(stopped.data), fsck(stopped.data, "--repair")

    assert (found[0], mended[0]) == (6, 6)
    assert codes(found[1])[code] == codes(mended[1])[code] == "left"


def test_a_blob_that_nothing_holds_holds_itself_after_repair(stopped: Daemon) -> None:
    """So its bytes stay reachable, and whoever owns them decides."""
    stopped.start()
    uuid = ask(stopped, "POST", "/v1/blobs", b"alone").json["uuid"]
    assert stopped.stop() == 0
    sql(stopped.data, "UPDATE blob SET holds_itself = 0 WHERE version_count = 0")

    found, mended = fsck(stopped.data), fsck(stopped.data, "--repair")

    assert (found[0], codes(found[1])) == (6, {"blob-without-hold": "left"})
    assert mended[0] == 7
    assert ask(stopped.start(), "GET", f"/v1/blobs/{uuid}/data").body == b"alone"


def test_a_schema_that_is_older_is_checked_and_left_as_it_is(stopped: Daemon) -> None:
    """As after an upgrade, before the first start: the last migration is taken back by hand."""
    last = max(number for (number,) in rows(stopped.data, "SELECT number FROM schema_migration"))
    assert last == 13
    sql(
        stopped.data,
        "ALTER TABLE version DROP COLUMN protected",
        f"DELETE FROM schema_migration WHERE number = {last}",
    )
    before = everything(stopped.data)

    code, told = fsck(stopped.data, "--deep")

    assert (code, told["findings"]) == (0, [])
    assert everything(stopped.data) == before
    assert_serves_all(stopped.start())


def test_a_newer_schema_is_refused(stopped: Daemon) -> None:
    sql(stopped.data, "INSERT INTO schema_migration (number, name, applied_at) VALUES (9999, 'of the future', 0)")

    for flags in ([], ["--repair"], ["--rebuild"]):
        ran = casd("fsck", "--data", stopped.data, *flags)
        assert (ran.code, "start the newer casd again" in ran.err) == (1, True)


# -- a catalogue that is lost ---------------------------------------------------------------------------------------


def zero_schema(catalogue: Path) -> None:
    """The schema has outgrown its first page, which names its others (SQLite's file format, 1.6)."""
    first = catalogue.read_bytes()[:4096]
    (child,) = struct.unpack(">I", first[108:112])
    with catalogue.open("r+b") as file:
        file.seek((child - 1) * 4096)
        file.write(bytes(4096))


def garble(catalogue: Path) -> None:
    with catalogue.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(random.Random(1).randbytes(20 * 4096))


def garble_header(catalogue: Path) -> None:
    with catalogue.open("r+b") as file:
        file.write(b"garbage!" * 16)


def make_folder(catalogue: Path) -> None:
    catalogue.unlink()
    catalogue.mkdir()


@pytest.mark.parametrize("damage", [zero_schema, garble, garble_header, truncate, empty, remove, make_folder])
def test_a_catalogue_that_is_lost_is_told_and_rebuilt_from_the_payloads(
    stopped: Daemon, damage: Damage, tmp_path: Path
) -> None:
    damage(stopped.data / CATALOGUE)
    before = everything(stopped.data)

    found, mended = fsck(stopped.data), fsck(stopped.data, "--repair")
    unchanged = {name: content for name, content in everything(stopped.data).items() if not name.endswith("-wal")}
    rebuilt = fsck(stopped.data, "--rebuild")
    whole = fsck(stopped.data, "--deep")
    stopped.start()

    assert (found[0], mended[0]) == (6, 6)
    assert "--rebuild" in found[1]["findings"][0]["repair"]
    assert unchanged == before
    assert (rebuilt[0], rebuilt[1]["payloads"], rebuilt[1]["damaged"]) == (7, 4, [])
    assert len(rebuilt[1]["lost_catalogue"]) == (0 if damage is remove else 1)
    assert all(Path(path).exists() for path in rebuilt[1]["lost_catalogue"])
    assert (whole[0], whole[1]["findings"]) == (0, [])
    check_catalogue(stopped.data, tmp_path / "scratch")
    for data in (OLD, NEW, OF_B, BIG):
        [blob] = ask(stopped, "GET", f"/v1/checksums/sha512/{sha512(data)}").json["items"]
        assert (blob["namespace"], blob["size"], blob["holds_itself"]) == ("recovered", len(data), True)
        assert ask(stopped, "GET", f"/v1/blobs/{blob['uuid']}/data").body == data
    assert ask(stopped, "POST", "/v1/upkeep/collect-garbage?force=1").json["payloads"] == 0


def test_a_rebuilt_catalogue_knows_nothing_of_what_is_damaged(stopped: Daemon) -> None:
    (stopped.data / CATALOGUE).unlink()
    flip(path_of(stopped.data, BIG))

    code, told = fsck(stopped.data, "--rebuild")

    assert (code, told["payloads"], told["damaged"]) == (6, 3, [sha512(BIG)])
    assert payload_files(stopped.data) == {sha512(data) for data in (OLD, NEW, OF_B)}
    assert len([path for path in (stopped.data / "quarantine").iterdir() if path.suffix != ".json"]) == 1


def test_a_wal_of_the_lost_catalogue_is_kept_beside_and_not_played_into_the_new_one(new_daemon: NewDaemon) -> None:
    daemon = new_daemon().start()
    put(daemon, "n", b"bytes")
    daemon.kill()
    wal = (daemon.data / f"{CATALOGUE}-wal").read_bytes()
    (daemon.data / CATALOGUE).unlink()

    code, told = fsck(daemon.data, "--rebuild")

    assert code == 7
    kept = next(Path(path) for path in told["lost_catalogue"] if path.endswith("-wal"))
    assert kept.read_bytes() == wal
    assert not (daemon.data / f"{CATALOGUE}-wal").exists()
    [blob] = ask(daemon.start(), "GET", "/v1/blobs?namespace=recovered").json["items"]
    assert blob["sha512"] == sha512(b"bytes")


def test_a_sound_catalogue_is_not_rebuilt(stopped: Daemon) -> None:
    before = everything(stopped.data)

    ran = casd("fsck", "--data", stopped.data, "--rebuild")

    assert (ran.code, "is sound" in ran.err) == (1, True)
    assert everything(stopped.data) == before


def test_an_unfinished_restore_is_not_mended(stopped: Daemon) -> None:
    (stopped.data / "restore.unfinished").touch()

    for flags in ([], ["--repair"], ["--rebuild"]):
        ran = casd("fsck", "--data", stopped.data, *flags)
        assert (ran.code, "`casd restore` again" in ran.err) == (1, True)


def test_a_rebuild_that_is_killed_anywhere_is_done_again(stopped: Daemon) -> None:
    """Not to wait for anything: a kill comes when it comes. A run takes about 0.6 s, 0.3 of them to import."""
    moments = random.Random(3)
    (stopped.data / CATALOGUE).unlink()
    for _ in range(5):
        command = [sys.executable, "-m", "casd", "fsck", "--data", str(stopped.data), "--rebuild"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moments.uniform(0.25, 0.6))
            process.kill()
        if process.returncode == 7:
            (stopped.data / CATALOGUE).unlink()  # it was quicker than the kill
        with pytest.raises(RuntimeError, match="restore it from a backup"):
            stopped.start()

    code, told = fsck(stopped.data, "--rebuild")

    assert (code, told["payloads"]) == (7, 4)
    assert fsck(stopped.data, "--deep")[0] == 0


def test_a_repair_that_is_killed_anywhere_is_done_again(stopped: Daemon, tmp_path: Path) -> None:
    moments = random.Random(4)
    for damage in (truncate, flip):
        damage(path_of(stopped.data, BIG if damage is flip else NEW))
    sql(stopped.data, "UPDATE payload SET blob_count = 7", "UPDATE payload SET sha256 = zeroblob(32)")
    for _ in range(5):
        command = [sys.executable, "-m", "casd", "fsck", "--data", str(stopped.data), "--deep", "--repair"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moments.uniform(0.25, 0.6))
            process.kill()

    assert fsck(stopped.data, "--deep", "--repair")[0] == 6
    code, told = fsck(stopped.data, "--deep")

    assert (code, codes(told)) == (6, {"quarantined": "left"})
    assert {finding["sha512"] for finding in told["findings"]} == {sha512(NEW), sha512(BIG)}
    check_catalogue(stopped.data, tmp_path / "scratch")
    assert payload_files(stopped.data) == {sha512(OLD), sha512(OF_B)}
