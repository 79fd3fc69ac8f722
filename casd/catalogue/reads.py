"""The half of the contract in `base.py` that changes nothing."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from casd.catalogue.values import BlobFilter, Hit, Holders, Unchecked
from casd.model import (
    Blob,
    BlobView,
    Digest,
    NamedKey,
    NameInfo,
    Namespace,
    Page,
    SigningKey,
    Token,
    Upload,
    UploadPart,
    Version,
    VersionRef,
)


class CatalogueReads(Protocol):
    # -- point look-ups; expiry is judged against the `now` of the call --------------------------------------

    async def blob(self, uuid: UUID, now: datetime) -> Blob | None:
        """The blob while it lives, else None."""

    async def version(self, namespace: str, name: str, number: int | None = None) -> Version | None:
        """That version, or the newest; a delete marker is returned as one. None where there is none."""

    async def version_as_of(self, namespace: str, name: str, at: datetime) -> Version | None:
        """The version that was the newest at `at`, inclusive, of those that are still there."""

    async def blob_of_payload(self, digest: Digest, namespaces: Collection[str] | None, now: datetime) -> Blob | None:
        """The oldest living blob with this digest in `namespaces` (None: in any), else None."""

    async def namespace(self, name: str) -> Namespace | None: ...

    async def token(self, secret_hash: bytes) -> Token | None:
        """The token, expired and revoked ones too. By a secret that was replaced it ends when that does."""

    async def token_by_id(self, uuid: UUID) -> Token | None:
        """As `token`."""

    async def signing_key(self, id: int | None = None) -> SigningKey | None:
        """That key, or the newest."""

    async def upload(self, uuid: UUID) -> Upload | None:
        """The upload, finished or not, past its time or not."""

    async def upload_joining(self, namespace: str, joins: Sequence[UUID]) -> Upload | None:
        """The upload, finished or not, that is made of exactly these partial ones."""

    async def upload_parts(self, uuid: UUID) -> list[UploadPart]:
        """The parts that have been recorded, by number."""

    async def block_checksums(self, digest: Digest, start: int, stop: int) -> bytes | None:
        """The XXH3-64 of blocks `start` to `stop`, 8 bytes each; None if the payload is not known."""

    # -- listings: at most `limit` items, fewer where they are large, resumed after `after`; versions have a view --

    async def blobs(
        self, namespaces: Sequence[str] | None, only: BlobFilter, limit: int, after: bytes | None, now: datetime
    ) -> Page[BlobView]:
        """Living blobs by namespace, then UUID. `namespaces` None: all. Raises InvalidInput for a bad `after`."""

    async def own_blobs(self, namespace: str, limit: int, offset: int, now: datetime) -> list[Blob]:
        """`limit` of the namespace's blobs that hold themselves, from the `offset`th on, by UUID.

        For products that page by numbers: it costs what is skipped, 70 ms for a million.
        """

    async def blobs_by_checksum(
        self,
        algorithm: str,
        value: bytes,
        namespaces: Collection[str] | None,
        limit: int,
        after: bytes | None,
        now: datetime,
    ) -> Page[BlobView]:
        """Living blobs whose `sha512`, `sha256` or `xxh3-128` is `value`."""

    async def names(self, namespace: str, prefix: str, limit: int, after: bytes | None, now: datetime) -> Page[Version]:
        """The newest version of each name that is not hidden, by the names' bytes."""

    async def folder(
        self, namespace: str, prefix: str, limit: int, after: bytes | None, now: datetime
    ) -> Page[Version | str]:
        """What `names` has, but of all names with a slash behind the prefix only their common beginning, up to and with
        the first such slash. A page costs what it shows, however many names that stands for.
        """

    async def versions(
        self, namespace: str, name: str, limit: int, after: bytes | None, now: datetime, newer_than: int = 0
    ) -> Page[Version]:
        """All versions with a number above `newer_than`, delete markers included, by number. Raises NameNotFound."""

    async def namespaces(self, readable_to: Collection[str] | None) -> list[Namespace]:
        """All namespaces (None), or those named and those which list one of them, or "*", as a reader."""

    async def view(self, uuid: UUID, now: datetime) -> BlobView | None:
        """The blob while it lives, with its metadata and at most 100 of the versions that hold it, else None."""

    async def holding_versions(self, uuid: UUID, limit: int) -> tuple[VersionRef, ...]:
        """Versions that hold the blob, oldest first: of its own namespace, for binding elsewhere copies it."""

    async def holders(
        self, uuid: UUID, namespaces: Collection[str] | None, limit: int, now: datetime
    ) -> Holders | None:
        """What keeps the blob while it lives, else None; at most `limit` versions.

        Other blobs of its payload are counted in `namespaces` (None: in all).
        """

    async def tokens(self, limit: int, after: bytes | None) -> Page[Token]: ...

    async def expiring_tokens(self, now: datetime, before: datetime, limit: int) -> list[Token]:
        """Good tokens that end before that, the first to end first."""

    async def is_protected(self, namespace: str, name: str) -> bool:
        """Whether there is such a name, and it is protected as a whole."""

    async def name_info(self, namespace: str, name: str) -> NameInfo | None: ...

    async def name_by_uuid(self, uuid: UUID) -> NameInfo | None: ...

    async def name_by_source_url(self, namespace: str, source_url: str) -> NameInfo | None:
        """The oldest name of the namespace that came from there."""

    async def name_infos(self, namespace: str | None, limit: int, after: bytes | None) -> Page[NameInfo]:
        """Names that are not hidden, by their bytes: of the namespace, or (None) those that any namespace shares."""

    async def named_keys(self, namespace: str) -> list[NamedKey]: ...

    async def signing_keys(self) -> list[SigningKey]:
        """All of them, oldest first."""

    async def unfinished_uploads(self) -> set[UUID]: ...

    async def uploads_of_content(
        self, namespace: str, algorithm: str, value: bytes, size: int, now: datetime, limit: int
    ) -> list[Upload]:
        """Unfinished uploads of bytes with that size and that `sha512` or `xxh3-128`, as announced; furthest first.

        Those in parts, partial and joining ones are not among them: they go on in another way.
        """

    async def open_uploads(
        self, namespaces: Collection[str] | None, limit: int, after: bytes | None, now: datetime
    ) -> Page[Upload]:
        """Unfinished uploads of those namespaces (None: all) by UUID, which is by age."""

    async def expired_uploads(self, now: datetime, limit: int) -> list[Upload]:
        """Uploads past their time, finished ones too."""

    # -- what is checked, and what is damaged --------------------------------------------------------------

    async def unchecked(
        self, before: datetime, limit: int, after: bytes | None, *, is_deep: bool = False
    ) -> Page[Unchecked]:
        """Payloads that were last found right before then, the longest ago first; deeply, by their SHA-512.

        Those that are marked as damaged are not among them.
        """

    async def oldest_checks(self) -> tuple[datetime | None, datetime | None]:
        """When the payload was checked that has not been for longest, and the same deeply; None where there is none."""

    async def damaged(self, limit: int, after: bytes | None) -> Page[Digest]:
        """Payloads that are marked as damaged and that blobs refer to, by digest."""

    async def hit(self, digest: Digest) -> Hit:
        """Which blobs and versions need the payload."""

    async def problems(self) -> list[str]:
        """What its engine finds wrong with the catalogue itself; reads all of it, and holds up nobody."""
