-- Namespaces, payloads, blobs, names, versions, tokens.
-- Times are integer microseconds UTC; UUIDs 16-byte and digests 64-byte BLOBs (260 bytes a row against 440-460 as text).

CREATE TABLE namespace (
  id             INTEGER PRIMARY KEY,
  name           TEXT NOT NULL UNIQUE,
  anonymous_read INTEGER NOT NULL DEFAULT 0,
  share_by_uuid  INTEGER,                      -- NULL: the daemon's [auth] share_by_uuid
  quota_bytes    INTEGER,
  quota_blobs    INTEGER,
  keep_versions  INTEGER,
  max_age_s      INTEGER,
  logical_bytes  INTEGER NOT NULL DEFAULT 0,   -- sum and count of its blobs, kept by the transactions that change them
  blob_count     INTEGER NOT NULL DEFAULT 0,
  created_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE namespace_reader (
  namespace_id INTEGER NOT NULL REFERENCES namespace,
  reader       TEXT NOT NULL,                  -- a namespace's name, which need not exist yet; '*': any token
  PRIMARY KEY (namespace_id, reader)
) STRICT, WITHOUT ROWID;
CREATE INDEX namespace_reader_reader ON namespace_reader (reader, namespace_id);

CREATE TABLE payload (
  id             INTEGER PRIMARY KEY,
  digest         BLOB NOT NULL UNIQUE CHECK (length(digest) = 64),
  sha256         BLOB NOT NULL CHECK (length(sha256) = 32),
  xxh3_128       BLOB NOT NULL CHECK (length(xxh3_128) = 16),
  size           INTEGER NOT NULL CHECK (size >= 0),
  blob_count     INTEGER NOT NULL DEFAULT 0,   -- blobs that refer to it: collection looks only at those without one
  keep_until     INTEGER NOT NULL,             -- not collected before; only ever raised
  stored_at      INTEGER NOT NULL,             -- when its file was last written
  checked_at     INTEGER NOT NULL,             -- when its bytes were last known to be right
  quarantined_at INTEGER                       -- NULL: good
) STRICT;
CREATE INDEX payload_sha256 ON payload (sha256);
CREATE INDEX payload_xxh3_128 ON payload (xxh3_128);
CREATE INDEX payload_unreferenced ON payload (keep_until, digest, size) WHERE blob_count = 0;

CREATE TABLE payload_blocks (                  -- the XXH3-64 of each MiB, 8 bytes big-endian; one row per GiB
  payload_id INTEGER NOT NULL REFERENCES payload ON DELETE CASCADE,
  gib        INTEGER NOT NULL,
  xxh3       BLOB NOT NULL CHECK (length(xxh3) BETWEEN 8 AND 8192),
  PRIMARY KEY (payload_id, gib)
) STRICT, WITHOUT ROWID;

CREATE TABLE blob (
  id            INTEGER PRIMARY KEY,
  uuid          BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
  namespace_id  INTEGER NOT NULL REFERENCES namespace,
  payload_id    INTEGER NOT NULL REFERENCES payload,
  holds_itself  INTEGER NOT NULL,
  version_count INTEGER NOT NULL DEFAULT 0,    -- versions that hold it; with its last hold the row is deleted
  content_type  TEXT NOT NULL,
  filename      TEXT,
  created_at    INTEGER NOT NULL,
  expires_at    INTEGER                        -- when its own hold ends
) STRICT;
CREATE INDEX blob_namespace ON blob (namespace_id, uuid, expires_at, holds_itself, version_count);
CREATE INDEX blob_content_type ON blob (namespace_id, content_type, uuid);
CREATE INDEX blob_payload ON blob (payload_id, namespace_id, uuid);
CREATE INDEX blob_expiry ON blob (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE blob_metadata (
  blob_id      INTEGER NOT NULL REFERENCES blob ON DELETE CASCADE,
  key          TEXT NOT NULL,
  value        TEXT NOT NULL,                  -- compact JSON
  match_hash   INTEGER NOT NULL,               -- of a string itself, of other JSON in its compact form
  namespace_id INTEGER NOT NULL,               -- with uuid a copy of the blob's, so that a filtered page is one index
  uuid         BLOB NOT NULL,
  PRIMARY KEY (blob_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_metadata_match ON blob_metadata (namespace_id, key, match_hash, uuid);

CREATE TABLE name (
  id            INTEGER PRIMARY KEY,
  uuid          BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
  namespace_id  INTEGER NOT NULL REFERENCES namespace,
  name          BLOB NOT NULL,                 -- UTF-8, compared as bytes
  shared        INTEGER NOT NULL DEFAULT 0,
  protected     INTEGER NOT NULL DEFAULT 0,
  keep_versions INTEGER,                       -- NULL: the namespace's rule
  source_url    TEXT,
  created_at    INTEGER NOT NULL,
  hidden_at     INTEGER,                       -- since when its newest version is a delete marker
  UNIQUE (namespace_id, name)
) STRICT;
CREATE INDEX name_visible ON name (namespace_id, name) WHERE hidden_at IS NULL;
CREATE INDEX name_hidden ON name (hidden_at) WHERE hidden_at IS NOT NULL;
CREATE INDEX name_source_url ON name (source_url) WHERE source_url IS NOT NULL;

CREATE TABLE name_metadata (
  name_id INTEGER NOT NULL REFERENCES name ON DELETE CASCADE,
  key     TEXT NOT NULL,
  value   TEXT NOT NULL,
  PRIMARY KEY (name_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE name_counter (                    -- outlives the name, so that no number and no time is used twice
  namespace_id    INTEGER NOT NULL REFERENCES namespace,
  name            BLOB NOT NULL,
  last_number     INTEGER NOT NULL,
  last_created_at INTEGER NOT NULL,
  PRIMARY KEY (namespace_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE version (
  id           INTEGER PRIMARY KEY,
  name_id      INTEGER NOT NULL REFERENCES name ON DELETE CASCADE,
  number       INTEGER NOT NULL,
  blob_id      INTEGER REFERENCES blob,        -- NULL: a delete marker
  created_at   INTEGER NOT NULL,
  published_by TEXT,                           -- a token's name
  UNIQUE (name_id, number)
) STRICT;
CREATE INDEX version_time ON version (name_id, created_at);
CREATE INDEX version_blob ON version (blob_id) WHERE blob_id IS NOT NULL;

CREATE TABLE token (
  id          INTEGER PRIMARY KEY,
  uuid        BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
  name        TEXT NOT NULL,
  role        TEXT NOT NULL,
  secret_hash BLOB NOT NULL UNIQUE,            -- SHA-256 of a 256-bit random secret
  created_at  INTEGER NOT NULL,
  expires_at  INTEGER,
  revoked_at  INTEGER
) STRICT;

CREATE TABLE token_namespace (
  token_id     INTEGER NOT NULL REFERENCES token ON DELETE CASCADE,
  position     INTEGER NOT NULL,               -- 0 is the token's home
  namespace_id INTEGER NOT NULL REFERENCES namespace,
  PRIMARY KEY (token_id, position)
) STRICT, WITHOUT ROWID;
