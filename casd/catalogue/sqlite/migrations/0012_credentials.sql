-- The life of credentials: secrets that were replaced and are good for a while yet, and when a token was used last.

ALTER TABLE token ADD COLUMN rotated_at INTEGER;   -- when it got the secret that it has
ALTER TABLE token ADD COLUMN last_used_at INTEGER; -- to the minute; NULL: never

CREATE TABLE token_secret (
  secret_hash BLOB PRIMARY KEY,
  token_id    INTEGER NOT NULL REFERENCES token ON DELETE CASCADE,
  expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX token_secret_token ON token_secret (token_id);
CREATE INDEX token_secret_expiry ON token_secret (expires_at);

CREATE INDEX token_expiry ON token (expires_at) WHERE expires_at IS NOT NULL AND revoked_at IS NULL;
