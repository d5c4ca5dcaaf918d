"""Keys: who may do what. `ADMIN_API_KEY` in the environment is a key with every scope."""

import hmac
from dataclasses import dataclass, replace
from hashlib import sha256

from flask import request

from config import settings
from errors import Forbidden, Unauthorized
from jobs import caller

SCOPES = frozenset(
    ["keys:write", *(f"{r}:{v}" for r in ("products", "jobs", "orders") for v in ("read", "write"))]
)


@dataclass(frozen=True, slots=True)
class Key:
    """A key that was sent and is known."""

    id: str
    scopes: frozenset[str]


def authorize(scope: str) -> None:
    """Let the request pass if its key has `scope`. Raises Unauthorized without key, Forbidden."""
    if not may(scope):
        raise Unauthorized("This needs a key: send `Authorization: Bearer …`.", code="key_missing")


def may(scope: str) -> bool:
    """Whether the request's key has `scope`; False without a key.

    Raises Unauthorized for a key that is not known, Forbidden for one that lacks the scope: a
    client that sends a key means it, and is not quietly treated as a visitor.
    """
    key = _sent_key()
    if key is None:
        return False
    if scope not in key.scopes:
        raise Forbidden(f"This key lacks the scope {scope}.", code="scope_missing")
    return True


def _sent_key() -> Key | None:
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer" or not _equal(secret.strip(), settings.admin_api_key):
        raise Unauthorized("The key is not known.", code="key_unknown")
    caller.begin(replace(caller.current(), key_id="admin"))
    return Key("admin", SCOPES)


def _equal(sent: str, known: str) -> bool:
    # Hashed first, so that neither content nor length shows in the time that it takes.
    digests = (
        sha256(secret.encode("utf-8", "surrogateescape")).digest() for secret in (sent, known)
    )
    return bool(known) and hmac.compare_digest(*digests)
