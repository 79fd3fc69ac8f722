"""Bodies of a tus client that come late, come in part, or come from two places at once."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import Daemon
from tests.web.party import Party
from tests.web.test_limits import exit_code, terminate
from tests.web.tus import CHUNK, VERSION, created, metadata, offset_of, patch, tus
from tests.web.tus import us as us
from tests.web.wire import Raw, Wire, head, raw, wait_until

DATA = os.urandom(300_000)


@contextmanager
def patching(party: Party, upload: str, offset: int, *fields: str, token: str = "") -> Iterator[Raw]:
    """A PATCH whose head is sent, by the party's writer unless a token is given."""
    own = [f"{name}: {value}" for name, value in (VERSION | CHUNK | {"Upload-Offset": str(offset)}).items()]
    secret = token or party.writer._token
    with raw(party.daemon) as connection:
        connection.send(head(party.daemon, f"PATCH {upload}", *own, *fields, token=secret))
        yield connection


def stage_size(party: Party, upload: str) -> int:
    """How many bytes lie in incoming/."""
    file = party.daemon.data / "incoming" / upload.rpartition("/")[2]
    return file.stat().st_size if file.exists() else 0


def length(size: int) -> str:
    return f"Content-Length: {size}"


def data_of(party: Party, upload: str) -> bytes:
    blob = tus(party.writer, "HEAD", upload)["Casd-Blob"]
    return party.writer.ask("GET", f"/v1/blobs/{blob}/data").body


# -- 100 Continue -----------------------------------------------------------------------------------------------------


def test_a_client_that_asks_first_is_told_to_go_on(us: Party) -> None:
    upload = created(us.writer, 3)

    with patching(us, upload, 0, length(3), "Expect: 100-continue") as connection:
        assert connection.head()[0] == 100
        connection.send(b"abc")
        answer = connection.answer()

    assert (answer.status, answer["Upload-Offset"]) == (204, "3")


@pytest.mark.parametrize(
    ("offset", "size", "more", "status"),
    [(1, 3, "X-Fine: 1", 409), (0, 7, "X-Fine: 1", 413), (0, 3, "Content-Encoding: gzip", 415)],
)
def test_a_client_that_asks_first_is_refused_before_it_sends(
    us: Party, offset: int, size: int, more: str, status: int
) -> None:
    upload = created(us.writer, 6)

    with patching(us, upload, offset, length(size), more, "Expect: 100-continue") as connection:
        answer = connection.answer()

    assert (answer.status, answer["Connection"]) == (status, "close")


def test_strangers_and_readers_are_refused_before_they_send(us: Party, them: Party) -> None:
    upload = created(us.writer, 6)

    for token, status in ((them.token("writer"), 404), (us.token("reader"), 403), ("nonsense", 401)):
        with patching(us, upload, 0, length(3), "Expect: 100-continue", token=token) as connection:
            assert connection.answer().status == status


# -- what breaks off --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [0, 1, 100_000, len(DATA) - 1])
def test_of_a_body_that_breaks_off_all_that_came_is_kept(us: Party, sent: int) -> None:
    upload = created(us.writer, len(DATA))
    with patching(us, upload, 0, length(len(DATA))) as connection:
        connection.send(DATA[:sent])
        wait_until(lambda: stage_size(us, upload) == sent, "all that was sent has arrived")

    assert offset_of(us.writer, upload) == sent
    assert patch(us.writer, upload, sent, DATA[sent:])["Casd-Blob"]
    assert data_of(us, upload) == DATA


def test_a_body_in_chunks_is_taken(us: Party) -> None:
    upload = created(us.writer, 6)

    with patching(us, upload, 0, "Transfer-Encoding: chunked") as connection:
        connection.send(b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
        answer = connection.answer()

    assert (answer.status, answer["Upload-Offset"]) == (204, "6")
    assert data_of(us, upload) == b"abcdef"


def test_more_than_was_announced_in_chunks_is_413_and_what_came_before_counts(us: Party) -> None:
    upload = created(us.writer, 6)

    with patching(us, upload, 0, "Transfer-Encoding: chunked") as connection:
        connection.send(b"3\r\nabc\r\n")
        wait_until(lambda: stage_size(us, upload) == 3, "the first chunk has arrived")
        connection.send(b"4\r\ndefg\r\n0\r\n\r\n")
        answer = connection.answer()

    assert (answer.status, answer.code) == (413, "too-large")
    assert offset_of(us.writer, upload) == 3


def test_of_chunks_that_do_not_parse_what_came_before_is_kept(us: Party) -> None:
    upload = created(us.writer, 6)

    with patching(us, upload, 0, "Transfer-Encoding: chunked") as connection:
        connection.send(b"3\r\nabc\r\n")
        wait_until(lambda: stage_size(us, upload) == 3, "the first chunk has arrived")
        connection.send(b"no length\r\n")
        answer = connection.answer()

    assert answer.status == 400
    assert offset_of(us.writer, upload) == 3


def test_a_client_that_goes_away_during_the_answer_finds_its_blob(us: Party) -> None:
    upload = created(us.writer, len(DATA))
    with patching(us, upload, 0, length(len(DATA))) as connection:
        connection.send(DATA)  # and gone

    told = tus(us.writer, "HEAD", upload)
    rest = int(told["Upload-Offset"] or "")
    if rest < len(DATA):  # the end of the connection was seen before all of its bytes
        patch(us.writer, upload, rest, DATA[rest:])
    assert data_of(us, upload) == DATA


# -- from two places --------------------------------------------------------------------------------------------------


def test_a_client_that_comes_back_cuts_its_dead_connection_off(us: Party) -> None:
    upload = created(us.writer, len(DATA))
    with patching(us, upload, 0, length(len(DATA))) as dead:
        dead.send(DATA[:100_000])
        wait_until(lambda: stage_size(us, upload) == 100_000, "what was sent has arrived")

        offset = offset_of(us.writer, upload)
        last = patch(us.writer, upload, offset, DATA[offset:])
        cut_off = dead.answer()

    assert offset == 100_000
    assert (cut_off.status, cut_off.code, cut_off["Upload-Offset"]) == (423, "upload-busy", "100000")
    assert last["Casd-Blob"]
    assert data_of(us, upload) == DATA


def test_another_token_is_told_that_the_upload_is_busy(us: Party) -> None:
    upload = created(us.writer, 6)
    with patching(us, upload, 0, length(6)) as sending, Wire(us.daemon, us.token("writer")) as other:
        sending.send(b"abc")
        wait_until(lambda: stage_size(us, upload) == 3, "what was sent has arrived")

        for answer in (patch(other, upload, 0, b"x"), tus(other, "DELETE", upload)):
            assert (answer.status, answer.code, answer["Upload-Offset"]) == (423, "upload-busy", "0")
        assert offset_of(other, upload) == 0
        sending.send(b"def")
        assert sending.answer().status == 204

    assert data_of(us, upload) == b"abcdef"


def test_a_storm_of_questions_loses_no_byte(us: Party) -> None:
    upload = created(us.writer, len(DATA))
    told: list[list[int]] = []

    def ask_on_and_on() -> None:
        seen: list[int] = []
        told.append(seen)
        with Wire(us.daemon, us.writer._token) as wire:
            for _ in range(40):
                seen.append(offset_of(wire, upload))

    storm = [threading.Thread(target=ask_on_and_on) for _ in range(4)]
    for thread in storm:
        thread.start()
    while (offset := offset_of(us.writer, upload)) < len(DATA):
        answer = patch(us.writer, upload, offset, DATA[offset : offset + 50_000])
        assert answer.status in (204, 409, 423)
    for thread in storm:
        thread.join()

    assert all(seen == sorted(seen) for seen in told)
    assert len(told) == 4
    assert data_of(us, upload) == DATA


# -- the daemon's end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_arrived_before_the_drain_deadline_is_there_after_the_next_start(
    new_daemon: Callable[..., Daemon], loop: str
) -> None:
    daemon = new_daemon(CASD_SERVER__EVENT_LOOP=loop, CASD_LIMITS__DRAIN_TIMEOUT_S="0.2").start()
    party = Party(daemon)
    upload = created(party.writer, len(DATA))
    told = int(patch(party.writer, upload, 0, DATA[:50_000])["Upload-Offset"] or "")
    party.writer.connection.close()
    with patching(party, upload, told, length(len(DATA) - told)) as connection:
        connection.send(DATA[told:200_000])
        wait_until(lambda: stage_size(party, upload) == 200_000, "what was sent has arrived")
        terminate(daemon)
        assert exit_code(daemon) == 0
    party.close()
    assert "Traceback" not in daemon.log
    assert "Task" not in daemon.log

    daemon.start()
    again = Wire(daemon, party.writer._token)

    assert offset_of(again, upload) == 200_000
    last = patch(again, upload, 200_000, DATA[200_000:])
    assert again.ask("GET", f"/v1/blobs/{last['Casd-Blob']}/data").body == DATA
    again.connection.close()


def test_a_body_that_ends_while_the_daemon_drains_is_a_blob(daemon: Daemon) -> None:
    party = Party(daemon)
    upload = created(party.writer, len(DATA))
    with patching(party, upload, 0, length(len(DATA))) as connection:
        connection.send(DATA[:200_000])
        wait_until(lambda: stage_size(party, upload) == 200_000, "what was sent has arrived")
        terminate(daemon)
        connection.send(DATA[200_000:])
        answer = connection.answer()
        assert exit_code(daemon) == 0
    party.close()

    assert (answer.status, answer["Connection"]) == (204, "close")
    assert answer["Casd-Blob"]
    assert os.listdir(daemon.data / "incoming") == []
    assert "Traceback" not in daemon.log


def test_an_upload_whose_bytes_an_operator_removed_is_404_and_can_be_begun_again(
    new_daemon: Callable[..., Daemon],
) -> None:
    daemon = new_daemon(CASD_SERVER__EVENT_LOOP="asyncio").start()
    party = Party(daemon)
    gone, short = created(party.writer, 6), created(party.writer, 6)
    for upload in (gone, short):
        patch(party.writer, upload, 0, b"abc")
    daemon.kill()
    (daemon.data / "incoming" / gone.rpartition("/")[2]).unlink()
    os.truncate(daemon.data / "incoming" / short.rpartition("/")[2], 1)
    daemon.start()

    with Wire(daemon, party.writer._token) as wire:
        for upload in (gone, short):
            answer = patch(wire, upload, 3, b"def")
            assert (answer.status, answer.code) == (404, "upload-not-found")
            assert tus(wire, "HEAD", upload).status == 404
    party.close()
    assert os.listdir(daemon.data / "incoming") == []


# -- creations whose bytes do not come --------------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "left"), [(b"", 0), (DATA[:100_000], 1)])
def test_a_creation_that_brought_nothing_leaves_nothing_and_any_other_is_found_by_its_content(
    us: Party, sent: bytes, left: int
) -> None:
    """Its client was told no URL: each of its tries would leave another empty upload behind."""
    digest = hashlib.sha512(DATA).hexdigest()
    said = VERSION | CHUNK | {"Upload-Length": str(len(DATA)), "Upload-Metadata": metadata(sha512=digest)}
    own = (*(f"{name}: {value}" for name, value in said.items()), length(len(DATA)), "Expect: 100-continue")
    with raw(us.daemon) as connection:
        connection.send(head(us.daemon, "POST /v1/uploads", *own, token=us.writer._token))
        assert connection.head()[0] == 100
        connection.send(sent)

    found = f"/v1/uploads?sha512={digest}&size={len(DATA)}"
    wait_until(
        lambda: [item["offset"] > 0 for item in us.writer.ask("GET", found).json["items"]] == [True] * left,
        "the daemon has seen the end of it",
    )
