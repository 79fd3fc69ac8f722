"""What README says is run as it stands, by a shell, against a real daemon."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Daemon, skip_loudly

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
INSTALLS = [block for block in BLOCKS if "-m venv .venv" in block]
EXAMPLES = "".join(block for block in BLOCKS if "-m venv" not in block)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[Path, Daemon]]:
    """A home folder whose default data folder is served."""
    daemon = Daemon(tmp_path / ".local" / "share" / "casd").start()
    yield tmp_path, daemon
    assert daemon.stop() == 0


def test_the_examples_work_when_pasted(home: tuple[Path, Daemon]) -> None:
    folder, daemon = home
    if subprocess.run(["which", "curl"], capture_output=True).returncode:
        skip_loudly("curl is not installed")
    environment = {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    script = EXAMPLES.replace("http://127.0.0.1:8080", daemon.url)

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
    original = (folder / "copy.img").read_bytes()
    assert len(original) == 20 << 20
    assert (folder / "first.img").read_bytes() == original
    assert (folder / "part.img").read_bytes() == original
    assert (folder / "node7.token").read_text().startswith("casd_")


def test_there_are_two_commands_to_start_with_and_each_is_one_line() -> None:
    assert len(INSTALLS) == 2
    assert all(block.count("\n") == 1 for block in INSTALLS)


def test_every_file_that_the_readme_links_to_is_there() -> None:
    for target in re.findall(r"\]\((?!https:)([^)#]+)\)", README):
        assert (Path(__file__).parent.parent / target).exists(), target
