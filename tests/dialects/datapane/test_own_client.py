"""What casd's own client stores Datapane's reads, and the other way round: frames, objects, pickles, files."""

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from casd.client import sync
from tests.conftest import Daemon
from tests.dialects import clients
from tests.dialects.datapane.test_clients import Client

RELEASE = clients.DATAPANE[-1]


def test_both_clients_understand_each_other(
    new_daemon: Callable[..., Daemon], client_environment: Callable[..., Path], tmp_path: Path
) -> None:
    environment = client_environment(*clients.datapane(RELEASE))
    daemon = new_daemon().start()
    frame = pd.DataFrame({"number": [1, 2], "text": ["a", "ü"]})

    with sync.Client(daemon.url, daemon.token) as ours:
        ours.upload_df(frame, "our frame")
        ours.upload_obj({"a": [1, None]}, "our object")
        ours.upload_obj({(1, 2): {3}}, "our pickle", as_pickle=True)
        ours.upload_file(io.BytesIO(b"\x1f\x8b not gzip"), "our file")
        told = Client(RELEASE, environment, tmp_path).script("both_ways.py", daemon.url, daemon.token)
        file = io.BytesIO()
        ours.get("their file").download_file(file)

        assert told == {
            "frame": frame.to_dict("list"),
            "object": {"a": [1, None]},
            "pickle": True,
            "file": b"\x1f\x8b not gzip".hex(),
        }
        assert ours.get("their frame").download_df().to_dict("list") == frame.to_dict("list")
        assert ours.get("their object").download_obj() == {"a": [1, None]}
        assert ours.get("their pickle").download_obj(allow_pickle=True) == {(1, 2): {3}}
        assert file.getvalue() == b"\x1f\x8b not gzip"
