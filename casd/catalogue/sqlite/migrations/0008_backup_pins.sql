-- Running backups: while one of them is not past its time, no payload's row is forgotten.

CREATE TABLE backup_pin (
  uuid       BLOB PRIMARY KEY CHECK (length(uuid) = 16),
  expires_at INTEGER NOT NULL                  -- renewed while the backup makes progress
) STRICT, WITHOUT ROWID;
CREATE INDEX backup_pin_expiry ON backup_pin (expires_at);
