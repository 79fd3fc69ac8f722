"""Resumable uploads: `uploads.py` is what can be done with one, `turns.py` who may, `steps.py` how it is done.

`parts.py` is for bytes in numbered parts, `whole.py` for appends that count wholly or not at all, `joining.py` for
uploads that are made of others.
"""

from casd.uploads.appending import Appending
from casd.uploads.steps import Target
from casd.uploads.uploads import NewUpload, Uploads

__all__ = ["Appending", "NewUpload", "Target", "Uploads"]
