"""One product's HTTP per file, translated to calls on the core; casd's own is `native.py`."""
