"""Clients of every kind, who keep asking one address whatever becomes of the daemon behind it, and keep a ledger.

What was acknowledged stands in the ledger. What goes wrong is counted by its kind: nobody may ever be refused a
connection; a request that races the closing of a kept-alive connection is asked again on a new one where that does no
harm, as every client does; a transfer that is cut goes on where it was cut.
"""

import gzip
import hashlib
import http.client
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.dialects.craftai import conftest as craftai
from tests.dialects.datapane import conftest as datapane
from tests.web.tus import CHUNK, VERSION
from tests.web.wire import PATIENCE_S, Answer

SIZE = 96 << 10  # of what is stored at a time: large enough to be cut within, small enough for many


class Cut(Exception):
    """The daemon was gone within a request."""


class Book:
    """What all clients together have been told, and what went wrong."""

    def __init__(self) -> None:
        self.ledger: dict[str, bytes] = {}  # what was acknowledged, by SHA-512
        self.troubles: Counter[str] = Counter()
        self.done: Counter[str] = Counter()  # by kind of client
        self.wrong: list[str] = []  # what no restart is an excuse for
        self.news = threading.Condition()

    def stored(self, data: bytes) -> None:
        self.ledger[hashlib.sha512(data).hexdigest()] = data

    def finished(self, kind: str) -> None:
        with self.news:
            self.done[kind] += 1
            self.news.notify_all()

    def wait_for_more(self, kinds: list[str], count: int = 1) -> None:
        """Every kind of client has got so many more things done."""
        wanted = {kind: self.done[kind] + count for kind in kinds}
        with self.news:
            got_there = self.news.wait_for(
                lambda: self.wrong or all(self.done[kind] >= wanted[kind] for kind in kinds), PATIENCE_S * 2
            )
        assert got_there, {kind: (self.done[kind], wanted[kind]) for kind in kinds}
        assert self.wrong == []


class Asking:
    """One client's connection, kept alive and made anew when it is gone."""

    def __init__(self, port: int, book: Book) -> None:
        self._port = port
        self._book = book
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """An answer, whole. Raises Cut where a new connection was lost too."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if self._connection is not None:
            try:
                return self._asked(method, target, body, headers or {})
            except (http.client.HTTPException, OSError) as error:
                is_race = not isinstance(error, http.client.IncompleteRead)
                self._book.troubles["raced" if is_race else "cut"] += 1
                self.close()
                if not is_race or method == "POST":
                    raise Cut from error
        self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        try:
            self._connection.connect()
        except OSError as error:
            self._book.troubles["refused"] += 1
            raise Cut from error
        try:
            return self._asked(method, target, body, headers or {})
        except (http.client.HTTPException, OSError) as error:
            self._book.troubles["cut"] += 1
            self.close()
            raise Cut from error

    def _asked(self, method: str, target: str, body: Any, headers: Mapping[str, str]) -> Answer:
        assert self._connection is not None
        self._connection.request(method, target, body, dict(headers))
        response = self._connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        if response.getheader("Connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Clients:
    """One method for each kind of client, which does what it has to do once."""

    def __init__(self, port: int, token: str, book: Book) -> None:
        self.token = token
        self.book = book
        self.native_headers = {"Authorization": f"Bearer {token}"}
        self._port = port

    def native(self, wire: Asking) -> None:
        data = os.urandom(SIZE)
        name = f"/v1/names/default/{data[:8].hex()}"
        self._expect(wire.ask("PUT", name, data, self.native_headers), 201)
        self.book.stored(data)
        ranged = self._expect(wire.ask("GET", name, headers=self.native_headers | {"Range": "bytes=1000-70000"}), 206)
        self._same(ranged.body, data[1000:70001])

    def plain(self, wire: Asking) -> None:
        data = os.urandom(SIZE)
        answer = self._expect(wire.ask("POST", "/v1/blobs", data, self.native_headers), 201)
        self.book.stored(data)
        target = f"/v1/blobs/{answer.json['uuid']}/data"
        self._same(self._expect(wire.ask("GET", target, headers=self.native_headers), 200).body, data)

    def tus(self, wire: Asking) -> None:
        """As often as it is cut, it asks where to go on."""
        data = os.urandom(SIZE)
        headers = self.native_headers | VERSION
        made = self._expect(wire.ask("POST", "/v1/uploads", None, headers | {"Upload-Length": str(len(data))}), 201)
        upload, told = urlsplit(str(made["Location"])).path, 0
        while told < len(data):
            piece = data[told : told + SIZE // 3]
            try:
                answer = wire.ask("PATCH", upload, piece, headers | CHUNK | {"Upload-Offset": str(told)})
            except Cut:
                answer = Answer(409, http.client.HTTPMessage(), b"")
            if answer.status in (409, 423):  # what of it arrived is to be asked
                answer = self._persistently(wire, "HEAD", upload, headers)
                self._expect(answer, 200)
                if int(str(answer["Upload-Offset"])) < told:
                    self.book.wrong.append(f"offset {told} was told, and then {answer['Upload-Offset']}")
            else:
                self._expect(answer, 204)
            told = int(str(answer["Upload-Offset"]))
        self.book.stored(data)

    def deeplake(self, wire: Asking) -> None:
        data = os.urandom(SIZE)
        head = '--limit\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
        body = head.encode() + data + b"\r\n--limit--\r\n"
        form = {"Content-Type": "multipart/form-data; boundary=limit"}
        answer = wire.ask("POST", "/workspaces/default/files", body, self.native_headers | form)
        uuid = self._expect(answer, 200, 201).json["id"]
        self.book.stored(data)
        content = wire.ask("GET", f"/workspaces/default/files/{uuid}/content", headers=self.native_headers)
        self._same(self._expect(content, 200).body, data)

    def datapane(self, wire: Asking) -> None:
        data, headers = os.urandom(SIZE), {"Authorization": f"Token {self.token}"}
        packed = datapane.file_part(gzip.compress(data, 1), "application/octet-stream")
        body = datapane.form(packed, datapane.facts_part(name=f"n{data[:8].hex()}", visibility=None))
        blob = self._expect(wire.ask("POST", "/api/blobs/", body, headers | datapane.FORM), 201).json
        self.book.stored(data)
        link = urlsplit(blob["data_url"])
        got = self._expect(wire.ask("GET", f"{link.path}?{link.query}", headers=headers), 200)
        self._same(gzip.decompress(got.body) if got.body[:2] == b"\x1f\x8b" else got.body, data)

    def craftai(self, wire: Asking) -> None:
        data = os.urandom(SIZE)
        name = data[:8].hex()
        jwt = wire.ask("POST", "/api/v1/auth/refresh", {"refresh_token": self.token})
        headers = {"Authorization": f"Bearer {self._expect(jwt, 200).json['access_token']}", **craftai.client("0.74.7")}
        asked = wire.ask("GET", f"{craftai.STORE}/upload?{urlencode({'path_to_object': name})}", headers=headers)
        link = urlsplit(self._expect(asked, 200).json["signed_url"])
        body = craftai.field("key", name) + craftai.file_field(data) + craftai.END
        self._expect(wire.ask("POST", f"{link.path}?{link.query}", body, craftai.FORM_TYPE), 204)
        self.book.stored(data)

    def shakenfist(self, wire: Asking) -> None:
        data = os.urandom(SIZE)
        jwt = self._expect(wire.ask("POST", "/auth", {"namespace": "default", "key": self.token}), 200)
        headers = {"Authorization": f"Bearer {jwt.json['access_token']}"}
        upload = self._expect(wire.ask("POST", "/upload", headers=headers), 200).json["uuid"]
        self._expect(wire.ask("POST", f"/upload/{upload}", data, headers), 200)
        target = f"/artifacts/upload/a{data[:8].hex()}"
        artifact = self._expect(wire.ask("POST", target, {"upload_uuid": upload}, headers), 200).json
        self.book.stored(data)
        got = wire.ask("GET", f"/blobs/{artifact['blob_uuid']}/data", headers=headers)
        self._same(self._expect(got, 200).body, data)

    # -- what they share ----------------------------------------------------------------------------------

    def _persistently(self, wire: Asking, method: str, target: str, headers: Mapping[str, str]) -> Answer:
        for _ in range(10):
            try:
                return wire.ask(method, target, None, headers)
            except Cut:
                continue
        raise AssertionError("it was cut ten times over")

    def _expect(self, answer: Answer, *statuses: int) -> Answer:
        if answer.status not in statuses:
            self.book.wrong.append(f"{answer.status} instead of {statuses}: {answer.body[:300]!r}")
            raise Cut
        return answer

    def _same(self, found: bytes, data: bytes) -> None:
        if found != data:
            self.book.wrong.append(f"{len(found)} bytes are not the {len(data)} that were stored")


KINDS = ["native", "plain", "tus", "deeplake", "datapane", "craftai", "shakenfist"]


@contextmanager
def under_load(port: int, token: str) -> Iterator[Book]:
    """Every kind of client asks and asks, until the end of the block."""
    book = Book()
    clients = Clients(port, token, book)
    is_over = threading.Event()

    def keep_asking(kind: str, once: Callable[[Asking], None]) -> None:
        wire = Asking(port, book)
        try:
            while not is_over.is_set():
                try:
                    once(wire)
                    book.finished(kind)
                except Cut:
                    continue
        except Exception as error:
            book.wrong.append(f"{kind}: {error!r}")
            raise
        finally:
            wire.close()

    threads = [threading.Thread(target=keep_asking, args=(kind, getattr(clients, kind)), name=kind) for kind in KINDS]
    for thread in threads:
        thread.start()
    try:
        yield book
    finally:
        is_over.set()
        for thread in threads:
            thread.join(PATIENCE_S * 4)
    assert book.wrong == []
