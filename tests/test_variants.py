"""`GET, PATCH /api/v1/variants/{sku}`: for clients that know only the SKU."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import settings
from tests.stage import ADMIN, created, faults_of
from tests.statements import statements

URL = "/api/v1/products"
VARIANTS = "/api/v1/variants"


@pytest.fixture
def tee(admin: FlaskClient) -> dict[str, Any]:
    """A product with two variants, of the SKUs `A-M` and `A-L`."""
    return created(
        admin,
        handle="tee",
        variants=[
            {"sku": f"A-{size}", "options": {"Size": size}, "price": "5", "stock": 3}
            for size in ("M", "L")
        ],
    )


def patch(admin: FlaskClient, path: str, /, **change: Any) -> TestResponse:
    """The answer to a merge patch."""
    return admin.patch(
        f"{VARIANTS}/{path}", json=change, content_type="application/merge-patch+json"
    )


def shown(tee: dict[str, Any], index: int) -> dict[str, Any]:
    """A variant as its own address shows it."""
    return {**tee["variants"][index], "product_id": tee["id"], "product_handle": tee["handle"]}


# --- read -------------------------------------------------------------------------------------


def test_a_variant_is_found_by_its_sku(client: FlaskClient, tee: dict[str, Any]) -> None:
    response = client.get(f"{VARIANTS}/A-L")

    assert response.status_code == 200
    assert response.get_json() == shown(tee, 1)
    assert response.headers["ETag"] == client.get(f"{URL}/tee").headers["ETag"]


@pytest.mark.parametrize(
    ("sku", "path"),
    [
        ("AB/12", "AB/12"),
        ("AB/12", "AB%2F12"),
        ("AB//12/", "AB//12/"),
        ("Caf\u00e9", "Cafe%CC%81"),
        ("Caf\u00e9", "Caf%C3%A9"),
        ("a b", "%20a%20b%20"),
        ("A?#%", "A%3F%23%25"),
        ("..;x", "..;x"),
        ("4711", "4711"),
    ],
)
def test_a_sku_may_be_any_text(admin: FlaskClient, sku: str, path: str) -> None:
    created(admin, sku=sku)

    assert admin.get(f"{VARIANTS}/{path}").get_json()["sku"] == sku
    assert patch(admin, path, stock=1).get_json()["sku"] == sku


@pytest.mark.parametrize("sku", ["B", "a-m", "A-M/", "A-M/x", "%00", "A-M%00", "%ED%A0%80", "%20"])
def test_what_no_variant_carries_is_not_found(
    admin: FlaskClient, tee: dict[str, Any], sku: str
) -> None:
    for response in (admin.get(f"{VARIANTS}/{sku}"), patch(admin, sku, stock=1)):
        assert response.status_code == 404
        assert response.get_json()["code"] == "variant_not_found"


def test_slashes_are_not_merged(admin: FlaskClient, tee: dict[str, Any]) -> None:
    response = admin.get(f"{VARIANTS}//A-M")  # and not a redirection to another SKU

    assert (response.status_code, response.get_json()["code"]) == (404, "not_found")


def test_a_sku_of_several_variants_lists_them(admin: FlaskClient, tee: dict[str, Any]) -> None:
    mug = created(admin, handle="mug", sku="A-M")

    for response in (admin.get(f"{VARIANTS}/A-M"), patch(admin, "A-M", stock=1)):
        problem = response.get_json()
        assert (response.status_code, problem["code"]) == (409, "ambiguous_sku")
        assert problem["candidates"] == [
            {
                "variant_id": product["variants"][0]["id"],
                "options": product["variants"][0]["options"],
                "product_id": product["id"],
                "product_handle": product["handle"],
            }
            for product in (tee, mug)
        ]


def test_a_hundred_of_hundreds_are_listed(admin: FlaskClient) -> None:
    created(admin, variants=[{"sku": "A", "options": {"N": str(n)}} for n in range(150)])

    problem = admin.get(f"{VARIANTS}/A").get_json()

    assert len(problem["candidates"]) == 100
    assert "and others" in problem["detail"]


def test_a_visitor_sees_variants_of_active_products_alone(
    admin: FlaskClient, client: FlaskClient, tee: dict[str, Any]
) -> None:
    created(admin, sku="A-M", status="draft")

    assert client.get(f"{VARIANTS}/A-M").get_json() == shown(tee, 0)
    assert admin.get(f"{VARIANTS}/A-M").status_code == 409
    admin.patch(f"{URL}/tee", json={"status": "archived"})
    assert client.get(f"{VARIANTS}/A-M").status_code == 404


def test_a_deleted_product_takes_its_variants_along(
    admin: FlaskClient, tee: dict[str, Any]
) -> None:
    admin.delete(f"{URL}/tee")

    assert admin.get(f"{VARIANTS}/A-M").status_code == 404
    assert patch(admin, "A-M", stock=1).status_code == 404


def test_an_unchanged_variant_is_not_sent_again(admin: FlaskClient, tee: dict[str, Any]) -> None:
    tag = admin.get(f"{VARIANTS}/A-M").headers["ETag"]

    same = admin.get(f"{VARIANTS}/A-M", headers={"If-None-Match": tag})
    patch(admin, "A-M", stock=2)
    changed = admin.get(f"{VARIANTS}/A-M", headers={"If-None-Match": tag})

    assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)
    assert changed.status_code == 200


@pytest.mark.parametrize("headers", [{}, ADMIN])
def test_a_read_is_one_statement_without_a_transaction(
    app: Flask, client: FlaskClient, tee: dict[str, Any], headers: dict[str, str]
) -> None:
    client.get(f"{VARIANTS}/A-M", headers=headers)  # which prepares it

    with app.app_context(), statements() as sent:
        response = client.get(f"{VARIANTS}/A-M", headers=headers)

    assert response.status_code == 200
    assert [statement.autocommit for statement in sent] == [True]


def test_a_shop_may_keep_its_variants_to_itself(
    client: FlaskClient, tee: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.auth.settings", replace(settings, public_reads=False))

    assert client.get(f"{VARIANTS}/A-M").status_code == 401


# --- patch ------------------------------------------------------------------------------------


def test_a_patch_changes_the_variant_and_its_product(
    admin: FlaskClient, tee: dict[str, Any]
) -> None:
    change = {
        "price": 7.5, "compare_at_price": "9", "stock": -1, "backorder": True, "barcode": "4711",
        "weight_grams": 180.5,
    }  # fmt: skip

    response = patch(admin, "A-L", **change)

    assert response.status_code == 200, response.text
    now = {**shown(tee, 1), **change, "price": "7.50", "compare_at_price": "9.00"}
    assert response.get_json() == now
    read = admin.get(f"{VARIANTS}/A-L")
    assert (read.get_json(), read.headers["ETag"]) == (now, response.headers["ETag"])
    product = admin.get(f"{URL}/tee").get_json()
    assert [shown(product, 0), shown(product, 1)] == [shown(tee, 0), now]
    assert product["version"] == 2
    assert product["updated_at"] > tee["updated_at"]


def test_a_list_shows_the_new_price_at_once(admin: FlaskClient, tee: dict[str, Any]) -> None:
    patch(admin, "A-L", price="1")

    listed = admin.get(URL, query_string={"price[lt]": "2"}).get_json()["data"]

    assert [product["variants"][1]["price"] for product in listed] == ["1.00"]


def test_null_takes_a_value_away(admin: FlaskClient, tee: dict[str, Any]) -> None:
    patch(admin, "A-M", backorder=True, barcode="4711")

    changed = patch(admin, "A-M", stock=None, price=None, barcode=None, backorder=None).get_json()

    taken = [changed[name] for name in ("stock", "price", "barcode", "backorder")]
    assert taken == [None, None, None, False]


@pytest.mark.parametrize("change", [{}, {"stock": 3}, {"price": 5, "backorder": False}])
def test_a_patch_that_changes_nothing_leaves_the_version(
    admin: FlaskClient, tee: dict[str, Any], change: dict[str, Any]
) -> None:
    response = patch(admin, "A-M", **change)

    assert response.get_json() == shown(tee, 0)
    assert admin.get(f"{URL}/tee").get_json() == tee


def test_what_was_read_can_be_sent_back(admin: FlaskClient, tee: dict[str, Any]) -> None:
    sent = {**admin.get(f"{VARIANTS}/A-M").get_json(), "stock": 2}

    assert patch(admin, "A-M", **sent).get_json() == sent


@pytest.mark.parametrize(
    "change",
    [{"sku": "B"}, {"sku": None}, {"options": {"Size": "S"}}, {"options": {}}, {"id": 1},
     {"product_id": 1}, {"product_handle": "mug"}],
)  # fmt: skip
def test_what_tells_a_variant_apart_is_not_changed_here(
    admin: FlaskClient, tee: dict[str, Any], change: dict[str, Any]
) -> None:
    response = patch(admin, "A-M", **change)

    assert response.status_code == 422
    assert faults_of(response) == [("read_only", f"/{next(iter(change))}")]
    assert admin.get(f"{URL}/tee").get_json() == tee


def test_a_variant_of_a_draft_is_patched_too(admin: FlaskClient) -> None:
    created(admin, sku="A", status="draft")

    assert patch(admin, "A", stock=1).status_code == 200


def test_writing_needs_a_key(client: FlaskClient, tee: dict[str, Any]) -> None:
    assert client.patch(f"{VARIANTS}/A-M", json={"stock": 1}).status_code == 401


def test_the_media_types_of_a_patch_are_told(admin: FlaskClient, tee: dict[str, Any]) -> None:
    assert "merge-patch+json" in admin.options(f"{VARIANTS}/A-M").headers["Accept-Patch"]
