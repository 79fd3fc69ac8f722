"""The watchdog is fed while the daemon is worth leaving alone, and no longer."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from casd.daemon import watchdog
from casd.daemon.systemd import Notifier, watchdog_s
from casd.daemon.watchdog import keep_fed
from casd.errors import CasdError, StorageFailed, StorageFull, StorageStuck
from casd.vitals import Vitals
from tests.conftest import Daemon, skip_loudly
from tests.daemon.conftest import PATIENCE_S, Manager
from tests.web.wire import ask, wait_until

NewDaemon = Callable[..., Daemon]


class Book:
    """A notifier that only counts, and vitals that say what they are told to."""

    def __init__(self, *ailments: CasdError) -> None:
        self.said = list(ailments)
        self.fed = 0
        self.rounds = asyncio.Semaphore(0)

    def alive(self) -> None:
        self.fed += 1

    async def ailments(self) -> list[CasdError]:
        self.rounds.release()
        return self.said

    async def run(self, rounds: int, interval_s: float = 1.0) -> int:
        """How often it was fed within so many rounds."""
        task = asyncio.create_task(keep_fed(cast(Notifier, self), cast(Vitals, self), interval_s))
        for _ in range(rounds + 1):
            await self.rounds.acquire()
        fed = self.fed
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return fed


@pytest.fixture
def quick_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else this machine does."""

    async def no_lag(duration_s: float) -> float:
        await asyncio.sleep(0)
        return 0.0

    monkeypatch.setattr(watchdog, "worst_lag", no_lag)


@pytest.mark.usefixtures("quick_loop")
async def test_it_is_fed_while_all_is_well() -> None:
    assert await Book().run(3) > 0


@pytest.mark.usefixtures("quick_loop")
async def test_a_full_disk_is_no_reason_to_start_again() -> None:
    assert await Book(StorageFull("full")).run(3) > 0


@pytest.mark.usefixtures("quick_loop")
@pytest.mark.parametrize("ailment", [StorageFailed("bad"), StorageStuck("hangs")])
async def test_a_disk_or_a_catalogue_that_fails_or_hangs_is_a_reason(ailment: CasdError) -> None:
    assert await Book(ailment).run(3) == 0


async def test_a_loop_that_stands_still_is_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    book = Book()
    loop = asyncio.get_running_loop()

    def block() -> None:
        time.sleep(0.06)  # what is tested: a loop that is blocked over and over
        blocking.append(loop.call_later(0.005, block))

    blocking = [loop.call_soon(block)]
    fed = await book.run(3, interval_s=0.2)
    blocking[-1].cancel()

    assert fed == 0
    assert "the event loop stood still" in caplog.text


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_systemd_says_how_often(environment: dict[str, str], seconds: float | None) -> None:
    assert watchdog_s(environment) == seconds


# -- a real one -----------------------------------------------------------------------------------------------------


def test_the_daemon_gives_signs_of_life(new_daemon: NewDaemon, manager: Manager) -> None:
    daemon = new_daemon(NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="4000000").start()

    for _ in range(2):
        assert manager.until("WATCHDOG") == {"WATCHDOG": "1"}

    assert daemon.stop() == 0


@pytest.mark.slow  # as long as a disk is given
def test_a_disk_that_hangs_ends_the_signs_of_life_and_readiness(new_daemon: NewDaemon, tmp_path: Path) -> None:
    """Every sync of the probe's file takes long: as on a network file system whose server is gone."""
    strace = shutil.which("strace")
    if strace is None:
        skip_loudly("strace is not installed")
    manager = Manager(str(tmp_path / "notify"))
    daemon = new_daemon(NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="2000000", WATCHDOG_PID="")
    daemon.data.mkdir(parents=True)
    probe = daemon.data / "probe"
    probe.touch()
    daemon.prefix = (
        strace, "-f", "-qq", "-o", str(daemon.data.parent / "trace"), "-P", str(probe),
        "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=100000000",
    )  # fmt: skip
    with closing(manager.socket):
        daemon.start()
        manager.until("READY")

        ready = ask(daemon, "GET", "/readyz")

        assert (ready.status, ready.json["code"]) == (503, "storage-stuck")
        assert [reason["code"] for reason in ready.json["reasons"]] == ["storage-stuck"]
        assert "disk" in ready.json["detail"]
        assert ask(daemon, "GET", "/healthz").status == 200
        wait_until(lambda: "watchdog not fed" in daemon.log, "it is told why")
        assert [message for message in manager.heard() if "WATCHDOG" in message] == []
        os.kill(daemon.pid, signal.SIGKILL)
        assert daemon.process is not None
        daemon.process.kill()  # it holds the daemon until its delay is over
        daemon.process.wait(PATIENCE_S)
