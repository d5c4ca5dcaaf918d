"""`PATCH` and `DELETE /api/v1/products/{ref}`."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from catalog.merging import merged
from models import Product
from tests.stage import created

URL = "/api/v1/products"


def patch(admin: FlaskClient, product: dict[str, Any], **change: Any) -> TestResponse:
    """The answer to a merge patch."""
    return admin.patch(
        f"{URL}/{product['id']}", json=change, content_type="application/merge-patch+json"
    )


def patched(admin: FlaskClient, product: dict[str, Any], **change: Any) -> dict[str, Any]:
    """The product after a merge patch that is taken; reading shows the same."""
    response = patch(admin, product, **change)
    assert response.status_code == 200, response.text
    assert admin.get(f"{URL}/{product['id']}").data == response.data
    changed: dict[str, Any] = response.get_json()
    return changed


def first_fault(response: TestResponse) -> tuple[str, str | None]:
    """The code of a problem's first fault, and its place."""
    fault = response.get_json()["errors"][0]
    return fault["code"], fault.get("pointer", fault.get("parameter"))


@pytest.mark.parametrize(
    ("target", "change", "result"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_merges_as_rfc_7396_says(target: Any, change: Any, result: Any) -> None:
    assert merged(target, change) == result


def test_only_what_is_named_changes(admin: FlaskClient) -> None:
    tee = created(admin, handle="tee", vendor="Acme", price="5", weight_grams=180.5, stock=3)

    changed = patched(admin, tee, name="T-Shirt")

    moved = {name: changed[name] for name in ("name", "version", "updated_at")}
    assert changed == {**tee, **moved}
    assert moved["name"] == "T-Shirt"


def test_null_resets_a_field(admin: FlaskClient) -> None:
    tee = created(admin, vendor="Acme", tags=["new"], status="draft", metadata={"a": 1}, stock=3)

    changed = patched(admin, tee, vendor=None, tags=None, status=None, metadata=None, stock=None)

    assert [changed[name] for name in ("vendor", "tags", "status", "metadata")] == [
        None, [], "active", {}
    ]  # fmt: skip
    assert changed["variants"][0]["stock"] is None


@pytest.mark.parametrize("field", ["name", "handle"])
def test_null_cannot_take_what_a_product_must_have(admin: FlaskClient, field: str) -> None:
    response = patch(admin, created(admin), **{field: None})

    assert response.status_code == 422
    assert first_fault(response) == ("required", f"/{field}")


def test_metadata_merges_at_every_depth(admin: FlaskClient) -> None:
    tee = created(admin, metadata={"a": {"b": 1, "c": 2}, "d": [1, 2], "e": "f"})

    changed = patched(admin, tee, metadata={"a": {"b": None, "x": {"y": None, "z": 0}}, "d": [3]})

    assert changed["metadata"] == {"a": {"c": 2, "x": {"z": 0}}, "d": [3], "e": "f"}


@pytest.mark.parametrize(("before", "after"), [(1, True), (True, 1), (0, False), ([1], [True])])
def test_a_number_and_a_truth_value_are_not_the_same(
    admin: FlaskClient, before: Any, after: Any
) -> None:
    tee = created(admin, metadata={"flag": before})

    changed = patched(admin, tee, metadata={"flag": after})

    assert repr(changed["metadata"]["flag"]) == repr(after)
    assert changed["version"] == 2


def test_a_change_counts_the_version_up_and_moves_updated_at(admin: FlaskClient) -> None:
    tee = created(admin)

    changed = patched(admin, tee, name="Mug")

    assert changed["version"] == 2
    assert changed["updated_at"] > tee["updated_at"]
    assert changed["created_at"] == tee["created_at"]


def test_a_change_of_a_variant_alone_counts_too(admin: FlaskClient) -> None:
    tee = created(admin, stock=3)

    changed = patched(admin, tee, stock=4)

    assert changed["version"] == 2
    assert changed["updated_at"] > tee["updated_at"]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"name": "Tee", "tags": ["a", "a"], "status": "active", "vendor": None},
        {"price": 5, "weight_grams": "180.500"},
        {"metadata": {"a": 1}},
        {"metadata": {"gone": None}},
        {"variants": []},
    ],
)
def test_a_patch_that_changes_nothing_leaves_the_version(
    admin: FlaskClient, change: dict[str, Any]
) -> None:
    tee = created(admin, name="Tee", tags=["a"], price="5", weight_grams=180.5, metadata={"a": 1})

    assert patched(admin, tee, **change) == tee


def test_a_new_handle_replaces_the_old_one(admin: FlaskClient) -> None:
    tee = created(admin, handle="tee")

    patched(admin, tee, handle="t-shirt")

    assert admin.get(f"{URL}/tee").status_code == 404
    assert admin.get(f"{URL}/t-shirt").status_code == 200


def test_a_handle_of_another_product_is_a_conflict(admin: FlaskClient) -> None:
    created(admin, handle="mug")

    response = patch(admin, created(admin, handle="tee"), handle="mug")

    assert response.status_code == 409
    assert first_fault(response) == ("handle_taken", "/handle")


# --- variants ---------------------------------------------------------------------------------


@pytest.fixture
def sizes(admin: FlaskClient) -> dict[str, Any]:
    """A product with three variants."""
    rows = [("M", "A-M", "1"), ("L", "A-L", "2"), ("XL", None, "3")]
    return created(
        admin,
        variants=[{"options": {"Size": s}, "sku": k, "price": p} for s, k, p in rows],
    )


def prices(product: dict[str, Any]) -> dict[str, str]:
    """The price of each size."""
    return {v["options"].get("Size", "-"): v["price"] for v in product["variants"]}


def test_variants_are_named_by_id_sku_or_options_and_the_others_stay(
    admin: FlaskClient, sizes: dict[str, Any]
) -> None:
    by_id = {"id": sizes["variants"][0]["id"], "price": "10"}
    by_sku = {"sku": "A-L", "price": "20"}
    by_options = {"options": {"Size": "XL"}, "sku": "A-XL"}

    first = patched(admin, sizes, variants=[by_options])
    changed = patched(admin, sizes, variants=[by_sku, by_id])

    assert first["variants"][2] == {**sizes["variants"][2], "sku": "A-XL"}
    assert prices(changed) == {"M": "10.00", "L": "20.00", "XL": "3.00"}
    ids = [variant["id"] for variant in sizes["variants"]]
    assert [variant["id"] for variant in changed["variants"]] == ids


def test_a_variant_that_is_not_there_is_added(admin: FlaskClient, sizes: dict[str, Any]) -> None:
    changed = patched(
        admin, sizes, variants=[{"options": {"Size": "S", "Fit": "slim"}, "price": "4"}]
    )

    assert prices(changed) == {"M": "1.00", "L": "2.00", "XL": "3.00", "S": "4.00"}
    assert set(changed["options"]) == {"Size", "Fit"}


def test_a_variants_options_may_be_changed_by_its_id(
    admin: FlaskClient, sizes: dict[str, Any]
) -> None:
    entry = {"id": sizes["variants"][0]["id"], "options": {"Size": "XS"}}

    assert "XS" in prices(patched(admin, sizes, variants=[entry]))


def test_a_sku_that_several_variants_carry_is_a_conflict_that_lists_them(
    admin: FlaskClient,
) -> None:
    tee = created(admin, variants=[{"options": {"Size": size}, "sku": "A"} for size in ("M", "L")])

    response = patch(admin, tee, variants=[{"sku": "A", "price": "1"}])

    assert response.status_code == 409
    assert first_fault(response) == ("ambiguous_sku", "/variants/0/sku")
    for variant in tee["variants"]:
        assert str(variant["id"]) in response.get_json()["errors"][0]["detail"]


def test_the_variant_of_another_product_is_unknown(
    admin: FlaskClient, sizes: dict[str, Any]
) -> None:
    other = created(admin)["variants"][0]["id"]

    own = sizes["variants"][0]["id"]

    for unknown in (other, str(own), float(own), True, None, 2**70):
        response = patch(admin, sizes, variants=[{"id": unknown, "price": "1"}])

        assert response.status_code == 422
        assert first_fault(response) == ("unknown_variant", "/variants/0/id")


def test_a_variant_is_not_named_twice(admin: FlaskClient, sizes: dict[str, Any]) -> None:
    response = patch(admin, sizes, variants=[{"sku": "A-M"}, {"options": {"Size": "M"}}])

    assert response.status_code == 422
    assert first_fault(response) == ("named_twice", "/variants/1")


def test_a_variant_does_not_take_the_options_of_another(
    admin: FlaskClient, sizes: dict[str, Any]
) -> None:
    response = patch(admin, sizes, variants=[{"sku": "A-M", "options": {"Size": "L"}}])

    assert response.status_code == 422
    assert first_fault(response)[0] == "duplicate_options"
    assert admin.get(f"{URL}/{sizes['id']}").get_json() == sizes


def test_the_fields_of_one_variant_mean_no_one_of_several(
    admin: FlaskClient, sizes: dict[str, Any]
) -> None:
    response = patch(admin, sizes, price="1")

    assert response.status_code == 422
    assert first_fault(response) == ("ambiguous_variant", "/price")


def test_faults_point_to_where_the_client_wrote(admin: FlaskClient, sizes: dict[str, Any]) -> None:
    in_a_variant = patch(admin, sizes, variants=[{"sku": "A-M"}, {"sku": "A-L", "price": "x"}])
    at_the_top = patch(admin, created(admin), price="x")

    assert first_fault(in_a_variant) == ("not_a_number", "/variants/1/price")
    assert first_fault(at_the_top) == ("not_a_number", "/price")


# --- delete -----------------------------------------------------------------------------------


def test_a_deleted_product_is_gone_from_everywhere(admin: FlaskClient) -> None:
    tee = created(admin, handle="tee")

    response = admin.delete(f"{URL}/tee")

    assert (response.status_code, response.data) == (204, b"")
    for ref in ("tee", tee["id"]):
        assert admin.get(f"{URL}/{ref}").status_code == 404
        assert admin.patch(f"{URL}/{ref}", json={"name": "x"}).status_code == 404
        assert admin.delete(f"{URL}/{ref}").status_code == 404
    assert admin.get(URL).get_json()["data"] == []


def test_a_deleted_product_is_only_hidden(admin: FlaskClient, session: Session) -> None:
    tee = created(admin)

    admin.delete(f"{URL}/{tee['id']}")

    assert session.get_one(Product, tee["id"]).deleted_at is not None


def test_a_deleted_product_gives_its_handle_free(admin: FlaskClient) -> None:
    created(admin, handle="tee")
    admin.delete(f"{URL}/tee")

    again = created(admin, handle="tee")

    assert admin.get(f"{URL}/tee").get_json() == again


def test_a_patch_finds_a_variant_by_the_sku_and_options_as_they_are_stored(
    admin: FlaskClient,
) -> None:
    mug = created(admin, variants=[{"sku": "Caf\u00e9", "options": {"Size": "M"}}])

    patched(admin, mug, variants=[{"sku": " Cafe\u0301 ", "price": "5"}])
    after = patched(admin, mug, variants=[{"options": {"Size": " M "}, "stock": 3}])

    (variant,) = after["variants"]
    assert (variant["sku"], variant["price"], variant["stock"]) == ("Caf\u00e9", "5.00", 3)


@pytest.mark.parametrize(
    "change",
    [
        {"variants": [{"options": {"Size": "M", " Size": "L"}}]},
        {"metadata": {"\u00e9": 1, "e\u0301": 2}},
    ],
)
def test_names_that_become_equal_are_refused(admin: FlaskClient, change: dict[str, Any]) -> None:
    mug = created(admin)

    response = patch(admin, mug, **change)

    assert response.status_code == 422
    assert first_fault(response)[0] == "duplicate_name"
