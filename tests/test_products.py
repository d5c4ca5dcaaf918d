"""`/api/v1/products`: creating and reading, and who may."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import settings
from tests.stage import ADMIN, created
from tests.statements import statements

URL = "/api/v1/products"


def first_fault(response: TestResponse) -> tuple[str, str | None]:
    """The code of a problem's first fault, and its place."""
    fault = response.get_json()["errors"][0]
    return fault["code"], fault.get("pointer", fault.get("parameter"))


# --- create -----------------------------------------------------------------------------------


def test_a_product_without_variants_gets_one_from_its_own_fields(admin: FlaskClient) -> None:
    product = created(
        admin, name="Tee", sku="T-1", price="19.9", compare_at_price=25, barcode="123",
        weight_grams=180.5, stock=-2, backorder=True,
    )  # fmt: skip

    (variant,) = product["variants"]
    assert variant == {
        "id": variant["id"], "options": {}, "sku": "T-1", "price": "19.90",
        "compare_at_price": "25.00", "barcode": "123", "weight_grams": 180.5, "stock": -2,
        "backorder": True,
    }  # fmt: skip


def test_the_least_product_shows_every_field(admin: FlaskClient) -> None:
    product = created(admin, name=" Tee ")

    assert product == {
        "id": product["id"], "handle": "tee", "name": "Tee", "description": None,
        "status": "active", "vendor": None, "category": None, "tags": [], "options": [],
        "images": [], "metadata": {}, "version": 1, "created_at": product["created_at"],
        "updated_at": product["created_at"],
        "variants": [{
            "id": product["variants"][0]["id"], "options": {}, "sku": None, "price": None,
            "compare_at_price": None, "barcode": None, "weight_grams": None, "stock": None,
            "backorder": False,
        }],
    }  # fmt: skip


def test_times_are_rfc_3339_in_utc(admin: FlaskClient) -> None:
    from_digits = created(admin)["created_at"].translate(str.maketrans("123456789", "0" * 9))

    assert from_digits == "0000-00-00T00:00:00.000000Z"


def test_variants_keep_their_order_and_name_the_options(admin: FlaskClient) -> None:
    sent: list[dict[str, Any]] = [{"options": {"Size": "M", "Color": "red"}}, {"options": {}}]

    product = created(admin, options=["Fit", "Color"], variants=sent)

    assert [variant["options"] for variant in product["variants"]] == [s["options"] for s in sent]
    assert product["options"] == ["Fit", "Color", "Size"]


@pytest.mark.parametrize("variants", [[], [{"options": {"Size": "M"}}]])
def test_variants_and_the_fields_of_one_are_not_both_taken(
    admin: FlaskClient, variants: list[Any]
) -> None:
    response = admin.post(URL, json={"name": "Tee", "price": "1", "variants": variants})

    assert response.status_code == 422
    assert first_fault(response) == ("both_at_once", "/price")


def test_variants_that_cannot_be_told_apart_are_refused(admin: FlaskClient) -> None:
    same: list[dict[str, Any]] = [
        {"options": {"Size": "M", "Color": "red"}},
        {"options": {"Size": "L"}},
        {"options": {"Color": "red", "Size": " M "}},
    ]

    response = admin.post(URL, json={"name": "Tee", "variants": same})

    assert response.status_code == 422
    assert first_fault(response) == ("duplicate_options", "/variants/2/options")


def test_variants_name_no_more_options_than_a_product_may_have(admin: FlaskClient) -> None:
    many = [{"options": {f"Option {number}": "x"}} for number in range(21)]

    response = admin.post(URL, json={"name": "Tee", "variants": many})

    assert response.status_code == 422
    assert first_fault(response) == ("too_many", "/options")


def test_a_derived_handle_is_numbered_until_it_is_free(admin: FlaskClient) -> None:
    handles = [
        created(admin, name=name)["handle"] for name in ("Blue Tee", "Blue  tee!", "blue-tee")
    ]

    assert handles == ["blue-tee", "blue-tee-2", "blue-tee-3"]


def test_a_handle_that_was_chosen_and_is_taken_is_a_conflict(admin: FlaskClient) -> None:
    created(admin, handle="tee")

    response = admin.post(URL, json={"name": "Other", "handle": "tee"})

    assert response.status_code == 409
    assert response.get_json()["code"] == "handle_taken"
    assert first_fault(response) == ("handle_taken", "/handle")


@pytest.mark.parametrize("handle", ["cà-phê-sữa", "tee™", "🎁 box", "日本茶", "a?b#c%d", "..;x"])
def test_a_handle_may_be_any_text_and_finds_its_product(admin: FlaskClient, handle: str) -> None:
    product = created(admin, handle=handle)

    quoted = "".join(f"%{byte:02X}" for byte in handle.encode())
    assert product["handle"] == handle
    assert admin.get(f"{URL}/{quoted}").get_json() == product


def test_text_is_stored_composed(admin: FlaskClient) -> None:
    product = created(
        admin,
        name="Cafe\u0301",
        handle="cafe\u0301",
        tags=["e\u0301"],
        metadata={"e\u0301": "e\u0301"},
    )

    assert [product[name] for name in ("name", "handle", "tags", "metadata")] == [
        "Café", "café", ["é"], {"é": "é"}
    ]  # fmt: skip
    assert admin.get(f"{URL}/cafe\u0301").get_json() == product


def test_tags_are_kept_once_in_their_order(admin: FlaskClient) -> None:
    assert created(admin, tags=["new", " sale", "new ", "sale"])["tags"] == ["new", "sale"]


def test_the_answer_says_where_the_product_is_and_which_version(admin: FlaskClient) -> None:
    response = admin.post(URL, json={"name": "Tee"}, base_url="https://shop.example")

    product = response.get_json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"https://shop.example{URL}/{product['id']}"
    again = admin.get(response.headers["Location"])
    assert again.headers["ETag"] == response.headers["ETag"]
    assert again.data == response.data


# --- read -------------------------------------------------------------------------------------


def test_a_product_is_found_by_id_and_by_handle(admin: FlaskClient, client: FlaskClient) -> None:
    product = created(admin, handle="tee")

    assert client.get(f"{URL}/{product['id']}").get_json() == product
    assert client.get(f"{URL}/tee").get_json() == product


def test_digits_alone_are_an_id_and_such_a_handle_is_found_by_the_list(
    admin: FlaskClient, client: FlaskClient
) -> None:
    first = created(admin, name="Tee")
    second = created(admin, handle=str(first["id"]))

    assert client.get(f"{URL}/{first['id']}").get_json() == first
    assert client.get(URL, query_string={"handle": first["id"]}).get_json()["data"] == [second]


@pytest.mark.parametrize("ref", ["no-such", "0", "9" * 18, "9" * 19, "9" * 400, "-1", "1.0", "TEE"])
def test_what_is_not_there_is_not_found(admin: FlaskClient, client: FlaskClient, ref: str) -> None:
    created(admin, handle="tee")

    response = client.get(f"{URL}/{ref}")

    assert response.status_code == 404
    assert response.get_json()["code"] == "product_not_found"


def test_an_unchanged_product_is_not_sent_again(admin: FlaskClient) -> None:
    url = f"{URL}/{created(admin)['id']}"
    tag = admin.get(url).headers["ETag"]

    same = admin.get(url, headers={"If-None-Match": tag})
    admin.patch(url, json={"name": "Lungo"})
    changed = admin.get(url, headers={"If-None-Match": tag})

    assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


@pytest.mark.parametrize("query", ["/tee", "", "?limit=2&status=active", "?handle=tee"])
@pytest.mark.parametrize("headers", [{}, ADMIN])
def test_a_read_is_one_statement_without_a_transaction(
    app: Flask, admin: FlaskClient, client: FlaskClient, query: str, headers: dict[str, str]
) -> None:
    created(admin, handle="tee")
    for _ in range(2):  # which prepares it, and then what looks whether it is still the same
        client.get(URL + query, headers=headers)

    with app.app_context(), statements() as sent:
        response = client.get(URL + query, headers=headers)

    assert response.status_code == 200
    (statement,) = sent
    assert statement.sql.startswith(("SELECT", "EXECUTE"))
    assert statement.autocommit


# --- keys -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("PATCH", "/tee"), ("DELETE", "/tee")])
def test_writing_needs_a_key(client: FlaskClient, method: str, path: str) -> None:
    response = client.open(URL + path, method=method, json={"name": "Tee"})

    assert response.status_code == 401
    assert response.get_json()["code"] == "key_missing"
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="pushcart"'


@pytest.mark.parametrize("sent", ["Bearer no-such-key", "Bearer", "", "Basic YTpi", "Bearer \xff"])
def test_an_unknown_key_is_refused_even_where_none_is_needed(
    client: FlaskClient, sent: str
) -> None:
    response = client.get(URL, headers={"Authorization": sent})

    assert response.status_code == 401
    assert response.get_json()["code"] == "key_unknown"
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="pushcart"'


def test_a_shop_may_keep_its_products_to_itself(
    client: FlaskClient, admin: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(admin, handle="tee")
    monkeypatch.setattr("api.auth.settings", replace(settings, public_reads=False))

    for path in (URL, f"{URL}/tee"):
        assert client.get(path).status_code == 401
        assert admin.get(path).status_code == 200
