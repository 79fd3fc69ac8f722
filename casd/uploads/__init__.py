"""Resumable uploads: `uploads.py` is what can be done with one, `turns.py` decides which request may.

`parts.py` is for bytes in numbered parts, `whole.py` for appends that count wholly or not at all.
"""

from casd.uploads.appending import Appending
from casd.uploads.uploads import NewUpload, Target, Uploads

__all__ = ["Appending", "NewUpload", "Target", "Uploads"]
