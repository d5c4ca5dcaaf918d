"""Keys: who may do what. `ADMIN_API_KEY` in the environment is a key with every scope.

Whoever sends no key, or one that is not valid, is counted by address (`api/limits.py`).
"""

import hmac
from functools import lru_cache
from hashlib import sha256

from access.keys import Key
from access.recognition import recognise, remembered
from api import context, limits
from config import settings
from errors import Forbidden, Unauthorized
from jobs import caller
from models import KEY_SCOPES

SCOPES = frozenset(KEY_SCOPES)
_ADMIN = Key("admin", SCOPES)


def admit(scope: str, *, visitors: bool, holder: bool = False) -> None:
    """Let the request pass: with a key that has `scope`, or, with `visitors`, without.

    A `holder` of what the view itself looks at passes too. Whoever it is, the request is counted.

    Raises TooManyRequests; Unauthorized without a key where one is needed, and for a key that is
    not valid; Forbidden for a key that lacks the scope.
    """
    context.current().key = key = _counted_key()
    if holder or _lets_in(key, scope, visitors=visitors):
        return
    if key is None:
        raise Unauthorized("This needs a key: send `Authorization: Bearer …`.", code="key_missing")
    raise Forbidden(f"This key lacks the scope {scope}.", code="scope_missing")


def admit_at_once(scope: str | None, *, visitors: bool) -> bool:
    """Whether the request may pass, by what memory knows; False says no more than: ask `admit`.

    Counts nothing.
    """
    call = context.current()
    header = call.environ.get("HTTP_AUTHORIZATION")
    if header is not None:
        sent = _bearer(header)
        if sent is None:
            return False
        call.key = _ADMIN if _is_admins(sent) else remembered(sent)
        if call.key is None:
            return False
    return _lets_in(call.key, scope, visitors=visitors)


def may(scope: str) -> bool:
    """Whether the request's key, if there is one, has `scope`."""
    key = context.current().key
    return key is not None and scope in key.scopes


def _lets_in(key: Key | None, scope: str | None, *, visitors: bool) -> bool:
    return (visitors and settings.public_reads) or (key is not None and scope in key.scopes)


def _counted_key() -> Key | None:
    """The key that was sent, if any, once the request is counted for it or for its address."""
    try:
        key = _sent_key()
    except Unauthorized:
        limits.count(None)
        raise
    if key is not None:
        known = caller.current()
        caller.begin(caller.Caller(known.request_id, known.base_url, key.id))
    limits.count(key)
    return key


def _sent_key() -> Key | None:
    header = context.current().environ.get("HTTP_AUTHORIZATION")
    if header is None:
        return None
    sent = _bearer(header)
    if sent is None:
        raise Unauthorized("Send the key as `Authorization: Bearer …`.", code="key_unknown")
    return _ADMIN if _is_admins(sent) else recognise(sent, before_asking=limits.spare_database)


def _bearer(header: str) -> str | None:
    scheme, _, sent = header.partition(" ")
    return sent.strip() if scheme.lower() == "bearer" else None


def _is_admins(sent: str) -> bool:
    known = settings.admin_api_key
    # Hashed first, so that neither content nor length shows in the time that it takes.
    digest = sha256(sent.encode("utf-8", "surrogateescape")).digest()
    return bool(known) and hmac.compare_digest(digest, _digest_of_ours(known))


@lru_cache(maxsize=1)
def _digest_of_ours(known: str) -> bytes:
    return sha256(known.encode()).digest()
