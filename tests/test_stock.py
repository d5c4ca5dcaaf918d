"""The ledger of stock, whoever changes it; and adjustments by hand."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog import documents
from models import Product
from schemas import ProductSchema
from tests.importing import Importer
from tests.ordering import (
    ADJUSTMENTS,
    MOVEMENTS,
    ORDERS,
    for_sale,
    order,
    placed,
    stock_of,
    wrong_sums,
)
from tests.racing import LOCK_PRODUCTS, race
from tests.stage import ADMIN, created, faults_of

PRODUCTS = "/api/v1/products"


def movements(admin: FlaskClient, **query: Any) -> list[tuple[int, int | None, str, str | None]]:
    """What a list of movements tells of each: by how much, to what, why, and for what."""
    page = admin.get(MOVEMENTS, query_string=query).get_json()
    rows = page["data"]
    return [(m["delta"], m["stock_after"], m["reason"], m["reference"]) for m in rows]


def adjust(client: FlaskClient, *entries: dict[str, Any]) -> Any:
    """The answer to adjustments, each for a reason."""
    sent = [{"reason": "stocktaking", **entry} for entry in entries]
    return client.post(ADJUSTMENTS, json={"adjustments": sent})


# --- the ledger -------------------------------------------------------------------------------


def test_every_way_to_change_stock_is_a_movement(admin: FlaskClient, app: Flask) -> None:
    variant = for_sale(admin, handle="mug", sku="MUG", stock=10)
    shown = placed(admin, {"sku": "MUG", "quantity": 2})
    admin.post(f"{ORDERS}/{shown['id']}/cancel")
    adjust(admin, {"sku": "MUG", "delta": 5, "reason": "delivery 4711"})
    admin.patch("/api/v1/variants/MUG", json={"stock": 3})
    admin.patch(f"{PRODUCTS}/mug", json={"stock": 4, "name": "Cup"})
    admin.put(f"{PRODUCTS}/mug", json={"name": "Mug", "sku": "MUG", "price": "1", "stock": 6})
    admin.post(f"{PRODUCTS}/batch", json={"products": [{"sku": "MUG", "stock": 7}]})
    job = Importer(app, admin)("handle,stock\nmug,8\n")["id"]
    admin.patch(f"{PRODUCTS}/mug", json={"stock": None})
    admin.patch(f"{PRODUCTS}/mug", json={"stock": 0})

    assert movements(admin, variant_id=variant)[::-1] == [
        (10, 10, "edit", None),
        (-2, 8, "order", shown["id"]),
        (2, 10, "cancellation", shown["id"]),
        (5, 15, "adjustment", "delivery 4711"),
        (-12, 3, "edit", None),
        (1, 4, "edit", None),
        (2, 6, "edit", None),
        (1, 7, "edit", None),
        (1, 8, "import", str(job)),
        (-8, None, "edit", None),
        (0, 0, "edit", None),
    ]


def test_what_is_no_change_of_stock_is_no_movement(admin: FlaskClient) -> None:
    variant = for_sale(admin, handle="mug", stock=10)

    admin.patch(f"{PRODUCTS}/mug", json={"stock": 10, "price": "3"})

    assert len(movements(admin, variant_id=variant)) == 1


def test_a_variant_that_is_removed_gives_up_its_stock(admin: FlaskClient, session: Session) -> None:
    product = created(
        admin,
        variants=[{"options": {"n": "1"}, "stock": 3}, {"options": {"n": "2"}, "stock": 4}],
    )
    kept, gone = (variant["id"] for variant in product["variants"])

    admin.put(f"{PRODUCTS}/{product['id']}", json={"name": "One", "variants": [{"id": kept}]})

    assert movements(admin, variant_id=gone) == [(-4, None, "edit", None), (4, 4, "edit", None)]
    assert wrong_sums(session) == []


def test_the_release_before_writes_the_ledger_too(session: Session, admin: FlaskClient) -> None:
    variant = for_sale(admin, stock=1)

    session.execute(text("UPDATE variants SET stock = stock + 1"))  # knowing nothing of reasons
    session.commit()

    assert movements(admin, variant_id=variant)[0] == (1, 2, "edit", None)


def test_a_reason_ends_with_its_transaction(session: Session, admin: FlaskClient) -> None:
    variant = for_sale(admin, handle="mug", sku="MUG", stock=9)

    placed(admin, {"sku": "MUG", "quantity": 1})
    admin.patch(f"{PRODUCTS}/mug", json={"stock": 9})

    assert movements(admin, variant_id=variant)[0] == (1, 9, "edit", None)


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("order"), st.sampled_from("ABC"), st.integers(1, 3)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("adjust"), st.sampled_from("ABC"), st.integers(-3, 3)),
        st.tuples(st.just("edit"), st.sampled_from("ABC"), st.none() | st.integers(-2, 9)),
    ),
    max_size=12,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=CHANGES)
def test_the_movements_of_a_variant_are_its_stock_whatever_happens(
    app: Flask, session: Session, changes: list[Any]
) -> None:
    admin = admin_of(app)
    session.execute(text("TRUNCATE products, variants, stock_movements, orders CASCADE"))
    session.commit()
    for sku, backorder in zip("ABC", (False, True, False), strict=True):
        for_sale(admin, sku=sku, stock=5, backorder=backorder)
    orders: list[str] = []
    for kind, *values in changes:
        match kind:
            case "order":
                sold = order(admin, {"sku": values[0], "quantity": values[1]}).get_json()
                orders += [sold["id"]] if "id" in sold else []
            case "cancel" if orders:
                admin.post(f"{ORDERS}/{orders[values[0] % len(orders)]}/cancel")
            case "adjust":
                adjust(admin, {"sku": values[0], "delta": values[1]})
            case "edit":
                admin.patch(f"/api/v1/variants/{values[0]}", json={"stock": values[1]})

    assert wrong_sums(session) == []
    for product in session.query(Product):
        assert product.document_shape == documents.SHAPE
        shown = admin.get(f"{PRODUCTS}/{product.id}").get_json()
        assert shown == ProductSchema().dump(product)
    session.rollback()


def admin_of(app: Flask) -> FlaskClient:
    """A client with the key of every scope; the fixture is made once for all examples."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = ADMIN["Authorization"]
    return client


def test_a_document_of_another_shape_stays_one_to_be_rendered(
    session: Session, admin: FlaskClient
) -> None:
    for_sale(admin, sku="A", stock=5)
    session.execute(text("UPDATE products SET document_shape = 7"))
    session.commit()

    placed(admin, {"sku": "A", "quantity": 1})

    assert documents.are_outdated(session)
    assert stock_of(admin, "A") == 4


def test_movements_are_listed_by_filters_the_newest_first(admin: FlaskClient) -> None:
    for sku in "AB":
        for_sale(admin, sku=sku, stock=1)
        adjust(admin, {"sku": sku, "delta": 1, "reason": "found"})

    by_sku = [(2, "adjustment"), (1, "edit")]
    assert [(m[1], m[2]) for m in movements(admin, sku="A")] == by_sku
    assert len(movements(admin, reason="adjustment")) == 2
    assert len(movements(admin, reference="found", sku="B")) == 1
    page = admin.get(MOVEMENTS, query_string={"limit": 3}).get_json()
    rest = admin.get(page["next"]).get_json()["data"]
    ids = [movement["id"] for movement in page["data"] + rest]
    assert ids == sorted(ids, reverse=True)
    assert [movement["sku"] for movement in page["data"]] == ["B", "B", "A"]
    last = page["data"][0]["created_at"]
    assert len(movements(admin, **{"created_at[gte]": last})) == 1
    assert movements(admin, **{"created_at[gt]": last}) == []
    assert len(movements(admin, **{"created_at[lte]": last})) == 4
    assert len(movements(admin, **{"created_at[lt]": last})) == 3


# --- adjustments ------------------------------------------------------------------------------


def test_adjustments_are_made_together(admin: FlaskClient, session: Session) -> None:
    first = for_sale(admin, sku="A", stock=5)
    second = for_sale(admin, stock=None)

    answer = adjust(
        admin,
        {"sku": "A", "delta": -7, "expected": 5},
        {"variant_id": second, "set": 3, "expected": None, "reason": "counted"},
    )

    assert answer.status_code == 200
    told = [(row["variant_id"], row["delta"], row["stock"]) for row in answer.get_json()["data"]]
    assert told == [(first, -7, -2), (second, 3, 3)]
    assert stock_of(admin, "A") == -2
    assert movements(admin, variant_id=second)[0] == (3, 3, "adjustment", "counted")
    assert wrong_sums(session) == []


def test_what_expects_another_stock_is_told_the_stock(admin: FlaskClient) -> None:
    for_sale(admin, sku="A", stock=5)
    for_sale(admin, sku="B", stock=None)

    answer = adjust(
        admin,
        {"sku": "A", "delta": 1, "expected": 4},
        {"sku": "B", "set": 1, "expected": 0},
    )

    problem = answer.get_json()
    assert (answer.status_code, problem["code"]) == (409, "stale_stock")
    told = {fault["pointer"]: fault["current"] for fault in problem["errors"]}
    assert told == {"/adjustments/0/expected": 5, "/adjustments/1/expected": None}
    assert (stock_of(admin, "A"), stock_of(admin, "B")) == (5, None)


def test_of_two_that_expect_the_same_one_is_stale(app: Flask, admin: FlaskClient) -> None:
    for_sale(admin, sku="A", stock=5)

    def sell(client: FlaskClient) -> Any:
        return adjust(client, {"sku": "A", "delta": -1, "expected": 5})

    answers = race(app, LOCK_PRODUCTS, (), sell, sell)

    assert [answer.status_code for answer in answers] == [200, 409]
    assert stock_of(admin, "A") == 4


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"sku": "NONE", "set": 1}, ("unknown_variant", "/adjustments/1/sku")),
        ({"sku": "A", "set": 1}, ("named_twice", "/adjustments/1")),
        ({"sku": "FREE", "delta": 1}, ("not_tracked", "/adjustments/1/delta")),
        ({"sku": "MANY", "delta": 2}, ("too_large", "/adjustments/1/delta")),
    ],
)
def test_one_that_is_wrong_stops_all(
    admin: FlaskClient, entry: dict[str, Any], fault: tuple[str, str]
) -> None:
    for_sale(admin, sku="A", stock=5)
    for_sale(admin, sku="FREE", stock=None)
    for_sale(admin, sku="MANY", stock=2**31 - 2)

    answer = adjust(admin, {"sku": "A", "set": 1}, entry)

    assert (answer.status_code, faults_of(answer)) == (422, [fault])
    assert stock_of(admin, "A") == 5


def test_an_adjustment_that_changes_nothing_leaves_the_version(admin: FlaskClient) -> None:
    for_sale(admin, handle="mug", sku="A", stock=5)

    adjust(admin, {"sku": "A", "set": 5})

    assert admin.get(f"{PRODUCTS}/mug").get_json()["version"] == 1
