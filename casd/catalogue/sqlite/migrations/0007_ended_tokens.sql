-- When a token ended first (NULL, and so not looked at, while it has not), and the named key that it belongs to.

CREATE INDEX token_ended ON token (min(coalesce(revoked_at, expires_at), coalesce(expires_at, revoked_at)));
CREATE INDEX named_key_token ON named_key (token);
