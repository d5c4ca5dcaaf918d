"""Files of any other program, read by a mapping: which cell becomes what, and what is refused."""

import io
import json
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from catalog.formats.detection import open_catalogue
from catalog.formats.rows import Options, ProductRows, Reader, Refusal, groups, survey
from errors import Unreadable
from tests.importing import Importer, progress
from tests.stage import created


def opened(content: str, **mapping: str) -> Reader:
    return open_catalogue(
        lambda: io.BytesIO(content.encode()),  # type: ignore[arg-type,return-value]
        Options(mapping=mapping),
    )


def read_all(reader: Reader) -> tuple[list[ProductRows], list[Refusal]]:
    last_row = survey(key for key, _ in reader.keyed()).last_row
    read = [reader.read(group) for group in groups(reader.keyed(), last_row)]
    products = [product for product, _ in read if product is not None]
    return products, [refusal for _, refusals in read for refusal in refusals]


def told(refusals: list[Refusal]) -> list[tuple[int, str | None, str | None, str]]:
    return [(r.line, r.column, r.value, r.code) for r in refusals]


def test_columns_feed_the_fields_that_they_are_mapped_to() -> None:
    reader = opened(
        "Nr;Artikel;VK-Preis;Bilder;Stichworte;Lager;Notiz\n"
        "a1;Tee;1.234,50 €;https://x.example/1, https://x.example/2;grün|lose;5;gut\n",
        handle="nr",
        name="ARTIKEL",
        price="VK-Preis",
        images="Bilder",
        tags="Stichworte",
        stock="Lager",
        status="=draft",
    )
    (product,), refusals = read_all(reader)

    assert refusals == []
    assert (product.handle, product.found_by_sku) == ("a1", False)
    assert product.fields == {
        "name": "Tee",
        "tags": ["grün", "lose"],
        "status": "draft",
        "metadata": {"Notiz": "gut"},
    }
    assert [image["url"] for image in product.images] == [
        "https://x.example/1",
        "https://x.example/2",
    ]
    assert product.variants[0].fields == {"price": Decimal("1234.50"), "stock": 5}
    assert reader.about["format"] == "mapped"
    assert reader.about["numbers"] == {"VK-Preis": {"decimals": ",", "currency": "€"}}


def test_a_file_without_a_heading_is_mapped_by_numbers() -> None:
    content = "07,Tea,3\n08,Milk,x\n"
    mapping = {"sku": "#1", "name": "#2", "price": "#3"}
    reader = opened(content, **mapping)

    (tea,), refusals = read_all(reader)

    assert (tea.lines, tea.variants[0].fields["sku"]) == ([1], "07")
    assert told(refusals) == [(2, "#3", "x", "not_a_number")]
    report = b"".join(reader.report({2: "not a number"})).decode()
    assert report == "#1,#2,#3,_line,_error\r\n08,Milk,x,2,not a number\r\n"
    (milk,), _ = read_all(opened(report.replace(",x,", ",1,"), **mapping))
    assert milk.variants[0].fields == {"sku": "08", "price": Decimal("1.00")}


def test_numbers_find_columns_below_a_heading_too() -> None:
    (product,), _ = read_all(opened("name,note,note\nTea,a,b\n", name="name", vendor="#3"))

    assert product.fields == {"name": "Tea", "vendor": "b", "metadata": {"note": "a"}}


def test_without_handles_a_product_is_known_by_its_sku_or_its_name() -> None:
    products, refusals = read_all(
        opened("Nr,Name\nK/1%,Green Tea\n,Green Tea\nK2,\nK2,x\n,\n", sku="Nr", name="Name")
    )

    assert [(p.handle, p.found_by_sku, p.lines) for p in products] == [
        ("green-tea", True, [2]),
        ("green-tea", False, [3]),
        ("x", True, [4, 5]),
    ]
    assert told(refusals) == [(5, "Nr", "K2", "duplicate_variant")]


def test_an_option_has_the_name_of_its_column_and_a_blank_row_continues() -> None:
    products, refusals = read_all(
        opened(
            "Title,Farbe,Preis\nTea,rot,1\n,blau,2\n,,\n,gelb,3\nMilk,,4\n",
            name="Title",
            option1_value="Farbe",
            price="Preis",
        )
    )

    tea, milk = products
    assert [v.options for v in tea.variants] == [{"Farbe": "rot"}, {"Farbe": "blau"}]
    assert (milk.handle, milk.variants[0].options) == ("milk", {})
    # The row below the blank one belongs to nobody.
    assert told(refusals) == [(5, "handle from Title", "", "required")]


def test_an_option_may_be_named_by_a_column_or_a_text() -> None:
    content = "h,n,v\na,Size,S\n"
    by_column, _ = read_all(opened(content, handle="h", option1_name="n", option1_value="v"))
    by_text, _ = read_all(opened(content, handle="h", option1_name="=Taille", option1_value="v"))

    assert by_column[0].variants[0].options == {"Size": "S"}
    assert by_text[0].variants[0].options == {"Taille": "S"}


def test_a_ragged_row_stays_one_whatever_the_mapping_adds() -> None:
    reader = opened("n,p\nTea,1\nMilk,2,3,4\n", name="n", price="p", vendor="=Leaf")

    _, refusals = read_all(reader)

    assert told(refusals) == [(3, None, None, "ragged_row")]
    assert "4 cells, the heading 2" in refusals[0].detail
    assert b"Milk,2,3,4,3,why" in b"".join(reader.report({3: "why"}))


@pytest.mark.parametrize(
    ("mapping", "code", "detail"),
    [
        ({"name": "Nome"}, "column_missing", "name the column Nome, and the file has: Name, Preis"),
        ({"name": "#9"}, "column_missing", "#9"),
        ({"price": "Preis"}, "mapping_incomplete", "handle, sku or name"),
        ({"name": "Twice"}, "duplicate_column", "twice twice"),
    ],
)
def test_a_mapping_that_does_not_fit_fails_with_the_reason(
    mapping: dict[str, str], code: str, detail: str
) -> None:
    with pytest.raises(Unreadable, match=detail) as caught:
        opened("Name,Preis,Twice,twice\nTea,1,a,b\n", **mapping)
    assert caught.value.error_code == code


OBJECTS: list[Any] = [
    {
        "id": 7,
        "title": "Tea",
        "prices": {"now": 1.234, "was": "3"},
        "pictures": [{"uri": "https://x.example/1"}, {"uri": "https://x.example/2"}],
        "path": ["Drinks", "Tea"],
        "tags": ["green", "loose"],
        "rating": {"stars": 4.5},
        "sold_out": False,
    },
    5,
    {"id": 8, "title": None, "prices": None},
]


@pytest.mark.parametrize("lines", [True, False])
def test_objects_are_mapped_by_paths(lines: bool) -> None:
    texts = [json.dumps(sent) for sent in OBJECTS]
    reader = opened(
        "\n".join(texts) if lines else f"[\n{','.join(texts)}]",
        handle="id",
        name="title",
        compare_at_price="prices.was",
        weight_grams="prices.now",  # three decimals, and still no doubt: it is a number
        images="pictures.uri",
        category="path",
        tags="tags",
        backorder="sold_out",
    )

    products, refusals = read_all(reader)

    tea, nameless = products
    assert (tea.handle, tea.fields) == (
        "7",
        {
            "name": "Tea",
            "category": "Drinks > Tea",
            "tags": ["green", "loose"],
            "metadata": {
                "prices": {"now": 1.234, "was": "3"},
                "pictures": OBJECTS[0]["pictures"],
                "rating": {"stars": 4.5},
            },
        },
    )
    assert [image["url"][-1] for image in tea.images] == ["1", "2"]
    assert tea.variants[0].fields == {
        "compare_at_price": Decimal("3.00"),
        "weight_grams": Decimal("1.234"),
        "backorder": False,
    }
    assert (nameless.handle, "name" in nameless.fields) == ("8", False)
    assert told(refusals) == [(2 if lines else 3, None, "5", "invalid_type")]
    report = [json.loads(line) for line in reader.report({refusals[0].line: "why"})]
    assert report == [{"_text": "5", "_line": refusals[0].line, "_error": "why"}]


# --- through the API ----------------------------------------------------------------------------


@pytest.fixture
def imported(app: Flask, admin: FlaskClient) -> Importer:
    return Importer(app, admin)


def test_prices_by_sku_change_what_they_name_and_make_nothing(
    imported: Importer, admin: FlaskClient
) -> None:
    created(admin, handle="tea", name="Tea", sku="T-1", price=3)
    mapping = json.dumps({"sku": "Art", "price": "VK"})

    job = imported("Art;VK\nT-1;1.234,50\nT-2;2,00\n", mapping=mapping)

    assert job["progress"] == progress(total=2, processed=2, updated=1, failed=1)
    assert [(e["line"], e["code"]) for e in job["errors"]] == [(3, "product_not_found")]
    assert admin.get("/api/v1/products/tea").get_json()["variants"][0]["price"] == "1234.50"


def test_what_a_mapping_has_made_a_second_import_leaves(
    imported: Importer, admin: FlaskClient
) -> None:
    content = "Nr,Name,Note\nK1,Tea,a\nK2,Tea,b\n,Milk,\n"
    mapping = json.dumps({"sku": "Nr", "name": "Name"})

    first = imported(content, mapping=mapping)["progress"]
    again = imported(content, mapping=mapping)["progress"]

    assert (first["created"], again["unchanged"], again["updated"]) == (3, 3, 0)
    found = admin.get("/api/v1/products?sort=id").get_json()["data"]
    assert [p["handle"] for p in found] == ["tea", "tea-2", "milk"]
