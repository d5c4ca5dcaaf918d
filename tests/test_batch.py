"""`POST /api/v1/products/batch`: up to 500 products at once."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from tests.stage import created, faults_of
from tests.statements import statements

URL = "/api/v1/products"
BATCH = f"{URL}/batch"


def batch(admin: FlaskClient, *items: Any, mode: str | None = None) -> TestResponse:
    """The answer to these products."""
    return admin.post(BATCH, json={"products": items, **({"mode": mode} if mode else {})})


def stored(admin: FlaskClient, *items: Any) -> list[dict[str, Any]]:
    """The outcomes of an atomic batch that is taken; reading shows the same products."""
    response = batch(admin, *items)
    assert response.status_code == 200, response.text
    outcomes: list[dict[str, Any]] = response.get_json()["data"]
    assert [outcome["index"] for outcome in outcomes] == list(range(len(items)))
    for outcome in outcomes:
        read = admin.get(outcome["location"])
        assert (read.get_json(), read.headers["ETag"]) == (outcome["product"], outcome["etag"])
    return outcomes


def refused(admin: FlaskClient, *items: Any) -> list[tuple[str, str | None]]:
    """The faults of an atomic batch that is refused; nothing of it is stored."""
    before = admin.get(URL).data
    response = batch(admin, *items)
    assert response.status_code == 422, response.text
    assert response.get_json()["code"] == "invalid"
    assert admin.get(URL).data == before
    return faults_of(response)


def listed(admin: FlaskClient) -> list[dict[str, Any]]:
    """Every product."""
    data: list[dict[str, Any]] = admin.get(URL, query_string={"limit": 200}).get_json()["data"]
    return data


# --- what an item means -----------------------------------------------------------------------


def test_products_are_created_and_changed_at_once(admin: FlaskClient) -> None:
    tee, mug = created(admin, handle="tee", vendor="V"), created(admin, handle="mug", sku="M")
    cup = created(
        admin, handle="cup", variants=[{"sku": "C-1"}, {"sku": "C", "options": {"S": "2"}}]
    )

    outcomes = stored(
        admin,
        {"id": tee["id"], "name": "Tee"},
        {"handle": "mug", "price": "3"},
        {"sku": "C", "stock": 5},
        {"handle": "new", "name": "New", "price": "1"},
        {"sku": "S", "name": "By SKU"},
        {"name": "By SKU"},
    )

    found = [(outcome["status"], outcome["product"]) for outcome in outcomes]
    assert [status for status, _ in found] == [200, 200, 200, 201, 201, 201]
    products = [product for _, product in found]
    assert [product["id"] for product in products[:3]] == [tee["id"], mug["id"], cup["id"]]
    assert (products[0]["name"], products[0]["vendor"], products[0]["version"]) == ("Tee", "V", 2)
    assert products[1]["variants"] == [{**mug["variants"][0], "price": "3.00"}]
    assert products[2]["variants"] == [cup["variants"][0], {**cup["variants"][1], "stock": 5}]
    assert [product["handle"] for product in products[3:]] == ["new", "by-sku", "by-sku-2"]
    assert products[4]["variants"][0]["sku"] == "S"
    assert [product["version"] for product in products[3:]] == [1, 1, 1]


def test_an_answer_tells_where_each_product_is(admin: FlaskClient) -> None:
    response = admin.post(BATCH, json={"products": [{"name": "Tee"}]}, base_url="https://a.shop")

    (outcome,) = response.get_json()["data"]
    assert outcome["location"] == f"https://a.shop{URL}/{outcome['product']['id']}"


def test_the_id_comes_before_the_handle_and_the_handle_before_the_sku(admin: FlaskClient) -> None:
    tee, mug = created(admin, handle="tee", sku="T"), created(admin, handle="mug", sku="M")

    renamed, given = stored(
        admin, {"id": tee["id"], "handle": "t-shirt"}, {"handle": "mug", "sku": "T"}
    )

    assert (renamed["product"]["id"], renamed["product"]["handle"]) == (tee["id"], "t-shirt")
    assert (given["product"]["id"], given["product"]["variants"][0]["sku"]) == (mug["id"], "T")


def test_names_are_compared_as_they_are_stored(admin: FlaskClient) -> None:
    by_handle = created(admin, handle="caf\u00e9", sku="1")
    by_sku = created(admin, handle="tee", sku="caf\u00e9")

    outcomes = stored(
        admin, {"handle": " cafe\u0301 ", "stock": 1}, {"sku": " cafe\u0301", "stock": 2}
    )

    assert [o["product"]["id"] for o in outcomes] == [by_handle["id"], by_sku["id"]]


def test_null_takes_a_value_away_or_leaves_it_out(admin: FlaskClient) -> None:
    created(admin, handle="tee", vendor="V", tags=["t"], stock=3)
    nothing = {
        "vendor": None,
        "tags": None,
        "stock": None,
        "metadata": {"a": None},
        "backorder": None,
    }

    old, new = stored(
        admin, {"handle": "tee", **nothing}, {"name": "New", **nothing, "sku": None, "handle": None}
    )

    for product in (old["product"], new["product"]):
        assert (product["vendor"], product["tags"], product["metadata"]) == (None, [], {})
        assert product["variants"][0]["stock"] is None


def test_variants_are_patched_or_added_as_in_a_patch(admin: FlaskClient) -> None:
    tee = created(admin, handle="tee", variants=[{"sku": s, "options": {"S": s}} for s in "ML"])

    changed, new = stored(
        admin,
        {"handle": "tee", "variants": [{"sku": "L", "stock": 5}, {"options": {"S": "XL"}}]},
        {"handle": "new", "name": "N", "variants": [{"options": {"S": "M"}, "price": None}]},
    )

    stock = {v["options"]["S"]: v["stock"] for v in changed["product"]["variants"]}
    assert stock == {"M": None, "L": 5, "XL": None}
    assert changed["product"]["variants"][0] == tee["variants"][0]
    assert len(new["product"]["variants"]) == 1


def test_variants_may_trade_their_options(admin: FlaskClient) -> None:
    variants = [{"options": {"S": size}} for size in "ML"]
    made = [created(admin, variants=variants) for _ in range(3)]
    items = [
        {
            "id": product["id"],
            "name": f"Traded {product['id']}",
            "variants": [
                {"id": product["variants"][0]["id"], "options": {"S": "L"}},
                {"id": product["variants"][1]["id"], "options": {"S": "M"}},
            ],
        }
        for product in made
    ]

    for outcome in stored(admin, *items):
        assert [v["options"]["S"] for v in outcome["product"]["variants"]] == ["L", "M"]
        assert outcome["product"]["version"] == 2


def test_what_was_read_can_be_sent_back_and_changes_nothing(admin: FlaskClient) -> None:
    before = [
        created(admin, variants=[{"sku": "A"}, {"sku": "A", "options": {"S": "M"}}]),
        created(admin, price="5", weight_grams=180.5, metadata={"a": [1, {"b": None}]}),
    ]

    outcomes = stored(admin, *before)

    assert [outcome["product"] for outcome in outcomes] == before


def test_the_same_batch_again_changes_nothing(admin: FlaskClient) -> None:
    items = [{"handle": "a", "name": "A", "price": "5"}, {"sku": "B", "name": "B", "stock": 1}]
    first = stored(admin, *items)

    again = stored(admin, *items)

    assert [outcome["status"] for outcome in (*first, *again)] == [201, 201, 200, 200]
    assert [o["product"] for o in again] == [o["product"] for o in first]


def test_no_products_are_none(admin: FlaskClient) -> None:
    assert batch(admin).get_json() == {"data": []}
    assert batch(admin, mode="partial").status_code == 207


# --- what is refused --------------------------------------------------------------------------


def test_atomic_stores_all_or_nothing_and_tells_every_fault(admin: FlaskClient) -> None:
    created(admin, handle="tee")
    created(admin, handle="mug")
    for _ in range(2):
        created(admin, sku="twice")

    faults = refused(
        admin,
        {"handle": "tee", "vendor": "V"},
        {"handle": "new", "name": "New"},
        {"handle": "a", "price": "x", "name": " ", "colour": 1},
        {"id": 999_999_999},
        {"sku": "twice"},
        {"sku": "none"},
        {"handle": "mug", "variants": [{}, {"price": "x", "options": {"S": "M"}}]},
        "tee",
    )

    assert sorted(faults) == sorted([
        ("not_a_number", "/products/2/price"), ("blank", "/products/2/name"),
        ("unknown_field", "/products/2/colour"), ("product_not_found", "/products/3"),
        ("ambiguous_sku", "/products/4/sku"), ("required", "/products/5/name"),
        ("not_a_number", "/products/6/variants/1/price"), ("invalid_type", "/products/7"),
    ])  # fmt: skip


def test_partial_stores_what_it_can(admin: FlaskClient) -> None:
    tee = created(admin, handle="tee")
    same = [created(admin, handle=handle, sku="twice") for handle in ("a", "b")]

    response = batch(
        admin,
        {"handle": "tee", "vendor": "V"},
        {"handle": "tee", "vendor": "W"},
        {"handle": "new", "name": "New"},
        {"handle": "x", "name": " "},
        {"id": 999_999_999},
        {"sku": "twice"},
        {"id": same[0]["id"], "handle": "tee"},
        mode="partial",
    )

    assert response.status_code == 207
    outcomes = response.get_json()["data"]
    assert [outcome["status"] for outcome in outcomes] == [200, 422, 201, 422, 404, 409, 409]
    problems = [outcome["problem"] for outcome in outcomes if outcome["status"] > 201]
    assert [(p["code"], p["errors"][0]["pointer"]) for p in problems] == [
        ("invalid", "/products/1"), ("invalid", "/products/3/name"),
        ("product_not_found", "/products/4"), ("ambiguous_sku", "/products/5/sku"),
        ("handle_taken", "/products/6/handle"),
    ]  # fmt: skip
    assert problems[0]["errors"][0]["code"] == "duplicate_item"
    assert problems[1]["detail"] == "/products/3/name must not be blank."
    assert [c["product_handle"] for c in problems[3]["candidates"]] == ["a", "b"]
    assert all(problem["request_id"] for problem in problems)
    left = {product["handle"]: product for product in listed(admin)}
    assert set(left) == {"tee", "a", "b", "new"}
    assert (left["tee"]["vendor"], left["tee"]["version"]) == ("V", tee["version"] + 1)


@pytest.mark.parametrize(
    "items",
    [
        [{"handle": "tee"}, {"handle": " tee "}],
        [{"handle": "tee"}, {"sku": "T"}],
        [{"sku": "T"}, {"sku": "T"}],
        [{"handle": "new", "name": "N"}, {"handle": "new", "name": "N"}],
        [{"sku": "new", "name": "N"}, {"sku": "new", "name": "N"}],
        [{"handle": "new", "sku": "S", "name": "N"}, {"sku": "S", "name": "N"}],
        [{"handle": "tee", "variants": [{"sku": "S"}]}, {"sku": "S", "name": "N"}],
    ],
)
def test_the_same_product_twice_is_refused(admin: FlaskClient, items: list[Any]) -> None:
    created(admin, handle="tee", sku="T")

    assert refused(admin, *items) == [("duplicate_item", "/products/1")]


def test_two_products_may_bring_the_same_sku(admin: FlaskClient) -> None:
    stored(
        admin, {"handle": "a", "name": "A", "sku": "S"}, {"handle": "b", "name": "B", "sku": "S"}
    )

    found = admin.get("/api/v1/products?sku=S").get_json()["data"]
    assert [product["handle"] for product in found] == ["a", "b"]


@pytest.mark.parametrize(
    ("items", "place"),
    [
        ([{"handle": "tee"}, {"id": "mug", "handle": "tee"}], "/products/1/handle"),
        ([{"id": "mug", "handle": "tee"}], "/products/0/handle"),
        ([{"id": "tee", "handle": "x"}, {"id": "mug", "handle": "x"}], "/products/1/handle"),
        ([{"id": "tee", "handle": "x"}, {"handle": "x", "name": "X"}], "/products/0/handle"),
        # What an item gives free is not free for another one of the same batch.
        ([{"id": "tee", "handle": "x"}, {"id": "mug", "handle": "tee"}], "/products/1/handle"),
    ],
)
def test_a_handle_is_not_taken_from_another_product(
    admin: FlaskClient, items: list[dict[str, Any]], place: str
) -> None:
    known = {handle: created(admin, handle=handle)["id"] for handle in ("tee", "mug")}

    faults = refused(
        admin, *({**i, **({"id": known[i["id"]]} if "id" in i else {})} for i in items)
    )

    assert faults == [("handle_taken", place)]


def test_a_derived_handle_is_none_that_an_item_has_chosen(admin: FlaskClient) -> None:
    outcomes = stored(admin, {"name": "Tee"}, {"handle": "tee", "name": "Mug"}, {"name": "tee!"})

    assert [o["product"]["handle"] for o in outcomes] == ["tee-2", "tee", "tee-3"]


def test_five_hundred_namesakes_find_handles(admin: FlaskClient) -> None:
    for _ in range(2):
        outcomes = batch(admin, *[{"name": "Tee"}] * 300).get_json()["data"]

        assert len({outcome["product"]["handle"] for outcome in outcomes}) == 300


@pytest.mark.parametrize("mode", ["atomic", "partial"])
def test_more_than_five_hundred_are_an_imports_work(admin: FlaskClient, mode: str) -> None:
    response = batch(admin, *[{"name": "Tee"}] * 501, mode=mode)

    assert response.status_code == 413
    assert response.get_json()["code"] == "too_large"
    assert "/api/v1/imports" in response.get_json()["detail"]


def test_so_are_more_than_ten_thousand_variants(admin: FlaskClient) -> None:
    sent = [{"options": {"N": str(n)}} for n in range(2001)]
    stored_ones = [{"options": {"N": str(n)}} for n in range(2000)]

    many = batch(admin, *({"name": "Tee", "variants": sent} for _ in range(5)))
    assert many.status_code == 413
    for n in range(6):
        created(admin, handle=f"p-{n}", variants=stored_ones)
    found = batch(admin, *({"handle": f"p-{n}", "vendor": "V"} for n in range(6)))
    assert found.status_code == 413


def test_a_batch_may_be_larger_than_other_bodies(admin: FlaskClient) -> None:
    large = [{"name": "Tee", "description": "x" * 500_000} for _ in range(5)]

    assert batch(admin, *large).status_code == 200
    too_large = admin.post(BATCH, data=b" " * 9_000_000, content_type="application/json")
    assert too_large.status_code == 413


def test_a_repeat_with_its_key_is_answered_by_the_first_outcomes(admin: FlaskClient) -> None:
    sent = {"products": [{"name": "Tee"}, {"name": " "}], "mode": "partial"}
    headers = {"Idempotency-Key": "monday"}

    first, again = (admin.post(BATCH, json=sent, headers=headers) for _ in range(2))

    assert (first.status_code, again.status_code) == (207, 207)
    assert again.data == first.data
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(listed(admin)) == 1


def test_who_may_not_write_may_not_write_many(client: FlaskClient) -> None:
    assert batch(client, {"name": "Tee"}).status_code == 401


# --- cost -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["atomic", "partial"])
def test_a_batch_takes_no_more_statements_for_more_products(
    app: Flask, admin: FlaskClient, mode: str
) -> None:
    def cost(items: list[dict[str, Any]]) -> int:
        with app.app_context(), statements() as sent:
            assert batch(admin, *items, mode=mode).status_code in (200, 207)
        return len(sent)

    def items(number: int, **fields: Any) -> list[dict[str, Any]]:
        return [
            {"sku": f"{number}-{n}", "name": f"Tee {number}-{n}", **fields} for n in range(number)
        ]

    few, many = items(2), items(200)

    assert cost(many) == cost(few) <= 10
    assert cost(items(200, price="5")) == cost(items(2, price="5")) <= 10
    assert cost(items(200, price="5")) == cost(items(2, price="5")) <= 8  # nothing changes


def test_what_does_not_change_is_not_written(admin: FlaskClient, session: Session) -> None:
    for n in range(3):
        created(admin, handle=f"p-{n}")

    def rows() -> dict[str, str]:
        session.rollback()
        found = session.execute(text("SELECT handle, xmin::text FROM products"))
        return {row.handle: row.xmin for row in found}  # xmin: the transaction that wrote the row

    before = rows()
    stored(
        admin, *({"handle": f"p-{n}", "name": "Tee" if n == 1 else "Espresso"} for n in range(3))
    )

    after = rows()
    assert [handle for handle in before if before[handle] != after[handle]] == ["p-1"]
