"""Orders: what they take from the stock, what they refuse, and who may see them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from config import settings
from models import db
from orders import placing
from tests.keyring import client_with, made_key, sql
from tests.ordering import ORDERS, for_sale, order, placed, stock_of, wrong_sums
from tests.processes import wait_for
from tests.racing import LOCK_PRODUCTS, race
from tests.stage import created, faults_of
from tests.statements import statements

PRODUCTS = "/api/v1/products"


# --- what an order is -------------------------------------------------------------------------


def test_an_order_copies_names_and_prices_and_takes_the_stock(admin: FlaskClient) -> None:
    variant = for_sale(admin, name="Mug", sku="MUG", price="9.95", stock=5)
    tea = for_sale(admin, name="Tea", price="0.10")

    answer = order(
        admin,
        {"sku": "MUG", "quantity": 2},
        {"variant_id": tea, "quantity": 3},
        note="Ring twice.",
        metadata={"channel": "web"},
    )

    assert answer.status_code == 201
    shown = answer.get_json()
    assert answer.headers["Location"] == f"http://localhost{ORDERS}/{shown['id']}"
    assert len(shown["id"]) * 4 >= 128
    assert (shown["status"], shown["total"], shown["currency"]) == ("confirmed", "20.20", "USD")
    assert (shown["note"], shown["metadata"]) == ("Ring twice.", {"channel": "web"})
    mug, bags = shown["lines"]
    assert (mug["variant_id"], mug["sku"], mug["name"]) == (variant, "MUG", "Mug")
    assert (mug["quantity"], mug["unit_price"], mug["total"]) == (2, "9.95", "19.90")
    assert (bags["sku"], bags["total"]) == (None, "0.30")
    assert stock_of(admin, "MUG") == 3


def test_it_stays_as_it_was_when_the_catalogue_changes(admin: FlaskClient) -> None:
    for_sale(admin, handle="mug", name="Mug", sku="MUG", price="9.95", stock=5)
    shown = placed(admin, {"sku": "MUG", "quantity": 1})

    admin.patch(f"{PRODUCTS}/mug", json={"name": "Cup", "price": "12.00", "sku": "CUP"})
    later = admin.get(f"{ORDERS}/{shown['id']}").get_json()

    assert later == {name: value for name, value in shown.items() if name != "token"}


def test_an_order_counts_the_products_version_up(admin: FlaskClient) -> None:
    product = created(admin, sku="MUG", price="1", stock=5)
    before = admin.get(f"{PRODUCTS}/{product['id']}")

    placed(admin, {"sku": "MUG", "quantity": 1})
    after = admin.get(f"{PRODUCTS}/{product['id']}")

    tags = [got.headers["ETag"] for got in (before, after)]
    assert tags[0] != tags[1]
    assert after.get_json()["version"] == 2
    assert after.get_json()["updated_at"] > product["updated_at"]
    stale = admin.patch(
        f"{PRODUCTS}/{product['id']}", json={"stock": 9}, headers={"If-Match": tags[0]}
    )
    assert stale.status_code == 412


def test_a_variant_that_is_not_tracked_or_on_backorder_always_suffices(admin: FlaskClient) -> None:
    for_sale(admin, sku="EBOOK", stock=None)
    for_sale(admin, sku="SOFA", stock=1, backorder=True)

    placed(admin, {"sku": "EBOOK", "quantity": 1_000_000}, {"sku": "SOFA", "quantity": 3})

    assert (stock_of(admin, "EBOOK"), stock_of(admin, "SOFA")) == (None, -2)


def test_a_repeat_with_the_same_key_buys_nothing_twice(admin: FlaskClient) -> None:
    for_sale(admin, sku="MUG", stock=5)
    sent = {"email": "a@example.com", "lines": [{"sku": "MUG", "quantity": 2}]}

    first, second = [
        admin.post(ORDERS, json=sent, headers={"Idempotency-Key": "once"}) for _ in range(2)
    ]

    assert first.get_json() == second.get_json()
    assert second.headers["Idempotent-Replayed"] == "true"
    assert stock_of(admin, "MUG") == 3


def test_without_a_key_nothing_is_bought(admin: FlaskClient) -> None:
    for_sale(admin, sku="MUG", stock=5)

    answer = admin.post(ORDERS, json={"email": "a@b.c", "lines": [{"sku": "MUG", "quantity": 1}]})

    assert answer.status_code == 400
    assert answer.get_json()["code"] == "idempotency_key_required"
    assert stock_of(admin, "MUG") == 5


def test_an_order_takes_two_round_trips_whatever_it_holds(
    admin: FlaskClient, session: Session
) -> None:
    lines = [{"variant_id": for_sale(admin, stock=9), "quantity": 1} for _ in range(5)]
    session.connection()  # so that BEGIN is not among them

    with statements() as sent:
        placing.place(session, {"email": "ada@example.com", "lines": lines})

    assert len(sent) == 2


# --- what is refused --------------------------------------------------------------------------


def test_a_shortage_names_every_short_line_and_sells_nothing(admin: FlaskClient) -> None:
    for_sale(admin, sku="A", stock=5)
    for_sale(admin, sku="B", stock=1)
    twice = for_sale(admin, sku="C", stock=3)
    for_sale(admin, sku="D", stock=-2)

    answer = order(
        admin,
        {"sku": "A", "quantity": 5},
        {"sku": "B", "quantity": 2},
        {"sku": "C", "quantity": 2},
        {"variant_id": twice, "quantity": 2},
        {"sku": "D", "quantity": 1},
    )

    problem = answer.get_json()
    assert (answer.status_code, problem["code"]) == (409, "insufficient_stock")
    short = {fault["pointer"]: fault["available"] for fault in problem["errors"]}
    assert short == {"/lines/1": 1, "/lines/2": 3, "/lines/3": 3, "/lines/4": 0}
    assert [stock_of(admin, sku) for sku in "ABCD"] == [5, 1, 3, -2]


def test_each_unknown_or_inactive_variant_is_named(admin: FlaskClient) -> None:
    for_sale(admin, sku="GOOD", stock=5)
    for_sale(admin, sku="DRAFT", status="draft")
    archived = for_sale(admin, status="archived")
    gone = created(admin, sku="GONE", price="1")
    admin.delete(f"{PRODUCTS}/{gone['id']}")

    answer = order(
        admin,
        {"sku": "GOOD", "quantity": 1},
        {"sku": "NONE", "quantity": 1},
        {"sku": "DRAFT", "quantity": 1},
        {"variant_id": archived, "quantity": 1},
        {"variant_id": 2**63 - 1, "quantity": 1},
        {"sku": "GONE", "quantity": 1},
        {"variant_id": gone["variants"][0]["id"], "quantity": 1},
    )

    assert answer.status_code == 422
    assert faults_of(answer) == [
        ("unknown_variant", "/lines/1/sku"),
        ("inactive_variant", "/lines/2/sku"),
        ("inactive_variant", "/lines/3/variant_id"),
        ("unknown_variant", "/lines/4/variant_id"),
        ("unknown_variant", "/lines/5/sku"),
        ("unknown_variant", "/lines/6/variant_id"),
    ]
    assert stock_of(admin, "GOOD") == 5


def test_an_ambiguous_sku_is_told_with_its_candidates(admin: FlaskClient) -> None:
    first, second = (for_sale(admin, sku="S", stock=5) for _ in range(2))

    # That one of them is asked for by its id does not make it the one that the SKU means.
    answer = order(admin, {"variant_id": first, "quantity": 1}, {"sku": "S", "quantity": 1})

    problem = answer.get_json()
    assert (answer.status_code, problem["code"]) == (409, "ambiguous_sku")
    assert [found["variant_id"] for found in problem["candidates"]] == [first, second]
    assert faults_of(answer) == [("ambiguous_sku", "/lines/1/sku")]


def test_a_sku_means_the_active_one_of_its_variants(admin: FlaskClient) -> None:
    for_sale(admin, sku="S", status="archived", stock=5)
    active = for_sale(admin, sku="S", stock=5)

    shown = placed(admin, {"sku": "S", "quantity": 1})

    assert shown["lines"][0]["variant_id"] == active


def test_what_has_no_price_is_not_sold(admin: FlaskClient) -> None:
    for_sale(admin, sku="S", price=None)

    answer = order(admin, {"sku": "S", "quantity": 1})

    assert (answer.status_code, faults_of(answer)) == (422, [("no_price", "/lines/0")])


def test_stock_on_backorder_has_an_end(admin: FlaskClient) -> None:
    for_sale(admin, sku="S", stock=-(2**31) + 2, backorder=True)

    answer = order(admin, {"sku": "S", "quantity": 2})

    assert answer.status_code == 409
    assert answer.get_json()["errors"][0]["available"] == 1
    placed(admin, {"sku": "S", "quantity": 1})


# --- others at the same time ------------------------------------------------------------------


def test_an_order_sells_what_is_left_when_its_turn_comes(app: Flask, admin: FlaskClient) -> None:
    for_sale(admin, handle="mug", sku="MUG", price="1", stock=3)

    def buy(client: FlaskClient) -> Any:
        return order(client, {"sku": "MUG", "quantity": 2})

    def edit(client: FlaskClient) -> Any:
        return client.patch(f"{PRODUCTS}/mug", json={"stock": 4, "price": "5.00"})

    first = buy(admin)
    # Of two alone, it is certain who comes first: a third may overtake once the row has changed.
    changed, second = race(app, LOCK_PRODUCTS, (), edit, buy)

    assert [a.status_code for a in (first, changed, second)] == [201, 200, 201]
    assert [a.get_json()["total"] for a in (first, second)] == ["2.00", "10.00"]
    assert stock_of(admin, "MUG") == 2


def test_a_sku_that_changes_hands_meanwhile_is_looked_for_again(
    app: Flask, admin: FlaskClient
) -> None:
    for_sale(admin, handle="old", sku="S", stock=3)

    def rename(client: FlaskClient) -> Any:
        return client.patch(f"{PRODUCTS}/old", json={"sku": "T"})

    def buy(client: FlaskClient) -> Any:
        return order(client, {"sku": "S", "quantity": 1})

    _, answer = race(app, LOCK_PRODUCTS, (), rename, buy)

    assert (answer.status_code, faults_of(answer)) == (422, [("unknown_variant", "/lines/0/sku")])


def test_who_holds_a_product_writes_its_variants_before_an_order_does(
    app: Flask, admin: FlaskClient
) -> None:
    line = {"variant_id": for_sale(admin, stock=3), "quantity": 1}

    with beside(LOCK_PRODUCTS) as cursor, ThreadPoolExecutor(1) as later:
        answer = later.submit(order, admin, line)
        wait_for("the order waits", lambda: waiting(app), 2.5)
        cursor.execute("SET lock_timeout = '500ms'")
        cursor.execute("UPDATE variants SET stock = 1")
        cursor.connection.commit()

        assert answer.result(20).status_code == 201


def test_the_victim_of_a_deadlock_waits_once_more(app: Flask, admin: FlaskClient) -> None:
    lines = [{"variant_id": for_sale(admin, stock=3), "quantity": 1} for _ in range(2)]
    lock = "SELECT id FROM products ORDER BY id {} LIMIT 1 FOR UPDATE"

    with beside(lock.format("DESC")) as cursor, ThreadPoolExecutor(1) as later:
        answer = later.submit(order, admin, *lines)
        wait_for("the order waits", lambda: waiting(app), 2.5)
        cursor.execute(lock.format("ASC"))  # which the order holds, until it gives way
        cursor.connection.rollback()

        assert answer.result(20).status_code == 201


@contextmanager
def beside(lock: str) -> Iterator[Any]:
    """A cursor of somebody else, who holds these locks, and does not look for deadlocks."""
    url = settings.database_url.replace("+psycopg2", "")
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET deadlock_timeout = '20s'")
        cursor.execute(lock)
        yield cursor


def waiting(app: Flask) -> bool:
    """Whether somebody waits for a lock."""
    return bool(sql(app, "SELECT FROM pg_locks WHERE NOT granted"))


# --- canceling --------------------------------------------------------------------------------


def test_canceling_puts_the_stock_back_once(admin: FlaskClient, session: Session) -> None:
    for_sale(admin, sku="A", stock=5)
    for_sale(admin, sku="B", stock=None)
    lines = [{"sku": "A", "quantity": 2}, {"sku": "A", "quantity": 1}, {"sku": "B", "quantity": 4}]
    url = f"{ORDERS}/{placed(admin, *lines)['id']}"

    first, second = admin.post(f"{url}/cancel"), admin.post(f"{url}/cancel")

    assert (first.status_code, first.get_json()["status"]) == (200, "canceled")
    assert first.get_json()["canceled_at"] is not None
    assert first.get_json() == admin.get(url).get_json()
    assert (second.status_code, second.get_json()["code"]) == (409, "order_canceled")
    assert (stock_of(admin, "A"), stock_of(admin, "B")) == (5, None)
    assert wrong_sums(session) == []


def test_two_that_cancel_at_once_put_back_once(app: Flask, admin: FlaskClient) -> None:
    for_sale(admin, sku="A", stock=5)
    url = f"{ORDERS}/{placed(admin, {'sku': 'A', 'quantity': 2})['id']}/cancel"

    def cancel(client: FlaskClient) -> Any:
        return client.post(url)

    answers = race(app, "SELECT id FROM orders FOR UPDATE", (), cancel, cancel)

    assert [answer.status_code for answer in answers] == [200, 409]
    assert stock_of(admin, "A") == 5


def test_what_was_not_taken_is_not_put_back(admin: FlaskClient) -> None:
    later = for_sale(admin, handle="later", sku="LATER", stock=None)
    for_sale(admin, handle="never", sku="NEVER", stock=5)
    product = created(
        admin,
        variants=[{"options": {"n": "1"}, "sku": "KEPT"}, {"options": {"n": "2"}, "price": "1"}],
    )
    gone = product["variants"][1]["id"]
    lines: list[dict[str, Any]] = [{"variant_id": later}, {"sku": "NEVER"}, {"variant_id": gone}]
    shown = placed(admin, *({**line, "quantity": 1} for line in lines))
    admin.patch(f"{PRODUCTS}/later", json={"stock": 7})
    admin.patch(f"{PRODUCTS}/never", json={"stock": None})
    kept = {"id": product["variants"][0]["id"]}
    admin.put(f"{PRODUCTS}/{product['id']}", json={"name": "One", "variants": [kept]})

    answer = admin.post(f"{ORDERS}/{shown['id']}/cancel")

    assert answer.status_code == 200
    assert (stock_of(admin, "LATER"), stock_of(admin, "NEVER")) == (7, None)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("ref", ["0" * 32, "x", "%00", "1", "0" * 31 + "G"])
def test_there_is_no_order_under_another_id(admin: FlaskClient, method: str, ref: str) -> None:
    url = f"{ORDERS}/{ref}" + ("/cancel" if method == "POST" else "")

    answer = admin.open(url, method=method)

    assert (answer.status_code, answer.get_json()["code"]) == (404, "order_not_found")


# --- who sees them ----------------------------------------------------------------------------


def test_an_order_shows_itself_to_who_has_its_token(
    admin: FlaskClient, client: FlaskClient
) -> None:
    for_sale(admin, sku="A")
    one, other = (placed(admin, {"sku": "A", "quantity": 1}) for _ in range(2))
    url = f"{ORDERS}/{one['id']}"

    shown = client.get(url, query_string={"token": one["token"]})

    assert shown.status_code == 200
    assert shown.get_json() == admin.get(url).get_json()
    assert "token" not in shown.get_json()
    assert shown.headers["Cache-Control"] == "no-store"
    assert client.get(url).status_code == 401
    for wrong in (other["token"], one["token"][:-1], "é", one["id"]):
        answer = client.get(url, query_string={"token": wrong})
        assert (answer.status_code, answer.get_json()["code"]) == (404, "order_not_found")


def test_the_token_is_stored_in_no_table_of_orders(admin: FlaskClient, session: Session) -> None:
    for_sale(admin, sku="A")
    token = placed(admin, {"sku": "A", "quantity": 1})["token"]

    for table in ("orders", "order_lines", "stock_movements"):
        rows = session.execute(db.metadata.tables[table].select()).all()
        assert token not in str(rows)


def test_a_key_that_may_not_read_orders_needs_the_token_too(app: Flask, admin: FlaskClient) -> None:
    for_sale(admin, sku="A")
    shown = placed(admin, {"sku": "A", "quantity": 1})
    till = client_with(app, made_key(admin, "orders:write"))
    url = f"{ORDERS}/{shown['id']}"

    assert till.get(url).status_code == 403
    assert till.get(f"{url}?token=x").status_code == 404
    assert till.get(f"{url}?token={shown['token']}").status_code == 200


def test_orders_are_listed_by_filters_the_newest_first(admin: FlaskClient) -> None:
    for_sale(admin, sku="A")
    ids = [
        placed(admin, {"sku": "A", "quantity": 1}, email=email)["id"]
        for email in ("ada@example.com", "Bob@example.com", "ada@example.com")
    ]
    admin.post(f"{ORDERS}/{ids[0]}/cancel")

    def listed(**query: Any) -> list[int]:
        rows = admin.get(ORDERS, query_string=query).get_json()["data"]
        return [ids.index(row["id"]) for row in rows]

    assert listed() == [2, 1, 0]
    assert listed(email="bob@EXAMPLE.com") == [1]
    assert listed(email="ada@example.com", status="canceled") == [0]
    since = admin.get(f"{ORDERS}/{ids[1]}").get_json()["created_at"]
    assert listed(**{"created_at[gte]": since}) == [2, 1]
    assert listed(**{"created_at[gt]": since}) == [2]
    assert listed(**{"created_at[lte]": since}) == [1, 0]
    assert listed(**{"created_at[lt]": since}) == [0]
    page = admin.get(ORDERS, query_string={"limit": 2}).get_json()
    rest = admin.get(page["next"]).get_json()
    assert [row["id"] for row in page["data"] + rest["data"]] == ids[::-1]
    assert rest["next"] is None
    assert admin.get(rest["prev"]).get_json()["data"] == page["data"]
    assert page["data"][0] == admin.get(f"{ORDERS}/{ids[2]}").get_json()
