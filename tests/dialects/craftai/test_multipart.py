"""Objects in parts on the wire: both generations of SDKs, in any order, sent again, across a restart."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import Daemon
from tests.dialects.craftai.conftest import ABSENT, User, end_body, form, json_name, part_body, xml_code
from tests.web.wire import Wire, incoming

CHUNK = 1000
DATA = bytes(range(256)) * 14  # 3584: three parts and a bit
PIECES = {number: DATA[(number - 1) * CHUNK : number * CHUNK] for number in (1, 2, 3, 4)}
NAME = "in parts/ü+%.bin"


def send(us: User, id: str, number: int, data: bytes | None = None) -> str:
    total = len(DATA) if number == 4 else None
    return us.put(us.part_link(id, NAME, number, CHUNK, total), PIECES[number] if data is None else data)


def send_all(us: User, id: str, order: tuple[int, ...] = (1, 2, 3, 4)) -> dict[int, str]:
    return {number: send(us, id, number) for number in order}


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 3, 2, 1), (3, 1, 4, 2)])
def test_parts_come_in_any_order(us: User, order: tuple[int, ...]) -> None:
    id = us.start(NAME)

    answer = us.end(id, NAME, send_all(us, id, order))

    assert (answer.status, answer.json) == (200, {"path": NAME})
    assert us.fetch(NAME) == DATA
    assert id not in incoming(us.daemon)


def test_parts_come_at_once(us: User) -> None:
    id = us.start(NAME)
    links = {number: us.part_link(id, NAME, number, CHUNK, len(DATA) if number == 4 else None) for number in PIECES}
    together = threading.Barrier(len(links))

    def put(number: int) -> str:
        with Wire(us.daemon, None) as wire:
            together.wait()
            return str(wire.ask("PUT", links[number], PIECES[number])["ETag"])

    with ThreadPoolExecutor(len(links)) as pool:
        etags = dict(zip(PIECES, pool.map(put, PIECES), strict=True))

    assert us.end(id, NAME, etags).status == 200
    assert us.fetch(NAME) == DATA


def test_an_etag_is_strong_and_json(us: User) -> None:
    etag = send(us, us.start(NAME), 1)

    assert isinstance(json.loads(etag), str)
    assert etag == f'"{json.loads(etag)}"'


def test_a_part_that_is_sent_again_replaces(us: User) -> None:
    id = us.start(NAME)
    wrong = send(us, id, 2, b"x" * CHUNK)
    etags = send_all(us, id)

    refused = us.end(id, NAME, etags | {2: wrong})
    assert (refused.status, json_name(refused)) == (400, "part-mismatch")
    assert us.end(id, NAME, etags).status == 200
    assert us.fetch(NAME) == DATA


def test_parts_survive_a_crash_of_the_daemon(new_daemon: Callable[..., Daemon], make_user: Callable[..., User]) -> None:
    daemon = new_daemon().start()
    us = make_user(daemon)
    id = us.start(NAME)
    etags = send_all(us, id, (3, 1))
    jwt, token = us.jwt, us.token
    us.close()
    daemon.kill()

    daemon.start()
    us.wire = Wire(daemon, None)
    assert us.ask("GET", "/list").status == 200, "a JWT outlives the daemon"
    etags |= send_all(us, id, (2, 4))

    assert us.end(id, NAME, etags).status == 200
    assert us.fetch(NAME) == DATA
    assert (us.jwt, us.token) == (jwt, token)


def test_an_end_whose_answer_was_lost_can_be_sent_again(us: User) -> None:
    id = us.start(NAME)
    etags = send_all(us, id)

    assert [us.end(id, NAME, etags).status for _ in range(2)] == [200, 200]

    assert len(us.party.writer.ask("GET", f"/v1/versions/{us.environment}/{quote(NAME)}").json["items"]) == 1


def test_an_object_replaces_the_one_before_when_it_is_whole(us: User) -> None:
    us.store(NAME, b"before")
    id = us.start(NAME)
    etags = send_all(us, id)
    assert us.fetch(NAME) == b"before"

    assert us.end(id, NAME, etags).status == 200

    assert us.fetch(NAME) == DATA
    versions = us.party.writer.ask("GET", f"/v1/versions/{us.environment}/{quote(NAME)}").json["items"]
    assert [version["version"] for version in versions] == [2]


# -- the older generation -----------------------------------------------------------------------------------------


def older_start(us: User) -> str:
    answer = us.ask("POST", "/upload/multipart", form(NAME), version="0.46.2")
    assert answer.status == 200, answer.body
    id: str = answer.json["multipart_upload_id"]
    return id


def older_query(number: int) -> str:
    return f"?path_to_object={quote(NAME, safe='')}&part_number={number}"


def older_send(us: User, id: str, number: int) -> str:
    """The ETag as that SDK reads it."""
    etag: str = json.loads(us.put(us.link("GET", f"/upload/multipart/{id}{older_query(number)}"), PIECES[number]))
    return etag


def older_end(us: User, id: str, etags: dict[int, str]) -> Any:
    listed = [{"number": number, "metadata": etag} for number, etag in etags.items()]
    body = {"path_to_object": NAME, "parts": listed}
    return us.ask("POST", f"/upload/multipart/{id}", body, version="0.46.2")


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (1, 4, 2, 3), (1, 2, 2, 4, 3, 3)])
def test_older_parts_go_by_the_size_of_the_first(us: User, order: tuple[int, ...]) -> None:
    id = older_start(us)

    answer = older_end(us, id, {number: older_send(us, id, number) for number in order})

    assert answer.status == 200
    assert us.fetch(NAME) == DATA


def test_an_older_part_before_the_first_is_refused(us: User) -> None:
    answer = us.ask("GET", f"/upload/multipart/{older_start(us)}{older_query(2)}", version="0.46.2")

    assert (answer.status, json_name(answer)) == (409, "conflict")


def test_an_older_part_in_the_middle_that_is_too_short_or_too_long_is_refused(us: User) -> None:
    id = older_start(us)
    etags = {number: older_send(us, id, number) for number in (1, 3)}
    link = us.link("GET", f"/upload/multipart/{id}{older_query(2)}")

    longer = us.wire.ask("PUT", link, b"x" * (CHUNK + 1))
    assert (longer.status, xml_code(longer)) == (413, "EntityTooLarge")
    etags[2] = json.loads(us.put(link, b"x" * (CHUNK - 1)))

    assert json_name(older_end(us, id, etags)) == "part-mismatch"


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.54.1", "0.57.0", "0.74.7", "1.2.3"])
def test_a_new_sdk_that_never_told_the_size_has_lost_a_byte(us: User, version: str) -> None:
    id = us.start(NAME)
    etags = send_all(us, id, (1, 2, 3))  # no last part

    answer = us.end(id, NAME, etags, version=version)

    assert (answer.status, json_name(answer)) == (400, "part-mismatch")
    assert us.paths() == []


@pytest.mark.parametrize("version", ["0.50.1", "0.54.0", None])
def test_before_that_whole_parts_need_no_size(us: User, version: str | None) -> None:
    id = us.start(NAME)

    assert us.end(id, NAME, send_all(us, id, (1, 2, 3)), version=version).status == 200

    assert us.fetch(NAME) == DATA[: 3 * CHUNK]


@pytest.mark.parametrize(
    "change",
    [
        {"part_number": 0},
        {"part_number": 10_001},
        {"part_number": "1"},
        {"part_number": True},
        {"chunk_size": 0},
        {"chunk_size": -5},
        {"chunk_size": 1.5},
        {"chunk_size": 1 << 70},
        {"chunk_size": None},
        {"size": 0},
        {"size": CHUNK + 1},
        {"size": "5"},
        {"part_number": 2, "size": CHUNK},
        {"path_to_object": None},
        {"multipart_upload_configuration": None},
        {"multipart_upload_configuration": {}},
        {"multipart_upload_configuration": {"multipart_upload_id": 1}},
    ],
)
def test_a_part_that_cannot_be_has_no_link(us: User, change: dict[str, Any]) -> None:
    answer = us.ask("POST", "/upload/multipart/part", part_body(us.start(NAME), NAME, 1, CHUNK) | change)

    assert (answer.status, json_name(answer)) == (400, "invalid-input")


@pytest.mark.parametrize(
    "parts",
    [
        None,
        {},
        [1],
        [{"number": 1}],
        [{"metadata": "x"}],
        [{"number": "1", "metadata": "x"}],
        [{"number": 1, "metadata": "x"}] * 2,
        [{"number": 1, "metadata": "x"}],
        [{"number": 2, "metadata": "x"}],
        [],
        [{"number": 1, "metadata": "x"}] * 10_001,
    ],
)
def test_parts_that_are_not_those_that_came_are_refused(us: User, parts: Any) -> None:
    id = us.start(NAME)
    send(us, id, 1)

    answer = us.ask("POST", "/upload/multipart/end", end_body(id, NAME, parts))

    assert answer.status == 400
    assert json_name(answer) in ("invalid-input", "part-mismatch")
    assert us.paths() == []


def test_ten_thousand_parts_can_be_listed(us: User) -> None:
    listed = [{"number": number, "metadata": f'"{number:032x}"'} for number in range(1, 10_001)]

    answer = us.ask("POST", "/upload/multipart/end", end_body(us.start(NAME), NAME, listed))

    assert (answer.status, json_name(answer)) == (400, "part-mismatch")  # and not 413


@pytest.mark.parametrize("size", [CHUNK - 1, CHUNK + 1, 0])
def test_a_part_has_the_size_of_its_link(us: User, size: int) -> None:
    link = us.part_link(us.start(NAME), NAME, 1, CHUNK)

    answer = us.wire.ask("PUT", link, b"x" * size)

    assert (answer.status, xml_code(answer)) == (400, "InvalidRequest")


def test_a_part_without_a_length_is_refused(us: User) -> None:
    link = us.part_link(us.start(NAME), NAME, 1, CHUNK)
    us.wire.connection.request("PUT", link, iter([b"x" * CHUNK]), {"Transfer-Encoding": "chunked"}, encode_chunked=True)

    assert us.wire.connection.getresponse().status == 400


def test_parts_that_would_lie_over_each_other_are_refused(us: User) -> None:
    id = us.start(NAME)
    send(us, id, 1)

    answer = us.wire.ask("PUT", us.part_link(id, NAME, 2, CHUNK - 1), b"x" * (CHUNK - 1))

    assert (answer.status, xml_code(answer)) == (409, "OperationAborted")


@pytest.mark.parametrize("id", [ABSENT, "x", "part%2Fs"])
def test_an_upload_that_is_not_there_is_404(us: User, id: str) -> None:
    answers = [
        us.ask("POST", "/upload/multipart/part", part_body(id, NAME, 1, CHUNK)),
        us.ask("POST", "/upload/multipart/end", end_body(id, NAME, [])),
        us.ask("GET", f"/upload/multipart/{id}{older_query(1)}"),
        us.ask("POST", f"/upload/multipart/{id}", {"path_to_object": NAME, "parts": []}),
    ]

    assert {answer.status for answer in answers} == {404}
    assert {json_name(answer) for answer in answers} <= {"upload-not-found", "no-such-path"}


def test_an_upload_belongs_to_its_object_and_its_environment(us: User, them: User) -> None:
    id = us.start(NAME)

    elsewhere = us.ask("POST", "/upload/multipart/part", part_body(id, "other", 1, CHUNK))
    theirs = them.ask("POST", "/upload/multipart/part", part_body(id, NAME, 1, CHUNK))
    ended = them.end(id, NAME, {})

    for answer in (elsewhere, theirs, ended):
        assert (answer.status, json_name(answer)) == (404, "upload-not-found")


def test_an_upload_in_parts_is_not_one_of_tus(us: User) -> None:
    id = us.start(NAME)
    send_all(us, id, (4,))  # by its offset it looks complete

    answer = us.party.writer.ask("HEAD", f"/v1/uploads/{id}", None, {"Tus-Resumable": "1.0.0"})

    assert answer.status == 404
    assert us.paths() == []
