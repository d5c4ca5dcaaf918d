"""Pages of a list: signed keyset cursors in both directions, and the envelope around the rows."""

import hmac
import json
from array import array
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

from marshmallow import Schema

from access.memory import Memory
from api import conditional, context
from api.inputs import CURSOR, JSON, arguments
from api.operations import Sent
from config import settings
from errors import BadRequest, FieldFault
from models import JSONObject

Row = TypeVar("Row")
_SIGNATURE_BYTES = 16
_MOST_KEPT_BYTES = 64 * 1024  # in a page that is kept

Key = Sequence[Any]  # what a row is sorted by, as JSON values


_kept: Memory["_Kept"] = Memory(256)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins: after the row with `key`, or, `backwards`, before it.

    Without a key, at the list's beginning.
    """

    key: Key | None = None
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """The rows of a page in the list's order, and where its neighbours begin."""

    rows: Sequence[Row]
    next: Position | None
    prev: Position | None


def position(kind: str, cursor: str | None, parameter: str = CURSOR.name) -> Position:
    """The position in a cursor, which `parameter` brought, as it was `sealed` for the same `kind`.

    Raises BadRequest for a cursor that this server did not make, or made for another list.
    """
    if cursor is None:
        return Position()
    opened = _opened(kind, cursor)
    if opened is None:
        fault = FieldFault("invalid_cursor", "is not a cursor of this list", parameter=parameter)
        detail = "The cursor is not one of this list: start again without it."
        raise BadRequest(detail, [fault], code="invalid_cursor")
    backwards, *key = opened
    return Position(key, bool(backwards))


def cut(found: Sequence[Row], limit: int, start: Position, key: Callable[[Row], Key]) -> Page[Row]:
    """The page of up to `limit` rows that begins at `start`.

    `found` holds one row more than `limit`, if there is one, in the direction of reading: so
    it shows whether the list goes on. Where the page came from, there are rows as well.
    """
    goes_on, came_from = len(found) > limit, start.key is not None and bool(found)
    rows = found[:limit]
    if start.backwards:
        rows = rows[::-1]
    has_next, has_prev = (came_from, goes_on) if start.backwards else (goes_on, came_from)
    return Page(
        rows,
        next=Position(key(rows[-1])) if has_next else None,
        prev=Position(key(rows[0]), backwards=True) if has_prev else None,
    )


def of(item: type[Schema]) -> JSONObject:
    """The JSON Schema of a page of such items; the schema class stands in for its own."""
    address = {"type": ["string", "null"], "format": "uri"}
    return {
        "title": f"{item.__name__.removesuffix('Schema')}Page",
        "type": "object",
        "required": ["data", "next", "prev"],
        "properties": {"data": {"type": "array", "items": item}, "next": address, "prev": address},
    }


def _by_id(row: Any) -> Key:
    return (row.id,)


def listed(
    kind: str,
    query: JSONObject,
    read: Callable[..., Sequence[Any]],
    show: Callable[[Sequence[Any]], Iterable[JSONObject]],
    key: Callable[[Any], Key] = _by_id,
) -> Sent:
    """The answer with the page that `query` asks for by `limit` and `cursor`.

    `read` takes a limit, where to begin and `backwards`, as `reads.read_page` does; `show` makes of
    a page's rows what clients see; `key` is what the list is sorted by. Raises BadRequest.
    """
    start = position(kind, query["cursor"])
    found = read(query["limit"] + 1, start.key, backwards=start.backwards)
    page = cut(found, query["limit"], start, key)
    return respond(kind, page, [json.dumps(shown).encode() for shown in show(page.rows)])


def respond(
    kind: str,
    page: Page[Any],
    documents: Sequence[bytes],
    versions: Sequence[int] | None = None,
    **extra: Any,
) -> Sent:
    """`{"data": [...], "next": url or null, "prev": …}` of rendered JSON, and a Link header.

    `versions` tell the rows' state, where they have one: then the page has an ETag, and is
    answered by 304 where the client holds it already.
    """
    urls = {"next": url(kind, page.next), "prev": url(kind, page.prev)}
    around = json.dumps(urls | extra).encode()
    headers = [("Content-Type", JSON)]
    if versions is not None:
        state = blake2b(around, digest_size=12)
        state.update(array("q", versions))
        tag = state.hexdigest()
        if same := conditional.not_modified(tag):
            return same
        headers.append(conditional.etag(tag))
    if links := [f'<{url}>; rel="{rel}"' for rel, url in urls.items() if url]:
        headers.append(("Link", ", ".join(links)))
    return Sent(b'{"data":[%b],%b' % (b",".join(documents), around[1:]), 200, headers)


class _Kept(NamedTuple):
    """A page as it was sent, and the states of the rows that it was made of."""

    states: Any
    tag: str
    sent: Sent


def kept(address: str, states: Callable[[], Any]) -> Sent | None:
    """The answer kept for an address, if the database says the same of its rows as then.

    That is asked each time, and is a small part of reading them: what is kept is never stale.
    """
    known = _kept.get(address)
    if known is None:
        return None
    if known.states != states():
        _kept.drop(address)  # what comes instead may be none to keep
        return None
    return conditional.not_modified(known.tag) or known.sent


def keep(address: str, states: Any, sent: Sent) -> Sent:
    """Keep an answer, unless it is none to keep; returns it."""
    if states and 0 < len(sent.body) <= _MOST_KEPT_BYTES:
        tag = dict(sent.headers)["ETag"].strip('"')
        _kept.put(address, _Kept(states, tag, sent))
    return sent


def url(kind: str, start: Position | None, parameter: str = CURSOR.name) -> str | None:
    """The current request's address with another position; None where there is no such page."""
    if start is None or start.key is None:
        return None
    call = context.current()
    others = "&".join(
        part for part in call.query_string.split("&") if not part.startswith(f"{parameter}=")
    )
    return f"{call.url}?{_encoded(others, parameter)}{parameter}={sealed(kind, start)}"


@lru_cache(maxsize=256)
def _encoded(query_string: str, parameter: str) -> str:
    """The query's other parameters as they go into an address, each followed by `&`."""
    asked = arguments(query_string)
    asked.pop(parameter, None)
    return "".join(f"{urlencode({name: values}, doseq=True)}&" for name, values in asked.items())


def sealed(kind: str, start: Position) -> str:
    """A position as clients carry it: signed, and of no use but for this list."""
    inside = json.dumps([int(start.backwards), *(start.key or ())]).encode()
    return _printable(_signature(kind, inside) + inside)


def _printable(found: bytes) -> str:
    return urlsafe_b64encode(found).rstrip(b"=").decode()


def _opened(kind: str, cursor: str) -> list[Any] | None:
    """What is in a cursor; None if this server did not make it for this list."""
    try:
        found = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        return None
    signature, inside = found[:_SIGNATURE_BYTES], found[_SIGNATURE_BYTES:]
    # base64 reads past what it does not know.
    if _printable(found) != cursor or not hmac.compare_digest(signature, _signature(kind, inside)):
        return None
    opened: list[Any] = json.loads(inside)
    return opened


def _signature(kind: str, inside: bytes) -> bytes:
    # Signed, so that nobody comes to depend on what is inside; the key ties it to one list.
    return blake2b(inside, key=_signing_key(kind), digest_size=_SIGNATURE_BYTES).digest()


@lru_cache(maxsize=256)
def _signing_key(kind: str) -> bytes:
    secret = sha256(settings.secret_key.encode()).digest()
    return blake2b(f"cursor.{kind}".encode(), key=secret, digest_size=32).digest()
