-- Keys that users choose, so kept with scrypt; each speaks for a token of its own, which ends with it.

CREATE TABLE named_key (
  namespace_id INTEGER NOT NULL REFERENCES namespace,
  name         TEXT NOT NULL,
  salt         BLOB NOT NULL CHECK (length(salt) = 16),
  hash         BLOB NOT NULL CHECK (length(hash) = 32),
  token        BLOB NOT NULL CHECK (length(token) = 16), -- whose secret nobody knows
  created_at   INTEGER NOT NULL,
  PRIMARY KEY (namespace_id, name)
) STRICT, WITHOUT ROWID;

-- Names that are shared with all namespaces, in their order.

CREATE INDEX name_shared ON name (namespace_id, name) WHERE shared;
