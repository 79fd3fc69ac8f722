-- The audit log. A row's time is its key, so that "newest first", "since" and "older than" are ranges of the table
-- itself, and every index below ends in it: each filter is one range of one index, newest first.

CREATE TABLE audit (
  at         INTEGER PRIMARY KEY,              -- no two rows have the same
  principal  TEXT NOT NULL,                    -- a token's name, anonymous, upkeep, local
  token      BLOB CHECK (length(token) = 16),
  role       TEXT,
  address    TEXT,
  dialect    TEXT,
  request_id TEXT,
  action     TEXT NOT NULL,
  namespace  TEXT,
  name       TEXT,
  version    INTEGER,
  blob       BLOB CHECK (length(blob) = 16),
  subject    TEXT,                             -- what is neither blob nor name
  result     TEXT NOT NULL,
  code       TEXT,                             -- why it was denied, or failed
  count      INTEGER NOT NULL,                 -- of the same kind, where they are told together
  note       TEXT
) STRICT;
CREATE INDEX audit_principal ON audit (principal);
CREATE INDEX audit_action ON audit (action);
CREATE INDEX audit_token ON audit (token) WHERE token IS NOT NULL;
CREATE INDEX audit_address ON audit (address) WHERE address IS NOT NULL;
CREATE INDEX audit_namespace ON audit (namespace) WHERE namespace IS NOT NULL;
CREATE INDEX audit_name ON audit (name) WHERE name IS NOT NULL;
CREATE INDEX audit_blob ON audit (blob) WHERE blob IS NOT NULL;
CREATE INDEX audit_subject ON audit (subject) WHERE subject IS NOT NULL;

CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit
BEGIN
  SELECT raise(ABORT, 'the audit log is not rewritten');
END;

-- Rows go by age alone: from the old end, without a gap, and the newest stays, so that time never runs backwards.
CREATE TRIGGER audit_goes_by_age BEFORE DELETE ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE at < OLD.at) OR NOT EXISTS (SELECT 1 FROM audit WHERE at > OLD.at)
BEGIN
  SELECT raise(ABORT, 'the audit log is shortened at its old end alone');
END;
