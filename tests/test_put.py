"""`PUT /api/v1/products/{ref}`: the whole of a product, replaced or created."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.stage import created, faults_of

URL = "/api/v1/products"
SIZES = [{"options": {"Size": size}, "sku": f"A-{size}", "price": "5"} for size in ("M", "L", "XL")]


def put(admin: FlaskClient, ref: object, **sent: Any) -> TestResponse:
    """The answer to a whole product."""
    return admin.put(f"{URL}/{ref}", json=sent)


def stored(admin: FlaskClient, ref: object, **sent: Any) -> dict[str, Any]:
    """The product as a PUT that is taken leaves it; reading shows the same."""
    response = put(admin, ref, **sent)
    assert response.status_code in (200, 201), response.text
    product: dict[str, Any] = response.get_json()
    assert admin.get(f"{URL}/{product['id']}").data == response.data
    return product


def ids(product: dict[str, Any]) -> dict[str, int]:
    """The id of each size."""
    return {variant["options"].get("Size", "-"): variant["id"] for variant in product["variants"]}


# --- create -----------------------------------------------------------------------------------


def test_a_handle_that_is_free_creates_a_product(admin: FlaskClient) -> None:
    response = admin.put(f"{URL}/tee", json={"name": "T", "price": "5"}, base_url="https://a.shop")

    product = response.get_json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"https://a.shop{URL}/{product['id']}"
    assert (product["handle"], product["version"]) == ("tee", 1)
    assert product["variants"][0]["price"] == "5.00"
    read = admin.get(f"{URL}/tee")
    assert (read.data, read.headers["ETag"]) == (response.data, response.headers["ETag"])


def test_the_body_may_repeat_the_handle(admin: FlaskClient) -> None:
    assert stored(admin, "cafe\u0301", name="C", handle=" caf\u00e9 ")["handle"] == "caf\u00e9"
    assert stored(admin, "tee", name="T", handle=None)["handle"] == "tee"


def test_the_body_does_not_name_another_handle(admin: FlaskClient) -> None:
    response = put(admin, "tee", name="Tee", handle="mug")

    assert response.status_code == 422
    assert faults_of(response) == [("other_handle", "/handle")]


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ("x" * 256, "too_long"),
        ("a%00b", "nul_character"),
        ("%20", "blank"),
        ("a%0Ab", "control_character"),
    ],
)
def test_an_address_that_is_no_handle_creates_nothing(
    admin: FlaskClient, ref: str, code: str
) -> None:
    response = put(admin, ref, name="Tee")

    assert response.status_code == 422
    assert faults_of(response) == [(code, "/handle")]


@pytest.mark.parametrize("ref", ["999999999", "9" * 30, "0"])
def test_an_id_creates_nothing(admin: FlaskClient, ref: str) -> None:
    response = put(admin, ref, name="Tee")

    assert response.status_code == 404
    assert response.get_json()["code"] == "product_not_found"


def test_ids_are_not_chosen(admin: FlaskClient) -> None:
    product = put(admin, "tee", name="Tee", id=5)
    variant = put(admin, "tee", name="Tee", variants=[{"id": 5}])

    assert (product.status_code, faults_of(product)) == (422, [("read_only", "/id")])
    assert faults_of(variant) == [("unknown_field", "/variants/0/id")]


def test_the_handle_of_a_deleted_product_makes_a_new_one(admin: FlaskClient) -> None:
    old = created(admin, handle="tee")
    admin.delete(f"{URL}/tee")

    assert stored(admin, "tee", name="Tee")["id"] != old["id"]


# --- replace ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"price": "5", "weight_grams": 180.5, "stock": -2, "backorder": True, "sku": "A"},
        {
            "description": "<b>x</b>", "status": "draft", "vendor": "V", "category": "A > B",
            "tags": ["b", "a"], "options": ["Fit", "Size"], "variants": SIZES,
            "images": [{"url": "https://a/b"}, {"url": "https://a/c", "alt": "C"}],
            "metadata": {"a": [1, 2.5, True, {"b": "\u00e9"}], "c": {}},
        },
        {"variants": [{"options": {"Size": str(n)}, "sku": "same"} for n in range(3)]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("ref", ["id", "handle"])
def test_what_was_read_can_be_sent_back_and_changes_nothing(
    admin: FlaskClient, fields: dict[str, Any], ref: str
) -> None:
    product = created(admin, **fields)
    address = f"{URL}/{product[ref]}"

    response = admin.put(address, data=admin.get(address).data, content_type="application/json")

    assert response.status_code == 200
    assert response.get_json() == product


def test_what_is_absent_falls_back_to_its_default(admin: FlaskClient) -> None:
    tee = created(
        admin, handle="tee", description="d", status="draft", vendor="V", category="C", tags=["t"],
        images=[{"url": "https://a/b"}], metadata={"a": 1}, price="5", stock=3,
    )  # fmt: skip

    replaced = stored(admin, "tee", name="Tee")

    fresh = created(admin, name="Tee", handle="fresh")
    given = ("id", "handle", "version", "created_at", "updated_at", "variants")
    assert {n: v for n, v in replaced.items() if n not in given} == {
        n: v for n, v in fresh.items() if n not in given
    }
    assert replaced["variants"] == [{**fresh["variants"][0], "id": tee["variants"][0]["id"]}]
    assert (replaced["id"], replaced["handle"], replaced["version"]) == (tee["id"], "tee", 2)
    assert replaced["created_at"] == tee["created_at"]
    assert replaced["updated_at"] > tee["updated_at"]


def test_the_name_is_never_absent(admin: FlaskClient) -> None:
    created(admin, handle="tee")

    response = put(admin, "tee", price="5")

    assert response.status_code == 422
    assert faults_of(response) == [("required", "/name")]


def test_another_handle_renames(admin: FlaskClient) -> None:
    tee = created(admin, handle="tee")

    assert stored(admin, "tee", name="Tee", handle="t-shirt")["id"] == tee["id"]
    assert admin.get(f"{URL}/tee").status_code == 404


def test_the_handle_of_another_product_is_a_conflict(admin: FlaskClient) -> None:
    created(admin, handle="tee")
    created(admin, handle="mug")

    response = put(admin, "tee", name="Tee", handle="mug")

    assert response.status_code == 409
    assert faults_of(response) == [("handle_taken", "/handle")]


def test_the_id_in_the_body_is_the_products_own(admin: FlaskClient) -> None:
    tee, mug = created(admin, handle="tee"), created(admin, handle="mug")

    for wrong in (mug["id"], str(tee["id"]), float(tee["id"]), None, True):
        response = put(admin, "tee", name="Tee", id=wrong)

        assert response.status_code == 422
        assert faults_of(response) == [("read_only", "/id")]


def test_other_values_of_the_server_count_for_nothing(admin: FlaskClient) -> None:
    tee = created(admin, name="Tee", handle="tee")

    assert stored(admin, "tee", name="Tee", version=99, created_at="x", updated_at=None) == tee
    assert stored(admin, "mug", name="Mug", version=99, created_at="x")["version"] == 1


# --- variants ---------------------------------------------------------------------------------


def test_the_variants_that_are_not_named_go(admin: FlaskClient) -> None:
    before = created(admin, handle="tee", variants=SIZES)

    after = stored(admin, "tee", name="Tee", variants=SIZES[1:])

    assert ids(after) == {size: ids(before)[size] for size in ("L", "XL")}


def test_without_variants_one_is_left(admin: FlaskClient) -> None:
    created(admin, handle="tee", options=["Size"], variants=SIZES)

    ways: list[dict[str, Any]] = [{}, {"variants": []}, {"price": "7"}]
    for sent in ways:
        after = stored(admin, "tee", name="Tee", **sent)

        assert [variant["options"] for variant in after["variants"]] == [{}]
        assert after["options"] == []


@pytest.mark.parametrize(
    "entry",
    [
        {"sku": "new", "options": {"Size": "M"}},
        {"sku": "A-M", "options": {"Size": "Medium"}},
        {"sku": " A-M ", "options": {" Size ": " M "}},
    ],
)
def test_a_variant_keeps_its_id_by_its_options_or_its_sku(
    admin: FlaskClient, entry: dict[str, Any]
) -> None:
    before = created(admin, handle="tee", variants=SIZES)

    (variant,) = stored(admin, "tee", name="Tee", variants=[{**entry, "price": "9"}])["variants"]

    assert variant["id"] == ids(before)["M"]
    assert variant["price"] == "9.00"


def test_a_variant_named_by_its_id_may_change_in_everything(admin: FlaskClient) -> None:
    before = created(admin, handle="tee", variants=SIZES)
    sent = {"id": ids(before)["XL"], "sku": "A-M", "options": {"Size": "L"}}

    (variant,) = stored(admin, "tee", name="Tee", variants=[sent])["variants"]

    assert (variant["id"], variant["sku"], variant["price"]) == (sent["id"], "A-M", None)


def test_options_are_asked_before_skus(admin: FlaskClient) -> None:
    before = created(admin, handle="tee", variants=SIZES[:2])
    swapped = [{**SIZES[0], "sku": "A-L"}, {**SIZES[1], "sku": "A-M"}]

    after = stored(admin, "tee", name="Tee", variants=swapped)

    assert ids(after) == ids(before)
    assert [variant["sku"] for variant in after["variants"]] == ["A-L", "A-M"]


def test_a_sku_that_several_variants_carry_names_none_of_them(admin: FlaskClient) -> None:
    same = [{**variant, "sku": "A"} for variant in SIZES]
    before = created(admin, handle="tee", variants=same)

    after = stored(admin, "tee", name="Tee", variants=[*same[:1], {**same[1], "options": {}}])

    assert ids(after)["M"] == ids(before)["M"]
    assert ids(after)["-"] not in ids(before).values()


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_variants_may_trade_their_options(admin: FlaskClient, method: str) -> None:
    before = ids(created(admin, handle="tee", variants=SIZES))
    turned = [
        {"id": before[old], "options": {"Size": new}}
        for old, new in (("M", "L"), ("L", "XL"), ("XL", "M"))
    ]

    response = admin.open(f"{URL}/tee", method=method, json={"name": "T", "variants": turned})

    assert response.status_code == 200, response.text
    assert ids(response.get_json()) == {"L": before["M"], "XL": before["L"], "M": before["XL"]}
    assert response.get_json()["version"] == 2


def test_a_variant_may_take_the_options_of_one_that_goes(admin: FlaskClient) -> None:
    before = ids(created(admin, handle="tee", variants=SIZES))
    sent = [{"id": before["M"], "options": {"Size": "L"}}, {"options": {"Size": "M"}}]

    after = ids(stored(admin, "tee", name="Tee", variants=sent))

    assert after["L"] == before["M"]
    assert after["M"] not in before.values()


def test_the_id_of_no_variant_and_one_named_twice_are_refused(admin: FlaskClient) -> None:
    tee = created(admin, handle="tee", variants=SIZES)
    other = created(admin)["variants"][0]["id"]

    for unknown in (other, str(ids(tee)["M"]), None, 2**70):
        response = put(admin, "tee", name="Tee", variants=[{"id": unknown}])
        assert response.status_code == 422
        assert faults_of(response) == [("unknown_variant", "/variants/0/id")]
    twice = [{"id": ids(tee)["M"], "options": {"Size": size}} for size in ("S", "T")]
    response = put(admin, "tee", name="Tee", variants=twice)
    assert faults_of(response) == [("named_twice", "/variants/1")]


def test_faults_point_to_where_the_client_wrote(admin: FlaskClient) -> None:
    created(admin, handle="tee")

    for ref in ("tee", "new"):
        at_the_top = put(admin, ref, name="Tee", price="x")
        both = put(admin, ref, name="Tee", price="1", variants=[])
        inside = put(admin, ref, name="Tee", variants=[{}, 5, {"price": "x"}])

        assert faults_of(at_the_top) == [("not_a_number", "/price")]
        assert faults_of(both) == [("both_at_once", "/price")]
        assert set(faults_of(inside)) == {
            ("invalid_type", "/variants/1"), ("not_a_number", "/variants/2/price")
        }  # fmt: skip


def test_a_product_of_many_variants_is_replaced_in_good_time(admin: FlaskClient) -> None:
    many = [{"options": {"N": str(n)}, "sku": "same"} for n in range(2048)]
    before = created(admin, handle="tee", variants=many)

    after = stored(admin, "tee", **{**before, "variants": before["variants"][::-1]})

    assert after == before


# --- a merge patch ----------------------------------------------------------------------------


def test_what_was_read_may_be_sent_as_a_patch_too(admin: FlaskClient) -> None:
    tee = created(admin, handle="tee", variants=SIZES, metadata={"a": {"b": 1}})

    response = admin.patch(f"{URL}/tee", json=tee)
    changed = admin.patch(f"{URL}/tee", json={**tee, "name": "Mug"}).get_json()

    assert response.get_json() == tee
    assert (changed["name"], changed["version"]) == ("Mug", 2)


@pytest.mark.parametrize(
    "wrong", [{"id": 1}, {"version": 2}, {"version": True}, {"created_at": "x"}, {"version": None}]
)
def test_a_patch_changes_nothing_that_the_server_gives(
    admin: FlaskClient, wrong: dict[str, Any]
) -> None:
    created(admin)
    created(admin, handle="tee")

    response = admin.patch(f"{URL}/tee", json=wrong)

    assert response.status_code == 422
    assert faults_of(response) == [("read_only", f"/{next(iter(wrong))}")]


def test_a_patch_adds_no_more_than_a_product_may_have(admin: FlaskClient) -> None:
    variants = [{"options": {f"Option {n % 20}": str(n)}} for n in range(2047)]
    created(admin, handle="tee", variants=variants)

    too_many = admin.patch(f"{URL}/tee", json={"variants": [{"options": {"N": "1"}}, {"sku": "x"}]})
    another_option = admin.patch(f"{URL}/tee", json={"variants": [{"options": {"N": "1"}}]})

    assert faults_of(too_many) == [("too_many", "/variants")]
    assert faults_of(another_option) == [("too_many", "/options")]


def test_the_media_types_of_a_patch_are_told_where_they_are_asked_for(admin: FlaskClient) -> None:
    told = "application/merge-patch+json, application/json"
    wrong = admin.patch(f"{URL}/tee", data="[]", content_type="application/json-patch+json")

    assert (wrong.status_code, wrong.headers["Accept-Patch"]) == (415, told)
    assert admin.options(f"{URL}/tee").headers["Accept-Patch"] == told
    assert "Accept-Patch" not in admin.options(URL).headers
    assert "Accept-Patch" not in admin.put(f"{URL}/tee", data="x").headers
