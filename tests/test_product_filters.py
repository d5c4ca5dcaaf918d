"""The filters of `GET /api/v1/products`: which products each lets through."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.filters import FILTERS
from tests.stage import created

URL = "/api/v1/products"

PRODUCTS: tuple[dict[str, Any], ...] = (
    {
        "name": "tea", "status": "active", "vendor": "Leaf, Stem & Co.", "tags": ["green", "new"],
        "category": "Drinks > Tea", "variants": [
            {"options": {"Size": "S"}, "sku": "T-S", "price": "4.00", "stock": 7},
            {"options": {"Size": "L"}, "sku": "T-L", "price": "9.00", "stock": -2},
        ],
    },
    {
        "name": "tee", "status": "active", "vendor": "Thread", "tags": ["cotton", "new"],
        "category": "Apparel > Shirts", "sku": "S-1", "price": "19.90", "stock": 0,
    },
    {
        "name": "cap", "status": "archived", "vendor": "Thread", "tags": ["wool"],
        "category": "Apparel", "sku": "C-1", "price": "9.00", "stock": 30,
    },
    {"name": "bag", "status": "draft", "category": "Apparel & More"},
)  # fmt: skip

# What is sent for each parameter, and which products pass; {tea} is the tea's id. The times are
# those that `shelf` gives: January for created_at, February for updated_at, a day for each product.
CASES = {
    "id": ("{tee}", "tee"),
    "id[in]": ("{bag},{tea}", "tea bag"),
    "id[gt]": ("{tee}", "cap bag"),
    "id[gte]": ("{tee}", "tee cap bag"),
    "id[lt]": ("{cap}", "tea tee"),
    "id[lte]": ("{cap}", "tea tee cap"),
    "status": ("draft", "bag"),
    "status[in]": ("draft,archived", "cap bag"),
    "vendor": ("Thread", "tee cap"),
    "vendor[in]": ('Nobody,"Leaf, Stem & Co."', "tea"),
    "category": ("Apparel", "tee cap"),
    "category[in]": ("Apparel > Shirts,Drinks", "tea tee"),
    "tag": ("new", "tea tee"),
    "tag[in]": ("wool,green", "tea cap"),
    "handle": ("tee", "tee"),
    "handle[in]": ("tea,cap,hat", "tea cap"),
    "sku": ("T-L", "tea"),
    "sku[in]": ("T-L,T-S,C-1", "tea cap"),
    "price": ("9", "cap"),
    "price[in]": ("4,9.00", "tea cap"),
    "price[gt]": ("9", "tee"),
    "price[gte]": ("9", "tee cap"),
    "price[lt]": ("9", "tea"),
    "price[lte]": ("9", "tea cap"),
    "stock": ("-2", "tea"),
    "stock[in]": ("0,30", "tee cap"),
    "stock[gt]": ("7", "cap"),
    "stock[gte]": ("7", "tea cap"),
    "stock[lt]": ("0", "tea"),
    "stock[lte]": ("0", "tea tee"),
    "created_at": ("2026-01-02T00:00:00Z", "tee"),
    "created_at[in]": ("2026-01-02T00:00:00Z,2026-01-04T00:00:00Z", "tee bag"),
    "created_at[gt]": ("2026-01-02T00:00:00Z", "cap bag"),
    "created_at[gte]": ("2026-01-02T00:00:00Z", "tee cap bag"),
    "created_at[lt]": ("2026-01-03T00:00:00Z", "tea tee"),
    "created_at[lte]": ("2026-01-03T00:00:00Z", "tea tee cap"),
    "updated_at": ("2026-02-02T00:00:00Z", "tee"),
    "updated_at[in]": ("2026-02-02T00:00:00Z,2026-02-04T00:00:00Z", "tee bag"),
    "updated_at[gt]": ("2026-02-02T00:00:00Z", "cap bag"),
    "updated_at[gte]": ("2026-02-02T00:00:00Z", "tee cap bag"),
    "updated_at[lt]": ("2026-02-03T00:00:00Z", "tea tee"),
    "updated_at[lte]": ("2026-02-03T00:00:00Z", "tea tee cap"),
}


@pytest.fixture
def shelf(admin: FlaskClient, session: Session) -> dict[str, int]:
    """The products, each with its id."""
    ids = {fields["name"]: created(admin, **fields)["id"] for fields in PRODUCTS}
    set_times = text(
        "UPDATE products SET created_at = CAST(:month AS timestamptz) + :days * interval '1 day',"
        " updated_at = CAST(:month AS timestamptz) + interval '31 days' + :days * interval '1 day'"
        " WHERE id = :id"
    )
    for days, product_id in enumerate(ids.values()):
        session.execute(set_times, {"month": "2026-01-01Z", "days": days, "id": product_id})
    session.commit()
    return ids


def passing(client: FlaskClient, **sent: Any) -> list[str]:
    """The names of the products that pass these filters."""
    response = client.get(URL, query_string=sent)
    assert response.status_code == 200, response.text
    return [product["name"] for product in response.get_json()["data"]]


def test_every_filter_is_tested() -> None:
    assert set(CASES) == set(FILTERS)


@pytest.mark.parametrize("parameter", CASES)
def test_a_filter_lets_through_what_it_says(
    admin: FlaskClient, shelf: dict[str, int], parameter: str
) -> None:
    sent, expected = CASES[parameter]

    assert passing(admin, **{parameter: sent.format(**shelf)}) == expected.split()


# --- categories -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stored", ["Apparel > Shirts > Long", "Apparel > !", "Apparel > 日本", "Apparel > \U0010ffff"]
)
def test_a_category_holds_whatever_lies_below_it(admin: FlaskClient, stored: str) -> None:
    created(admin, name="below", category=stored)

    assert passing(admin, category="Apparel") == ["below"]
    assert passing(admin, **{"category[in]": "Drinks,Apparel"}) == ["below"]


@pytest.mark.parametrize(
    "stored",
    ["Apparel & More", "Apparel >", "Apparel >Shirts", "Apparels", "apparel > Shirts", "Appare",
     "Men > Apparel", None],
)  # fmt: skip
def test_a_category_holds_nothing_that_only_begins_like_it(
    admin: FlaskClient, stored: str | None
) -> None:
    created(admin, name="beside", category=stored)

    assert passing(admin, category="Apparel") == []
    assert passing(admin, **{"category[in]": "Apparel,Drinks"}) == []


# --- what a client may write ------------------------------------------------------------------


@pytest.mark.parametrize("field", ["vendor", "category", "handle", "sku"])
def test_values_are_compared_as_composed_text(admin: FlaskClient, field: str) -> None:
    composed, decomposed = "Café", "Cafe\u0301"
    created(admin, name="stored", **{field: composed})

    assert passing(admin, **{field: decomposed}) == ["stored"]
    assert passing(admin, **{f"{field}[in]": f"x,{decomposed}"}) == ["stored"]


def test_tags_are_compared_as_composed_text(admin: FlaskClient) -> None:
    created(admin, name="stored", tags=["Café"])

    assert passing(admin, tag="Cafe\u0301") == ["stored"]
    assert passing(admin, **{"tag[in]": "x,Cafe\u0301"}) == ["stored"]


@pytest.mark.parametrize(
    ("vendor", "sent"),
    [("a,b", '"a,b"'), ('a "b"', '"a ""b"""'), ('5" Fans', '5" Fans'), ("a%b", "a%b"),
     ("{0}", "{0}")],
)  # fmt: skip
def test_a_value_in_a_list_may_be_quoted(admin: FlaskClient, vendor: str, sent: str) -> None:
    created(admin, name="wanted", vendor=vendor)
    created(admin, name="other", vendor="a")

    assert passing(admin, **{"vendor[in]": f"x,{sent}"}) == ["wanted"]
    assert passing(admin, vendor=vendor) == ["wanted"]


@pytest.mark.parametrize(
    "sent", ["2026-01-02T05:30:00+05:30", "2026-01-01T16:00:00-08:00", "2026-01-02t00:00:00.000z"]
)
def test_a_time_counts_with_its_offset(
    admin: FlaskClient, shelf: dict[str, int], sent: str
) -> None:
    assert passing(admin, created_at=sent) == ["tee"]
    assert passing(admin, **{"created_at[lt]": sent}) == ["tea"]


def test_the_time_that_a_product_shows_finds_it(admin: FlaskClient) -> None:
    product = created(admin, name="tee")

    assert passing(admin, created_at=product["created_at"]) == ["tee"]
    assert passing(admin, **{"updated_at[gt]": product["updated_at"]}) == []


# --- prices and stock -------------------------------------------------------------------------


def test_a_price_is_that_of_the_cheapest_variant(admin: FlaskClient, shelf: dict[str, int]) -> None:
    # The tea's larger variant costs 9.00.
    assert passing(admin, **{"price[gte]": "4", "price[lte]": "4"}) == ["tea"]
    assert "tea" not in passing(admin, **{"price[gt]": "4"})

    cheaper = {"variants": [{"options": {"Size": "L"}, "price": "3.00"}]}
    assert admin.patch(f"{URL}/tea", json=cheaper).status_code == 200

    assert passing(admin, price="3") == ["tea"]
    assert passing(admin, price="4") == []


@pytest.mark.parametrize("field", ["price", "stock"])
def test_what_is_not_known_is_neither_more_nor_less(admin: FlaskClient, field: str) -> None:
    created(admin, price=None, stock=None)

    for operator in ("", "[in]", "[gt]", "[gte]", "[lt]", "[lte]"):
        assert passing(admin, **{field + operator: "0"}) == []
        assert passing(admin, **{field + operator: "999999999"}) == []


def test_what_is_asked_of_variants_is_asked_of_one_and_the_same(
    admin: FlaskClient, shelf: dict[str, int]
) -> None:
    # In the tea, stock 7 and SKU T-L belong to two variants.
    assert passing(admin, **{"stock[gte]": "1", "sku": "T-S"}) == ["tea"]
    assert passing(admin, **{"stock[gte]": "1", "sku": "T-L"}) == []
    assert passing(admin, **{"stock[gt]": "-2", "stock[lt]": "7"}) == ["tee"]


# --- together ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"vendor": "Thread", "category": "Apparel > Shirts"}, "tee"),
        ({"tag": "new", "tag[in]": "wool,cotton"}, "tee"),
        ({"price[gte]": "4", "price[lt]": "19.90", "status": "archived"}, "cap"),
        ({"vendor": "Thread", "stock[gt]": "0", "created_at[gt]": "2026-01-02T00:00:00Z"}, "cap"),
        ({"category": "Apparel", "category[in]": "Drinks"}, ""),
        ({"status": "active", "status[in]": "draft,archived"}, ""),
    ],
)
def test_filters_together_let_through_what_passes_each(
    admin: FlaskClient, shelf: dict[str, int], sent: dict[str, str], expected: str
) -> None:
    assert passing(admin, **sent) == expected.split()


def test_deleted_products_pass_no_filter(admin: FlaskClient, shelf: dict[str, int]) -> None:
    admin.delete(f"{URL}/tea")

    assert passing(admin, tag="new") == ["tee"]
    assert passing(admin, handle="tea") == passing(admin, sku="T-L") == []


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, "tea tee"),
        ({"status": "active"}, "tea tee"),
        ({"status": "draft"}, ""),
        ({"status[in]": "draft,active"}, "tea tee"),
        ({"status[in]": "draft,archived"}, ""),
        ({"vendor": "Thread"}, "tee"),
        ({"handle[in]": "tea,cap,bag"}, "tea"),
    ],
)
def test_a_visitor_sees_active_products_whatever_the_filter(
    client: FlaskClient, shelf: dict[str, int], sent: dict[str, str], expected: str
) -> None:
    assert passing(client, **sent) == expected.split()
