"""Shopify's CSV: what its rows mean here, and that nothing is lost between writing and reading."""

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.formats import inventory, shopify
from catalog.formats.rows import Options
from tests.documents import EMPTY, Document, documents, read, stored, written


@given(st.lists(documents(), min_size=1, max_size=3, unique_by=lambda found: found["handle"]))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_written_is_read_back_as_it_was(products: list[Document]) -> None:
    found, refusals = read(shopify, written(shopify, products))

    assert refusals == []
    assert stored(found) == products


HEADING = "Handle,Title,Option1 Name,Option1 Value,Variant Price,Cost per item,SEO Title,Color\n"


def test_columns_without_a_place_are_kept_for_the_product_and_for_each_variant() -> None:
    (tea,), _ = read(
        shopify, HEADING + "tea,Tea,Size,S,3,1.50,Best tea,green\ntea,,,M,4,,,red\ntea,,,L,5,2,,\n"
    )

    assert tea.fields["metadata"] == {
        "Cost per item": {"S": "1.50", "L": "2"},
        "SEO Title": "Best tea",
        "Color": {"S": "green", "M": "red"},
    }


def test_a_column_about_variants_never_speaks_for_the_variants_that_a_file_leaves_out() -> None:
    (tea,), _ = read(shopify, HEADING + "tea,Tea,Size,S,3,1.50,,\n")

    assert tea.fields["metadata"] == {"Cost per item": {"S": "1.50"}}


def test_a_product_without_options_has_plain_texts() -> None:
    (tea,), _ = read(shopify, HEADING + "tea,Tea,Title,Default Title,3,1.50,,\n")

    assert tea.fields["metadata"] == {"Cost per item": "1.50"}


def test_a_cell_that_metadata_cannot_hold_refuses_the_product() -> None:
    found, refusals = read(shopify, HEADING + f"tea,Tea,Title,Default Title,3,,{'x' * 600_000},\n")

    assert found == []
    assert [(r.line, r.column, r.code) for r in refusals] == [(2, "SEO Title", "too_long")]


@pytest.mark.parametrize(
    ("status", "published", "stored_as", "kept"),
    [
        ("active", "TRUE", "active", {}),
        ("active", "FALSE", "draft", {"Status": "active"}),
        ("unlisted", "TRUE", "draft", {"Status": "unlisted"}),
        ("draft", "FALSE", "draft", {}),
        ("draft", "TRUE", "draft", {"Published on online store": "TRUE"}),
        ("archived", "FALSE", "archived", {}),
    ],
)
def test_what_our_status_does_not_tell_is_kept_and_written_again(
    status: str, published: str, stored_as: str, kept: dict[str, str]
) -> None:
    found, _ = read(shopify, f"Handle,Title,Status,Published\ntea,Tea,{status},{published}\n")

    assert found[0].fields["status"] == stored_as
    assert found[0].fields.get("metadata", {}) == kept
    head, row = csv.reader(io.StringIO(written(shopify, stored(found)).decode()))
    cells = dict(zip(head, row, strict=True))
    assert (cells["Status"], cells["Published on online store"]) == (status, published)


def test_a_type_beside_a_category_is_kept() -> None:
    content = "Handle,Title,Product Category,Type\ntea,Tea,Drinks > Tea,Leaves\n"
    found, _ = read(shopify, content)

    assert found[0].fields["category"] == "Drinks > Tea"
    assert found[0].fields["metadata"] == {"Type": "Leaves"}
    head, row = csv.reader(io.StringIO(written(shopify, stored(found)).decode()))
    cells = dict(zip(head, row, strict=True))
    assert (cells["Product category"], cells["Type"]) == ("Drinks > Tea", "Leaves")


def test_blank_cells_clear_what_is_bound_and_nobody_says() -> None:
    content = (
        "Handle,Title,Vendor,Tags,Option1 Name,Option1 Value,Variant SKU,Variant Price\n"
        "tea,Tea,,,Size,S,,3\ntea,,,a,,M,T-M,\n"
    )
    (tea,), _ = read(shopify, content, blank_clears=True)

    assert tea.cleared == {"vendor"}
    assert [variant.cleared for variant in tea.variants] == [{"sku"}, {"price"}]
    (kept,), _ = read(shopify, content)
    assert (kept.cleared, [variant.cleared for variant in kept.variants]) == (set(), [set(), set()])


def test_a_cell_that_somebody_has_changed_counts_more_than_what_was_written_beside_it() -> None:
    tea = {**EMPTY, "tags": ["a, b"]}
    changed = written(shopify, [tea]).replace(b',"a, b",', b',"a, c",')

    (found,), refusals = read(shopify, changed)

    assert (found.fields["tags"], refusals) == (["a", "c"], [])


@pytest.mark.parametrize("exact", ["[]", "{", '{""status"":1}', '{""variant"":{""id"":1}}'])
def test_nonsense_in_the_exact_column_is_refused(exact: str) -> None:
    found, refusals = read(shopify, f'Handle,Title,_exact\ntea,Tea,"{exact}"\n')

    assert found == []
    assert [(r.line, r.column) for r in refusals] == [(2, "_exact")]


def test_formulas_are_written_as_text_and_read_as_they_were() -> None:
    tea = {**EMPTY, "name": "=1+2", "vendor": "'=x", "description": "\t@", "category": "'Tis"}
    tea["variants"] = [{**EMPTY["variants"][0], "stock": -5}]

    content = written(shopify, [tea])

    head, row = csv.reader(io.StringIO(content.decode()))
    cells = dict(zip(head, row, strict=True))
    assert [cells[name] for name in ("Title", "Vendor", "Description", "Type")] == [
        *("'=1+2", "''=x", "'\t@", "'Tis")
    ]
    assert cells["Inventory quantity"] == "-5"
    assert stored(read(shopify, content)[0]) == [tea]


def test_images_beyond_the_variants_stand_in_rows_of_their_own() -> None:
    images = [{"url": f"https://x.example/{n}", "alt": None} for n in range(3)]
    content = written(shopify, [{**EMPTY, "images": images}])

    _, *rows = csv.reader(io.StringIO(content.decode()))
    said = [[cell for cell in row if cell] for row in rows[1:]]
    assert said == [["tea", image["url"], str(n)] for n, image in enumerate(images[1:], 2)]


def report(content: str, lines: dict[int, str]) -> str:
    reader = shopify.read(lambda: io.BytesIO(content.encode()), Options())  # type: ignore[arg-type,return-value]
    return b"".join(reader.report(lines)).decode()


def test_the_report_of_refused_rows_can_be_mended_and_sent_again() -> None:
    content = (
        "Handle;Title;Option1 Name;Option1 Value;Variant Price;_line;_error\n"
        "tea;Tea;Size;S;3;7;old\nmilk;Milk;;;1;;\ntea;;;=M;x;;\ntea;;L;\n"
    )

    found = report(content, {4: "Variant Price is not a number", 5: "ragged"})

    assert found == (
        "Handle;Title;Option1 Name;Option1 Value;Variant Price;_line;_error\r\n"
        "tea;;Size;'=M;x;4;Variant Price is not a number\r\n"
        "tea;;L;;5;ragged\r\n"
    )
    (tea,), refusals = read(shopify, found.replace(";x;", ";4;"))
    assert [(variant.options, variant.fields) for variant in tea.variants] == [
        ({"Size": "=M"}, {"price": Decimal("4.00")})
    ]
    assert "metadata" not in tea.fields
    assert [refusal.code for refusal in refusals] == ["ragged_row"]


STOCK = "Handle,Title,Option1 Name,Option1 Value,SKU,Location,Available\n"


def test_an_inventory_adds_up_the_locations_of_existing_variants() -> None:
    content = STOCK + (
        "tea,Tea,Size,S,,Here,3\ntea,Tea,Size,S,,There,-1\ntea,Tea,Size,M,,Here,not stocked\n"
        "milk,Milk,Title,Default Title,,Here,0\n"
    )

    (tea, milk), refusals = read(inventory, content)

    assert refusals == []
    assert tea.only_existing
    assert [(v.options, v.fields) for v in tea.variants] == [
        ({"Size": "S"}, {"stock": 2}),
        ({"Size": "M"}, {}),
    ]
    assert [(v.options, v.fields) for v in milk.variants] == [({}, {"stock": 0})]
    assert tea.fields == {}


def test_one_wrong_count_refuses_its_variant_whole_and_leaves_the_others() -> None:
    content = STOCK + "tea,,Size,S,,Here,3\ntea,,Size,S,,There,many\ntea,,Size,M,,Here,4\n"

    (tea,), refusals = read(inventory, content)

    assert [(v.options, v.fields) for v in tea.variants] == [({"Size": "M"}, {"stock": 4})]
    assert [(r.line, r.code) for r in refusals] == [(3, "not_an_integer"), (2, "variant_refused")]


def test_a_new_count_on_hand_leaves_what_is_committed() -> None:
    content = (
        "Handle,Title,Location,Available (not editable),On hand (current),On hand (new)\n"
        "tea,Tea,Here,3,5,7\nmilk,Milk,Here,3,5,\n"
    )

    (tea, milk), _ = read(inventory, content)

    assert [p.variants[0].fields for p in (tea, milk)] == [{"stock": 5}, {"stock": 3}]


def test_an_inventory_is_told_from_a_catalogue() -> None:
    assert inventory.matches(frozenset(["handle", "title", "location", "available"]))
    assert not inventory.matches(frozenset(["handle", "title", "location", "available", "price"]))
    assert not inventory.matches(frozenset(["handle", "title", "variant inventory qty"]))
