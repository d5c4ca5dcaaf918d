"""Events: each change has one, in its transaction; the feed loses none, whoever commits when."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, text, update
from sqlalchemy.orm import Session

import events
from config import settings
from jobs import cleanup, queue
from jobs.tasks import clean_up
from models import Event
from tests.importing import Importer
from tests.stage import ADMIN, created

URL = "/api/v1/events"
PRODUCTS = "/api/v1/products"
JSON = dict[str, Any]


@pytest.fixture
def since(admin: FlaskClient) -> str:
    """Where the feed ends before the test."""
    return latest(admin)


def latest(admin: FlaskClient) -> str:
    after: str = admin.get(URL, query_string={"after": "latest"}).get_json()["after"]
    return after


def page(admin: FlaskClient, after: str | None = None, **query: Any) -> JSON:
    asked = {"limit": 200, **({"after": after} if after else {}), **query}
    response = admin.get(URL, query_string=asked)
    assert response.status_code == 200, response.text
    found: JSON = response.get_json()
    return found


def types(admin: FlaskClient, since: str, **query: Any) -> list[str]:
    return [event["type"] for event in page(admin, since, **query)["data"]]


@contextmanager
def another() -> Iterator[Any]:
    """A cursor in a transaction of its own, rolled back in the end unless it is committed."""
    url = settings.database_url.replace("+psycopg2", "")
    with closing(psycopg2.connect(url)) as connection:
        yield connection.cursor()


def insert(cursor: Any, handle: str) -> None:
    cursor.execute("INSERT INTO products (handle, name) VALUES (%s, 'X')", (handle,))


def handles(found: JSON) -> list[str]:
    return [event["data"]["handle"] for event in found["data"]]


# --- the feed ---------------------------------------------------------------------------------


def test_what_commits_late_comes_late_and_is_not_lost(admin: FlaskClient, since: str) -> None:
    """Ids come from a sequence: the first transaction has the lower one, and commits last."""
    with another() as slow, another() as fast:
        insert(slow, "slow")
        insert(fast, "fast")
        fast.connection.commit()
        first = page(admin, since)
        slow.connection.commit()
        second = page(admin, first["after"])

    assert handles(first) == ["fast"]
    assert handles(second) == ["slow"]
    assert first["data"][0]["id"] > second["data"][0]["id"]
    assert handles(page(admin, since)) == ["fast", "slow"]


def test_many_interleaved_transactions_are_all_read_once(admin: FlaskClient, since: str) -> None:
    order = [3, 0, 5, 1, 4, 2]
    after, seen = since, []
    with ExitStack() as transactions:
        cursors = [transactions.enter_context(another()) for _ in order]
        for number, cursor in enumerate(cursors):
            insert(cursor, f"p{number}")
        for number in order:
            insert(cursors[number], f"q{number}")
            cursors[number].connection.commit()
            found = page(admin, after)
            seen += handles(found)
            after = found["after"]

    assert seen == [f"{letter}{number}" for number in order for letter in "pq"]
    assert handles(page(admin, since)) == seen


def test_readers_who_follow_while_others_write_see_all_of_it_once(
    app: Flask, admin: FlaskClient, since: str
) -> None:
    with ThreadPoolExecutor(5) as beside:
        writers = [beside.submit(write_many, number) for number in range(3)]
        readers = [beside.submit(follow, app, since, 60) for _ in range(2)]
        for writer in writers:
            writer.result(60)
        seen = [reader.result(60) for reader in readers]

    assert seen[0] == seen[1] == handles(page(admin, since))
    assert sorted(seen[0]) == sorted(f"w{writer}-{n}" for writer in range(3) for n in range(20))


def write_many(writer: int) -> None:
    with another() as cursor:
        for number in range(20):
            insert(cursor, f"w{writer}-{number}")
            time.sleep(random.uniform(0, 0.01))
            if number % 3 != writer:  # some transactions write several
                cursor.connection.commit()
        cursor.connection.commit()


def follow(app: Flask, after: str, wanted: int) -> list[str]:
    """The handles that a reader sees until it has seen so many."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = ADMIN["Authorization"]
    seen: list[str] = []
    deadline = time.monotonic() + 30
    while len(seen) < wanted and time.monotonic() < deadline:
        found = page(client, after, limit=7)
        seen += handles(found)
        after = found["after"]
    return seen


def test_what_is_rolled_back_has_not_happened(admin: FlaskClient, since: str) -> None:
    with another() as cursor:
        insert(cursor, "never")

    assert page(admin, since)["data"] == []


def test_pages_follow_one_another_to_the_end(admin: FlaskClient, since: str) -> None:
    for number in range(5):
        created(admin, handle=f"p{number}")

    first = page(admin, since, limit=2)
    second = admin.get(first["next"]).get_json()
    third = admin.get(second["next"]).get_json()

    assert [handles(found) for found in (first, second, third)] == [
        ["p0", "p1"], ["p2", "p3"], ["p4"],
    ]  # fmt: skip
    assert third["next"] is None
    created(admin, handle="p5")
    assert handles(page(admin, third["after"])) == ["p5"]


def test_a_page_reads_a_part_of_the_feed_and_says_where_it_stopped(
    admin: FlaskClient, since: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_AFTER", events._AFTER.replace("10000", "2"))
    monkeypatch.setattr(events, "_READ_AT_ONCE", 2)
    for number in range(3):
        created(admin, handle=f"p{number}")
    admin.delete(f"{PRODUCTS}/p0")

    first = page(admin, since, **{"type[in]": "product.deleted"})
    second = admin.get(first["next"]).get_json()

    assert (first["data"], [event["type"] for event in second["data"]]) == ([], ["product.deleted"])
    assert second["next"] is None


def test_more_than_is_placed_at_once_is_placed_by_the_next_one(
    admin: FlaskClient, since: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PLACED_AT_ONCE", 2)
    with another() as cursor:
        for number in range(3):
            insert(cursor, f"p{number}")
        cursor.connection.commit()

    first = page(admin, since)
    second = admin.get(first["next"]).get_json()

    assert (handles(first), handles(second)) == (["p0", "p1"], ["p2"])


def test_events_are_forgotten_in_their_order_and_their_readers_are_told(
    app: Flask, admin: FlaskClient, session: Session, since: str
) -> None:
    for number in range(4):
        created(admin, handle=f"p{number}")
    first = page(admin, since, limit=1)["after"]
    age(session, "p0", "p1", "p3")  # and behind one that is kept, nothing goes

    deleted = clean(session)

    assert deleted["events"] == 2
    assert handles(page(admin)) == ["p2", "p3"]
    gone = admin.get(URL, query_string={"after": first})
    assert (gone.status_code, gone.get_json()["code"]) == (410, "events_forgotten")
    assert handles(page(admin, latest_of(admin, "p2"))) == ["p3"]


def latest_of(admin: FlaskClient, handle: str) -> str:
    found = page(admin, limit=1)
    while handles(found) != [handle]:
        found = page(admin, found["after"], limit=1)
    after: str = found["after"]
    return after


def test_what_nobody_has_read_is_forgotten_with_its_place(
    admin: FlaskClient, session: Session, since: str
) -> None:
    created(admin, handle="p0")
    age(session, "p0")

    assert clean(session)["events"] == 1
    assert admin.get(URL, query_string={"after": since}).status_code == 410


def age(session: Session, *handles: str) -> None:
    old = func.now() - timedelta(days=settings.event_retention_days + 1)
    aged = update(Event).where(Event.payload["handle"].astext.in_(handles))
    session.execute(aged.values(created_at=old))
    session.commit()


def clean(session: Session) -> dict[str, int]:
    job_id = queue.enqueue(session, clean_up, cleanup.KIND).id
    session.commit()
    clean_up(job_id)
    deleted: dict[str, int] = queue.find(job_id).result
    return deleted


# --- what has an event ------------------------------------------------------------------------


def test_each_change_of_a_product_has_one(admin: FlaskClient, since: str) -> None:
    product = created(admin, handle="tee")
    admin.patch(f"{PRODUCTS}/tee", json={"name": "Tee"})
    admin.patch(f"{PRODUCTS}/tee", json={"name": "Tee"})  # changes nothing
    admin.put(f"{PRODUCTS}/tee", json={"name": "T"})
    admin.delete(f"{PRODUCTS}/tee")
    admin.post(f"{PRODUCTS}/tee/restore")
    admin.post(f"{PRODUCTS}/batch", json={"products": [{"handle": "tee", "price": "1"}]})

    found = page(admin, since)["data"]
    assert [event["type"] for event in found] == [
        *("product.created", "product.updated", "product.updated", "product.deleted"),
        *("product.restored", "product.updated"),
    ]
    assert [event["data"]["version"] for event in found] == [1, 2, 3, 4, 5, 6]
    assert found[0]["data"] == {
        "id": product["id"], "handle": "tee", "status": "active", "version": 1,
    }  # fmt: skip


def test_sql_by_hand_has_events_too(admin: FlaskClient, session: Session, since: str) -> None:
    for number in range(2):
        created(admin, handle=f"p{number}")
    session.execute(text("UPDATE products SET deleted_at = now() WHERE handle = 'p0'"))
    session.execute(text("DELETE FROM products"))
    session.commit()

    assert types(admin, since)[2:] == ["product.deleted", "product.deleted"]


def test_rendering_documents_anew_is_no_change(
    admin: FlaskClient, session: Session, since: str
) -> None:
    created(admin)
    session.execute(text("UPDATE products SET document_shape = 0, document = ''"))
    session.commit()

    assert types(admin, since) == ["product.created"]


def test_a_change_of_stock_says_from_what_to_what(admin: FlaskClient, since: str) -> None:
    product = created(admin, sku="S", stock=5)
    admin.patch("/api/v1/variants/S", json={"stock": 3})
    admin.patch("/api/v1/variants/S", json={"price": "1"})

    found = page(admin, since, **{"type[in]": "stock.changed"})["data"]
    assert [event["data"] for event in found] == [
        {
            "variant_id": product["variants"][0]["id"],
            "product_id": product["id"],
            "sku": "S",
            "stock": 3,
            "before": 5,
        }
    ]


def test_an_import_has_one_event(app: Flask, admin: FlaskClient, since: str) -> None:
    job = Importer(app, admin)("handle,name,stock\nmug,Mug,1\npot,Pot,2\n")

    found = page(admin, since)["data"]
    assert [event["type"] for event in found] == ["job.finished"]
    assert found[0]["data"] == {"id": job["id"], "kind": "import", "status": "succeeded"}


def test_an_import_has_all_events_if_it_is_asked_to(
    app: Flask, admin: FlaskClient, since: str
) -> None:
    run = Importer(app, admin)
    run("handle,name,stock\nmug,Mug,1\n")
    run("handle,name,stock\nmug,Mug,2\npot,Pot,2\n", events="true")

    assert sorted(types(admin, since)) == [
        *("job.finished", "job.finished", "product.created", "product.updated", "stock.changed"),
    ]


def test_writing_goes_on_with_events_after_an_import(
    app: Flask, admin: FlaskClient, since: str
) -> None:
    """On the same connection: what an import turns off, ends with its transaction."""
    Importer(app, admin)("handle,name\nmug,Mug\n")
    admin.patch(f"{PRODUCTS}/mug", json={"name": "Cup"})

    assert types(admin, since) == ["job.finished", "product.updated"]


def test_a_job_that_is_canceled_has_come_to_its_end(
    app: Flask, admin: FlaskClient, since: str
) -> None:
    job_id = Importer(app, admin).send("handle,name\nmug,Mug\n")
    admin.post(f"/api/v1/jobs/{job_id}/cancel")

    (event,) = page(admin, since)["data"]
    assert event["data"] == {"id": job_id, "kind": "import", "status": "canceled"}


def test_a_clean_up_has_none(admin: FlaskClient, session: Session, since: str) -> None:
    clean(session)

    assert types(admin, since) == []
