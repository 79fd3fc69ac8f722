"""Resumable uploads: `uploads.py` is what can be done with one, `turns.py` decides which request may."""

from casd.uploads.uploads import Appending, NewUpload, Uploads

__all__ = ["Appending", "NewUpload", "Uploads"]
