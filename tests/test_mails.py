"""Mails, through real mail servers: one that takes them, and three that do not."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtplib import SMTPResponseException
from celery import current_app
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from config import settings
from jobs import queue, schedules
from jobs.sweep import sweep
from models import Job, Mail
from notify import confirmations, digest, mail, sending
from notify.tasks import confirm_order, tell_low_stock
from tests.mail_server import MailServer, mail_server
from tests.processes import Worker, wait_for
from tests.stage import created

LINK = "https://shop.example/api/v1/orders/0f?token=t&x=1"
JSON = dict[str, Any]


def order(**fields: Any) -> JSON:
    """An order as clients see it."""
    line = {"sku": None, "quantity": 2, "unit_price": "3.50", "total": "7.00"}
    return {
        "id": "0f" * 16,
        "email": "ann@buyer.example",
        "note": None,
        "currency": "USD",
        "total": "16.50",
        "lines": [
            {**line, "name": "Flat White", "options": {}},
            {
                **line,
                "name": "Tea <&> ☕",
                "options": {"Size": "L", "values": "x"},
                "total": "9.50",
            },
        ],
        **fields,
    }


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """A mail server that takes everything, and is the shop's."""
    with mail_server(tmp_path) as found:
        use(monkeypatch, found.url)
        yield found


def use(monkeypatch: pytest.MonkeyPatch, url: str, **changed: Any) -> None:
    shop = replace(
        settings, mail_url=url, mail_from="shop@push.example", shop_name="Café", **changed
    )
    monkeypatch.setattr("notify.mail.settings", shop)
    monkeypatch.setattr("notify.digest.settings", shop)


@contextmanager
def unwilling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> Iterator[MailServer]:
    with mail_server(tmp_path, mode) as found:
        use(monkeypatch, found.url)
        yield found


def confirm(session: Session, **fields: Any) -> int:
    """Enqueue the confirmation of an order; returns its job's id."""
    confirmations.enqueue(session, confirm_order, order(**fields), LINK)
    session.commit()
    job_id: int = session.scalars(select(Mail.job_id)).one()
    session.commit()
    return job_id


def do(job_id: int) -> Any:
    """Do a job that is due; returns its row after that."""
    job = queue.find(job_id)
    current_app.tasks[job.task].run(job_id)
    return queue.find(job_id)


def state(order_id: str = "0f" * 16) -> tuple[str, str | None]:
    found = confirmations.states([order_id])[order_id]
    return found.status, found.reason


def make_due(session: Session) -> None:
    session.execute(update(Job).values(run_at=func.now(), publish_at=func.now()))
    session.commit()


# --- the confirmation ---------------------------------------------------------------------------


def test_a_confirmation_tells_lines_total_and_link(session: Session, server: MailServer) -> None:
    job = do(confirm(session, note="No sugar <please>"))

    assert job.status == "succeeded"
    assert state() == ("sent", None)
    (found,) = server.mails()
    assert found["X-To"] == found["To"] == "ann@buyer.example"
    assert found["From"] == "Café <shop@push.example>"
    assert found["Subject"] == "Your order 0f0f0f0f"
    assert found["Message-ID"] == f"<order.{'0f' * 16}.{job.id}@push.example>"
    assert content(found, "plain") == (
        "Thank you for your order at Café.\n\n"
        f"Order {'0f' * 16}\n\n"
        "2 x Flat White\n    3.50 each, 7.00 USD\n"
        "2 x Tea <&> ☕ (L, x)\n    3.50 each, 9.50 USD\n\n"
        "Total: 16.50 USD\n\n"
        "Your note: No sugar <please>\n\n"
        f"Your order, as it stands: {LINK}\n"
    )
    html = content(found, "html")
    assert "Tea &lt;&amp;&gt; ☕ (L, x)" in html
    assert "No sugar &lt;please&gt;" in html
    assert 'href="https://shop.example/api/v1/orders/0f?token=t&amp;x=1"' in html
    assert "16.50 USD" in html


def content(found: EmailMessage, kind: str) -> str:
    part = found.get_body((kind,))
    assert part is not None
    text: str = part.get_content().replace("\r\n", "\n")
    return text


def test_it_is_queued_with_its_order_or_not_at_all(session: Session, server: MailServer) -> None:
    confirmations.enqueue(session, confirm_order, order(), LINK)
    session.rollback()

    assert session.scalar(select(func.count()).select_from(Job)) == 0
    confirm(session)
    assert state() == ("queued", None)
    assert server.mails() == []


def test_it_is_sent_once(session: Session, server: MailServer) -> None:
    job_id = confirm(session)
    do(job_id)
    session.execute(update(Job).values(status="queued", finished_at=None))  # as if it had died
    session.commit()
    do(job_id)

    assert len(server.mails()) == 1


def test_it_is_sent_again_if_it_is_asked_for(session: Session, server: MailServer) -> None:
    do(confirm(session))
    again = confirm(session)
    queued = state()
    do(again)

    assert queued == ("queued", None)
    assert state() == ("sent", None)
    assert len(server.mails()) == 2
    assert session.scalar(select(func.count()).select_from(Mail)) == 1


def test_of_two_jobs_the_later_one_sends(session: Session, server: MailServer) -> None:
    first = confirm(session)
    second = confirm(session)

    assert do(first).result == {"status": "superseded"}
    assert do(second).result == {"status": "sent"}
    assert len(server.mails()) == 1


def test_a_canceled_job_is_a_confirmation_that_failed(session: Session) -> None:
    queue.cancel(session, confirm(session))
    session.commit()

    assert state() == ("failed", "Its job has ended without it.")


def test_by_default_mails_go_into_the_log(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    do(confirm(session))

    assert state() == ("sent", None)
    assert "mail to ann@buyer.example: Your order 0f0f0f0f" in caplog.text
    assert LINK in caplog.text


# --- servers that do not take it ---------------------------------------------------------------


def test_refused_for_now_it_is_tried_again_with_growing_pauses(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unwilling(tmp_path, monkeypatch, "defers"):
        job_id = confirm(session)
        for pause in sending.PAUSES_SECONDS:
            before = datetime.now(UTC)
            job = do(job_id)
            assert job.status == "queued"
            assert job.publish_at == job.run_at
            earliest, latest = (t + timedelta(seconds=pause) for t in (before, datetime.now(UTC)))
            assert earliest <= job.run_at <= latest
            assert state() == ("queued", "451 4.7.1 Come back later")
            make_due(session)
        last = do(job_id)

    assert sorted(sending.PAUSES_SECONDS) == [*sending.PAUSES_SECONDS]
    assert last.status == "failed"
    reason = "Given up after 11 attempts: 451 4.7.1 Come back later"
    assert last.error == {"code": "mail_refused", "detail": reason}
    assert state() == ("failed", reason)


def test_a_job_that_waits_is_not_woken_before_its_time(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unwilling(tmp_path, monkeypatch, "greylists") as server:
        job_id = confirm(session)
        do(job_id)
        swept = sweep(session)
        do(job_id)
        waiting = server.mails()
        make_due(session)
        woken = sweep(session)
        do(job_id)

    assert (swept, waiting, woken) == (0, [], 1)
    assert state() == ("sent", None)
    assert len(server.mails()) == 1


def test_refused_for_good_it_is_not_tried_again(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unwilling(tmp_path, monkeypatch, "refuses"):
        job = do(confirm(session))

    assert (job.status, job.attempt) == ("failed", 1)
    assert state() == ("failed", "550 5.1.1 Nobody of that name")


def test_a_job_that_failed_sends_it_when_it_is_retried(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unwilling(tmp_path / "a", monkeypatch, "refuses"):
        job_id = confirm(session)
        do(job_id)
    with mail_server(tmp_path / "b") as server:
        use(monkeypatch, server.url)
        queue.retry(session, job_id)
        session.commit()
        do(job_id)

    assert state() == ("sent", None)
    assert len(server.mails()) == 1


def test_what_a_server_says_in_an_old_encoding_is_told_as_far_as_it_can_be(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: object) -> None:
        raise SMTPResponseException(450, "Empf\udce4nger unbekannt")

    monkeypatch.setattr(mail, "_send", refuse)
    use(monkeypatch, "smtp://a.invalid")

    assert do(confirm(session)).status == "queued"
    assert state() == ("queued", "450 Empf?nger unbekannt")


def test_a_server_that_hangs_is_left_in_time(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "TOTAL_SECONDS", 0.5)
    with unwilling(tmp_path, monkeypatch, "hangs"):
        job_id = confirm(session)
        started = time.monotonic()
        job = do(job_id)

    assert time.monotonic() - started < 5
    assert job.status == "queued"
    assert state()[0] == "queued"
    assert "longer than" in str(state()[1])


@pytest.mark.parametrize("url", ["smtp://127.0.0.1:9", "smtps://127.0.0.1:9", "smtp://a.invalid"])
def test_a_server_that_is_not_there_is_tried_again(
    session: Session, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    use(monkeypatch, url)

    assert do(confirm(session)).status == "queued"
    assert state()[0] == "queued"
    assert state()[1]


@pytest.mark.parametrize(
    "address", ["a@b, c@d.example", "ann", "a@b\r\nBcc: c@d", "", "<a@b>", "ä@b"]
)
def test_what_is_no_address_fails_with_its_reason(
    session: Session, server: MailServer, address: str
) -> None:
    job = do(confirm(session, email=address))

    assert job.status == "failed"
    assert state()[0] == "failed"
    assert "no address" in str(state()[1])
    assert server.mails() == []


def test_a_worker_sends_it_after_the_commit(
    session: Session, tmp_path: Path, worker_folder: Path
) -> None:
    with mail_server(tmp_path) as server, Worker(worker_folder, MAIL_URL=server.url):
        confirm(session)
        wait_for("it is sent", lambda: state()[0] == "sent", 20)

    assert len(server.mails()) == 1


@pytest.fixture
def worker_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worker")


# --- the digest -------------------------------------------------------------------------------


def tell(session: Session) -> Any:
    job_id = queue.enqueue(session, tell_low_stock, digest.KIND).id
    session.commit()
    return do(job_id)


def test_the_digest_tells_what_is_low(
    admin: FlaskClient, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(admin, name="Mug", sku="M", stock=5)
    created(admin, name="Pot", stock=6)
    created(admin, name="Tea", variants=[{"options": {"Size": "L"}, "stock": -2}])
    created(admin, name="Untracked")
    created(admin, name="Draft", stock=0, status="draft")
    created(admin, name="Gone", handle="gone", stock=0)
    admin.delete("/api/v1/products/gone")
    with mail_server(tmp_path) as server:
        use(monkeypatch, server.url, shop_email="me@shop.example", low_stock=5)
        job = tell(session)

    assert (job.status, job.result) == ("succeeded", {"low": 2})
    (found,) = server.mails()
    assert (found["X-To"], found["Subject"]) == ("me@shop.example", "Low stock: 2 variants")
    assert content(found, "plain") == (
        "2 variants of Café with 5 pieces or less:\n\n-2: Tea (L)\n5: Mug, M\n"
    )
    assert "<td>Tea (L)</td>" in content(found, "html")


def test_of_very_many_it_tells_the_number(
    admin: FlaskClient, session: Session, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level("INFO")
    monkeypatch.setattr(digest, "_MOST", 1)
    for _ in range(3):
        created(admin, stock=0)
    use(monkeypatch, "console:", shop_email="me@shop.example")

    assert tell(session).result == {"low": 3}
    assert "And 2 more." in caplog.text


@pytest.mark.parametrize(("stock", "email"), [(6, "me@shop.example"), (0, "")])
def test_without_anything_low_or_anyone_to_tell_there_is_no_mail(
    admin: FlaskClient, session: Session, server: MailServer, monkeypatch: pytest.MonkeyPatch,
    stock: int, email: str,
) -> None:  # fmt: skip
    created(admin, stock=stock)
    use(monkeypatch, server.url, shop_email=email, low_stock=5)

    assert tell(session).result == {"low": 0}
    assert server.mails() == []


def test_the_digest_is_tried_again_too(
    admin: FlaskClient, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(admin, stock=0)
    with mail_server(tmp_path, "greylists") as server:
        use(monkeypatch, server.url, shop_email="me@shop.example")
        waiting = tell(session)
        make_due(session)
        done = do(waiting.id)

    assert (waiting.status, done.status) == ("queued", "succeeded")
    assert len(server.mails()) == 1


def test_the_digest_comes_once_a_day() -> None:
    declared = schedules._declared[digest.KIND]

    assert (declared.every, declared.task.name) == (timedelta(days=1), "notify.low_stock")
