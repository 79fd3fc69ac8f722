"""The process that loads a server, or the machine itself: one JSON job as its argument, one JSON line as its answer.

Standard library only, and started without `site`, so that it is there at once. One thread a connection; bytes are sent
with sendfile and taken with MSG_TRUNC, which drops them in the kernel without a copy, so that the client is not what is
measured. It tells its own CPU seconds, so that the report can say where it was the limit after all.
"""

import contextlib
import hashlib
import json
import mmap
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

Job = dict[str, Any]
PIECE_BYTES = 1 << 20
SLOW_PIECE_BYTES = 64 << 10
PAUSE_S = 0.05
PATIENCE_S = 120


def main() -> None:
    job = json.loads(sys.argv[1])
    print(json.dumps(JOBS[job["do"]](job)))


def connect(job: Job) -> socket.socket:
    connection = socket.create_connection((job["host"], job["port"]), timeout=PATIENCE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def in_threads(count: int, work: Callable[[int], Any], ready: Callable[[int], Any] | None = None) -> Job:
    """What each of `count` threads returns, and the time from their common start to the last one's end."""
    gate = threading.Barrier(count + 1)
    results: list[Any] = [None] * count

    def run(index: int) -> None:
        if ready is not None:
            ready(index)
        gate.wait()
        results[index] = work(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    gate.wait()
    begin, cpu = time.monotonic(), time.process_time()
    for thread in threads:
        thread.join()
    if None in results:
        raise SystemExit("a connection failed")
    return {"results": results, "seconds": time.monotonic() - begin, "cpu_s": time.process_time() - cpu}


# -- HTTP, as little as will do -----------------------------------------------------------------------------------


def read_head(connection: socket.socket) -> tuple[int, int, bytes]:
    """Status, Content-Length, and what came of the body with the head."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise SystemExit(f"the server hung up after {data!r}")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    return int(lines[0].split()[1]), length, rest


def read_answer(connection: socket.socket, expected: int) -> bytes:
    status, length, body = read_head(connection)
    while len(body) < length:
        body += connection.recv(length - len(body))
    if status != expected:
        raise SystemExit(f"{status} instead of {expected}: {body[:500]!r}")
    return body


def get(job: Job) -> Job:
    """Each connection takes one answer whole and throws it away."""
    connections = [connect(job) for _ in job["heads"]]

    def work(index: int) -> int:
        connection = connections[index]
        connection.sendall(job["heads"][index].encode())
        status, length, rest = read_head(connection)
        if status != 200:
            raise SystemExit(f"{status} instead of 200")
        connection.settimeout(None)  # a timeout would cost a poll before each recv
        left = length - len(rest)
        buffer = bytearray(PIECE_BYTES)
        while left:
            count = connection.recv_into(buffer, min(left, PIECE_BYTES), socket.MSG_TRUNC)
            if count == 0:
                raise SystemExit(f"{left} bytes are missing")
            left -= count
        return length

    return in_threads(len(connections), work)


def put(job: Job) -> Job:
    """Each connection sends a head, some bytes that make the body unique, and a file; then syncs a file if told to."""
    connections = [connect(job) for _ in job["bodies"]]

    def work(index: int) -> str:
        connection, body = connections[index], job["bodies"][index]
        connection.sendall((body["head"] + body["prefix"]).encode())
        with open(body["file"], "rb") as source:
            connection.sendfile(source)
        answer = read_answer(connection, 201)
        if body["sync"]:
            sync(body["sync"])
        return answer.decode()

    return in_threads(len(connections), work)


def sync(path: str) -> None:
    for each, flags in ((path, os.O_RDWR), (os.path.dirname(path), os.O_RDONLY)):
        file = os.open(each, flags)
        os.fsync(file)
        os.close(file)


def small_put(job: Job) -> Job:
    """Each connection sends small bodies, no two alike, one after the other, until the time is over."""
    connections = [connect(job) for _ in range(job["clients"])]
    stop = time.monotonic() + job["for_s"]

    def work(index: int) -> int:
        count = 0
        while time.monotonic() < stop:
            connections[index].sendall(job["head"].encode() + os.urandom(job["size"]))
            read_answer(connections[index], 201)
            count += 1
        return count

    return in_threads(len(connections), work)


def health(job: Job) -> Job:
    """Asks on one connection, again and again with a pause, until standard input ends; seconds of each answer."""
    connection = connect(job)
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    waits: list[float] = []
    while not (waits and over.wait(job["every_s"])):  # once at least
        begin = time.monotonic()
        connection.sendall(job["head"].encode())
        read_answer(connection, 200)
        waits.append(time.monotonic() - begin)
    return {"results": waits}


# -- transfers that crawl -----------------------------------------------------------------------------------------


def slow_get(job: Job) -> Job:
    """Ask on many connections and take a little of each now and then, until standard input ends."""
    connections = []
    for head in job["heads"]:
        connections.append(connect(job))
        connections[-1].sendall(head.encode())
    return crawl(connections, lambda connection: connection.recv(SLOW_PIECE_BYTES))


def slow_put(job: Job) -> Job:
    """Begin many bodies and send a little of each now and then, until standard input ends."""
    connections = []
    for head in job["heads"]:
        connections.append(connect(job))
        connections[-1].sendall(head.encode())
    piece = os.urandom(SLOW_PIECE_BYTES)
    return crawl(connections, lambda connection: connection.send(piece))


def crawl(connections: list[socket.socket], step: Callable[[socket.socket], Any]) -> Job:
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    for connection in connections:
        connection.setblocking(False)
    steps = 0
    while not over.wait(PAUSE_S):
        for connection in connections:
            with contextlib.suppress(BlockingIOError):
                step(connection)
        steps += 1
    return {"results": [steps]}


# -- what the machine can do --------------------------------------------------------------------------------------


def hashes(job: Job) -> Job:
    """SHA-512 and SHA-256 of the same bytes in two threads, for each of some streams."""
    with open(job["file"], "rb") as source:
        data = memoryview(mmap.mmap(source.fileno(), 0, prot=mmap.PROT_READ))
    sum(data[start] for start in range(0, len(data), mmap.PAGESIZE))  # mapped, so that no page fault is timed

    def work(index: int) -> str:
        hasher = hashlib.sha512() if index % 2 else hashlib.sha256()
        for start in range(0, len(data), PIECE_BYTES):
            hasher.update(data[start : start + PIECE_BYTES])
        return hasher.hexdigest()

    return in_threads(2 * job["streams"], work)


def files(job: Job) -> Job:
    """Threads that write a small file, sync it, rename it into a folder and sync that, until the time is over."""
    root, data = job["folder"], os.urandom(job["size"])
    shards = [f"{root}/{shard:02x}" for shard in range(256)]
    for shard in shards:
        os.makedirs(shard, exist_ok=True)
    stop = time.monotonic() + job["for_s"]

    def work(index: int) -> int:
        count = 0
        while time.monotonic() < stop:
            name = os.urandom(16).hex()
            draft, shard = f"{root}/{name}", shards[int(name[:2], 16)]
            file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            os.pwrite(file, data, 0)
            os.fsync(file)
            os.close(file)
            os.replace(draft, f"{shard}/{name}")
            folder = os.open(shard, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(folder)
            os.close(folder)
            count += 1
        return count

    return in_threads(job["clients"], work)


JOBS: dict[str, Callable[[Job], Job]] = {
    "get": get,
    "put": put,
    "small-put": small_put,
    "health": health,
    "slow-get": slow_get,
    "slow-put": slow_put,
    "hashes": hashes,
    "files": files,
}

if __name__ == "__main__":
    main()
