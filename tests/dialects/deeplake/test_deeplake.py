"""Deep Lake's files by HTTP: its page with a real client, and what the page leaves to good sense."""

import asyncio
import hashlib
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.conftest import Daemon
from tests.dialects import clients
from tests.proxy import Fault, Proxy
from tests.web.party import Party, is_time
from tests.web.wire import Answer, Wire, has_payload, head, incoming, raw, wait_until

FIELDS = ["id", "object", "filename", "content_type", "size", "bytes", "created_at", "workspace_id", "status", "sha512"]
ABSENT = "00000000-0000-7000-8000-000000000000"


def files(party: Party, rest: str = "") -> str:
    return f"/workspaces/{party.namespace}/files{rest}"


def form(data: bytes, disposition: str = 'name="file"; filename="photo.png"', kind: str | None = "image/png") -> bytes:
    lines = f"Content-Disposition: form-data; {disposition}\r\n" + (f"Content-Type: {kind}\r\n" if kind else "")
    return f"--limit\r\n{lines}\r\n".encode() + data + b"\r\n--limit--\r\n"


def post(wire: Wire, party: Party, body: bytes) -> Answer:
    return wire.ask("POST", files(party), body, {"Content-Type": "multipart/form-data; boundary=limit"})


def upload(party: Party, data: bytes, **how: Any) -> dict[str, Any]:
    answer = post(party.writer, party, form(data, **how))
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json
    return found


# -- the page -----------------------------------------------------------------------------------------------------


def script(client_environment: Callable[..., Path], folder: Path, name: str, *arguments: str) -> dict[str, Any]:
    """What the script beside this file tells, run with the client's own Python in that folder."""
    command = [client_environment(*clients.DEEP_LAKE) / "python", Path(__file__).with_name(name), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_the_page_works_as_it_stands(us: Party, tmp_path: Path, client_environment: Callable[..., Path]) -> None:
    photo = random.randbytes(300_000)
    (tmp_path / "photo.png").write_bytes(photo)

    told = script(client_environment, tmp_path, "page.py", us.daemon.url, us.token("writer"), us.namespace)

    assert [UUID(text).version for text in told["ids"]] == [7, 7]
    assert (tmp_path / "downloaded.png").read_bytes() == photo
    assert told["same"]
    assert told["type"] == "image/png"
    assert told["listed"] == told["ids"]
    assert told["deleted"] == 200
    assert told["gone"][0] == 404
    assert told["info"]["content_type"] == "image/png"
    assert told["info"]["size"] == len(photo)
    assert told["info"]["metadata"] == {}


async def test_a_transfer_that_is_cut_is_an_error_and_leaves_nothing(
    us: Party, tmp_path: Path, client_environment: Callable[..., Path]
) -> None:
    stored, photo = random.randbytes(4 << 20), random.randbytes(4 << 20)
    made = upload(us, stored)
    (tmp_path / "photo.png").write_bytes(photo)
    token = us.token("writer")

    faults = [Fault("cut", 3 << 20, "requests"), Fault("cut", 3 << 20), Fault("cut", 3 << 20)]
    async with Proxy(us.daemon.url, *faults) as proxy:
        asked = (client_environment, tmp_path, "cut.py", proxy.url, token, us.namespace, made["id"])
        told = await asyncio.to_thread(script, *asked)

    assert [connection.answers for connection in proxy.seen[1:3]] == [3 << 20] * 2  # the cuts were in mid transfer
    assert told["upload"] == "ConnectionError"
    assert told["whole"] == told["streamed"] == "ChunkedEncodingError"
    assert [item["id"] for item in told["listed"]] == [made["id"]]
    wait_until(lambda: not incoming(us.daemon), "what came of the upload is gone")
    assert not has_payload(us.daemon, photo)


@pytest.mark.slow
def test_300_mb_come_and_go(new_daemon: Callable[..., Daemon]) -> None:
    data = random.Random(6).randbytes(1 << 20) * 300
    party = Party(new_daemon().start())
    party.settings()

    made = upload(party, data, kind="video/mp4")

    assert made["sha512"] == hashlib.sha512(data).hexdigest()
    assert party.reader.ask("GET", files(party, f"/{made['id']}/content")).body == data
    party.close()


# -- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["image/png", "video/mp4", "audio/wav", "application/pdf", "application/json"])
def test_type_and_filename_are_kept(us: Party, kind: str) -> None:
    made = upload(us, b"{}", kind=kind)

    content = us.reader.ask("GET", files(us, f"/{made['id']}/content"))

    assert list(made) == FIELDS
    assert (made["content_type"], made["filename"], made["workspace_id"]) == (kind, "photo.png", us.namespace)
    assert (made["size"], made["bytes"], made["status"]) == (2, 2, "uploaded")
    assert made["sha512"] == hashlib.sha512(b"{}").hexdigest()
    assert is_time(made["created_at"])
    assert (content.status, content["Content-Type"], content.body) == (200, kind, b"{}")
    assert us.reader.ask("GET", files(us, f"/{made['id']}")).json == made | {"metadata": {}}


def test_a_file_is_a_blob_to_everybody_else_and_a_blob_is_a_file(us: Party) -> None:
    made = upload(us, b"abc")
    added = us.add(b"def")

    assert us.reader.ask("GET", f"/v1/blobs/{made['id']}/data").body == b"abc"
    assert us.reader.ask("GET", files(us, f"/{added['uuid']}/content")).body == b"def"
    listed = us.reader.ask("GET", files(us)).json
    assert [item["id"] for item in listed["data"]] == [made["id"], added["uuid"]]


def test_what_only_a_version_holds_is_read_by_its_uuid_and_not_listed(us: Party, them: Party) -> None:
    uuid = us.publish("name", b"abc")["blob"]["uuid"]

    info = us.reader.ask("GET", files(us, f"/{uuid}")).json
    content = us.reader.ask("GET", files(us, f"/{uuid}/content"))

    assert (info["id"], info["size"], info["sha512"]) == (uuid, 3, hashlib.sha512(b"abc").hexdigest())
    assert (content.status, content.body) == (200, b"abc")
    assert us.reader.ask("GET", files(us)).json["data"] == []
    assert them.writer.ask("GET", files(them, f"/{uuid}/content")).status == 404


def test_what_only_a_version_holds_cannot_be_deleted_here(us: Party) -> None:
    path = files(us, f"/{us.publish('name', b'abc')['blob']['uuid']}")

    answer = us.writer.ask("DELETE", path)

    assert (answer.status, set(answer.json), answer.json["code"]) == (409, {"error", "code"}, "conflict")
    assert us.reader.ask("DELETE", path).status == 403
    assert us.reader.ask("GET", f"{path}/content").body == b"abc"
    assert us.reader.ask("GET", us.name("name")).body == b"abc"


def test_a_file_that_a_version_holds_is_gone_for_this_api_alone(us: Party) -> None:
    made = upload(us, b"abc")
    assert us.writer.ask("PUT", f"{us.name('n')}?blob={made['id']}").status == 201

    assert us.writer.ask("DELETE", files(us, f"/{made['id']}")).json == {
        "id": made["id"],
        "object": "file",
        "deleted": True,
    }

    assert_gone(us, made["id"])
    assert us.writer.ask("GET", us.name("n")).body == b"abc"
    assert us.writer.ask("PUT", f"{us.name('other')}?blob={made['id']}").status == 201
    assert_gone(us, made["id"])  # another name does not bring it back


def test_what_another_api_deleted_is_gone_here_too(us: Party) -> None:
    uuid = us.add(b"one")["uuid"]
    assert us.writer.ask("PUT", f"{us.name('n')}?blob={uuid}").status == 201
    assert us.reader.ask("GET", files(us, f"/{uuid}/content")).status == 200

    assert us.writer.ask("DELETE", f"/v1/blobs/{uuid}").status == 204

    assert_gone(us, uuid)
    assert us.reader.ask("GET", f"/v1/blobs/{uuid}/data").body == b"one"  # its version holds it
    assert us.reader.ask("GET", us.name("n")).body == b"one"


def assert_gone(party: Party, uuid: str) -> None:
    assert party.writer.ask("GET", files(party, f"/{uuid}")).status == 404
    assert party.writer.ask("GET", files(party, f"/{uuid}/content")).status == 404
    assert party.writer.ask("DELETE", files(party, f"/{uuid}")).status == 404
    assert party.writer.ask("GET", files(party)).json["data"] == []


def test_a_browser_can_seek_in_a_video(us: Party) -> None:
    data = random.randbytes(3 << 20)
    made = upload(us, data, kind="video/mp4")
    path = files(us, f"/{made['id']}/content")

    part = us.reader.ask("GET", path, headers={"Range": "bytes=2000000-2000009"})
    stale = us.reader.ask("GET", path, headers={"Range": "bytes=5-9", "If-Range": '"other"'})

    assert (part.status, part["Content-Range"]) == (206, f"bytes 2000000-2000009/{len(data)}")
    assert part.body == data[2_000_000:2_000_010]
    assert (stale.status, stale.body) == (200, data)
    assert us.reader.ask("HEAD", path)["Accept-Ranges"] == "bytes"


def test_files_are_listed_by_number(us: Party) -> None:
    ids = [upload(us, b"%d" % at)["id"] for at in range(7)]

    page = us.reader.ask("GET", files(us, "?limit=3&offset=2")).json
    last = us.reader.ask("GET", files(us, "?limit=3&offset=6")).json
    past = us.reader.ask("GET", files(us, "?offset=99999999999999999999999")).json

    assert [item["id"] for item in page["data"]] == ids[2:5]
    assert {key: value for key, value in page.items() if key != "data"} == {
        "object": "list",
        "limit": 3,
        "offset": 2,
        "has_more": True,
    }
    assert ([item["id"] for item in last["data"]], last["has_more"]) == (ids[6:], False)
    assert (past["data"], past["has_more"]) == ([], False)
    assert us.reader.ask("GET", files(us)).json["limit"] == 20
    assert us.reader.ask("GET", files(us, "?limit=5000")).json["limit"] == 1000


@pytest.mark.parametrize("query", ["?limit=0", "?limit=x", "?limit=-1", "?offset=-1", "?offset=x", "?offset="])
def test_a_bad_page_is_400(us: Party, query: str) -> None:
    answer = us.reader.ask("GET", files(us, query))

    assert (answer.status, set(answer.json)) == (400, {"error", "code"})


@pytest.mark.parametrize("filename", ["a b", "ü+&%#?.png", "a%22b", "../../etc/passwd", "C:\\folder\\x.png"])
def test_odd_filenames(us: Party, filename: str) -> None:
    made = upload(us, b"x", disposition=f'name="file"; filename="{filename}"')

    kept = us.reader.ask("GET", files(us, f"/{made['id']}")).json["filename"]

    assert kept == {"a%22b": 'a"b', "../../etc/passwd": "passwd", "C:\\folder\\x.png": "x.png"}.get(filename, filename)


def test_a_part_without_type_and_filename_is_bytes(us: Party) -> None:
    made = upload(us, b"", disposition='name="file"', kind=None)

    assert (made["content_type"], made["filename"], made["size"]) == ("application/octet-stream", None, 0)
    assert us.reader.ask("GET", files(us, f"/{made['id']}/content")).body == b""


# -- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        form(b"x", 'name="other"'),
        form(b"x")[:-4],
        form(b"x")[:-9],
        form(b"one")[:-11] + form(b"two"),
        form(b"x", 'name="file"; filename="\x01"'),
        form(b"x", kind="no type"),
    ],
)
def test_a_bad_form_is_400_and_nothing_is_kept(us: Party, body: bytes) -> None:
    answer = post(us.writer, us, body)

    assert (answer.status, set(answer.json)) == (400, {"error", "code"})
    assert us.writer.ask("GET", files(us)).json["data"] == []
    assert incoming(us.daemon) == []


def test_a_body_that_is_no_form_is_400(us: Party) -> None:
    assert us.writer.ask("POST", files(us), b"{}", {"Content-Type": "application/json"}).status == 400
    assert us.writer.ask("POST", files(us), b"x").status == 400


def test_an_upload_that_is_cut_leaves_nothing(us: Party) -> None:
    data = random.randbytes(1 << 20)
    with raw(us.daemon) as cut:
        lines = ["Content-Type: multipart/form-data; boundary=limit", "Content-Length: 9000000"]
        cut.send(head(us.daemon, f"POST {files(us)}", *lines))
        cut.send(form(data)[:-20])
        wait_until(lambda: incoming(us.daemon), "it is being staged")

    wait_until(lambda: not incoming(us.daemon), "it is gone")
    assert not has_payload(us.daemon, data)
    assert us.writer.ask("GET", files(us)).json["data"] == []


def test_a_download_that_is_cut_is_short_of_its_length(us: Party) -> None:
    made = upload(us, random.randbytes(3 << 20))
    with raw(us.daemon) as cut:
        cut.send(head(us.daemon, f"GET {files(us, '/' + made['id'] + '/content')}"))
        status, headers = cut.head()

    assert (status, headers["Content-Length"]) == (200, str(3 << 20))


def routes(party: Party, uuid: str) -> list[tuple[str, str, bytes | None]]:
    return [
        ("POST", files(party), form(b"x")),
        ("GET", files(party), None),
        ("GET", files(party, f"/{uuid}"), None),
        ("GET", files(party, f"/{uuid}/content"), None),
        ("DELETE", files(party, f"/{uuid}"), None),
    ]


FORM = {"Content-Type": "multipart/form-data; boundary=limit"}


@pytest.mark.parametrize("who", ["nobody", "bad"])
def test_nobody_gets_in_without_a_token(us: Party, who: str) -> None:
    made = upload(us, b"x")["id"]
    us.settings(anonymous_read=True)  # that is for the native API
    with Wire(us.daemon, None if who == "nobody" else "casd_wrong") as wire:
        for method, target, body in routes(us, made):
            answer = wire.ask(method, target, body, FORM)
            assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
            assert answer["WWW-Authenticate"]


def test_strangers_find_nothing_and_foreign_is_as_absent(us: Party, them: Party) -> None:
    made = upload(us, b"x")["id"]
    absent = Party(us.daemon)  # never made

    for (method, target, body), (_, nowhere, _) in zip(routes(us, made), routes(absent, ABSENT), strict=True):
        foreign, missing = (them.writer.ask(method, path, body, FORM) for path in (target, nowhere))
        assert (foreign.status, missing.status) == (404, 404)
        assert foreign.json["code"] == missing.json["code"] == "namespace-not-found"
    assert them.writer.ask("GET", files(them, f"/{made}")).status == 404  # a UUID is no key to another workspace
    absent.close()


def test_readers_of_a_workspace_may_read_but_not_write(us: Party, them: Party) -> None:
    made = upload(us, b"x")["id"]
    us.settings(readers=[them.namespace])

    def statuses(wire: Wire) -> list[int]:
        return [wire.ask(method, target, body, FORM).status for method, target, body in routes(us, made)]

    assert statuses(us.reader) == [403, 200, 200, 200, 403]
    assert statuses(them.writer) == [404, 200, 200, 200, 404]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "", 405),
        ("PATCH", f"/{ABSENT}", 405),
        ("GET", "/not-a-uuid", 404),
        ("GET", f"/{ABSENT}", 404),
        ("GET", f"/{ABSENT}/other", 404),
        ("DELETE", f"/{ABSENT}", 404),
    ],
)
def test_errors_have_the_shape_of_this_api(us: Party, method: str, path: str, status: int) -> None:
    answer = us.writer.ask(method, files(us, path))

    assert (answer.status, set(answer.json)) == (status, {"error", "code"})
    assert answer["X-Request-ID"]


def test_a_workspace_that_cannot_be_is_400(us: Party) -> None:
    assert us.writer.ask("GET", "/workspaces/a%2Fb/files").status == 400


def test_too_large_and_too_full_are_told(new_daemon: Callable[..., Daemon]) -> None:
    small = new_daemon(CASD_LIMITS__MAX_BODY_BYTES="1000").start()
    full = new_daemon(CASD_STORAGE__RESERVE_BYTES=str(1 << 60)).start()
    for daemon, status, code in ((small, 413, "too-large"), (full, 507, "storage-full")):
        with Wire(daemon) as wire:
            answer = wire.ask("POST", "/workspaces/default/files", form(bytes(2000)), FORM)
        assert (answer.status, answer.json["code"]) == (status, code)
