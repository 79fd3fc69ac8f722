"""Where bytes live: `base.py` is the contract, `local.py` keeps it with files on a local disk."""
