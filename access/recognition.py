"""Whose key was sent: asked of the database at most once a second for each key and process.

A key that the database knows stays in memory, and counts for a second: so long may a revocation
take to be heard of. Afterwards it still vouches for whoever sends the same secret, so that the
database is asked again without hesitation. Prefixes that it does not know are remembered for a
second too, apart from the others, so that no flood of them can drive a known key out.
"""

import hmac
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from threading import Lock

from sqlalchemy import event, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from access.keys import KEYS_CHANGED, Key
from access.memory import Memory
from errors import Unauthorized
from models import ApiKey, db
from reads import read

log = logging.getLogger(__name__)

FRESH_SECONDS = 1.0
LAST_USE_STEP = timedelta(minutes=1)
_FORM = re.compile(r"(pushcart_[0-9a-f]{8})_([0-9a-f]{64})")
_NO_HASH = bytes(32)  # what a key without a row is compared with: the same work for all


@dataclass(frozen=True, slots=True)
class _Known:
    """A row as it was read, and when."""

    key: Key
    secret_hash: bytes
    revoked: bool
    last_used_at: datetime | None
    read_at: float


_known: Memory[_Known] = Memory(4096)
_unknown: Memory[float] = Memory(4096)  # when the database last knew nothing of a prefix
_changes = 0  # of keys, by this process: what was being read meanwhile is not remembered
_lock = Lock()


def recognise(sent: str, before_asking: Callable[[], None]) -> Key:
    """The key that was sent. `before_asking` may raise, to spare the database a stranger.

    Raises Unauthorized: `key_unknown`, and, to who has the secret alone, `key_revoked` or
    `key_expired`.
    """
    prefix, secret_hash = _parts(sent)
    known = _known.get(prefix)
    ask = bool(prefix) and not _is_fresh(known.read_at if known else _unknown.get(prefix))
    if ask:
        if not _belongs(secret_hash, known):
            before_asking()
        known = _ask(prefix)
    if not _belongs(secret_hash, known) or known is None:
        raise Unauthorized("The key is not known.", code="key_unknown")
    if known.revoked:
        raise Unauthorized("The key has been revoked.", code="key_revoked")
    if _has_expired(known):
        raise Unauthorized("The key has expired.", code="key_expired")
    if ask:
        _note_use(known)
    return known.key


def remembered(sent: str) -> Key | None:
    """The key that was sent, if `recognise` would let it in without asking."""
    prefix, secret_hash = _parts(sent)
    known = _known.get(prefix)
    if not _belongs(secret_hash, known) or known is None or not _is_fresh(known.read_at):
        return None
    return None if known.revoked or _has_expired(known) else known.key


def _parts(sent: str) -> tuple[str, bytes]:
    """The prefix, empty for what is no key of ours at all, and the hash of the secret."""
    form = _FORM.fullmatch(sent)
    prefix, secret = form.groups() if form else ("", "")
    return prefix, sha256(secret.encode()).digest()


def _has_expired(known: _Known) -> bool:
    return known.key.expires_at is not None and known.key.expires_at <= datetime.now(UTC)


def _belongs(secret_hash: bytes, known: _Known | None) -> bool:
    return hmac.compare_digest(secret_hash, known.secret_hash if known else _NO_HASH)


def _is_fresh(read_at: float | None) -> bool:
    return read_at is not None and time.monotonic() - read_at < FRESH_SECONDS


def _ask(prefix: str) -> _Known | None:
    """What the database knows of a prefix, which is then remembered."""
    changes, read_at = _changes, time.monotonic()
    rows = read(select(ApiKey.__table__).where(ApiKey.prefix == prefix))
    if not rows:
        _unknown.put(prefix, read_at)
        return None
    row = rows[0]
    key = Key(str(row.id), frozenset(row.scopes), row.expires_at)
    known = _Known(key, row.secret_hash, row.revoked_at is not None, row.last_used_at, read_at)
    with _lock:
        if changes == _changes:
            _known.put(prefix, known)
    return known


def _note_use(known: _Known) -> None:
    """Write that the key is in use, unless that has been written within the last minute."""
    if known.last_used_at and datetime.now(UTC) - known.last_used_at < LAST_USE_STEP:
        return
    noted_before = ApiKey.last_used_at > func.now() - LAST_USE_STEP
    mine = select(ApiKey.id).where(ApiKey.id == int(known.key.id), noted_before.is_not(True))
    # Whoever holds the row is not waited for: the next request of this key will note it.
    free = mine.with_for_update(skip_locked=True).scalar_subquery()
    try:
        with db.engine.begin() as connection:
            connection.execute(
                update(ApiKey).where(ApiKey.id == free).values(last_used_at=func.now())
            )
    except SQLAlchemyError as error:  # such as a database that takes no writes: reading goes on
        log.warning("last use of key %s not noted: %s", known.key.id, error)


@event.listens_for(Session, "after_commit")
def _forget_changed_keys(session: Session) -> None:
    global _changes  # noqa: PLW0603  # one number for the process, under its lock
    if session.info.pop(KEYS_CHANGED, False):
        with _lock:
            _changes += 1
            _known.clear()


@event.listens_for(Session, "after_rollback")
def _forget_no_keys(session: Session) -> None:
    session.info.pop(KEYS_CHANGED, None)
