-- A version that stays until it is unprotected, whatever is asked of its name and whatever rules there are.
ALTER TABLE version ADD COLUMN protected INTEGER NOT NULL DEFAULT 0;
