"""`/api/v1/events`: what has happened, in one order and without gaps, for those who keep a copy."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

import events
import values
from api import pages
from api.inputs import LIMIT, Parameter
from api.operations import Answer, operation
from errors import Gone
from models import EVENT_TYPES, JSONObject, db
from schemas import EventSchema

blueprint = Blueprint("events", __name__)

_LATEST = "latest"
_AFTER = Parameter(
    "after",
    str,  # api/pages.py opens it
    {"type": "string"},
    "Where to go on: the `after` of an earlier answer. `latest`: from now on, with an empty page.",
)
_URL = {"type": ["string", "null"], "format": "uri"}
_PAGE: JSONObject = {
    "title": "EventPage",
    "type": "object",
    "required": ["data", "next", "after"],
    "properties": {
        "data": {"type": "array", "items": EventSchema},
        "next": {**_URL, "description": "Null: there is nothing more by now."},
        "after": {
            "type": "string",
            "description": "Go on from here later: it stays good for as long as events are kept.",
        },
    },
}


def _types(sent: str) -> list[str]:
    found = values.comma_separated(sent, len(EVENT_TYPES))
    return [values.choice(EVENT_TYPES, name) for name in found]


@blueprint.get("")
@operation(
    "events:read",
    query=(
        LIMIT,
        _AFTER,
        Parameter(
            "type[in]",
            _types,
            {"type": "string", "minLength": 1},
            f"Only events of these types, between commas: {', '.join(EVENT_TYPES)}.",
        ),
    ),
    answers={200: Answer("A page of events.", _PAGE)},
    raises=(Gone,),
)
def list_events(query: JSONObject) -> ResponseReturnValue:
    """Read what has happened, the oldest first, deletions included.

    To keep a copy of the catalogue: take `after` from `?after=latest`, read all products, then
    follow the feed from there. An event is never put in before one that has been read. It names
    what has changed; how that stands now, its own address tells.
    """
    more = events.place(db.session())
    db.session.commit()
    if query["after"] == _LATEST:
        batch = events.Batch((), events.last(db.session()), goes_on=False)
    else:
        start = pages.position("events", query["after"], _AFTER.name).key
        position = None if start is None else start[0]
        batch = events.read_after(position, query["limit"], query["type[in]"])
    reached = pages.Position([batch.reached])
    goes_on = batch.goes_on or more
    return {
        "data": [events.public(event) for event in batch.events],
        "next": pages.url("events", reached, _AFTER.name) if goes_on else None,
        "after": pages.sealed("events", reached),
    }
