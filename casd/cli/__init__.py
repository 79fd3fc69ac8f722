"""The `casd` command. Modules of this package import only click and the standard library at their top: what a
command needs beyond that is imported when it runs, so that `casd --help` answers at once.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run `casd` with the arguments of this process, and exit."""
    try:
        from casd.cli.group import main as group

        group()
    except KeyboardInterrupt:  # while it was loading: from then on the group answers for it
        sys.stderr.write("casd: interrupted\n")
        sys.exit(130)


__all__ = ["main"]
