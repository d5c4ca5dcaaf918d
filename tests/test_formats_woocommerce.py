"""WooCommerce's CSV: variations and their parents, lists and units, and the way back."""

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.formats import woocommerce
from catalog.formats.rows import Options
from tests.documents import EMPTY, Document, documents, read, stored, written


@given(st.lists(documents(), min_size=1, max_size=3, unique_by=lambda found: found["handle"]))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_written_is_read_back_as_it_was(products: list[Document]) -> None:
    found, refusals = read(woocommerce, written(woocommerce, products))

    assert refusals == []
    assert stored(found) == products


HEADING = "ID,Type,SKU,Name,Regular price,Parent,Attribute 1 name,Attribute 1 value(s)\n"
SHIRT = '7,variable,SHIRT,Shirt,,,Size,"S, M"\n'
SMALL = "8,variation,SHIRT-S,Shirt - S,3,{parent},Size,S\n"
LARGE = "9,variation,SHIRT-M,Shirt - M,4,{parent},Size,M\n"


@pytest.mark.parametrize("parent", ["SHIRT", "id:7"])
def test_variations_find_their_parent_wherever_it_stands(parent: str) -> None:
    content = HEADING + SMALL.format(parent=parent) + "1,simple,CUP,Cup,5,,,\n" + SHIRT
    content += LARGE.format(parent="SHIRT")

    found, refusals = read(woocommerce, content)

    assert refusals == []
    cup, shirt = sorted(found, key=lambda product: product.handle)
    assert (cup.handle, cup.found_by_sku, cup.variants[0].fields["sku"]) == ("cup", True, "CUP")
    assert (shirt.handle, shirt.fields["name"], shirt.options) == ("shirt", "Shirt", ["Size"])
    assert [(v.options, v.fields["sku"], v.fields["price"]) for v in shirt.variants] == [
        ({"Size": "S"}, "SHIRT-S", Decimal("3.00")),
        ({"Size": "M"}, "SHIRT-M", Decimal("4.00")),
    ]


def test_variations_without_their_parent_are_of_whatever_product_has_their_skus() -> None:
    (shirt,), refusals = read(woocommerce, HEADING + SMALL.format(parent="SHIRT"))

    assert (shirt.handle, shirt.found_by_sku, shirt.fields) == ("", True, {"metadata": {
        "ID": {"S": "8"}, "Name": {"S": "Shirt - S"},
    }})  # fmt: skip
    assert refusals == []


@pytest.mark.parametrize(
    ("row", "column", "code"),
    [
        ("1,variation,X,X,3,,Size,S\n", "Parent", "required"),
        ("1,variation,X,X,3,1.55E+15,Size,S\n", "Parent", "spreadsheet_number"),
        ("1,simple,1.55E+15,X,3,,,\n", "SKU", "spreadsheet_number"),
        ("1,simple,X,X,cheap,,,\n", "Regular price", "not_a_number"),
    ],
)
def test_a_row_that_cannot_be_told_is_refused(row: str, column: str, code: str) -> None:
    found, refusals = read(woocommerce, HEADING + row)

    assert found == []
    assert [(r.line, r.column, r.code) for r in refusals] == [(2, column, code)]


def test_a_repeated_sku_refuses_the_later_row() -> None:
    content = HEADING + "1,simple,X,First,3,,,\n2,simple,X,Second,4,,,\n"

    (product,), refusals = read(woocommerce, content)

    assert product.fields["name"] == "First"
    assert [(r.line, r.column, r.value, r.code) for r in refusals] == [
        (3, "SKU", "X", "duplicate_product")
    ]


def test_names_that_repeat_make_handles_that_do_not() -> None:
    content = HEADING + "1,simple,,Tea,3,,,\n2,simple,T-2,Tea,4,,,\n,simple,,Tea,5,,,\n"

    found, _ = read(woocommerce, content)

    assert [product.handle for product in found] == ["tea-1", "tea-t-2", "tea-4"]


CELLS = (
    "SKU,Name,Published,Regular price,Sale price,Stock,Backorders allowed?,Weight ({unit}),"
    "Categories,Tags,Images,Description\n"
)


def test_cells_mean_what_woocommerce_means() -> None:
    content = CELLS.format(unit="lbs") + (
        '\'0123,Tea,2,20,18,,notify,.5,"Drinks > Tea, Hot\\, wet","a\\, b, c",'
        '"https://x.example/1, https://x.example/2",one\\ntwo\\\\n\n'
    )

    (tea,), refusals = read(woocommerce, content)

    assert refusals == []
    assert tea.variants[0].fields == {
        "sku": "0123",
        "price": Decimal("18.00"),
        "compare_at_price": Decimal("20.00"),
        "backorder": True,
        "weight_grams": Decimal("226.796"),
    }
    assert tea.fields == {
        "name": "Tea",
        "status": "draft",
        "category": "Drinks > Tea",
        "tags": ["a, b", "c"],
        "description": "one\ntwo\\n",
        "metadata": {
            "Published": "2",
            "Categories": "Drinks > Tea, Hot\\, wet",
            "Backorders allowed?": "notify",
        },
    }
    assert [image["url"] for image in tea.images] == ["https://x.example/1", "https://x.example/2"]


@pytest.mark.parametrize(
    ("unit", "grams"), [("kg", "1500"), ("g", "1.5"), ("lbs", "680.389"), ("oz", "42.524")]
)
def test_weights_come_in_the_units_of_the_shop(unit: str, grams: str) -> None:
    (tea,), _ = read(woocommerce, f"SKU,Name,Regular price,Weight ({unit})\nT,Tea,3,1.5\n")

    assert tea.variants[0].fields["weight_grams"] == Decimal(grams)


def test_a_file_of_skus_and_prices_alone_finds_products_and_creates_none() -> None:
    (tea,), _ = read(woocommerce, "SKU,Regular price\nT-1,3\n")

    assert (tea.handle, tea.found_by_sku, tea.fields) == ("", True, {})
    assert tea.variants[0].fields == {"sku": "T-1", "price": Decimal("3.00")}


def test_blank_cells_clear_prices_too_but_no_price_that_a_sale_price_says() -> None:
    content = "SKU,Name,Regular price,Sale price,Stock\nT,Tea,3,,\nC,Cup,,2,1\n"

    tea, cup = read(woocommerce, content, blank_clears=True)[0]

    assert tea.variants[0].cleared == {"compare_at_price", "stock"}
    assert cup.variants[0].cleared == {"compare_at_price"}


def test_blank_cells_of_variations_alone_clear_nothing_of_their_product() -> None:
    content = "Type,SKU,Regular price,Parent,Tags,Attribute 1 name,Attribute 1 value(s)\n"

    (shirt,), _ = read(woocommerce, content + "variation,S-1,3,S,,Size,S\n", blank_clears=True)

    assert shirt.cleared == set()


def test_headings_may_be_in_portuguese() -> None:
    content = (
        "ID,Tipo,REF,Nome,Preço,Produto ascendente,Nome do atributo 1,Valores do atributo 1\n"
        "7,variable,,Camisa,,,Cor,Azul\n8,variation,C-A,Camisa - Azul,3,id:7,Cor,Azul\n"
    )
    (shirt,), refusals = read(woocommerce, content)

    assert (shirt.fields["name"], refusals) == ("Camisa", [])
    assert [v.options for v in shirt.variants] == [{"Cor": "Azul"}]


def test_what_a_file_says_of_variations_and_parents_is_written_again() -> None:
    content = (
        "ID,Type,SKU,Name,Published,Regular price,Categories,Parent,Attribute 1 name,"
        "Attribute 1 value(s),Attribute 2 name,Attribute 2 value(s),Tax class,Meta: note\n"
        '7,variable,SHIRT,Shirt,0,,"A, B",,Brand,Ours,Size,"M, S",,=x\n'
        "8,variation,SHIRT-S,Small shirt,1,3,,SHIRT,,,Size,S,parent,\n"
        "9,variation,SHIRT-M,Shirt - M,0,4,,SHIRT,,,Size,M,,\n"
    )
    found, _ = read(woocommerce, content)
    again = list(csv.DictReader(io.StringIO(written(woocommerce, stored(found)).decode())))

    for before, row in zip(csv.DictReader(io.StringIO(content)), again, strict=True):
        said = {name: cell.removeprefix("'") for name, cell in row.items() if name in before}
        assert said == {**before, "Regular price": said["Regular price"]}
    assert [row["Regular price"] for row in again] == ["", "3.00", "4.00"]


def test_weird_prices_and_archived_products_survive() -> None:
    variant = {**EMPTY["variants"][0], "compare_at_price": "9.00"}
    tea = {**EMPTY, "status": "archived", "variants": [variant]}

    found, _ = read(woocommerce, written(woocommerce, [tea]))

    assert stored(found) == [tea]


def test_the_report_brings_the_parents_of_refused_variations_along() -> None:
    content = HEADING + SHIRT + SMALL.format(parent="id:7") + LARGE.format(parent="x") + "\n"
    reader = woocommerce.read(lambda: io.BytesIO(content.encode()), Options())  # type: ignore[arg-type,return-value]

    found = b"".join(reader.report({3: "wrong"})).decode()

    assert found.splitlines()[1:] == [
        '7,variable,SHIRT,Shirt,,,Size,"S, M",,',
        "8,variation,SHIRT-S,Shirt - S,3,id:7,Size,S,3,wrong",
    ]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["sku", "regular price"], True),
        (["type", "sku", "name", "regular price", "parent"], True),
        (["sku", "price"], False),
        (["sku", "name", "product_type", "price"], False),
    ],
)
def test_the_regular_price_tells_the_format(columns: list[str], expected: bool) -> None:
    assert woocommerce.matches(frozenset(columns)) is expected
