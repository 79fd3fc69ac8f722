"""The daemon as a process: its configuration, its event loop and its signals."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from casd import logs
from casd.config import Config, ConfigError, EventLoop, load
from casd.daemon.composition import running
from casd.daemon.data_folder import folder_state, locked_folder
from casd.daemon.descriptors import raise_descriptor_limit, warn_of_few_descriptors
from casd.errors import CasdError

log = logging.getLogger(__name__)


def serve(config_file: Path | None, overrides: Mapping[str, object]) -> int:
    """Run the daemon until SIGTERM or SIGINT; returns the exit code. What keeps it from starting is said on stderr."""
    try:
        config = load(config_file, os.environ, overrides).config
        logs.configure(sys.stderr, config.log.format, config.log.level)
        with asyncio.Runner(loop_factory=loop_factory(config.server.event_loop)) as runner:
            runner.run(run(config))
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
    except CasdError as error:
        print(f"casd: {error}", file=sys.stderr)  # noqa: T201  # the command's answer
        return 1
    print(f"# {folder_state(loaded.config)}\n\n{loaded.as_toml()}", end="")  # noqa: T201
    return 0


async def run(config: Config) -> None:
    """Serve until a signal says to stop, then let requests in flight finish."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    descriptors = raise_descriptor_limit()
    with locked_folder(config):
        async with running(config, descriptors) as address:
            warn_of_few_descriptors(descriptors, config.limits.max_connections)
            log.info("listening address=%s data=%s", address, config.storage.data)
            await stop.wait()
            log.info("stopping")


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
