"""The `casd` command. Modules of this package import only click and the standard library at their top: what a
command needs beyond that is imported when it runs, so that `casd --help` answers at once.
"""

from casd.cli.group import main

__all__ = ["main"]
