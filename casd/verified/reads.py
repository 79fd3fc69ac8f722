"""Opening payloads for readers, and remembering what of them was found right."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import datetime, timedelta

from casd.catalogue.base import Catalogue
from casd.errors import PayloadDamaged, PayloadMissing, PayloadUnreadable, StorageFailed
from casd.judging import Judge, Verdict
from casd.model import BLOCK_SIZE, Blob, BlobState, Digest, Receipt, VerifyReads
from casd.payloads.base import Payload, PayloadStore
from casd.verified.known import Known
from casd.verified.payload import Bench, Counts, VerifiedPayload, in_quarantine

KNOWN_FILES = 32768  # about 600 bytes each, and a bit for each MiB of those that are not checked whole


class VerifiedReads:
    """Opens payloads for readers, and remembers what of them was found right."""

    def __init__(
        self,
        payloads: PayloadStore,
        catalogue: Catalogue,
        judge: Judge,
        now: Callable[[], datetime],
        when: VerifyReads = VerifyReads.FIRST,
        recheck: timedelta = timedelta(days=7),
    ) -> None:
        """What was checked longer than `recheck` ago is not known any more."""
        self._payloads = payloads
        self._judge = judge
        self._now = now
        self._when = when
        self._recheck = recheck
        self._known: OrderedDict[Hashable, Known] = OrderedDict()
        self.counts = Counts()
        self._bench = Bench(catalogue, judge, self.counts)

    async def open(self, blob: Blob) -> "VerifiedPayload":
        """The blob's bytes, open. Raises PayloadMissing, PayloadUnreadable, and PayloadDamaged for what is."""
        if blob.state is BlobState.ERROR and self._judge.is_hopeless(blob.digest):
            raise in_quarantine(blob.digest)
        for is_last_try in (False, True):
            try:
                payload = await self._payloads.open(blob.digest)
            except (PayloadMissing, PayloadUnreadable) as error:
                doubt: StorageFailed = error
                if blob.state is BlobState.ERROR:
                    raise in_quarantine(blob.digest) from error
            else:
                if payload.size != blob.size:
                    payload.close()
                    found = f"payload {blob.digest} has {payload.size} of {blob.size} bytes; store it again to heal it"
                    doubt = PayloadDamaged(found)
                # A payload that is marked and there: a file system was mounted again, or an operator put it back.
                elif blob.state is BlobState.ERROR and not is_last_try:
                    payload.close()
                    doubt = in_quarantine(blob.digest)
                else:
                    return VerifiedPayload(self._bench, payload, blob.digest, self._known_of(blob.digest, payload))
            if is_last_try or await self._judge.verdict_soon(blob.digest, str(doubt)) is not Verdict.GOOD:
                break
        raise doubt

    def stored(self, receipt: Receipt, identity: Hashable) -> None:
        """These bytes were hashed and written a moment ago."""
        if self._when is VerifyReads.FIRST:
            known = Known(0, self._now())
            self._remember((receipt.digest.raw, identity), known)

    def _known_of(self, digest: Digest, payload: Payload) -> Known:
        now, blocks = self._now(), -(-payload.size // BLOCK_SIZE)
        if self._when is VerifyReads.NEVER:
            return Known(0, now)
        if self._when is VerifyReads.ALWAYS:
            return Known(blocks, now)
        key = (digest.raw, payload.identity)  # both: two files can change places
        known = self._known.get(key)
        if known is not None and now - known.since < self._recheck:
            self._known.move_to_end(key)
            return known
        known = Known(blocks, now)
        self._remember(key, known)
        return known

    def _remember(self, key: Hashable, known: Known) -> None:
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > KNOWN_FILES:
            self._known.popitem(last=False)
