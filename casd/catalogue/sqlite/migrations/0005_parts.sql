-- Uploads whose bytes arrive in numbered parts, in any order: what has arrived, each part once it is durable.

ALTER TABLE upload ADD COLUMN is_in_parts INTEGER NOT NULL DEFAULT 0; -- durable_size: where the last of its parts ends
ALTER TABLE upload ADD COLUMN keep_versions INTEGER; -- the rule of a name that it makes

CREATE TABLE upload_part (
  upload_id INTEGER NOT NULL REFERENCES upload ON DELETE CASCADE,
  number    INTEGER NOT NULL CHECK (number >= 1),
  start     INTEGER NOT NULL CHECK (start >= 0), -- its place among the upload's bytes
  stop      INTEGER NOT NULL CHECK (stop >= start),
  etag      TEXT NOT NULL,
  PRIMARY KEY (upload_id, number)
) STRICT, WITHOUT ROWID;
