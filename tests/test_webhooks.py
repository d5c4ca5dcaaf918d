"""Webhooks: told of each event at least once, in time, signed, and nowhere they must not go."""

import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from standardwebhooks import Webhook as Signer

from config import settings
from jobs import cleanup, queue
from jobs.running import MAX_STALLS
from jobs.sweep import sweep
from jobs.tasks import clean_up
from models import Delivery, Job, Webhook, db
from notify import deliveries, posting
from tests.processes import Worker, wait_for
from tests.receiving import Receiver, drip, endless, receiver, status
from tests.stage import created, faults_of

URL = "/api/v1/webhooks"
EVENTS = "/api/v1/events"
PRODUCTS = "/api/v1/products"
JSON = dict[str, Any]


@pytest.fixture(autouse=True)
def _private_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Receivers of tests are on this machine."""
    allowing = replace(settings, webhooks_allow_private=True)
    monkeypatch.setattr("notify.posting.settings", allowing)
    monkeypatch.setattr("notify.webhooks.settings", allowing)


@pytest.fixture
def shop() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def made(admin: FlaskClient, to: Receiver, **fields: Any) -> JSON:
    response = admin.post(URL, json={"url": f"{to.url}/hook", **fields})
    assert response.status_code == 201, response.text
    webhook: JSON = response.get_json()
    return webhook


def tell(app: Flask) -> list[JSON]:
    """Sweep, and do the jobs of webhooks that wait; returns their results."""
    with app.app_context():
        sweep(db.session())
        waiting = select(Job.id).where(Job.kind == "webhook", Job.status == "queued")
        ids = list(db.session.scalars(waiting.order_by(Job.id)))
        db.session.commit()
        for job_id in ids:
            current_app.tasks["notify.tell_webhook"].run(job_id)
        done = [queue.find(job_id) for job_id in ids]
        assert [job.status for job in done] == ["succeeded"] * len(done), [j.error for j in done]
        return [job.result for job in done]


def make_due(session: Session) -> None:
    """Let the time come for whatever waits for it."""
    session.execute(update(Delivery).values(due_at=func.now()))
    session.execute(update(Webhook).values(paused_until=None))
    session.commit()


def shown(admin: FlaskClient, webhook: JSON) -> JSON:
    found: JSON = admin.get(f"{URL}/{webhook['id']}").get_json()
    return found


def told(admin: FlaskClient, webhook: JSON, **query: Any) -> list[JSON]:
    response = admin.get(f"{URL}/{webhook['id']}/deliveries", query_string=query)
    found: list[JSON] = response.get_json()["data"]
    return found


def pause(delivery: JSON, until: str | None = None) -> float:
    """Seconds from the last attempt to the next one, or until then."""
    begin, end = (datetime.fromisoformat(t) for t in (
        delivery["attempted_at"], until or delivery["due_at"]
    ))  # fmt: skip
    return (end - begin).total_seconds()


# --- what is told -----------------------------------------------------------------------------


def test_it_is_told_what_the_feed_shows_from_its_making_on(
    app: Flask, admin: FlaskClient, shop: Receiver
) -> None:
    created(admin, handle="before")
    webhook = made(admin, shop)
    after = admin.get(EVENTS, query_string={"after": "latest"}).get_json()["after"]
    created(admin, handle="mug")
    admin.delete(f"{PRODUCTS}/mug")

    tell(app)

    feed = admin.get(EVENTS, query_string={"after": after}).get_json()["data"]
    received = shop.verified(webhook["secret"])
    assert [json.loads(one.body) for one in received] == feed
    assert [one.id for one in received] == [event["id"] for event in feed]
    assert [event["type"] for event in feed] == ["product.created", "product.deleted"]
    assert {one.path for one in received} == {"/hook"}
    assert {one.headers["Content-Type"] for one in received} == {"application/json"}
    assert [one["status"] for one in told(admin, webhook)] == ["delivered", "delivered"]


def test_it_is_told_of_its_types_alone(app: Flask, admin: FlaskClient, shop: Receiver) -> None:
    webhook = made(admin, shop, types=["product.deleted"])
    created(admin, handle="mug")
    admin.delete(f"{PRODUCTS}/mug")

    tell(app)

    assert [json.loads(one.body)["type"] for one in shop.received] == ["product.deleted"]
    assert len(told(admin, webhook)) == 1


def test_where_nothing_has_happened_there_is_no_job(
    app: Flask, admin: FlaskClient, shop: Receiver
) -> None:
    made(admin, shop)

    assert tell(app) == []
    created(admin)
    assert tell(app) == [{"attempts": 1, "failed": 0}]
    assert tell(app) == []


def test_jobs_of_webhooks_make_no_events_and_are_tidied_away(
    app: Flask, admin: FlaskClient, session: Session, shop: Receiver
) -> None:
    made(admin, shop)
    created(admin)
    tell(app)

    assert tell(app) == []
    job = queue.enqueue(session, clean_up, cleanup.KIND)
    session.commit()
    clean_up(job.id)
    assert session.scalars(select(Job.kind)).all() == [cleanup.KIND]


def test_a_signature_is_that_of_the_specification() -> None:
    """As the reference implementation reads it, with a secret of its own example."""
    row = type("Row", (), {})()
    row.id, row.type, row.payload = 7, "webhook.test", {"a": "ä"}
    row.created_at = datetime(2026, 11, 21, tzinfo=UTC)
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # that of the example
    now = datetime.now(UTC)

    body, headers = deliveries.message(row, secret, now)

    assert headers["webhook-timestamp"] == str(int(now.timestamp()))
    assert Signer(secret).verify(body, dict(headers))["data"] == {"a": "ä"}
    assert body.decode().startswith('{"id":"evt_7","type":"webhook.test","timestamp":"2026-11-21T')


def test_the_secret_is_shown_once(admin: FlaskClient, shop: Receiver) -> None:
    sent = {"url": shop.url}
    key = {"Idempotency-Key": "one"}
    first = admin.post(URL, json=sent, headers=key)
    again = admin.post(URL, json=sent, headers=key)

    webhook = first.get_json()
    assert webhook["secret"].startswith("whsec_")
    assert first.headers["Cache-Control"] == "no-store"
    assert again.get_json() == {**webhook, "secret": None}
    assert "secret" not in admin.get(first.headers["Location"]).get_json()
    assert "secret" not in admin.get(URL).get_json()["data"][0]


# --- failures ---------------------------------------------------------------------------------


def test_a_failure_is_tried_again_later_under_the_same_id_with_the_same_body(
    app: Flask, admin: FlaskClient, session: Session, shop: Receiver
) -> None:
    webhook = made(admin, shop)
    created(admin)
    shop.answers = [status(500, "Sorry\0, no. ä")]

    first = tell(app)
    waiting = told(admin, webhook)[0]
    at_once = tell(app)
    make_due(session)
    tell(app)

    assert (first, at_once) == ([{"attempts": 1, "failed": 1}], [])
    assert (waiting["status"], waiting["attempts"]) == ("pending", 1)
    assert (waiting["response_status"], waiting["response"]) == (500, "Sorry, no. ä")
    assert 5 <= pause(waiting) <= 5.5
    one, other = shop.verified(webhook["secret"])
    assert (one.id, one.body) == (other.id, other.body)
    (done,) = told(admin, webhook)
    assert (done["status"], done["attempts"], done["error"]) == ("delivered", 2, None)
    assert shown(admin, webhook)["failures"] == 0


def test_pauses_grow_as_recommended_until_it_is_given_up(
    app: Flask, admin: FlaskClient, session: Session, shop: Receiver
) -> None:
    webhook = made(admin, shop)
    created(admin)
    shop.usual = status(503)
    pauses = []
    for _ in range(9):
        tell(app)
        (delivery,) = told(admin, webhook, status="pending")
        pauses.append(pause(delivery))
        make_due(session)
    tell(app)

    for found, recommended in zip(pauses, deliveries.PAUSES_SECONDS, strict=True):
        assert recommended <= found <= recommended * 1.1
    (failed,) = told(admin, webhook)
    assert (failed["status"], failed["attempts"]) == ("failed", 10)
    after = shown(admin, webhook)
    assert (after["enabled"], after["disabled_because"]) == (False, "failing")


def test_one_event_that_is_not_taken_stops_no_other(
    app: Flask, admin: FlaskClient, session: Session, shop: Receiver
) -> None:
    webhook = made(admin, shop)
    created(admin, handle="poison")
    created(admin, handle="mug")
    shop.answers = [status(400)]
    tell(app)
    assert len(shop.received) == 1  # and then there is a pause for all
    session.execute(update(Webhook).values(paused_until=None))
    session.commit()

    tell(app)

    assert [json.loads(one.body)["data"]["handle"] for one in shop.received] == ["poison", "mug"]
    assert [one["status"] for one in told(admin, webhook)] == ["delivered", "pending"]


def test_what_is_given_up_does_not_disable_a_webhook_that_takes_the_rest(
    app: Flask, admin: FlaskClient, session: Session, shop: Receiver
) -> None:
    webhook = made(admin, shop)
    created(admin)
    shop.answers = [status(400)]
    tell(app)
    session.execute(update(Delivery).values(attempts=9))
    make_due(session)
    shop.answers = [status(400)]

    tell(app)

    assert told(admin, webhook)[0]["status"] == "failed"
    assert shown(admin, webhook)["enabled"]


def test_retry_after_is_heeded(app: Flask, admin: FlaskClient, shop: Receiver) -> None:
    webhook = made(admin, shop)
    created(admin)
    shop.answers = [status(429, Retry_After="600")]

    tell(app)

    (waiting,) = told(admin, webhook)
    assert pause(waiting) == 600
    assert pause(waiting, shown(admin, webhook)["paused_until"]) == 600


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ("0", 0), ("120", 120), ("9" * 400, 86_400), ("-5", 0), ("soon", 0), ("", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 2015 07:28:00", 0),
    ],
)  # fmt: skip
def test_retry_after_is_read_and_what_is_none_does_no_harm(sent: str, seconds: float) -> None:
    assert deliveries._retry_after_seconds(posting.Reply(503, "", sent)) == seconds


def test_retry_after_may_be_a_time() -> None:
    sent = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)

    assert 3500 < deliveries._retry_after_seconds(posting.Reply(503, "", sent)) <= 3600


def test_410_disables(app: Flask, admin: FlaskClient, session: Session, shop: Receiver) -> None:
    webhook = made(admin, shop)
    created(admin)
    shop.usual = status(410)

    tell(app)
    created(admin)
    make_due(session)

    assert tell(app) == []
    after = shown(admin, webhook)
    assert (after["enabled"], after["disabled_because"]) == (False, "gone")
    assert told(admin, webhook)[0]["status"] == "failed"


def test_enabled_again_it_is_told_what_it_has_missed(
    app: Flask, admin: FlaskClient, shop: Receiver
) -> None:
    webhook = made(admin, shop, enabled=False)
    created(admin, handle="mug")
    assert tell(app) == []

    response = admin.patch(f"{URL}/{webhook['id']}", json={"enabled": True})
    tell(app)

    assert response.get_json()["enabled"]
    assert len(shop.received) == 1


def test_redirects_are_failures_and_not_followed(
    app: Flask, admin: FlaskClient, shop: Receiver
) -> None:
    webhook = made(admin, shop)
    created(admin)
    shop.answers = [status(307, Location=f"{shop.url}/elsewhere")]

    tell(app)

    assert [one.path for one in shop.received] == ["/hook"]
    (waiting,) = told(admin, webhook)
    assert (waiting["status"], waiting["response_status"]) == ("pending", 307)


def test_an_answer_without_an_end_is_read_no_further(
    app: Flask, admin: FlaskClient, shop: Receiver
) -> None:
    webhook = made(admin, shop)
    created(admin)
    shop.usual = endless

    tell(app)

    (done,) = told(admin, webhook)
    assert (done["status"], done["response"]) == ("delivered", "y" * 500)


def test_an_answer_that_drips_ends_in_time(
    app: Flask, admin: FlaskClient, shop: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "TOTAL_SECONDS", 0.5)
    webhook = made(admin, shop)
    created(admin)
    shop.usual = drip

    started = time.monotonic()
    tell(app)

    assert time.monotonic() - started < 5  # it would take 10
    (waiting,) = told(admin, webhook)
    assert (waiting["status"], waiting["response_status"]) == ("pending", None)
    assert "within" in waiting["error"]


def test_a_receiver_that_is_not_there_is_tried_again(
    app: Flask, admin: FlaskClient, shop: Receiver
) -> None:
    webhook = made(admin, shop, url="http://127.0.0.1:9/")
    created(admin)

    assert tell(app) == [{"attempts": 1, "failed": 1}]
    assert told(admin, webhook)[0]["error"] == "Nobody takes a connection there."


def test_what_is_no_answer_of_http_is_told_without_what_cannot_be_stored(
    app: Flask, admin: FlaskClient, shop: Receiver
) -> None:
    webhook = made(admin, shop)
    created(admin)

    def alert(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"\x15\x03\0\x02" + b"x" * 9000 + b"\r\n")

    shop.usual = alert

    assert tell(app) == [{"attempts": 1, "failed": 1}]

    (waiting,) = told(admin, webhook)
    assert (waiting["status"], waiting["attempts"]) == ("pending", 1)
    assert 0 < len(waiting["error"]) <= 500


def test_of_a_name_with_many_addresses_a_few_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []

    def refuse(address: Any, *_: Any) -> None:
        tried.append(address)
        raise OSError

    found = [(None, None, None, None, (f"127.0.0.{n}", 80)) for n in range(1, 30)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(socket, "create_connection", refuse)

    with pytest.raises(posting.Unreachable):
        posting.post("http://many.example/", b"", {})

    assert len(tried) == 4


# --- TLS --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost with its key, signed by itself."""
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", file, "-out", file.with_suffix(".crt"), "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + file.with_suffix(".crt").read_text())
    return file


@pytest.fixture
def secure(certificate: Path) -> Iterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with receiver(context) as found:
        yield found


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@needs_openssl
def test_a_certificate_is_that_of_the_name_in_the_address(
    secure: Receiver, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate.with_suffix(".crt")))
    monkeypatch.setattr(posting, "_TLS", trusting)
    by_name = secure.url.replace("127.0.0.1", "localhost")

    assert posting.post(f"{by_name}/hook", b"{}", {}).status == 204
    with pytest.raises(posting.Unreachable, match="certificate"):
        posting.post(secure.url, b"{}", {})
    assert [one.headers["Host"] for one in secure.received] == [by_name.removeprefix("https://")]


@needs_openssl
def test_a_certificate_that_nobody_vouches_for_is_refused(secure: Receiver) -> None:
    with pytest.raises(posting.Unreachable, match="certificate"):
        posting.post(secure.url.replace("127.0.0.1", "localhost"), b"{}", {})

    assert secure.received == []


def test_a_handshake_that_never_comes_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "TOTAL_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(posting.Unreachable, match="within"):
            posting.post(f"https://127.0.0.1:{silent.getsockname()[1]}/", b"{}", {})

    assert time.monotonic() - started < 5


# --- asked to be told again -------------------------------------------------------------------


def test_a_test_reaches_this_webhook_alone(app: Flask, admin: FlaskClient, shop: Receiver) -> None:
    webhook = made(admin, shop, types=["order.created"])
    other = made(admin, shop)

    response = admin.post(f"{URL}/{webhook['id']}/test")
    tell(app)

    assert response.status_code == 202
    (one,) = shop.verified(webhook["secret"])
    body = json.loads(one.body)
    assert (body["type"], body["data"]) == ("webhook.test", {"webhook_id": webhook["id"]})
    assert told(admin, webhook)[0]["id"] == response.get_json()["id"]
    assert told(admin, other) == []


def test_a_delivery_is_made_again_with_the_same_body(
    app: Flask, admin: FlaskClient, shop: Receiver
) -> None:
    webhook = made(admin, shop)
    created(admin)
    tell(app)
    (delivery,) = told(admin, webhook)

    response = admin.post(f"{URL}/deliveries/{delivery['id']}/redeliver")
    tell(app)

    assert (response.status_code, response.get_json()["status"]) == (202, "pending")
    one, other = shop.verified(webhook["secret"])
    assert (one.id, one.body) == (other.id, other.body)
    assert len(told(admin, webhook)) == 1


def test_a_replay_tells_again_all_from_an_event_on(
    app: Flask, admin: FlaskClient, shop: Receiver
) -> None:
    webhook = made(admin, shop)
    for handle in ("a", "b", "c"):
        created(admin, handle=handle)
    tell(app)
    first = [one.id for one in shop.received]

    response = admin.post(f"{URL}/{webhook['id']}/replay", json={"event_id": first[1]})
    tell(app)

    assert response.status_code == 202
    assert [one.id for one in shop.verified(webhook["secret"])] == [*first, *first[1:]]


def test_a_replay_may_go_back_behind_the_making_of_the_webhook(
    app: Flask, admin: FlaskClient, shop: Receiver
) -> None:
    created(admin)
    event = admin.get(EVENTS).get_json()["data"][0]
    webhook = made(admin, shop)

    admin.post(f"{URL}/{webhook['id']}/replay", json={"event_id": event["id"]})
    tell(app)

    assert [one.id for one in shop.received] == [event["id"]]


@pytest.mark.parametrize("action", ["test", "replay"])
def test_a_disabled_webhook_is_told_nothing(
    admin: FlaskClient, shop: Receiver, action: str
) -> None:
    webhook = made(admin, shop, enabled=False)
    body = {"event_id": "evt_1"} if action == "replay" else None

    response = admin.post(f"{URL}/{webhook['id']}/{action}", json=body)

    assert (response.status_code, response.get_json()["code"]) == (409, "webhook_disabled")


def test_a_removed_webhook_is_told_nothing(app: Flask, admin: FlaskClient, shop: Receiver) -> None:
    webhook = made(admin, shop)
    created(admin)

    assert admin.delete(f"{URL}/{webhook['id']}").status_code == 204
    assert tell(app) == []
    assert admin.get(f"{URL}/{webhook['id']}").get_json()["code"] == "webhook_not_found"


# --- at least once ----------------------------------------------------------------------------


def test_a_worker_that_dies_before_it_has_recorded_an_attempt_makes_it_again(
    app: Flask, admin: FlaskClient, session: Session, shop: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    webhook = made(admin, shop)
    created(admin)

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as dying:
        dying.setattr(deliveries, "_record", die)
        with pytest.raises(SystemExit):
            tell(app)
    session.rollback()
    session.execute(update(Job).values(status="failed", lease_until=None, finished_at=func.now()))
    assert tell(app) == []  # another one may still be at it
    make_due(session)
    tell(app)

    one, other = shop.verified(webhook["secret"])
    assert (one.id, one.body) == (other.id, other.body)


def test_one_whose_receiver_kills_the_worker_each_time_is_given_up(
    app: Flask, admin: FlaskClient, session: Session, shop: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    made(admin, shop)
    created(admin)

    def die(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(posting, "post", die)
    for _ in range(MAX_STALLS):
        with pytest.raises(SystemExit):
            tell(app)
        session.rollback()
        lapsed = func.now() - timedelta(seconds=1)
        session.execute(update(Job).where(Job.kind == "webhook").values(lease_until=lapsed))
        make_due(session)
    sweep(session)

    first = session.scalars(select(Job).where(Job.kind == "webhook").order_by(Job.id)).first()
    assert first is not None
    assert (first.status, first.error and first.error["code"]) == ("failed", "attempts_exhausted")


def test_one_that_is_asked_for_while_it_is_tried_is_tried_again(
    app: Flask, admin: FlaskClient, shop: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = made(admin, shop)
    created(admin)
    post = posting.post

    def slowly(*sent: Any) -> posting.Reply:
        monkeypatch.setattr(posting, "post", post)
        reply = post(*sent)
        (delivery,) = told(admin, webhook)
        asked = admin.post(f"{URL}/deliveries/{delivery['id']}/redeliver")
        assert asked.status_code == 202, asked.text
        return reply

    monkeypatch.setattr(posting, "post", slowly)
    tell(app)

    assert len(shop.received) == 2
    (delivery,) = told(admin, webhook)
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 1)


def test_workers_tell_within_the_time_of_two_sweeps(
    admin: FlaskClient, session: Session, shop: Receiver, tmp_path: Any
) -> None:
    webhook = made(admin, shop)
    with Worker(tmp_path, WEBHOOKS_ALLOW_PRIVATE="1"):
        for number in range(20):
            created(admin, handle=f"p{number}")
        wait_for("all are told", lambda: len(shop.received) >= 20, 20)

    received = shop.verified(webhook["secret"])
    assert [json.loads(one.body)["data"]["handle"] for one in received] == [
        f"p{number}" for number in range(20)
    ]


# --- where it must not go ---------------------------------------------------------------------

HIDDEN = (
    *("127.0.0.1", "127.8.9.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
    *("0.0.0.0", "100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),  # noqa: S104
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1"),
    *("::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2001:db8::1"),
)


@pytest.mark.parametrize("address", HIDDEN)
def test_an_address_that_is_not_public_is_known(address: str) -> None:
    assert not posting.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
def test_an_address_that_is_public_is_known(address: str) -> None:
    assert posting.is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://[::1]/", "http://localhost/", "https://10.0.0.1:8443/",
        "http://sub.localhost/", "http://[::ffff:10.0.0.1]/",
    ],
)  # fmt: skip
def test_what_is_seen_to_be_private_is_refused_at_once(
    admin: FlaskClient, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr("notify.webhooks.settings", settings)

    response = admin.post(URL, json={"url": url})

    assert (response.status_code, faults_of(response)) == (422, [("private_address", "/url")])


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "2130706433", "0177.0.0.1", "localhost"])
def test_what_a_name_means_is_refused_when_it_is_used(
    monkeypatch: pytest.MonkeyPatch, shop: Receiver, host: str
) -> None:
    monkeypatch.setattr("notify.posting.settings", settings)
    port = shop.url.rpartition(":")[2]

    with pytest.raises(posting.Unreachable, match="which is no public address"):
        posting.post(f"http://{host}:{port}/", b"{}", {})

    assert shop.received == []


def test_the_connection_goes_to_the_address_that_was_looked_at(
    monkeypatch: pytest.MonkeyPatch, shop: Receiver
) -> None:
    """A name that is looked up twice may mean a public address first, and then this machine."""
    monkeypatch.setattr("notify.posting.settings", settings)
    answers = [["203.0.113.9"], ["127.0.0.1"]]
    asked: list[str] = []
    connected: list[str] = []

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(2, 1, 6, "", (address, port)) for address in answers[len(asked) - 1]]

    def connect(address: tuple[str, int], _: float) -> None:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(posting, "is_public", lambda address: address != "127.0.0.1")

    with pytest.raises(posting.Unreachable):
        posting.post(f"http://rebinds.example:{shop.url.rpartition(':')[2]}/", b"{}", {})

    assert (asked, connected) == (["rebinds.example"], ["203.0.113.9"])


def test_a_name_that_means_both_kinds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify.posting.settings", settings)
    both = [(2, 1, 6, "", (address, 80)) for address in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)

    with pytest.raises(posting.Unreachable, match=r"10\.0\.0\.1"):
        posting.post("http://both.example/", b"{}", {})


def test_a_name_that_there_is_not_is_no_fault_of_ours() -> None:
    with pytest.raises(posting.Unreachable):
        posting.post("http://no-such-host.invalid/", b"{}", {})
