"""Upkeep, backups and quarantine, for admins."""

import casd.dialects.native.bodies as bodies
import casd.dialects.native.models as models
from casd import errors
from casd.web.fields import A_DIGEST, FLAG, PAGE
from casd.web.operation import Answer, Body, Link, Operation, Parameter
from casd.web.refusals import ADMINS

TAG = "Upkeep"
DRY_RUN = Parameter("dry_run", "1: only tell what would be done.", FLAG)
BACKUP = {"path.uuid": "$response.body#/id"}

EXPIRE = Operation(
    "expire",
    TAG,
    "End what has expired",
    (Answer(200, "What was ended.", models.ExpireReport),),
    "Runs now, and answers when it is done; so do all of these. For admins.",
    query=(DRY_RUN,),
    errors=(*ADMINS, errors.StorageFull),
)
COLLECT = Operation(
    "collectGarbage",
    TAG,
    "Remove payloads that nothing refers to",
    (Answer(200, "What was removed.", models.CollectionReport),),
    "A run that would remove more than half of the store removes nothing and answers 409. For admins.",
    query=(DRY_RUN, Parameter("force", "1: also more than half of the store.", FLAG)),
    errors=(*ADMINS, errors.CollectionRefused, errors.StorageFull),
)
SCRUB = Operation(
    "scrub",
    TAG,
    "Read everything again",
    (Answer(200, "What was found.", models.ScrubReport),),
    "For admins.",
    query=(DRY_RUN, Parameter("deep", "1: also the SHA-512 of all bytes, and the catalogue itself.", FLAG)),
    errors=(*ADMINS, errors.StorageFull),
)
REPAIR = Operation(
    "repair",
    TAG,
    "Fetch damaged payloads again",
    (Answer(200, "What was repaired.", models.RepairReport),),
    "From `[repair] sources`: all that is damaged, or what the body names. For admins.",
    body=Body(
        "Up to 1000 payloads; without a body, all that are damaged.",
        bodies.RepairRequest,
        is_required=False,
        example={"sha512": [A_DIGEST]},
    ),
    errors=(*ADMINS, errors.PayloadNotFound, errors.SourceFailed, errors.StorageFull),
)
BEGIN_BACKUP = Operation(
    "beginBackup",
    "Backups",
    "Begin a backup",
    (
        Answer(
            201,
            "Payloads are kept until then; renew it before.",
            models.Backup,
            headers=("Location",),
            links=(Link("renewBackup", BACKUP), Link("endBackup", BACKUP)),
        ),
    ),
    "While it runs, collection leaves the payloads alone that it copies: `casd backup` does all this. For admins.",
    errors=(*ADMINS, errors.StorageFull),
)
RENEW_BACKUP = Operation(
    "renewBackup",
    "Backups",
    "Show that a backup goes on",
    (Answer(200, "Payloads are kept until then.", models.Backup),),
    "For admins.",
    errors=(*ADMINS, errors.PinNotFound, errors.NotFound, errors.StorageFull),
)
END_BACKUP = Operation(
    "endBackup",
    "Backups",
    "End a backup",
    (Answer(204, "It is over."),),
    "For admins.",
    errors=(*ADMINS, errors.PinNotFound, errors.NotFound),
)
LIST_QUARANTINE = Operation(
    "listQuarantine",
    "Quarantine",
    "List what is in quarantine",
    (Answer(200, "A page of entries.", models.QuarantinedPage),),
    "For admins.",
    query=PAGE,
    errors=ADMINS,
)
QUARANTINED = Operation(
    "getQuarantined",
    "Quarantine",
    "Look into quarantine",
    (Answer(200, "The entry, with blobs of its payload.", models.QuarantinedEntry),),
    "For admins.",
    errors=(*ADMINS, errors.QuarantinedNotFound),
)
PURGE_QUARANTINED = Operation(
    "purgeQuarantined",
    "Quarantine",
    "Remove damaged bytes for good",
    (Answer(204, "They are gone."),),
    "What may be all that is left of a payload wants `?force=1`, and is 409 without. For admins.",
    query=(Parameter("force", "1: even if the payload is still damaged.", FLAG),),
    errors=(*ADMINS, errors.QuarantinedNotFound, errors.Conflict),
)
