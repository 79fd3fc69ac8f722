"""Scrub and repair: damage is found before a reader meets it, and fetched anew."""
