"""A server elsewhere, whose URLs casd is asked to fetch: one that answers well, and all the ways not to."""

import gzip
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PATIENCE_S = 60


class Upstream(ThreadingHTTPServer):
    """Answers at `url`; `bodies` are what is at which path, `asked` counts requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.heads: dict[str, dict[str, str]] = {}
        self.go_on = threading.Event()  # what `/waits` waits for
        self.port = self.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.go_on.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Upstream
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        how, _, rest = url.path.lstrip("/").partition("/")
        self.server.asked[url.path] += 1
        self.server.heads[url.path] = dict(self.headers)
        body = self.server.bodies.get(url.path, b"")
        if how == "redirect":
            self.answer(302, b"gone there", Location=parse_qs(url.query)["to"][0])
        elif how == "again":  # one redirect fewer each time
            left = int(rest)
            to = f"/again/{left - 1}" if left else "/disk"
            self.answer(307, b"", Location=to)
        elif how == "status":
            self.answer(int(rest), b"" if rest in ("204", "304") else b"an error's page")
        elif how == "short":
            self.answer(200, body[:-1], length=len(body))
            self.close_connection = True
        elif how == "waits":
            self.answer(200, body[:1], length=len(body))
            self.wfile.flush()
            self.server.go_on.wait(PATIENCE_S)
            self.wfile.write(body[1:])
        elif how == "chunked":
            self.answer(200, None, **{"Transfer-Encoding": "chunked"})
            whole = b"%x\r\n%s\r\n" % (len(body), body)
            self.wfile.write(whole + b"0\r\n\r\n" if rest == "whole" else whole)
            self.close_connection = True
        elif how == "lengthless":
            self.answer(200, None, Connection="close")
            self.wfile.write(body)
            self.close_connection = True
        elif how == "gzip":
            self.answer(200, gzip.compress(body), **{"Content-Encoding": "gzip"})
        elif how == "garbage":
            self.wfile.write(b"I am no HTTP server\r\n\r\n")
            self.close_connection = True
        else:
            self.answer(200, body, **{"Content-Type": "application/x-qemu-disk", "Set-Cookie": "a=b"})

    def answer(self, status: int, body: bytes | None, *, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if body is not None:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        pass
