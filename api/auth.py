"""Keys: who may do what. `ADMIN_API_KEY` in the environment is a key with every scope.

Whoever sends no key, or one that is not valid, is counted by address (`api/limits.py`).
"""

import hmac
from functools import lru_cache
from hashlib import sha256

from flask import g, request

from access.keys import Key
from access.recognition import recognise
from api import limits
from config import settings
from errors import Forbidden, Unauthorized
from jobs import caller
from models import KEY_SCOPES

SCOPES = frozenset(KEY_SCOPES)
_ADMIN = Key("admin", SCOPES)


def admit(scope: str, *, visitors: bool) -> None:
    """Let the request pass: with a key that has `scope`, or, with `visitors`, without.

    Raises TooManyRequests; Unauthorized without a key where one is needed, and for a key that is
    not valid; Forbidden for a key that lacks the scope.
    """
    g.key = key = _counted_key()
    if visitors and settings.public_reads:
        return
    if key is None:
        raise Unauthorized("This needs a key: send `Authorization: Bearer …`.", code="key_missing")
    if scope not in key.scopes:
        raise Forbidden(f"This key lacks the scope {scope}.", code="scope_missing")


def may(scope: str) -> bool:
    """Whether the request's key, if there is one, has `scope`."""
    key: Key | None = g.key
    return key is not None and scope in key.scopes


def _counted_key() -> Key | None:
    """The key that was sent, if any, once the request is counted for it or for its address."""
    try:
        key = _sent_key()
    except Unauthorized:
        limits.count_address()
        raise
    if key is None:
        limits.count_address()
    else:
        known = caller.current()
        caller.begin(caller.Caller(known.request_id, known.base_url, key.id))
        limits.count_key(key.id)
    return key


def _sent_key() -> Key | None:
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, sent = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized("Send the key as `Authorization: Bearer …`.", code="key_unknown")
    sent = sent.strip()
    if _equal(sent, settings.admin_api_key):
        return _ADMIN
    return recognise(sent, before_asking=limits.spare_database)


def _equal(sent: str, known: str) -> bool:
    # Hashed first, so that neither content nor length shows in the time that it takes.
    digest = sha256(sent.encode("utf-8", "surrogateescape")).digest()
    return bool(known) and hmac.compare_digest(digest, _digest_of_ours(known))


@lru_cache(maxsize=1)
def _digest_of_ours(known: str) -> bytes:
    return sha256(known.encode()).digest()
