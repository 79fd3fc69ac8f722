"""casd: a content-addressed storage daemon. `daemon/composition.py` puts the parts together; start reading there."""

__version__ = "0.1.0"
