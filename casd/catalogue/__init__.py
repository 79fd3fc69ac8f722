"""What casd knows of payloads: `base.py` is the contract, `sqlite/` keeps it in one SQLite file."""
