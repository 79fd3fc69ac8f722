"""What goes wrong between a client and a daemon. A daemon's own words travel in `Refused`."""

from casd.errors import CasdError, InvalidInput
from casd.model import Digest


class ClientError(CasdError):
    """The root of all below."""

    code = "client-error"


class AddressInvalid(ClientError, InvalidInput):
    """What was given as a daemon's address is none."""

    code = "address-invalid"


class Unreachable(ClientError):
    """No connection could be made: nothing of the request left this machine."""

    code = "unreachable"


class ConnectionLost(ClientError):
    """A connection was made, then cut, or nothing moved on it for the idle timeout."""

    code = "connection-lost"


class UnexpectedAnswer(ClientError):
    """What answered is not casd, or something in between changed the answer. Redirects count: casd sends none."""

    code = "unexpected-answer"


class UnknownPath(UnexpectedAnswer):
    """The daemon has nothing at that path: it is older than this client, or no casd at all."""


class Refused(ClientError):
    """The daemon said no. `code` is the daemon's own (`blob-not-found`), the message its detail."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class DigestDiffers(ClientError):
    """The bytes are not those that the digest names."""

    code = "digest-differs"

    def __init__(self, what: str, expected: Digest, actual: Digest) -> None:
        super().__init__(f"{what}: SHA-512 is {actual.hex[:16]}…, not {expected.hex[:16]}…")
        self.expected = expected
        self.actual = actual


class BlockDiffers(ClientError):
    """A block arrived with other bytes than its checksum tells, as often as it was asked for.

    It is damaged at the daemon, or on the way in the same place each time. What else arrived is kept.
    """

    code = "block-differs"

    def __init__(self, index: int, start: int, stop: int) -> None:
        super().__init__(
            f"block {index} (bytes {start} to {stop}) is not what its checksum says, however often it is fetched; "
            "an operator's `casd scrub` tells whether it is damaged there"
        )
        self.index = index
        self.start = start
        self.stop = stop


class ContentChanged(UnexpectedAnswer):
    """What is fetched became something else in the middle: a name moved on, and its former version was removed."""

    code = "content-changed"


class SourceChanged(ClientError):
    """The bytes to send grew or shrank while they were sent, so the declared length was wrong."""

    code = "source-changed"


class TargetBusy(ClientError):
    """Another download writes the same target."""

    code = "target-busy"


class Unreadable(ClientError):
    """What was fetched is not what it was to be read as; or it is a pickle, and nobody said that it may be loaded."""

    code = "unreadable"


class PackageMissing(ClientError):
    """A package is not installed that only this call needs."""

    code = "package-missing"
