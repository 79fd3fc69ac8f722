"""schemathesis reads `/openapi.json`, asks a real daemon whatever the document allows and forbids, and finds nothing.

It is bounded and derandomized here; CASD_FUZZ_EXAMPLES=200 makes it a long run, with inputs of its own each time.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Daemon
from tests.web.wire import Wire, ask

pytest.importorskip("schemathesis")

FUZZED = Path(__file__).parent / "fuzzed"
EXAMPLES = int(os.environ.get("CASD_FUZZ_EXAMPLES", "0"))  # of each operation; 0: the short run
PHASES = {
    "coverage": "1",  # each parameter with each kind of wrong and right value, once
    "fuzzing": "4",
    "stateful": "40",  # runs of up to eight operations that follow each other's links
}


def run(daemon: Daemon, phase: str, examples: str, report: Path) -> subprocess.CompletedProcess[str]:
    """As an admin whose token it cannot revoke, nor that of the daemon's first admin."""
    made = ask(daemon, "POST", "/v1/tokens", {"name": "fuzz", "role": "admin", "namespaces": ["fuzz"]}).json
    first = ask(daemon, "GET", "/v1/whoami").json["id"]
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(FUZZED / "schemathesis.toml")]
    command += ["run", f"{daemon.url}/openapi.json", "--header", f"Authorization: Bearer {made['token']}"]
    command += ["--phases", phase, "--max-examples", examples, "--no-color"]
    command += [] if EXAMPLES else ["--generation-deterministic"]
    env = {"PYTHONPATH": str(FUZZED), "SCHEMATHESIS_HOOKS": "casd_hooks"}
    env |= {"CASD_FUZZ_KEPT_TOKENS": f"{made['id']},{first}", "HOME": str(report)}
    done = subprocess.run(command, env=os.environ | env, cwd=report, capture_output=True, text=True, timeout=3600)
    with Wire(daemon, made["token"]) as wire:
        assert wire.ask("GET", "/v1/whoami").status == 200, "it has revoked its own token: what it found means little"
    return done


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_schemathesis_finds_nothing(phase: str, new_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = new_daemon().start()

    done = run(daemon, phase, str(EXAMPLES or PHASES[phase]), tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    tested = re.search(r"(\d+) generated, \1 passed", done.stdout)
    assert tested, done.stdout
    assert int(tested[1]) > 100
    assert "Traceback" not in daemon.log
    print(done.stdout)
