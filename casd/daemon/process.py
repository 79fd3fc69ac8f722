"""The daemon as a process: its configuration, its event loop, its signals, and what systemd hears of it."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from casd import logs
from casd.config import Config, ConfigError, EventLoop, load
from casd.daemon.composition import Running, running
from casd.daemon.data_folder import folder_state, locked_folder
from casd.daemon.descriptors import raise_descriptor_limit, warn_of_few_descriptors
from casd.daemon.reload import reloaded
from casd.daemon.systemd import Notifier, passed_sockets, watchdog_s
from casd.daemon.timers import cancel
from casd.daemon.tls import Certificate
from casd.daemon.watchdog import keep_fed
from casd.errors import CasdError

log = logging.getLogger(__name__)


def serve(config_file: Path | None, overrides: Mapping[str, object]) -> int:
    """Run the daemon until SIGTERM or SIGINT; returns the exit code. What keeps it from starting is said on stderr."""

    def configuration() -> Config:
        return load(config_file, os.environ, overrides).config

    try:
        config = configuration()
        logs.configure(sys.stderr, config.log.format, config.log.level)
        with asyncio.Runner(loop_factory=loop_factory(config.server.event_loop)) as runner:
            runner.run(run(config, configuration))
    except CasdError as error:
        print(f"casd: {error}", file=sys.stderr)  # noqa: T201  # before and after there is a log
        return 1
    return 0


def check(config_file: Path | None, overrides: Mapping[str, object]) -> int:
    """Print the configuration that `serve` would run with, and what it would find; returns the exit code.

    Nothing is made or changed. What is wrong with the configuration is said on stderr.
    """
    try:
        loaded = load(config_file, os.environ, overrides)
        loop_factory(loaded.config.server.event_loop)
        Certificate.of(loaded.config.server)
    except CasdError as error:
        print(f"casd: {error}", file=sys.stderr)  # noqa: T201  # the command's answer
        return 1
    print(f"# {folder_state(loaded.config)}\n\n{loaded.as_toml()}", end="")  # noqa: T201
    return 0


async def run(config: Config, configuration: Callable[[], Config]) -> None:
    """Serve until a signal says to stop, then let requests in flight finish; a second one does not wait for them.

    SIGHUP reads the `configuration` again.
    """
    signals = Signals(asyncio.get_running_loop())
    notifier = Notifier(os.environ.get("NOTIFY_SOCKET"))
    descriptors = raise_descriptor_limit()
    leave_no_core()
    async with contextlib.AsyncExitStack() as stack:
        passed = passed_sockets(os.environ)
        stack.enter_context(locked_folder(config))
        async with notifier.starting("opening the data folder"):
            daemon = await stack.enter_async_context(running(config, descriptors, passed))
        signals.on_second_stop = daemon.traffic.hurry
        warn_of_few_descriptors(descriptors, config.limits.max_connections)
        for url in daemon.urls:
            log.info("listening address=%s data=%s", url, config.storage.data)
        notifier.ready(f"serving {config.storage.data}")
        reloading = asyncio.create_task(keep_reloading(config, configuration, daemon, signals, notifier))
        stack.push_async_callback(cancel, reloading)
        watchdog_interval_s = watchdog_s(os.environ)
        if watchdog_interval_s is not None:
            feeding = asyncio.create_task(keep_fed(notifier, daemon.vitals, watchdog_interval_s))
            stack.push_async_callback(cancel, feeding)
        await signals.stop.wait()
        log.info("stopping")
        notifier.stopping(daemon.traffic.limits.drain_timeout_s, "requests in flight finish")


class Signals:
    """What this process was told. SIGHUP is kept for when the start is over, which it would end otherwise."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.stop = asyncio.Event()
        self.reload = asyncio.Event()
        self.on_second_stop: Callable[[], None] = self.stop.set
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload.set)

    def _told_to_stop(self) -> None:
        if self.stop.is_set():
            self.on_second_stop()
        self.stop.set()


async def keep_reloading(
    config: Config, configuration: Callable[[], Config], daemon: Running, signals: Signals, notifier: Notifier
) -> None:
    while True:
        await signals.reload.wait()
        signals.reload.clear()
        notifier.reloading()
        try:
            config = await reloaded(configuration, config, daemon.changeable)
        except Exception:
            log.exception("reload failed")
        notifier.ready(f"serving {config.storage.data}")


def leave_no_core() -> None:
    """A crash writes no memory to a disk: there are credentials in it, signing keys, and what is being transferred.

    Who looks for a fault raises the limit again, by `prlimit --core`. Debuggers of this user may still attach: that
    user reads the data folder anyway.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def loop_factory(wanted: EventLoop) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop; None for asyncio's own. Raises ConfigError where uvloop is wanted and missing."""
    if wanted is EventLoop.ASYNCIO:
        return None
    try:
        import uvloop
    except ImportError:
        if wanted is EventLoop.UVLOOP:
            raise ConfigError("[server] event_loop is uvloop, which is not installed: pip install casd[fast]") from None
        return None
    return uvloop.new_event_loop
