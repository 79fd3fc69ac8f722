"""Everything casd raises on purpose. Knows no HTTP: `web/errors.py` holds the only table of statuses.

Each class has a stable `code` that clients may test. A message says what, which one, and what to do.
"""


class CasdError(Exception):
    """The root. `code` is part of the API; the message is for people."""

    code = "error"


# -- what the caller asked for is not there, or not the caller's: both answer alike --------------------------


class NotFound(CasdError):
    """Absent, or not the caller's to see. The two must not be told apart from outside."""

    code = "not-found"


class BlobNotFound(NotFound):
    code = "blob-not-found"


class PayloadNotFound(NotFound):
    """No blob that the caller may read has this digest."""

    code = "payload-not-found"


class NameNotFound(NotFound):
    code = "name-not-found"


class VersionNotFound(NotFound):
    code = "version-not-found"


class NamespaceNotFound(NotFound):
    code = "namespace-not-found"


class MetadataKeyNotFound(NotFound):
    code = "metadata-key-not-found"


class TokenNotFound(NotFound):
    code = "token-not-found"


class NamedKeyNotFound(NotFound):
    code = "named-key-not-found"


class TokenFileUnusable(CasdError):
    """A file that is to hold a token cannot be read, or holds none that can be taken."""

    code = "token-file-unusable"


class SigningKeyNotFound(NotFound):
    code = "signing-key-not-found"


class PinNotFound(NotFound):
    """The backup took too long without a sign of life: what it was about to copy may have been collected."""

    code = "pin-not-found"


class UploadNotFound(NotFound):
    """Absent, expired, terminated, or of somebody else."""

    code = "upload-not-found"


class QuarantinedNotFound(NotFound):
    code = "quarantined-not-found"


# -- what the caller sent is wrong ----------------------------------------------------------------------------


class InvalidInput(CasdError):
    """Something the caller sent does not parse or is out of bounds."""

    code = "invalid-input"


class DigestMismatch(CasdError):
    """The bytes that arrived are not those that were announced. Nothing was kept."""

    code = "digest-mismatch"


class UploadMismatch(DigestMismatch):
    """The same of a resumable upload, which is gone with all its bytes."""


class SizeMismatch(CasdError):
    """Fewer or more bytes arrived than were announced. Nothing was kept."""

    code = "size-mismatch"


class ChunkMismatch(DigestMismatch):
    """A chunk of a resumable upload is not what its checksum says. It was not kept: the offset is where it was."""

    code = "checksum-mismatch"


class PartMismatch(InvalidInput):
    """The parts that a client lists are not those that arrived. They are kept: it can be tried again."""

    code = "part-mismatch"


class TooLarge(CasdError):
    """More than a limit allows."""

    code = "too-large"

    def __init__(self, what: str, limit_bytes: int) -> None:
        super().__init__(f"{what} is larger than the limit of {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class QuotaExceeded(CasdError):
    """A blob more, or its bytes, would be more than the namespace may have. Nothing was taken of what does not fit."""

    code = "quota-exceeded"

    def __init__(self, namespace: str, what: str, quota: int, used: int, reserved: int, wanted: int) -> None:
        """`what` is bytes or blobs; all numbers are of those."""
        super().__init__(
            f"namespace {namespace} may have {quota} {what}: {used} are used, {reserved} reserved by transfers under "
            f"way, and {wanted} more are wanted; delete something there, or ask an admin for a larger quota"
        )
        self.namespace, self.what = namespace, what
        self.quota, self.used, self.reserved, self.wanted = quota, used, reserved, wanted


class UnsupportedEncoding(CasdError):
    """A Content-Encoding on a request: casd stores the bytes that were sent, so it would have to undo it."""

    code = "unsupported-encoding"


class RangeNotSatisfiable(CasdError):
    """The range or offset asked for starts past the end."""

    code = "range-not-satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"the payload has {size} bytes; the range asked for starts past its end")
        self.size = size


class UnknownExpectation(CasdError):
    """An Expect header that is not 100-continue (RFC 9110, 10.1.1)."""

    code = "unknown-expectation"


class BodyTimeout(CasdError):
    """The sender of a body made no progress for `body_idle_timeout_s`."""

    code = "body-timeout"


# -- who asks -----------------------------------------------------------------------------------------------


class Unauthenticated(CasdError):
    """No token, or one that is unknown, expired or revoked."""

    code = "unauthenticated"


class Forbidden(CasdError):
    """The role is too small for this, in a namespace that is the caller's own."""

    code = "forbidden"


# -- the state of things ------------------------------------------------------------------------------------


class Conflict(CasdError):
    """The request cannot be carried out on things as they are."""

    code = "conflict"


class PreconditionFailed(CasdError):
    """If-Match, If-None-Match or If-Unmodified-Since did not hold."""

    code = "precondition-failed"


class OffsetConflict(Conflict):
    """The bytes do not follow on what is there: go on from `offset`."""

    code = "offset-conflict"

    def __init__(self, asked: int, offset: int) -> None:
        super().__init__(f"this upload goes on at byte {offset}, not at {asked}")
        self.offset = offset


class UploadBusy(Conflict):
    """Another request has the upload in hand; it can be had back at `offset` or later."""

    code = "upload-busy"

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class Overloaded(CasdError):
    """There is no room for this request now, nor was there while it waited: it can be tried again in a while."""

    code = "overloaded"


class RateLimited(CasdError):
    """The caller asks more often than it may: it can be tried again after `retry_after_s`."""

    code = "rate-limited"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SourceFailed(CasdError):
    """What was to be fetched from elsewhere did not come whole. Nothing was kept."""

    code = "source-failed"


class SourceCut(SourceFailed):
    """The same, and there is use in asking again: it ended too early, or has no time now."""

    code = "source-cut"


class SourceTimeout(SourceCut):
    """The same, because nothing more came for `body_idle_timeout_s`."""

    code = "source-timeout"


class TooManyFetches(CasdError):
    """As many fetches are under way as there may be at a time."""

    code = "too-many-fetches"


class TooManyUploads(CasdError):
    """The token has as many unfinished uploads as it may."""

    code = "too-many-uploads"


class Protected(Conflict):
    """The name or the version is protected: whoever wants to change it unprotects it first."""

    code = "protected"


class CollectionRefused(Conflict):
    """A run would remove more than half of the store, so it removed nothing."""

    code = "collection-refused"


# -- the disk -----------------------------------------------------------------------------------------------


class StorageFailed(CasdError):
    """A disk call or the catalogue failed; nothing was acknowledged. The cause is chained."""

    code = "storage-failed"


class StorageStuck(StorageFailed):
    """Something that takes milliseconds has not ended for many seconds: a disk that hangs, a thread that waits."""

    code = "storage-stuck"


class OutOfDescriptors(StorageFailed):
    """The process has as many files open as it may: it can be tried again in a moment."""

    code = "too-many-files"


class StorageFull(StorageFailed):
    """No space: ENOSPC, EDQUOT, SQLITE_FULL, or the reserve would be touched."""

    code = "storage-full"


class StageMissing(StorageFailed):
    """Bytes that an unfinished upload was told to have are not on the disk: somebody removed them."""

    code = "stage-missing"


class PayloadMissing(StorageFailed):
    """The catalogue knows the payload, but its file is gone. Storing the bytes again heals it."""

    code = "payload-missing"


class PayloadDamaged(StorageFailed):
    """The stored bytes are not those that were acknowledged. Storing them again heals it."""

    code = "payload-damaged"


class PayloadUnreadable(StorageFailed):
    """The disk fails to give the payload's bytes, which is no proof that they are gone."""

    code = "payload-unreadable"


class CatalogueUnusable(CasdError):
    """The catalogue is damaged, missing, foreign or newer than this casd: the daemon does not start."""

    code = "catalogue-unusable"


class CatalogueForeign(CatalogueUnusable):
    """The catalogue is whole, but not for this casd as it runs: of another program, version or user."""

    code = "catalogue-foreign"


class FolderInUse(CasdError):
    """Another daemon holds the data folder's lock."""

    code = "folder-in-use"


class FolderUnusable(CasdError):
    """The data folder is not there although it must be, or cannot be written."""

    code = "folder-unusable"
