"""An order and its confirmation: one transaction, one mail, and what is shown of it."""

from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobs import queue
from models import Job, Mail, Order
from tests.mail_server import mail_server
from tests.ordering import ORDERS, for_sale, order, placed
from tests.test_mails import content, use

JSON = dict[str, Any]


def send(session: Session) -> None:
    """Do the confirmations that wait."""
    waiting = select(Job.id).where(Job.kind == "confirmation", Job.status == "queued")
    ids = list(session.scalars(waiting))
    session.rollback()
    for job_id in ids:
        current_app.tasks[queue.find(job_id).task].run(job_id)


def test_the_link_in_the_mail_shows_the_order_without_a_key(
    app: Flask, admin: FlaskClient, session: Session, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for_sale(admin, name="Mug", sku="MUG", price="9.95", stock=5)
    with mail_server(tmp_path) as server:
        use(monkeypatch, server.url)
        made = placed(admin, {"sku": "MUG", "quantity": 2})
        send(session)
    (mail,) = server.mails()

    assert made["confirmation"] == {"status": "queued", "reason": None, "sent_at": None}
    text = content(mail, "plain")
    assert "2 x Mug\n    9.95 each, 19.90 USD\n" in text
    assert "Total: 19.90 USD" in text
    shown = app.test_client().get(link_in(text)).get_json()
    assert (shown["id"], shown["confirmation"]["status"]) == (made["id"], "sent")
    assert shown["confirmation"]["sent_at"]


def link_in(text: str) -> str:
    _, _, link = text.strip().rpartition(" ")
    assert link.startswith("http://localhost/api/v1/orders/")
    return link


def test_an_order_that_is_refused_has_no_mail(admin: FlaskClient, session: Session) -> None:
    for_sale(admin, sku="MUG", stock=1)

    assert order(admin, {"sku": "MUG", "quantity": 2}).status_code == 409
    for model in (Order, Job, Mail):
        assert session.scalar(select(func.count()).select_from(model)) == 0


def test_a_refusal_is_shown_and_may_be_mended_by_sending_again(
    admin: FlaskClient, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for_sale(admin, sku="MUG", stock=5)
    made = placed(admin, {"sku": "MUG", "quantity": 1})
    url = f"{ORDERS}/{made['id']}"
    with mail_server(tmp_path / "a", "refuses") as server:
        use(monkeypatch, server.url)
        send(session)
    failed = admin.get(url).get_json()["confirmation"]
    listed = admin.get(ORDERS).get_json()["data"][0]["confirmation"]
    with mail_server(tmp_path / "b") as server:
        use(monkeypatch, server.url)
        again = admin.post(f"{url}/resend-confirmation")
        send(session)
    mails: list[EmailMessage] = server.mails()

    assert failed == listed
    assert failed["status"] == "failed"
    assert failed["reason"].startswith("550 ")
    assert (again.status_code, again.get_json()["confirmation"]["status"]) == (202, "queued")
    assert admin.get(url).get_json()["confirmation"]["status"] == "sent"
    assert len(mails) == 1


def test_a_canceled_order_is_not_confirmed_again(admin: FlaskClient) -> None:
    for_sale(admin, sku="MUG", stock=5)
    url = f"{ORDERS}/{placed(admin, {'sku': 'MUG', 'quantity': 1})['id']}"
    admin.post(f"{url}/cancel")

    response = admin.post(f"{url}/resend-confirmation")

    assert (response.status_code, response.get_json()["code"]) == (409, "order_canceled")


def test_an_order_has_its_events(admin: FlaskClient) -> None:
    variant = for_sale(admin, sku="MUG", price="2", stock=5)
    after = admin.get("/api/v1/events?after=latest").get_json()["after"]
    made = placed(admin, {"sku": "MUG", "quantity": 2})
    admin.post(f"{ORDERS}/{made['id']}/cancel")

    feed = admin.get("/api/v1/events", query_string={"after": after}).get_json()["data"]
    found = [(event["type"], event["data"]) for event in feed]
    told = {"id": made["id"], "currency": "USD", "total": "4.00"}
    assert [data for name, data in found if name.startswith("order.")] == [
        {**told, "status": "confirmed"}, {**told, "status": "canceled"},
    ]  # fmt: skip
    moves = [data for name, data in found if name == "stock.changed"]
    assert {data["variant_id"] for data in moves} == {variant}
    assert [(data["before"], data["stock"]) for data in moves] == [(5, 3), (3, 5)]
    assert [name for name, _ in found].count("product.updated") == 2
