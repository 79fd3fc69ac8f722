"""These tests know casd by its text and its port alone."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_nothing_here_imports_casd() -> None:
    modules = [f"tests.blackbox.{path.stem}" for path in sorted(HERE.glob("*.py")) if path.stem != "__init__"]
    script = "import importlib, sys\n"
    script += f"for module in {modules}: importlib.import_module(module)\n"
    script += "print([name for name in sys.modules if name.split('.')[0] == 'casd'])"

    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=HERE.parents[1])

    assert found.stdout.strip() == "[]", found.stderr
