"""What whole families of routes can be refused with, as `Operation.errors` lists it."""

from casd import errors

NO_BLOB = (errors.BlobNotFound, errors.NotFound)
NO_NAMESPACE = (errors.NamespaceNotFound,)
WRITING = (errors.Forbidden, errors.NamespaceNotFound)  # to what the path names, which may be another's
STORING = (*WRITING, errors.DigestMismatch, errors.SizeMismatch, errors.StorageFull, errors.QuotaExceeded)
ADMINS = (errors.Forbidden,)
SENDING = (
    errors.RangeNotSatisfiable,
    errors.PreconditionFailed,
    errors.PayloadMissing,
    errors.PayloadDamaged,
    errors.PayloadUnreadable,
)
