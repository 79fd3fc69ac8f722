"""The contract of a catalogue: blobs and their holds, names and versions, metadata, namespaces, tokens.

Each write is one transaction: it happens whole, durably, before the call returns, or not at all. Look-ups and
listings see every write that has returned. A catalogue touches no payload; where both must agree, the caller
(`store.py`, `upkeep.py`) holds the digest's lock. No SQL, row or cursor leaves a backend.
What only looks stands in `reads.py`, who may do what in `credentials.py`. Every backend passes
`tests/contracts/catalogue.py`.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from casd.catalogue.claims import Claim, Claims, Spared, Use
from casd.catalogue.credentials import CatalogueCredentials
from casd.catalogue.reads import CatalogueReads
from casd.catalogue.values import NO_GUARD, NO_NAMING, Expired, Totals, Unreferenced, UploadTotals, Workings
from casd.model import (
    JSON,
    Blob,
    BlobState,
    Digest,
    Guard,
    NameInfo,
    Naming,
    NewBlob,
    Page,
    Receipt,
    Upload,
    UploadPart,
    Version,
    VersionRef,
)


class Catalogue(CatalogueReads, CatalogueCredentials, Protocol):
    """What `CatalogueReads` finds, changed.

    Whatever would remove or hide a protected version or name, or add to a protected name, raises Protected.
    """

    # -- quotas ----------------------------------------------------------------------------------------------

    @property
    def claims(self) -> Claims:
        """What namespaces use, and what is claimed beside it, at any moment."""

    async def use(self, namespace: str, now: datetime) -> Use:
        """What the namespace has, without blobs whose time is over."""

    async def expire_in(self, namespace: str, now: datetime, keep_until: datetime) -> None:
        """End own holds in the namespace that are past their time, so that they take up no room; at most a thousand."""

    async def spared(self, namespace: str, name: str, now: datetime) -> Spared:
        """What goes by the name's rules when its next version is published."""

    # -- blobs -----------------------------------------------------------------------------------------------

    async def add_blob(
        self,
        new: NewBlob,
        receipt: Receipt,
        now: datetime,
        keep_until: datetime,
        finishes: UUID | None = None,
        claim: Claim | None = None,
    ) -> Blob:
        """A blob that holds itself. The payload's row is made, or healed: its blocks and times are replaced.

        The upload `finishes` has become the blob in the same transaction: what was known of its parts, and the partial
        ones that it joins, go. So has the claim. Raises NamespaceNotFound, UploadNotFound, QuotaExceeded.
        """

    async def copy_blob(
        self, blob: UUID, new: NewBlob, now: datetime, keep_until: datetime, claim: Claim | None = None
    ) -> Blob:
        """A blob that holds itself, of the same bytes. Raises BlobNotFound, NamespaceNotFound, QuotaExceeded."""

    async def drop_own_hold(self, uuid: UUID, now: datetime, keep_until: datetime) -> Blob | None:
        """End the blob's hold on itself; a version's hold keeps it readable, and then it is returned.

        Raises BlobNotFound, and Conflict if versions were all it had.
        """

    async def set_metadata(
        self, uuid: UUID, key: str, value: JSON, limit_bytes: int, now: datetime, *, only_adds: bool = False
    ) -> None:
        """Raises BlobNotFound, and TooLarge if the blob's metadata would be longer than `limit_bytes` in all.

        With `only_adds` Forbidden if the key is there with another value.
        """

    async def delete_metadata(self, uuid: UUID, key: str, now: datetime) -> None:
        """Raises BlobNotFound, MetadataKeyNotFound."""

    # -- names -----------------------------------------------------------------------------------------------

    async def publish(
        self,
        new: NewBlob,
        receipt: Receipt,
        name: str,
        guard: Guard,
        published_by: str | None,
        now: datetime,
        keep_until: datetime,
        finishes: UUID | None = None,
        naming: Naming = NO_NAMING,
        claim: Claim | None = None,
    ) -> Version:
        """The next version of the name, holding a new blob that only it holds. Retention is applied.

        With `naming.unless_same` the newest version is returned as it stands if it has these bytes already.
        The upload `finishes`, and the claim, have become the blob in the same transaction; a quota is judged by what is
        left after retention. Raises NamespaceNotFound, PreconditionFailed, UploadNotFound, QuotaExceeded.
        """

    async def bind(
        self,
        blob: UUID,
        new: NewBlob,
        name: str,
        guard: Guard,
        published_by: str | None,
        now: datetime,
        keep_until: datetime,
        naming: Naming = NO_NAMING,
        *,
        as_new: bool = False,
        claim: Claim | None = None,
    ) -> Version:
        """The next version of the name, holding `blob`; of another namespace, a copy of it, made as `new`.

        A copy has content type and filename, not metadata; with `as_new` it is made in any case, and has those of
        `new`. `naming` and `claim` as in `publish`. Raises BlobNotFound, NamespaceNotFound, PreconditionFailed, and
        QuotaExceeded if a copy is made.
        """

    async def hide_name(
        self, namespace: str, name: str, guard: Guard, published_by: str | None, now: datetime
    ) -> Version:
        """A delete marker as the next version. Raises NameNotFound if it is absent or hidden, PreconditionFailed."""

    async def remove_version(
        self,
        namespace: str,
        name: str,
        number: int,
        now: datetime,
        keep_until: datetime,
        guard: Guard = NO_GUARD,
    ) -> Version:
        """Remove and return one version; the newest marker's removal un-hides the name.

        A name left without a version that has a blob is gone, its counter is not. The guard is held against that
        version. Raises VersionNotFound, PreconditionFailed.
        """

    async def undelete(self, namespace: str, name: str, now: datetime, keep_until: datetime) -> Version:
        """Remove the newest version if it is a marker, and return what is the newest then.

        Raises NameNotFound, and Conflict if the name is not hidden.
        """

    async def purge_name(
        self, namespace: str, name: str, now: datetime, keep_until: datetime, guard: Guard = NO_GUARD
    ) -> None:
        """Remove the name and all its versions; its counter stays for ever.

        Raises NameNotFound, PreconditionFailed.
        """

    async def withdraw(self, blob: UUID, published_by: str | None, now: datetime, keep_until: datetime) -> VersionRef:
        """Remove and return the one version that holds the blob.

        Where it was the newest and older ones are left, a marker hides the name: none of them takes its place. Raises
        BlobNotFound if no version holds the blob, Conflict if several do.
        """

    async def rename_name(self, namespace: str, name: str, new_name: str) -> None:
        """The name is called `new_name` from now on, with all that it had: UUID, rules, metadata, versions.

        Numbers stay where none was ever used under `new_name`; otherwise they go on after the last that was. Both
        counters stay for ever. Raises NameNotFound if it is absent or hidden, Conflict if `new_name` is there.
        """

    async def update_name(
        self,
        namespace: str,
        name: str,
        changes: Mapping[str, object],
        is_expected: Callable[[NameInfo], bool] | None = None,
    ) -> NameInfo:
        """Set any of shared, protected, keep_versions, source_url, metadata (replaced whole).

        `is_expected` is asked in the transaction about the name as it was. Raises NameNotFound, and
        PreconditionFailed where it says no.
        """

    async def protect_version(self, namespace: str, name: str, number: int, is_protected: bool) -> Version:
        """A version that is protected stays: nothing and nobody removes it. Raises VersionNotFound, Conflict."""

    async def limit_versions(
        self, namespace: str, name: str, keep_versions: int, now: datetime, keep_until: datetime
    ) -> NameInfo:
        """Set how many versions the name keeps, and remove the older ones at once. Raises NameNotFound."""

    async def set_name_metadata(
        self, namespace: str, name: str, key: str, value: JSON, limit_bytes: int, *, only_adds: bool = False
    ) -> None:
        """Raises NameNotFound, and as `set_metadata`."""

    async def delete_name_metadata(self, namespace: str, name: str, key: str) -> None:
        """Raises NameNotFound, MetadataKeyNotFound."""

    # -- uploads ---------------------------------------------------------------------------------------------

    async def add_upload(self, upload: Upload, limit_per_token: int) -> Upload:
        """The upload; or, finished or not, the one that its client has begun already and may not have heard of.

        That is one of the same token and namespace with the same size and metadata: where both join the same partial
        ones, or were begun in the same session and announce a digest. Raises NamespaceNotFound, and TooManyUploads if
        the token has `limit_per_token` unfinished ones already.
        """

    async def set_upload_offset(
        self, uuid: UUID, offset: int, expires_at: datetime, prefix: Digest | None = None
    ) -> None:
        """`prefix` is the digest of the bytes before `offset`. Raises UploadNotFound if it is not there or finished."""

    async def set_upload_size(self, uuid: UUID, size: int) -> None:
        """Raises as `set_upload_offset`."""

    async def add_upload_part(self, uuid: UUID, part: UploadPart, size: int | None, expires_at: datetime) -> None:
        """Record a part, in place of the one with its number; `size` is what all have together, if that was told now.

        Afterwards the upload's offset is where the last of its parts ends. Raises UploadNotFound if it is not there
        or finished.
        """

    async def remove_upload_part(self, uuid: UUID, number: int) -> None:
        """Forget a part; if it was the last one, the size is not told any more. Raises as `add_upload_part`."""

    async def remove_upload(self, uuid: UUID) -> None:
        """Raises UploadNotFound."""

    async def upload_totals(self) -> UploadTotals: ...

    # -- upkeep ----------------------------------------------------------------------------------------------

    async def expire(
        self, now: datetime, hidden_before: datetime, ended_before: datetime, keep_until: datetime, limit: int
    ) -> Expired:
        """End own holds that are past their time, at most `limit`, as of names and tokens.

        Names hidden before `hidden_before` are purged, and tokens that ended before `ended_before` forgotten.
        """

    async def expirable(self, now: datetime, hidden_before: datetime, ended_before: datetime) -> Expired:
        """What `expire` would end in all, and the uploads that are past their time."""

    async def retain(
        self, now: datetime, keep_until: datetime, after: bytes | None, *, dry_run: bool = False
    ) -> tuple[int, bytes | None]:
        """Remove, of some names, the versions that neither their rule nor their namespace's keeps.

        Returns how many those are, and where the next names start. The newest version with a blob is never removed,
        nor any of a protected name.
        """

    async def unreferenced(self, now: datetime, limit: int, after: bytes | None) -> Page[Unreferenced]: ...

    async def unreferenced_totals(self, now: datetime) -> tuple[int, int]:
        """How many payloads `unreferenced` would list in all, and their bytes."""

    async def forget_payload(self, digest: Digest, now: datetime) -> bool:
        """Delete the payload's row if no blob refers to it, its keep-until has passed and no backup has it pinned.

        All that is checked here and now. Returns whether it did. The caller holds the digest's lock until the file is
        gone too.
        """

    async def payload_states(self, digests: Collection[Digest]) -> dict[Digest, BlobState]:
        """The state that blobs of each have, of those of `digests` that have a row."""

    async def known_payloads(self, digests: Collection[Digest]) -> set[Digest]:
        """Those of `digests` that have a row."""

    async def keep_payload(self, digest: Digest, until: datetime) -> bool:
        """Raise keep-until; returns whether the payload is known."""

    async def keep_held(
        self,
        algorithm: str,
        values: Collection[bytes],
        namespaces: Collection[str] | None,
        now: datetime,
        until: datetime,
    ) -> set[bytes]:
        """Those of `values` that are the `sha512`, `sha256` or `xxh3-128` of a good payload with a living blob there.

        Their keep-until is raised in the same transaction. `namespaces` None: in any.
        """

    async def pin_payloads(self, pin: UUID, until: datetime, now: datetime) -> None:
        """For a backup: until then no payload is forgotten of which a copy of the catalogue knows, made from now on."""

    async def renew_pin(self, pin: UUID, until: datetime, now: datetime) -> None:
        """The pin lasts until then. Raises PinNotFound if it was let go, or has been past its time meanwhile."""

    async def unpin_payloads(self, pin: UUID) -> None:
        """Let go. Raises PinNotFound, as `renew_pin` does."""

    async def pinned_until(self, now: datetime) -> datetime | None:
        """When the last pin ends; None if there is none now."""

    async def set_quarantined(self, digest: Digest, at: datetime | None) -> bool:
        """Mark the payload and so its blobs as damaged, or (None) good; returns whether that is news of it."""

    async def set_good(self, digest: Digest, blocks: bytes, at: datetime) -> bool:
        """The bytes were found right at `at`, and have these checksums; returns whether others were known."""

    async def set_checked(self, digests: Collection[Digest], at: datetime, *, is_deep: bool) -> None:
        """Their bytes were found right at `at`, deeply by their SHA-512. Those marked as damaged stay as they are."""

    async def heal(self, receipt: Receipt, now: datetime) -> bool:
        """The payload was stored again: mark gone, blocks and times replaced. Returns whether it is known.

        The caller holds the digest's lock since before the bytes got their name.
        """

    async def totals(self) -> Totals: ...

    @property
    def pending_writes(self) -> int:
        """Writes that wait for their commit."""

    async def workings(self) -> Workings: ...

    def take_commit_times(self) -> list[float]:
        """How many seconds each commit took since the last call, the latest few thousand at most."""

    async def check(self) -> None:
        """Return if the catalogue answers. Raises StorageFailed."""

    async def check_writer(self) -> None:
        """Return when all writes that were asked for before are through. Raises StorageFailed."""

    async def close(self) -> None: ...
