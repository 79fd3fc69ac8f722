"""The daemon: what makes one of all the parts, and runs it. Start reading in `composition.py`.

`process.py` has configuration, event loop and signals, `data_folder.py` what is looked at and made before anything is
served, `listening.py` the sockets, `timers.py` the work that nobody waits for.
"""

from casd.daemon.process import check, serve

__all__ = ["check", "serve"]
