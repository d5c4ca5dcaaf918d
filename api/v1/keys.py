"""`/api/v1/keys`: the keys of this API, made, listed and revoked by those that may."""

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue

from access import keys
from api import context, pages
from api.inputs import CURSOR, LIMIT
from api.operations import Answer, Body, operation
from errors import Forbidden, NotFound
from models import JSONObject, db
from schemas import KeySchema, NewKeySchema

blueprint = Blueprint("keys", __name__)


@blueprint.post("")
@operation(
    "keys:write",
    body=Body(KeySchema),
    answers={201: Answer("The key, shown this once.", NewKeySchema, headers=("Location",))},
    raises=(Forbidden,),
    shown_once="key",
)
def create_key(sent: JSONObject) -> ResponseReturnValue:
    """Make a key, with scopes and a life within those of the key that asks.

    `key` in the answer is the key itself. It is stored nowhere: even a repeat of the request
    with the same Idempotency-Key shows null in its place.
    """
    created, key = keys.create(db.session(), sent, context.current().key)
    shown = {**KeySchema().dump(created), "key": key}
    url = url_for(".get_key", key_id=created.id, _external=True)
    return shown, 201, {"Location": url, "Cache-Control": "no-store"}


@blueprint.get("")
@operation(
    "keys:write",
    query=(LIMIT, CURSOR),
    answers={200: Answer("A page of keys.", pages.of(KeySchema), headers=("Link",))},
)
def list_keys(query: JSONObject) -> ResponseReturnValue:
    """List all keys in the order of their making, those that no longer open anything too."""
    return pages.listed("keys", query, keys.page, KeySchema(many=True).dump)


@blueprint.get("/<int:key_id>")
@operation("keys:write", answers={200: Answer("The key.", KeySchema)}, raises=(NotFound,))
def get_key(key_id: int) -> ResponseReturnValue:
    """Read what is known of one key."""
    shown: JSONObject = KeySchema().dump(keys.find(key_id))
    return shown


@blueprint.delete("/<int:key_id>")
@operation(
    "keys:write",
    answers={204: Answer("It opens nothing any more.")},
    raises=(NotFound,),
)
def revoke_key(key_id: int) -> ResponseReturnValue:
    """Revoke a key for good; within a second, no process lets it in."""
    keys.revoke(db.session(), key_id)
    return "", 204
