"""Webhooks: made, changed, removed; asked to be told again. Plain functions; the edge commits."""

import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Row, func, select, update
from sqlalchemy.orm import Session

import events
from catalog.merging import merged, without_repeated
from config import settings
from errors import Conflict, FieldFault, Invalid, NotFound
from models import Delivery, Event, JSONObject, Webhook
from notify.posting import is_public
from reads import read, read_page
from schemas import WebhookSchema
from values import MAX_ID

_SCHEMA = WebhookSchema()
_READ_ONLY = tuple(name for name, field in _SCHEMA.fields.items() if field.dump_only)
# What is known of failures is forgotten: it is tried at once.
_FRESH: Mapping[str, Any] = {"failures": 0, "paused_until": None}


def create(session: Session, sent: JSONObject) -> Webhook:
    """Store a webhook from JSON; it is told of what happens from now on.

    Raises ValidationError, and Invalid for an address that is not public.
    """
    data = _checked(_SCHEMA.load(sent))
    events.place(session)
    secret = f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"
    webhook = Webhook(**data, secret=secret, cursor=events.last(session))
    session.add(webhook)
    session.flush()
    return webhook


def _checked(data: JSONObject) -> JSONObject:
    """Refuse what is seen at once; what a name means, is looked at each time it is used."""
    host = urlsplit(data["url"]).hostname or ""
    is_hidden = host == "localhost" or host.endswith(".localhost")
    with suppress(ValueError):  # a name
        ip_address(host)
        is_hidden = not is_public(host)
    if is_hidden and not settings.webhooks_allow_private:
        fault = FieldFault("private_address", "is no address of the public internet", "/url")
        raise Invalid(f"/url {fault.detail}.", [fault])
    return data


def page(
    limit: int, after: Sequence[int] | None = None, *, backwards: bool = False
) -> Sequence[Row[Any]]:
    """Up to `limit` webhooks in the order of their ids, after (id,); `backwards`: before it."""
    return read_page(select(Webhook.__table__), (Webhook.id,), limit, after, backwards=backwards)


def find(webhook_id: int) -> Row[Any]:
    """The webhook with this id. Raises NotFound."""
    known = webhook_id <= MAX_ID
    rows = read(select(Webhook.__table__).where(Webhook.id == webhook_id)) if known else ()
    if not rows:
        raise _not_found(webhook_id)
    return rows[0]


def change(session: Session, webhook_id: int, patch: JSONObject) -> Webhook:
    """Apply a JSON merge patch; a webhook that is enabled again goes on where it stopped.

    Raises NotFound, ValidationError, Invalid.
    """
    webhook = _locked(session, webhook_id)
    shown = _SCHEMA.dump(webhook)
    patch = without_repeated(patch, {name: shown[name] for name in _READ_ONLY})
    target = {name: value for name, value in shown.items() if name not in _READ_ONLY}
    data = _checked(_SCHEMA.load(merged(target, patch)))
    if data["enabled"]:
        data |= {**_FRESH, "disabled_because": None}
    for name, value in data.items():
        setattr(webhook, name, value)
    webhook.updated_at = func.now()
    session.flush()
    return webhook


def delete(session: Session, webhook_id: int) -> None:
    """Remove a webhook, with what is known of its deliveries. Raises NotFound."""
    session.delete(_locked(session, webhook_id))


def test(session: Session, webhook_id: int) -> int:
    """Put in an event of type `webhook.test`, for this webhook alone; the id of its delivery.

    Raises NotFound, Conflict (`webhook_disabled`).
    """
    webhook = _enabled(session, webhook_id)
    payload = {"webhook_id": webhook.id}
    event = Event(type="webhook.test", subject_id=str(webhook.id), payload=payload)
    session.add(event)
    session.flush()
    delivery = Delivery(webhook_id=webhook.id, event_id=event.id)
    session.add(delivery)
    session.flush()
    return delivery.id


def redeliver(session: Session, delivery_id: int) -> int:
    """Send an event once more to the webhook of this delivery, whose id is returned.

    Raises NotFound, Conflict (`webhook_disabled`).
    """
    again = {"status": "pending", "attempts": 0, "due_at": func.now()}
    known = Delivery.id == (delivery_id if delivery_id <= MAX_ID else 0)
    statement = update(Delivery).where(known).values(again).returning(Delivery.webhook_id)
    webhook_id = session.scalar(statement)
    if webhook_id is None:
        raise NotFound(f"There is no delivery {delivery_id}.", code="delivery_not_found")
    _enabled(session, webhook_id)
    return webhook_id


def replay(session: Session, webhook_id: int, event_id: int) -> Webhook:
    """Send again this event, and all behind it in the feed, that the webhook is to be told of.

    Raises NotFound; Conflict (`webhook_disabled`); Invalid for an event that there is not.
    """
    webhook = _enabled(session, webhook_id)
    events.place(session)
    position = session.scalar(select(Event.position).where(Event.id == event_id))
    if position is None:
        fault = FieldFault("event_not_found", "is of no event that is kept", "/event_id")
        raise Invalid(f"/event_id {fault.detail}.", [fault])
    webhook.cursor = min(webhook.cursor, position - 1)
    return webhook


def _enabled(session: Session, webhook_id: int) -> Webhook:
    """The webhook, locked, about to be tried at once. Raises NotFound, Conflict."""
    webhook = _locked(session, webhook_id)
    if not webhook.enabled:
        raise Conflict("The webhook is disabled: enable it first.", code="webhook_disabled")
    for name, value in _FRESH.items():
        setattr(webhook, name, value)
    return webhook


def _locked(session: Session, webhook_id: int) -> Webhook:
    found = None
    if webhook_id <= MAX_ID:
        found = session.get(Webhook, webhook_id, with_for_update=True, populate_existing=True)
    if found is None:
        raise _not_found(webhook_id)
    return found


def _not_found(webhook_id: int) -> NotFound:
    return NotFound(f"There is no webhook {webhook_id}.", code="webhook_not_found")


def deliveries(
    webhook_id: int,
    status: str | None,
    limit: int,
    after: Sequence[int] | None = None,
    *,
    backwards: bool = False,
) -> Sequence[Row[Any]]:
    """Up to `limit` deliveries of a webhook, the newest first, after (id,).

    `backwards`: before it, the nearest first.
    """
    passing: list[ColumnElement[bool]] = [Delivery.webhook_id == webhook_id]
    if status is not None:
        passing.append(Delivery.status == status)
    return read_page(_SHOWN.where(*passing), (Delivery.id,), limit, after, backwards=not backwards)


def delivery(session: Session, delivery_id: int) -> Row[Any]:
    """The delivery with this id, as the caller's transaction sees it."""
    return session.execute(_SHOWN.where(Delivery.id == delivery_id)).one()


_SHOWN = select(Delivery.__table__, Event.type).join(Event, Event.id == Delivery.event_id)
