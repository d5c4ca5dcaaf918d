"""The feed of events: everything that has happened, in one order, without gaps.

Triggers write events (migration 0011). Their ids come from a sequence, and so commit in another
order: who reads by id misses what commits late. A place in the feed is given to an event after its
commit, by one transaction at a time (docs/adr/0016): whatever is placed later stands behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from config import settings
from errors import Gone
from models import Event, EventFeed, JSONObject
from reads import fetch
from schemas import rfc3339

PLACED_AT_ONCE = 1000
# However seldom a type is, a page reads no more of the feed than this.
_READ_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events in the order of the feed, and the position up to which it has been read."""

    events: Sequence[Any]
    reached: int
    goes_on: bool  # whether there is more behind that by now


def place(session: Session) -> bool:
    """Give committed events their places behind all others; whether there may be more to place.

    Locks the feed until the caller commits, which is to be soon. Writes nothing where there is
    nothing to place.
    """
    if not session.scalar(select(select(Event.id).where(Event.position.is_(None)).exists())):
        return False
    last = session.scalars(select(EventFeed.last).with_for_update()).one()
    some = select(Event.id).where(Event.position.is_(None)).order_by(Event.id)
    waiting = some.limit(PLACED_AT_ONCE).subquery()
    number = func.row_number().over(order_by=waiting.c.id)
    places = select(waiting.c.id, (last + number).label("position")).subquery()
    placed = session.execute(
        update(Event)
        .where(Event.id == places.c.id)
        .values(position=places.c.position)
        .returning(Event.id)
        .execution_options(synchronize_session=False)
    ).all()
    session.execute(update(EventFeed).values(last=last + len(placed)))
    return len(placed) == PLACED_AT_ONCE


def last(session: Session) -> int:
    """The position of the newest event that has one."""
    return session.scalars(select(EventFeed.last)).one()


def read_after(position: int | None, limit: int, types: Sequence[str] | None) -> Batch:
    """Up to `limit` events behind a position, or from the oldest on; of `types`, if any are given.

    Raises Gone where events behind the position are kept no longer.
    """
    given = {"after": position, "limit": limit, "types": None if types is None else list(types)}
    rows = fetch(_AFTER, given)
    start, found = rows[0].start, [row for row in rows if row.id is not None]
    if position is not None and position < rows[0].forgotten:
        detail = "Events behind this one are kept no longer: read all anew, then go on from latest."
        raise Gone(detail, code="events_forgotten")
    whole = len(found) < limit
    reached = min(start + _READ_AT_ONCE, rows[0].last) if whole else found[-1].position
    return Batch(found, max(start, reached), reached < rows[0].last)


# One statement, and so one moment: nothing is forgotten in the midst of it.
_AFTER = f"""
SELECT f.last, f.forgotten, f.start, e.*
FROM (SELECT *, coalesce(%(after)s, forgotten) AS start FROM event_feed) f
LEFT JOIN LATERAL (
    SELECT id, position, type, payload, created_at FROM events
    WHERE position > f.start AND position <= f.start + {_READ_AT_ONCE}
        AND (%(types)s::text[] IS NULL OR type = ANY(%(types)s::text[]))
    ORDER BY position LIMIT %(limit)s
) e ON true
ORDER BY e.position
"""  # noqa: S608  # our number


def public_id(event_id: int) -> str:
    """The id of an event as clients know it, in the feed and in the header of a webhook."""
    return f"evt_{event_id}"


def public(event: Any) -> JSONObject:
    """An event as clients see it: the same in the feed, and to each webhook each time."""
    return {
        "id": public_id(event.id),
        "type": event.type,
        "timestamp": rfc3339(event.created_at),
        "data": event.payload,
    }


def forget(session: Session, limit: int) -> int:
    """Delete up to `limit` of the oldest events, if all before them are as old; how many it was.

    What has no place yet gets one first: nothing goes that nobody could have read.
    """
    place(session)
    forgotten = session.scalars(select(EventFeed.forgotten).with_for_update()).one()
    oldest = select(Event.position, Event.created_at).where(Event.position > forgotten)
    some = oldest.order_by(Event.position).limit(limit).subquery()
    is_kept = some.c.created_at >= func.now() - timedelta(days=settings.event_retention_days)
    first_kept = select(func.min(some.c.position)).where(is_kept).scalar_subquery()
    is_due = or_(first_kept.is_(None), some.c.position < first_kept)
    due = session.scalar(select(func.max(some.c.position)).where(is_due))
    if due is None:
        return 0
    gone = session.execute(delete(Event).where(Event.position <= due).returning(Event.id)).all()
    session.execute(update(EventFeed).values(forgotten=due))
    return len(gone)
