-- Scrub goes by what was checked longest ago, by block checksums (checked_at) and by SHA-512 apart.

ALTER TABLE payload ADD COLUMN deep_checked_at INTEGER NOT NULL DEFAULT 0; -- when its SHA-512 was last found right
UPDATE payload SET deep_checked_at = stored_at;

CREATE INDEX payload_checked ON payload (checked_at) WHERE quarantined_at IS NULL;
CREATE INDEX payload_deep_checked ON payload (deep_checked_at) WHERE quarantined_at IS NULL;
CREATE INDEX payload_quarantined ON payload (digest) WHERE quarantined_at IS NOT NULL;
