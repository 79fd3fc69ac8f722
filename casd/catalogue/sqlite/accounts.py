"""Namespaces, tokens and signing keys, each function inside a transaction of the writer."""

import sqlite3
from collections.abc import Mapping
from uuid import UUID

from casd.audit import Touched, Verb, changes_told
from casd.catalogue.sqlite import quotas
from casd.catalogue.sqlite.rows import Row, changes_of, micros, micros_or_none, namespace_id, time_of, token_of
from casd.catalogue.sqlite.writer import EVERYTHING
from casd.errors import Conflict, NamedKeyNotFound, SigningKeyNotFound, TokenNotFound
from casd.model import NamedKey, SigningKey, Token

NAMESPACE_COLUMNS = {
    "anonymous_read": bool,
    "share_by_uuid": bool,
    "quota_bytes": int,
    "quota_blobs": int,
    "keep_versions": int,
    "max_age_s": int,
}

ROTATED = {"secret_hash": bytes, "rotated_at": int, "expires_at": int, "revoked_at": int}

# A namespace's rules with its readers as a JSON array, and a token with its namespaces, home first.
SELECT_NAMESPACES = """
SELECT name, (SELECT json_group_array(reader) FROM namespace_reader r WHERE r.namespace_id = n.id),
  anonymous_read, share_by_uuid, quota_bytes, quota_blobs, keep_versions, max_age_s FROM namespace n
"""
# A named key keeps its token: without it nobody could say why the key opens nothing.
HAS_ENDED = """min(coalesce(revoked_at, expires_at), coalesce(expires_at, revoked_at)) < :ended
 AND NOT EXISTS (SELECT 1 FROM named_key WHERE named_key.token = token.uuid)"""
TOKEN_COLUMNS = """uuid, name, role, created_at, {expires_at}, revoked_at,
  (SELECT json_group_array(name) FROM (
     SELECT n.name FROM token_namespace tn JOIN namespace n ON n.id = tn.namespace_id
     WHERE tn.token_id = t.id ORDER BY tn.position)), last_used_at, rotated_at, id
FROM token t"""
SELECT_TOKENS = f"SELECT {TOKEN_COLUMNS.format(expires_at='expires_at')}"
# By a secret that was replaced, the token ends when that does.
SELECT_BY_OLD_SECRET = f"""
SELECT {TOKEN_COLUMNS.format(expires_at="min(s.expires_at, coalesce(t.expires_at, s.expires_at))")}
JOIN token_secret s ON s.token_id = t.id WHERE s.secret_hash = :hash
"""
SELECT_EXPIRING = f"""
{SELECT_TOKENS} WHERE expires_at > :now AND expires_at < :before AND revoked_at IS NULL ORDER BY expires_at LIMIT :limit
"""
SELECT_NAMED_KEYS = """
SELECT n.name, k.name, k.salt, k.hash, k.token, k.created_at FROM named_key k JOIN namespace n ON n.id = k.namespace_id
"""
SELECT_SIGNING_KEYS = "SELECT id, secret, created_at FROM signing_key"


def ensure_namespace(db: sqlite3.Connection, touched: Touched, name: str, now: int) -> int:
    touched.add(name)
    sql = "INSERT INTO namespace (name, created_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING"
    if db.execute(sql, (name, now)).rowcount:
        touched.tell(Verb.NAMESPACE_SET, namespace=name, note="made")
    (id,) = db.execute("SELECT id FROM namespace WHERE name = ?", (name,)).fetchone()
    return int(id)


def update_namespace(
    db: sqlite3.Connection, touched: Touched, name: str, changes: Mapping[str, object], now: int
) -> None:
    id = ensure_namespace(db, touched, name, now)
    columns = {key: value for key, value in changes.items() if key != "readers"}
    if columns:
        update = f"UPDATE namespace SET {changes_of(columns, NAMESPACE_COLUMNS)} WHERE id = :id"
        quotas.changed(db, touched, update, columns | {"id": id})
    readers = changes.get("readers")
    if isinstance(readers, (set, frozenset, list, tuple)):
        db.execute("DELETE FROM namespace_reader WHERE namespace_id = ?", (id,))
        db.executemany("INSERT INTO namespace_reader VALUES (?, ?)", [(id, reader) for reader in set(readers)])
    if changes:
        touched.tell(Verb.NAMESPACE_SET, namespace=name, note=changes_told(changes))


def add_token(db: sqlite3.Connection, touched: Touched, token: Token, secret_hash: bytes) -> None:
    (token_id,) = db.execute(
        """INSERT INTO token (uuid, name, role, secret_hash, created_at, expires_at)
           VALUES (?, ?, ?, ?, ?, ?) RETURNING id""",
        (
            token.uuid.bytes,
            token.name,
            token.role.value,
            secret_hash,
            micros(token.created_at),
            micros_or_none(token.expires_at),
        ),
    ).fetchone()
    for position, name in enumerate(token.namespaces):
        namespace = ensure_namespace(db, touched, name, micros(token.created_at))
        db.execute("INSERT INTO token_namespace VALUES (?, ?, ?)", (token_id, position, namespace))
    touched.add(secret_hash)
    about = f"{token.name}: {token.role.value} of {', '.join(token.namespaces)}"
    touched.tell(Verb.TOKEN_CREATE, subject=f"token {token.uuid}", note=about)


def revoke_token(db: sqlite3.Connection, touched: Touched, uuid: UUID, now: int) -> None:
    touched.add(EVERYTHING)  # look-ups know tokens by their secret's hash
    known = db.execute("SELECT name, revoked_at FROM token WHERE uuid = ?", (uuid.bytes,)).fetchone()
    if known is None:
        raise TokenNotFound(f"there is no token {uuid}")
    name, revoked_at = known
    if revoked_at is None:
        db.execute("UPDATE token SET revoked_at = ? WHERE uuid = ?", (now, uuid.bytes))
        touched.tell(Verb.TOKEN_REVOKE, subject=f"token {uuid}", note=name)


def rotate_token(
    db: sqlite3.Connection,
    touched: Touched,
    uuid: UUID,
    secret_hash: bytes,
    now: int,
    old_until: int,
    changes: Mapping[str, object],
) -> Token:
    """`changes` may have `expires_at`, and `revoked_at` as None: only then a revoked one is opened again."""
    row = db.execute(f"{SELECT_TOKENS} WHERE uuid = ?", (uuid.bytes,)).fetchone()
    if row is None:
        raise TokenNotFound(f"there is no token {uuid}")
    token, id = token_of(row), row[-1]
    if token.revoked_at is not None and "revoked_at" not in changes:
        raise Conflict(f"token {uuid} was revoked: make a new one")
    touched.add(EVERYTHING)
    # Whatever was replaced before ends no later than what is replaced now: who wants it gone at once means all of it.
    db.execute("UPDATE token_secret SET expires_at = min(expires_at, ?) WHERE token_id = ?", (old_until, id))
    db.execute(
        """INSERT INTO token_secret (secret_hash, token_id, expires_at)
           SELECT secret_hash, id, :until FROM token WHERE id = :id""",
        {"until": old_until, "id": id},
    )
    db.execute("DELETE FROM token_secret WHERE token_id = ? AND expires_at <= ?", (id, now))
    columns = {"secret_hash": secret_hash, "rotated_at": now} | dict(changes)
    db.execute(f"UPDATE token SET {changes_of(columns, ROTATED)} WHERE id = :id", columns | {"id": id})
    touched.tell(Verb.TOKEN_ROTATE, subject=f"token {uuid}", note=token.name)
    return token_of(db.execute(f"{SELECT_TOKENS} WHERE id = ?", (id,)).fetchone())


def tokens_used(db: sqlite3.Connection, touched: Touched, used: Mapping[UUID, int]) -> None:
    """Nobody looks at this in a cached token."""
    db.executemany(
        "UPDATE token SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE uuid = ?",
        [(at, uuid.bytes) for uuid, at in used.items()],
    )


def expire_credentials(db: sqlite3.Connection, touched: Touched, now: int, signed_before: int) -> int:
    """Forget replaced secrets that have ended, and signing keys that were replaced before a time; how many of these."""
    old = db.execute("DELETE FROM token_secret WHERE expires_at <= ? RETURNING secret_hash", (now,)).fetchall()
    touched.update(secret_hash for (secret_hash,) in old)
    gone = db.execute(
        """DELETE FROM signing_key WHERE id < (SELECT max(id) FROM signing_key WHERE created_at < ?) RETURNING id""",
        (signed_before,),
    ).fetchall()
    for (id,) in gone:
        tell_retired(touched, id, "nothing that it signed is good any more")
    return len(gone)


def retire_signing_key(db: sqlite3.Connection, touched: Touched, id: int) -> None:
    known = [known for (known,) in db.execute("SELECT id FROM signing_key ORDER BY id")]
    if id not in known:
        raise SigningKeyNotFound(f"there is no signing key {id}")
    if id == known[-1]:
        raise Conflict(f"signing key {id} signs: make a new one first, then retire this")
    db.execute("DELETE FROM signing_key WHERE id = ?", (id,))
    tell_retired(touched, id)


def tell_retired(touched: Touched, id: int, why: str | None = None) -> None:
    touched.add(EVERYTHING)
    touched.tell(Verb.SIGNING_KEY_RETIRE, subject=f"signing key {id}", note=why)


def forget_tokens(db: sqlite3.Connection, touched: Touched, ended: int, limit: int) -> int:
    """Forget tokens that ended before a time; returns how many."""
    gone = db.execute(
        f"""DELETE FROM token WHERE id IN (SELECT id FROM token WHERE {HAS_ENDED} LIMIT :limit)
           RETURNING secret_hash, uuid, name""",
        {"ended": ended, "limit": limit},
    ).fetchall()
    for secret_hash, uuid, name in gone:
        touched.update({secret_hash, ("token", UUID(bytes=uuid))})
        touched.tell(Verb.TOKEN_FORGET, subject=f"token {UUID(bytes=uuid)}", note=name)
    return len(gone)


def named_key_of(row: Row) -> NamedKey:
    """From SELECT_NAMED_KEYS."""
    return NamedKey(row[0], row[1], row[2], row[3], UUID(bytes=row[4]), time_of(row[5]))


def set_named_key(db: sqlite3.Connection, touched: Touched, key: NamedKey, token: Token, secret_hash: bytes) -> None:
    namespace, now = namespace_id(db, key.namespace), micros(key.created_at)
    drop_named_key(db, touched, namespace, key.name, now)
    add_token(db, touched, token, secret_hash)
    db.execute(
        "INSERT INTO named_key (namespace_id, name, salt, hash, token, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (namespace, key.name, key.salt, key.hash, key.token.bytes, now),
    )
    touched.tell(Verb.NAMED_KEY_SET, namespace=key.namespace, subject=f"key {key.name}")


def remove_named_key(db: sqlite3.Connection, touched: Touched, namespace: str, name: str, now: int) -> None:
    if not drop_named_key(db, touched, namespace_id(db, namespace), name, now):
        raise NamedKeyNotFound(f"there is no key {name} of {namespace}")
    touched.tell(Verb.NAMED_KEY_DELETE, namespace=namespace, subject=f"key {name}")


def drop_named_key(db: sqlite3.Connection, touched: Touched, namespace: int, name: str, now: int) -> bool:
    """Whether there was one; its token is revoked."""
    dropped = db.execute(
        "DELETE FROM named_key WHERE namespace_id = ? AND name = ? RETURNING token", (namespace, name)
    ).fetchall()
    for (token,) in dropped:
        revoke_token(db, touched, UUID(bytes=token), now)
    return bool(dropped)


def signing_key_of(row: Row) -> SigningKey:
    """From id, secret, created_at."""
    return SigningKey(row[0], row[1], time_of(row[2]))


def add_signing_key(
    db: sqlite3.Connection, touched: Touched, secret: bytes, now: int, revoke_older: bool
) -> SigningKey:
    touched.add(EVERYTHING)  # among them the newest key, and those that are revoked
    if revoke_older:
        for (id,) in db.execute("DELETE FROM signing_key RETURNING id").fetchall():
            tell_retired(touched, id, "all older keys")
    row = db.execute(
        "INSERT INTO signing_key (secret, created_at) VALUES (?, ?) RETURNING id, secret, created_at", (secret, now)
    ).fetchone()
    touched.tell(Verb.SIGNING_KEY_CREATE, subject=f"signing key {row[0]}")
    return signing_key_of(row)
