"""`/api/v1/webhooks`: addresses that are told of events, and what has come of that."""

from functools import partial

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue

from api import pages, patching
from api.inputs import CURSOR, LIMIT, choice
from api.operations import Answer, Body, operation
from errors import Conflict, NotFound
from models import DELIVERY_STATUSES, JSONObject, db
from notify import deliveries, webhooks
from notify.tasks import tell_webhook
from schemas import DeliverySchema, NewWebhookSchema, ReplaySchema, WebhookSchema

blueprint = Blueprint("webhooks", __name__)
blueprint.after_request(patching.offer)

_SCOPE = "webhooks:write"


@blueprint.post("")
@operation(
    _SCOPE,
    body=Body(WebhookSchema),
    answers={
        201: Answer("The webhook, with its secret this once.", NewWebhookSchema, ("Location",))
    },
    shown_once="secret",
)
def create_webhook(sent: JSONObject) -> ResponseReturnValue:
    """Have an address told of each event from now on, or of those of some types.

    It gets what the feed shows, as a POST that is signed with `secret` as Standard Webhooks says:
    each event at least once, under the same `webhook-id` and with the same body each time, and not
    always in order. Any 2xx takes it; anything else is tried again with growing pauses, over three
    days. 410 disables the webhook, and so does taking nothing for three days.
    """
    webhook = webhooks.create(db.session(), sent)
    shown = NewWebhookSchema().dump(webhook)
    url = url_for(".get_webhook", webhook_id=webhook.id, _external=True)
    return shown, 201, {"Location": url, "Cache-Control": "no-store"}


@blueprint.get("")
@operation(
    _SCOPE,
    query=(LIMIT, CURSOR),
    answers={200: Answer("A page of webhooks.", pages.of(WebhookSchema), headers=("Link",))},
)
def list_webhooks(query: JSONObject) -> ResponseReturnValue:
    """List all webhooks in the order of their making."""
    return pages.listed("webhooks", query, webhooks.page, WebhookSchema(many=True).dump)


@blueprint.get("/<int:webhook_id>")
@operation(_SCOPE, answers={200: Answer("The webhook.", WebhookSchema)}, raises=(NotFound,))
def get_webhook(webhook_id: int) -> ResponseReturnValue:
    """Read one webhook, and how it is doing."""
    shown: JSONObject = WebhookSchema().dump(webhooks.find(webhook_id))
    return shown


@blueprint.patch("/<int:webhook_id>")
@operation(
    _SCOPE,
    body=Body(WebhookSchema, media_types=patching.MEDIA_TYPES),
    answers={200: Answer("The webhook.", WebhookSchema)},
    raises=(NotFound,),
)
def patch_webhook(webhook_id: int, sent: JSONObject) -> ResponseReturnValue:
    """Change a webhook by a JSON merge patch (RFC 7396).

    One that is enabled again is told of all that has happened meanwhile, as far as that is kept.
    """
    webhook = webhooks.change(db.session(), webhook_id, sent)
    if webhook.enabled:
        deliveries.wake(db.session(), tell_webhook, webhook_id)
    shown: JSONObject = WebhookSchema().dump(webhook)
    return shown


@blueprint.delete("/<int:webhook_id>")
@operation(_SCOPE, answers={204: Answer("It is told of nothing more.")}, raises=(NotFound,))
def delete_webhook(webhook_id: int) -> ResponseReturnValue:
    """Remove a webhook, with the list of its deliveries."""
    webhooks.delete(db.session(), webhook_id)
    return "", 204


@blueprint.post("/<int:webhook_id>/test")
@operation(
    _SCOPE,
    answers={202: Answer("What will be sent.", DeliverySchema)},
    raises=(NotFound, Conflict),
)
def test_webhook(webhook_id: int) -> ResponseReturnValue:
    """Send an event of type `webhook.test` to this webhook alone, whatever its `types`."""
    delivery_id = webhooks.test(db.session(), webhook_id)
    return _soon(webhook_id, delivery_id)


@blueprint.post("/<int:webhook_id>/replay")
@operation(
    _SCOPE,
    body=Body(ReplaySchema),
    answers={202: Answer("The webhook.", WebhookSchema)},
    raises=(NotFound, Conflict),
)
def replay_webhook(webhook_id: int, sent: JSONObject) -> ResponseReturnValue:
    """Tell the webhook again of an event, and of all that stand behind it in the feed."""
    event_id = ReplaySchema().load(sent)["event_id"]
    webhook = webhooks.replay(db.session(), webhook_id, event_id)
    deliveries.wake(db.session(), tell_webhook, webhook_id)
    return WebhookSchema().dump(webhook), 202


@blueprint.get("/<int:webhook_id>/deliveries")
@operation(
    _SCOPE,
    query=(LIMIT, CURSOR, choice("status", DELIVERY_STATUSES, "Only deliveries with this status.")),
    answers={200: Answer("A page of deliveries.", pages.of(DeliverySchema), headers=("Link",))},
    raises=(NotFound,),
)
def list_deliveries(webhook_id: int, query: JSONObject) -> ResponseReturnValue:
    """List what the webhook was told, the newest first: for as long as the events are kept."""
    kind = f"deliveries.{webhooks.find(webhook_id).id}"
    read = partial(webhooks.deliveries, webhook_id, query["status"])
    return pages.listed(kind, query, read, DeliverySchema(many=True).dump)


@blueprint.post("/deliveries/<int:delivery_id>/redeliver")
@operation(
    _SCOPE,
    answers={202: Answer("What will be sent again.", DeliverySchema)},
    raises=(NotFound, Conflict),
)
def redeliver(delivery_id: int) -> ResponseReturnValue:
    """Send an event once more: under the same id, with the same body."""
    webhook_id = webhooks.redeliver(db.session(), delivery_id)
    return _soon(webhook_id, delivery_id)


def _soon(webhook_id: int, delivery_id: int) -> ResponseReturnValue:
    db.session.flush()
    deliveries.wake(db.session(), tell_webhook, webhook_id)
    return DeliverySchema().dump(webhooks.delivery(db.session(), delivery_id)), 202
