"""`casd audit`, and secrets that are rotated and kept, against the real daemon."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from casd.cli.audit import OVERLAP, newer, recent
from casd.client import AuditRow
from tests.cli.conftest import RunInside, made


@pytest.fixture
def namespace(inside: RunInside) -> str:
    """A namespace that no other test uses."""
    name = f"n{uuid4().hex}"
    assert inside("namespace", "create", name).code == 0
    return name


def test_the_log_tells_who_did_what_the_newest_last(inside: RunInside, namespace: str) -> None:
    for name in ("one", "two"):
        assert inside("put", __file__, name, "--namespace", namespace).code == 0
    assert inside("rm", "one", "--namespace", namespace).code == 0

    ran = inside("audit", "--namespace", namespace, "--action", "name.")

    assert [line.split()[3:] for line in ran.lines] == [
        ["name.publish", f"{namespace}/one@1"],
        ["name.publish", f"{namespace}/two@1"],
        ["name.hide", f"{namespace}/one@2"],
    ]
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:]+Z  127\.0\.0\.1 +admin ", line) for line in ran.lines)
    assert inside("audit", "--namespace", namespace, "--action", "name.", "-n", "1").lines == ran.lines[-1:]
    assert len(inside("audit", "--namespace", namespace, "--name", "one", "--since", "1h").lines) >= 2
    assert inside("audit", "--namespace", namespace, "--until", "1h").lines == []


def test_the_log_is_json_for_programs(inside: RunInside, namespace: str) -> None:
    assert inside("put", __file__, "one", "--namespace", namespace).code == 0

    lines = inside("audit", "--namespace", namespace, "--jsonl").lines
    document = json.loads(inside("audit", "--namespace", namespace, "--json").out)

    assert [json.loads(line) for line in lines] == document["items"][::-1]
    assert document["items"][0]["action"] == "name.publish"


def test_refusals_are_told_with_their_reason(inside: RunInside, namespace: str) -> None:
    told = made(inside, "token", "create", f"of {namespace}", "--role", "reader", "--namespace", namespace)
    assert inside("put", __file__, "x", "--namespace", namespace, env={"CASD_TOKEN": told["token"]}).code == 4

    ran = inside("audit", "--principal", f"of {namespace}")

    assert any("access.denied" in line and line.endswith("denied: forbidden") for line in ran.lines)


def test_refusals_say_what_was_asked_for(inside: RunInside, namespace: str) -> None:
    blob = str(uuid4())
    for name in ("zz1", "zz2"):
        assert inside("rm", name, "--namespace", namespace).code == 3
    assert inside("rm", blob).code == 3

    lines = inside("audit", "--namespace", namespace, "--action", "access.denied").lines
    (of_blob,) = inside("audit", "--blob", blob).lines

    asked = "DELETE /v1/names/{namespace}/{name}"
    assert [line.partition("  access.denied  ")[2] for line in lines] == [
        f"{asked}  {namespace}/{name}  denied: name-not-found" for name in ("zz1", "zz2")
    ]
    assert of_blob.endswith(f"access.denied  DELETE /v1/blobs/{{uuid}}  blob {blob}  denied: blob-not-found")


def test_protecting_and_unprotecting_look_different(inside: RunInside, namespace: str) -> None:
    assert inside("put", __file__, "one", "--namespace", namespace).code == 0
    for command in ("protect", "unprotect"):
        for what in ("one", "one@1"):
            assert inside(command, what, "--namespace", namespace).code == 0

    lines = inside("audit", "--namespace", namespace, "--action", "name.settings").lines

    assert [line.partition(f"{namespace}/")[2] for line in lines] == [
        *("one  (protected)", "one@1  (protected)", "one  (unprotected)", "one@1  (unprotected)")
    ]


def row(microseconds: int) -> AuditRow:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    about = dict.fromkeys(("target", "namespace", "name", "blob", "address", "code", "note"))
    return AuditRow(id=microseconds, at=at, principal="ci", action="x", result="done", count=1, json={}, **about)


async def test_following_shows_each_row_once_even_one_that_is_told_late() -> None:
    asked: list[datetime | None] = []
    there = [row(9_000_000), row(5_000_000), row(1_000_000)]

    async def answered(since: datetime | None = None) -> AsyncIterator[AuditRow]:
        asked.append(since)
        for one in sorted(there, key=lambda row: row.id, reverse=True):
            if since is None or one.at >= since:
                yield one

    client: Any = SimpleNamespace(operations=SimpleNamespace(audit=answered))
    shown = await newer(client, {}, [])
    there += [row(8_999_999), row(9_000_001)]
    rows = await newer(client, {}, recent(shown))

    assert shown == [row(9_000_000), row(5_000_000), row(1_000_000)]
    assert rows == [row(9_000_001), row(8_999_999)]
    assert recent(rows + shown) == [row(9_000_001), row(9_000_000), row(8_999_999), row(5_000_000)]
    assert await newer(client, {}, recent(rows + shown)) == []
    assert asked[1] == row(9_000_000).at - OVERLAP


def test_what_cannot_be_asked_is_said(inside: RunInside) -> None:
    assert inside("audit", "--name", "x").code == 2
    assert inside("audit", "--json", "--follow").code == 2
    wrong = inside("audit", "--since", "yesterday")
    assert wrong.code == 2
    assert "a span before now such as 2h" in wrong.err
    assert inside("audit", "--action", "token").code == 2


# -- secrets ------------------------------------------------------------------------------------------------------


def test_a_secret_goes_into_a_file_that_only_its_owner_reads(inside: RunInside, namespace: str, tmp_path: Path) -> None:
    file = tmp_path / "ci.token"
    wanted = ("token", "create", "ci", "--role", "writer", "--namespace", namespace, "--output", str(file))

    ran = inside(*wanted)
    again = inside(*wanted)

    assert (ran.code, ran.out) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().strip() not in ran.err
    assert again.code != 0
    assert "is there already" in again.err
    assert inside("ls", "--namespace", namespace, env={"CASD_TOKEN_FILE": str(file)}).code == 0
    assert not list(tmp_path.glob(".ci*"))


def test_a_token_is_rotated_with_an_overlap_and_without(inside: RunInside, namespace: str, tmp_path: Path) -> None:
    file = tmp_path / "ci.token"
    told = made(inside, "token", "create", "ci", "--role", "writer", "--namespace", namespace)

    first = inside("token", "rotate", told["id"])
    second = inside("token", "rotate", told["id"], "--overlap", "0", "--output", str(file))

    assert re.fullmatch(r"casd_[\w-]{40,}\n", first.out)
    assert "works until" in first.err
    assert second.out == ""
    assert "works no more" in second.err
    asked = ("ls", "--namespace", namespace)
    assert inside(*asked, env={"CASD_TOKEN": told["token"]}).code == 4
    assert inside(*asked, env={"CASD_TOKEN": first.out.strip()}).code == 4
    assert inside(*asked, env={"CASD_TOKEN_FILE": str(file)}).code == 0
    [line] = [line for line in inside("token", "ls").lines if told["id"] in line]
    assert "  used 2" in line
    assert inside("token", "rotate", str(uuid4())).code == 3


def test_a_token_file_that_holds_none_is_said(inside: RunInside, tmp_path: Path) -> None:
    for text in ("", "two words"):
        (tmp_path / "file").write_text(text)
        ran = inside("ls", env={"CASD_TOKEN_FILE": str(tmp_path / "file")})
        assert ran.code != 0
        assert "holds no token" in ran.err
    assert "cannot be read" in inside("ls", env={"CASD_TOKEN_FILE": str(tmp_path / "missing")}).err


def test_a_url_that_is_good_for_less_than_was_asked_is_said(inside: RunInside, namespace: str, name: str) -> None:
    uuid = made(inside, "put", __file__, name, "--namespace", namespace)["blob"]["uuid"]

    assert "less than was asked" in inside("sign", uuid, "--expires-in", "52w").err
    assert "less than was asked" not in inside("sign", uuid, "--expires-in", "1h").err


def test_a_signing_key_is_retired(inside: RunInside) -> None:
    first = int(inside("signing-key", "ls").lines[0].split()[0])
    newest = made(inside, "signing-key", "rotate")["id"]

    assert inside("signing-key", "retire", str(newest)).code != 0
    assert inside("signing-key", "retire", str(first)).out.startswith(f"retired key {first}")
    assert inside("signing-key", "retire", str(first)).code == 3


def test_status_tells_of_tokens_that_end_soon(inside: RunInside, namespace: str) -> None:
    made(inside, "token", "create", "soon", "--role", "reader", "--namespace", namespace, "--expires-in", "1d")

    ran = inside("status")

    assert "soon ends 2" in ran.out
    assert "signing key" in ran.out
