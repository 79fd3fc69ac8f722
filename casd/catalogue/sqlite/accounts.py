"""Namespaces, tokens and signing keys, each function inside a transaction of the writer."""

import sqlite3
from collections.abc import Mapping
from uuid import UUID

from casd.audit import Touched, Verb
from casd.catalogue.sqlite import quotas
from casd.catalogue.sqlite.rows import Row, changes_of, micros, micros_or_none, namespace_id, time_of
from casd.catalogue.sqlite.writer import EVERYTHING
from casd.errors import NamedKeyNotFound, TokenNotFound
from casd.model import NamedKey, SigningKey, Token

NAMESPACE_COLUMNS = {
    "anonymous_read": bool,
    "share_by_uuid": bool,
    "quota_bytes": int,
    "quota_blobs": int,
    "keep_versions": int,
    "max_age_s": int,
}

# A namespace's rules with its readers as a JSON array, and a token with its namespaces, home first.
SELECT_NAMESPACES = """
SELECT name, (SELECT json_group_array(reader) FROM namespace_reader r WHERE r.namespace_id = n.id),
  anonymous_read, share_by_uuid, quota_bytes, quota_blobs, keep_versions, max_age_s FROM namespace n
"""
# A named key keeps its token: without it nobody could say why the key opens nothing.
HAS_ENDED = """min(coalesce(revoked_at, expires_at), coalesce(expires_at, revoked_at)) < :ended
 AND NOT EXISTS (SELECT 1 FROM named_key WHERE named_key.token = token.uuid)"""
SELECT_TOKENS = """
SELECT uuid, name, role, created_at, expires_at, revoked_at,
  (SELECT json_group_array(name) FROM (
     SELECT n.name FROM token_namespace tn JOIN namespace n ON n.id = tn.namespace_id
     WHERE tn.token_id = t.id ORDER BY tn.position)), id
FROM token t
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
        touched.tell(Verb.NAMESPACE_SET, namespace=name, note=", ".join(sorted(changes)))


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
            touched.tell(Verb.SIGNING_KEY_RETIRE, subject=f"signing key {id}")
    row = db.execute(
        "INSERT INTO signing_key (secret, created_at) VALUES (?, ?) RETURNING id, secret, created_at", (secret, now)
    ).fetchone()
    touched.tell(Verb.SIGNING_KEY_CREATE, subject=f"signing key {row[0]}")
    return signing_key_of(row)
