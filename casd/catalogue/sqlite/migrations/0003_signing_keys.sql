-- What signs URLs: the newest signs, all that are here verify. Ids are never used twice.

CREATE TABLE signing_key (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  secret     BLOB NOT NULL CHECK (length(secret) = 32),
  created_at INTEGER NOT NULL
) STRICT;
