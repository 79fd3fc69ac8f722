"""SIGHUP: what changes while requests are served, what is refused, and what wants a restart."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from casd.config import Config, keys_of
from casd.daemon.reload import differences, merge
from tests.conftest import Daemon
from tests.web.wire import ask, wait_until

NewDaemon = Callable[..., Daemon]


@pytest.fixture
def configured(new_daemon: NewDaemon, tmp_path: Path) -> Daemon:
    """A running daemon with a configuration file."""
    (tmp_path / "config.toml").write_text("")
    daemon = new_daemon()
    daemon.arguments = ("--port", "0", "--config", str(tmp_path / "config.toml"))
    return daemon.start()


def reload(daemon: Daemon, text: str, until: str = " reloaded ") -> None:
    Path(daemon.arguments[-1]).write_text(text)
    before = daemon.log.count(until)
    os.kill(daemon.pid, signal.SIGHUP)
    wait_until(lambda: daemon.log.count(until) > before, "it is reloaded")


def test_a_limit_holds_from_the_reload_on(configured: Daemon) -> None:
    assert ask(configured, "PUT", "/v1/names/default/x", b"x" * 2000).status == 201

    reload(configured, "[limits]\nmax_body_bytes = 1000\n")

    assert ask(configured, "PUT", "/v1/names/default/x", b"x" * 2000).status == 413
    assert ask(configured, "PUT", "/v1/names/default/x", b"x" * 1000).status == 201
    assert "reloaded changed=limits.max_body_bytes" in configured.log
    assert configured.stop() == 0


def test_the_logs_level_changes(configured: Daemon) -> None:
    Path(configured.arguments[-1]).write_text('[log]\nlevel = "warning"\n')
    os.kill(configured.pid, signal.SIGHUP)

    def is_quiet() -> bool:
        before = configured.log.count("path=/healthz")
        assert ask(configured, "GET", "/healthz").status == 200
        return configured.log.count("path=/healthz") == before

    wait_until(is_quiet, "requests are told no more")
    assert configured.stop() == 0


def test_a_bad_configuration_is_refused_as_a_whole(configured: Daemon) -> None:
    reload(configured, "[limits]\nmax_body_bytes = 1000\nhead_timeout_s = -1\n", until="reload refused")

    assert ask(configured, "PUT", "/v1/names/default/x", b"x" * 2000).status == 201
    assert "[limits] head_timeout_s" in configured.log
    reload(configured, "")
    assert configured.log.splitlines()[-1].endswith("changed=nothing")
    assert configured.stop() == 0


def test_what_wants_a_restart_is_named_at_each_reload_and_the_rest_changes(configured: Daemon) -> None:
    for _ in range(2):
        reload(configured, "[limits]\nmax_body_bytes = 1000\n[upkeep]\ngrace_s = 5.0\n")

    assert ask(configured, "PUT", "/v1/names/default/x", b"x" * 2000).status == 413
    assert configured.log.count("changes with a restart only key=upkeep.grace_s") == 2
    assert configured.stop() == 0


@pytest.mark.parametrize(
    "key", [key for key in keys_of("limits") if type(getattr(Config().limits, key)) in (int, float)]
)
def test_every_limit_can_be_reloaded(key: str) -> None:
    old = Config()
    limits = old.limits.model_copy(update={key: getattr(old.limits, key) + 1})

    merged = merge(old, old.model_copy(update={"limits": limits}))

    assert list(differences(old, merged)) == [f"limits.{key}"]


def test_tls_is_neither_begun_nor_ended_by_a_reload(tmp_path: Path) -> None:
    plain = Config()
    secure = plain.model_copy(update={"server": plain.server.model_copy(update={"tls_certificate": tmp_path})})

    assert merge(plain, secure) == plain
    assert merge(secure, plain) == secure
