-- Uploads that are found by their content, joined from others, or begun again by a client that got no answer.

ALTER TABLE upload ADD COLUMN xxh3_128 BLOB CHECK (length(xxh3_128) = 16); -- as announced
ALTER TABLE upload ADD COLUMN prefix_sha512 BLOB CHECK (length(prefix_sha512) = 64); -- of durable_size bytes; NULL: not known
ALTER TABLE upload ADD COLUMN expires_in_s INTEGER; -- how long the blob that it becomes holds itself; NULL: for ever
ALTER TABLE upload ADD COLUMN version INTEGER;      -- which version of `name` it became
ALTER TABLE upload ADD COLUMN session TEXT;         -- of the client that began it, if it said so
ALTER TABLE upload ADD COLUMN is_partial INTEGER NOT NULL DEFAULT 0; -- it becomes a piece of another, never a blob
ALTER TABLE upload ADD COLUMN joins BLOB;           -- the UUIDs of the partial ones that it is made of, in their order

CREATE INDEX upload_sha512 ON upload (sha512) WHERE blob_uuid IS NULL AND sha512 IS NOT NULL;
CREATE INDEX upload_xxh3_128 ON upload (xxh3_128) WHERE blob_uuid IS NULL AND xxh3_128 IS NOT NULL;
CREATE INDEX upload_session ON upload (session) WHERE session IS NOT NULL;
CREATE INDEX upload_joins ON upload (joins) WHERE joins IS NOT NULL;
