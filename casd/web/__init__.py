"""HTTP mechanics, once for all dialects: sending, receiving, ranges, conditions, errors, credentials, limits."""
