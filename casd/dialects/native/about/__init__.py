"""What the routes of the native API take and answer, for `/openapi.json` and `/docs`; a module for each theme.

They name models by their full path: the package above imports these while it is not whole yet.
"""

from casd.dialects.native.about import accounts, audit, blobs, names, payloads, service, upkeep

__all__ = ["accounts", "audit", "blobs", "names", "payloads", "service", "upkeep"]
