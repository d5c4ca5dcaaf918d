"""Keys: created, listed, revoked. Plain functions; the edge commits.

A key is `pushcart_` and eight hexadecimal digits, by which it is found and named, then `_` and its
secret, 32 random bytes. Of the secret only its SHA-256 is stored: it is random enough that nobody
finds it by trying, so a slow hash would protect nothing and cost every request.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.orm import Session

from errors import FieldFault, Forbidden, NotFound
from models import ApiKey, JSONObject
from reads import read, read_page
from schemas import KeySchema
from values import MAX_ID

KEYS_CHANGED = "pushcart.keys_changed"  # in Session.info, until it has committed
_PUBLIC = tuple(column for column in ApiKey.__table__.columns if column.name != "secret_hash")


@dataclass(frozen=True, slots=True)
class Key:
    """A key that was sent and is valid. `id` is the number of its row, or `admin`."""

    id: str
    scopes: frozenset[str]
    expires_at: datetime | None = None


def create(session: Session, sent: JSONObject, creator: Key | None = None) -> tuple[ApiKey, str]:
    """Store a new key from JSON; returns it, and the key itself, which is known only now.

    Raises ValidationError, and Forbidden for what `creator` may not hand on: a scope that it
    lacks, or a life longer than its own. Without a creator anything goes.
    """
    data = KeySchema().load(sent)
    if creator is not None:
        _check_handed_on(sent["scopes"], data["expires_at"], creator)
    prefix, secret = f"pushcart_{secrets.token_hex(4)}", secrets.token_hex(32)
    created = ApiKey(
        prefix=prefix,
        secret_hash=sha256(secret.encode()).digest(),
        created_by=creator.id if creator else None,
        **data,
    )
    session.add(created)
    session.flush()
    return created, f"{prefix}_{secret}"


def _check_handed_on(scopes: list[str], expires_at: datetime | None, creator: Key) -> None:
    faults = [
        FieldFault("scope_beyond_key", "is no scope of the key that asks", f"/scopes/{index}")
        for index, scope in enumerate(scopes)
        if scope not in creator.scopes
    ]
    if creator.expires_at and (expires_at is None or expires_at > creator.expires_at):
        detail = f"must not be later than that of the key that asks, {creator.expires_at}"
        faults.append(FieldFault("outlives_key", detail, "/expires_at"))
    if faults:
        raise Forbidden("A key cannot hand on more than it has.", faults, code=faults[0].code)


def page(
    limit: int, after: Sequence[int] | None = None, *, backwards: bool = False
) -> Sequence[Row[Any]]:
    """Up to `limit` keys in the order of their ids, after (id,); `backwards`: before it."""
    return read_page(select(*_PUBLIC), (ApiKey.id,), limit, after, backwards=backwards)


def find(key_id: int) -> Row[Any]:
    """The key with this id, without its secret. Raises NotFound."""
    rows = read(select(*_PUBLIC).where(ApiKey.id == key_id)) if key_id <= MAX_ID else ()
    if not rows:
        raise _not_found(key_id)
    return rows[0]


def find_named(name: str) -> Row[Any]:
    """The key with this id or prefix; a whole key is taken for its prefix. Raises NotFound."""
    if name.isascii() and name.isdigit():
        return find(int(name[:20]))
    prefix = "_".join(name.split("_")[:2])
    rows = read(select(*_PUBLIC).where(ApiKey.prefix == prefix)) if "\0" not in prefix else ()
    if not rows:
        raise _not_found(prefix)
    return rows[0]


def _not_found(name: object) -> NotFound:
    return NotFound(f"There is no key {name}.", code="key_not_found")


def revoke(session: Session, key_id: int) -> None:
    """End a key for good; one that is revoked already stays so. Raises NotFound.

    This process no longer knows it once that is committed, others within a second.
    """
    changes = {"revoked_at": func.coalesce(ApiKey.revoked_at, func.now())}
    statement = update(ApiKey).where(ApiKey.id == key_id).values(changes).returning(ApiKey.id)
    if key_id > MAX_ID or session.execute(statement).first() is None:
        raise _not_found(key_id)
    session.info[KEYS_CHANGED] = True
