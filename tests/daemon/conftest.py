"""What the tests of the running daemon share: a socket that systemd would listen on, and certificates."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import skip_loudly

PATIENCE_S = 60.0


class Manager:
    """The end of NOTIFY_SOCKET on which systemd listens."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(PATIENCE_S)

    def told(self) -> dict[str, str]:
        """The next message."""
        lines = self.socket.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def heard(self) -> list[dict[str, str]]:
        """What has come and nobody read."""
        self.socket.setblocking(False)
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.told())
        self.socket.settimeout(PATIENCE_S)
        return found

    def until(self, key: str) -> dict[str, str]:
        """The next message that has the key."""
        while key not in (found := self.told()):
            pass
        return found


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = f"@casd-test-{tmp_path}" if request.param == "abstract" else str(tmp_path / "notify")
    made = Manager(address)
    yield made
    made.socket.close()


@dataclass(frozen=True)
class Certificate:
    cert: Path
    key: Path

    @property
    def settings(self) -> dict[str, str]:
        return {"CASD_SERVER__TLS_CERTIFICATE": str(self.cert), "CASD_SERVER__TLS_KEY": str(self.key)}

    def copy_over(self, other: "Certificate") -> None:
        other.key.write_bytes(self.key.read_bytes())
        other.cert.write_bytes(self.cert.read_bytes())


def make_certificate(folder: Path) -> Certificate:
    """A self-signed one, for this machine and nobody else."""
    made = Certificate(folder / "tls.crt", folder / "tls.key")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    try:
        subprocess.run(
            [*command, "-days", "2", *subject, "-keyout", str(made.key), "-out", str(made.cert)],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        skip_loudly("openssl is missing")
    return made


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def renewed(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("renewed"))


def listening(kind: int = socket.AF_INET, path: Path | None = None) -> socket.socket:
    """As systemd makes them from ListenStream=."""
    made = socket.socket(kind)
    made.bind(("127.0.0.1", 0) if path is None else str(path))
    made.listen(1024)
    return made
