-- Resumable uploads: one row each, its bytes in incoming/ under its UUID until it has become a blob.

CREATE TABLE upload (
  id           INTEGER PRIMARY KEY,
  uuid         BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
  namespace_id INTEGER NOT NULL REFERENCES namespace,
  token        BLOB NOT NULL CHECK (length(token) = 16), -- whose token began it
  size         INTEGER CHECK (size >= 0),      -- NULL: not told yet
  durable_size INTEGER NOT NULL DEFAULT 0,     -- the offset: bytes that were synced before this was committed
  sha512       BLOB CHECK (length(sha512) = 64), -- as announced; of a finished one what it is
  name         BLOB,                           -- to be published under; NULL: a blob that holds itself
  content_type TEXT NOT NULL,
  filename     TEXT,
  metadata     TEXT NOT NULL,                  -- Upload-Metadata as it was sent
  created_at   INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL,               -- moves on with each byte
  blob_uuid    BLOB CHECK (length(blob_uuid) = 16) -- set by the transaction that makes the blob; NULL: unfinished
) STRICT;
CREATE INDEX upload_expiry ON upload (expires_at);
CREATE INDEX upload_unfinished ON upload (token) WHERE blob_uuid IS NULL;
