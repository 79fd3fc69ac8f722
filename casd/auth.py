"""Who asks, and what a role may do. Knows no HTTP.

A secret is 256 random bits, so a plain SHA-256 of it is enough to keep: there is nothing to guess. It is looked up
by that hash, which makes the comparison's time independent of the secret.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from casd.errors import Forbidden, InvalidInput, NamespaceNotFound, Unauthenticated
from casd.model import Namespace, Role, Token

SECRET_PREFIX = "casd_"  # so that a secret found in a file or a log is recognised as one


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a token's identity, role and namespaces."""

    token: UUID
    name: str
    role: Role
    namespaces: tuple[str, ...]

    @property
    def home(self) -> str:
        return self.namespaces[0]

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    def is_member(self, namespace: str) -> bool:
        return self.is_admin or namespace in self.namespaces

    def may_read(self, namespace: Namespace) -> bool:
        """Whether the namespace is readable: a member's, or open to a namespace of the caller's."""
        if self.is_member(namespace.name):
            return True
        return "*" in namespace.readers or not namespace.readers.isdisjoint(self.namespaces)

    def check_writer(self, namespace: str) -> None:
        """Raise NamespaceNotFound for a namespace that is not the caller's, Forbidden for a role that is too small."""
        if not self.is_member(namespace):
            raise NamespaceNotFound(f"there is no namespace {namespace}")
        if self.role in (Role.READER, Role.APPEND):
            may = "read" if self.role is Role.READER else "add"
            raise Forbidden(f"token {self.name!r} may only {may} in {namespace}: this needs the role writer")

    def check_adder(self, namespace: str) -> None:
        """The same for what only adds: a role that may not change what is there is large enough for it."""
        if self.role is not Role.APPEND or not self.is_member(namespace):
            self.check_writer(namespace)

    @property
    def only_adds(self) -> bool:
        """Whether what is there, and what others have begun, is out of its reach."""
        return self.role is Role.APPEND

    def check_admin(self) -> None:
        """Raise Forbidden for any other role."""
        if not self.is_admin:
            raise Forbidden(f"token {self.name!r} has the role {self.role}: this needs the role admin")


def new_secret() -> str:
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def secret_hash(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def key_hash(key: str, salt: bytes) -> bytes:
    """What is kept of a key that somebody chose, which can be guessed: 0.2 s and 16 MiB of scrypt. Blocking."""
    return hashlib.scrypt(key.encode("utf-8"), salt=salt, n=1 << 14, r=8, p=5, dklen=32)


def principal_of(token: Token | None, now: datetime) -> Principal:
    """Who the token speaks for. Raises Unauthenticated if it is unknown, expired or revoked."""
    if token is None or token.revoked_at is not None:
        raise Unauthenticated("this token is not known here; ask an admin for one")
    if token.expires_at is not None and token.expires_at <= now:
        raise Unauthenticated("this token has expired; ask an admin for a new one")
    return Principal(token.uuid, token.name, token.role, token.namespaces)


def checked_role(text: str) -> Role:
    """Raises InvalidInput."""
    try:
        return Role(text)
    except ValueError:
        raise InvalidInput(f"a role is one of {', '.join(Role)}, not {text!r}") from None
