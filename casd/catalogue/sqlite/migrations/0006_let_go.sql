-- A blob whose own hold was dropped, or has expired, while a version went on holding it: who looks at blobs as files of
-- their own has deleted it. One that only ever was a version's is 0; so is what was dropped before this was recorded.
ALTER TABLE blob ADD COLUMN let_go INTEGER NOT NULL DEFAULT 0;
