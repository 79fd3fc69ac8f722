"""TLS of the daemon's own: a certificate that can be renewed while connections are served."""

import ssl
from pathlib import Path

from casd.config import ConfigError, Server


class Certificate:
    """What new TLS connections are shown. Those that are there keep what they were shown."""

    @classmethod
    def of(cls, server: Server) -> "Certificate | None":
        """The configured one. Raises ConfigError as `loaded` does."""
        return cls(server.tls_certificate, server.tls_key) if server.tls_certificate is not None else None

    def __init__(self, certificate: Path, key: Path | None) -> None:
        """Raises ConfigError as `loaded` does."""
        # Both loops take one context for good: this one, which hands each handshake over to the newest.
        self.context = self._current = loaded(certificate, key)
        self.context.sni_callback = self._newest

    def replace(self, context: ssl.SSLContext) -> None:
        """Handshakes that begin from now on see this one, which `loaded` returned."""
        self._current = context

    def _newest(self, connection: ssl.SSLObject, server_name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._current


def loaded(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """A server's context with that chain and its key, which may stand in the same file.

    Raises ConfigError for files that cannot be read, are no certificate and key, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=refuse_password)
    except ssl.SSLError as error:
        files = certificate if key is None else f"{certificate} and {key}"
        raise ConfigError(
            f"[server] tls_certificate, tls_key: {files} are no certificate and its key: {error.reason}"
        ) from error
    except OSError as error:
        which = certificate if not is_readable(certificate) else key
        raise ConfigError(f"[server] tls_certificate, tls_key: {which}: {error.strerror}") from error
    return context


def refuse_password() -> str:
    """OpenSSL would ask the terminal."""
    return ""


def is_readable(file: Path) -> bool:
    try:
        file.open("rb").close()
    except OSError:
        return False
    return True
