# ruff: noqa: E501  # a mapping is to be one line
"""Real files of other programs: each imports by a mapping that is one line here.

They lie outside the project, in ../shared/data, whose INDEX.md tells how many rows and products
each holds; without them these tests are skipped.
"""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask

from catalog.formats.detection import open_catalogue
from catalog.formats.rows import Options, ProductRows, Refusal, groups, survey
from errors import Unreadable
from tests.processes import Web, Worker, wait_for
from tests.stage import ADMIN, SHARED_DATA

INDEX = SHARED_DATA / "INDEX.md"
pytestmark = pytest.mark.skipif(not INDEX.exists(), reason="../shared/data is not beside the clone")

# file, rows, products, the codes of its refused rows, and the mapping.
# fmt: off
FILES: list[tuple[str, int, int, dict[str, int], dict[str, str]]] = [
    ("local/other/abt.csv", 1081, 1081, {}, {"handle": "id", "name": "name", "description": "description", "price": "price"}),
    ("local/other/amazon-1000.csv", 1000, 975, {"not_a_number": 25}, {"handle": "Uniq Id", "name": "Product Name", "category": "Category", "price": "Selling Price", "description": "About Product", "images": "Image"}),
    ("local/other/artikel-german-latin1.csv", 1505, 1498, {"duplicate_variant": 7}, {"name": "Artikeltext1", "category": "Gruppe", "price": "vkBrutto"}),
    ("local/other/awin-feed.csv", 48, 48, {}, {"handle": "id", "name": "title", "description": "description", "images": "image_link", "price": "price", "vendor": "brand", "barcode": "mpn"}),
    ("local/other/barcodes-first-50k-rows.csv", 49999, 49006, {"required": 993}, {"handle": "barcode", "barcode": "barcode", "name": "product_name"}),
    ("local/other/catalog-10k-semicolon.csv", 10000, 10000, {}, {"handle": "product_id", "name": "name", "price": "price"}),
    ("local/other/google-merchant-2026-05-07.tsv", 160, 160, {}, {"handle": "id", "name": "title", "description": "description", "images": "image_link", "price": "price", "vendor": "brand"}),
    ("local/other/ikas-turkish.csv", 417, 144, {}, {"handle": "Slug", "name": "İsim", "description": "Açıklama", "vendor": "Marka", "tags": "Etiketler", "sku": "SKU", "barcode": "Barkod Listesi", "price": "Satış Fiyatı", "stock": "Stok:Ana Depo", "images": "Resim URL", "option1_name": "Varyant Tip 1", "option1_value": "Varyant Değer 1", "option2_name": "Varyant Tip 2", "option2_value": "Varyant Değer 2"}),
    ("local/other/ikea-uae.csv", 1007, 511, {"ambiguous_number": 496}, {"sku": "Article number", "name": "Title", "price": "Price", "category": "Category", "description": "Description", "images": "Image url"}),
    ("local/other/japanese-master-bom.csv", 2603, 1029, {}, {"handle": "品番CD", "name": "商品名", "price": "金額", "vendor": "ブランド", "option1_value": "カラーNO", "option2_value": "カラー名"}),
    ("local/other/japanese-shift-jis-small.csv", 50, 50, {}, {"sku": "商品コード", "name": "商品名", "category": "カテゴリー", "price": "単価"}),
    ("local/other/japanese.tsv", 107, 107, {}, {"barcode": "product_code", "handle": "product_code", "name": "product_name", "price": "price"}),
    ("local/other/no-header-german.csv", 271, 271, {}, {"sku": "#1", "name": "#2", "barcode": "#3", "price": "#4"}),
    ("local/other/northwind-products.csv", 77, 77, {}, {"handle": "product_id", "name": "product_name", "price": "unit_price", "stock": "units_in_stock"}),
    ("local/other/pipe-french.csv", 45, 44, {"duplicate_variant": 1}, {"sku": "sku", "name": "name", "description": "description", "price": "price", "images": "photo"}),
    ("local/other/prestashop-semicolon.csv", 7, 7, {}, {"handle": "ID", "name": "Name *", "price": "Price tax excluded or Price tax included", "sku": "Reference #", "stock": "Quantity", "tags": "Tags (x,y,z...)"}),
    ("local/other/russian-semicolon.csv", 12, 12, {}, {"sku": "article", "name": "name", "price": "price", "stock": "quantity", "description": "description"}),
    ("local/other/thirtybees-comma.csv", 7, 7, {}, {"handle": "Product ID", "name": "Name *", "price": "Price tax excluded or Price tax included", "sku": "Reference #", "stock": "Quantity", "tags": "Tags (x;y;z...)"}),
    ("local/other/wines-brazil-utf8-bom.csv", 613, 612, {"required": 1}, {"name": "NOME", "category": "CATEGORIA", "price": "PRECO_PROMO", "compare_at_price": "PRECO_NORMAL", "images": "URL_IMG", "description": "DESCRICAO"}),
    ("local/other/wix-catalog-bom.csv", 152, 152, {}, {"handle": "handleId", "name": "name", "description": "description", "sku": "sku", "price": "price", "option1_name": "productOptionName1", "option1_value": "productOptionDescription1"}),
    ("open/other/divan-semicolon-bom.csv", 170, 144, {"not_a_number": 26}, {"name": "name", "price": "price", "category": "category"}),
    ("open/other/goodbooks-books.csv", 10000, 10000, {}, {"handle": "book_id", "name": "title", "barcode": "isbn", "images": "image_url"}),
    ("open/other/magento2-configurable.csv", 1994, 1994, {}, {"sku": "sku", "name": "name", "description": "description", "price": "price", "stock": "qty"}),
    ("open/other/medusa-comma.csv", 3, 2, {}, {"handle": "Product Handle", "name": "Product Title", "status": "=draft", "price": "Variant Price EUR", "sku": "Variant Sku", "option1_name": "Variant Option 1 Name", "option1_value": "Variant Option 1 Value", "option2_name": "Variant Option 2 Name", "option2_value": "Variant Option 2 Value"}),
    ("open/other/medusa-semicolon.csv", 3, 2, {}, {"handle": "Product Handle", "name": "Product Title", "status": "=draft", "price": "Variant Price EUR", "sku": "Variant Sku", "option1_name": "Variant Option 1 Name", "option1_value": "Variant Option 1 Value", "option2_name": "Variant Option 2 Name", "option2_value": "Variant Option 2 Value"}),
    ("open/other/medusa-invalid-prices.csv", 1, 1, {}, {"handle": "Product Handle", "name": "Product Title", "status": "=draft", "price": "Variant Price USD", "option1_name": "Variant Option 1 Name", "option1_value": "Variant Option 1 Value"}),
    ("open/other/rocket-challenge-products.csv", 1002, 118, {"duplicate_variant": 62}, {"name": "Title", "category": "Type", "sku": "Variant SKU", "price": "Variant Price", "option1_value": "Option1 Value", "option2_value": "Option2 Value"}),
    ("open/other/spree-product-translations.csv", 74, 37, {}, {"handle": "slug", "name": "name", "description": "description", "option1_value": "locale"}),
    ("open/other/spree-products.csv", 211, 37, {"duplicate_variant": 87}, {"handle": "slug", "sku": "sku", "name": "name", "price": "price", "compare_at_price": "compare_at_price", "status": "status", "description": "description", "tags": "tags", "category": "product_type", "images": "image1_src", "option1_name": "option1_name", "option1_value": "option1_value", "option2_name": "option2_name", "option2_value": "option2_value", "stock": "inventory_count"}),
    ("open/other/vendure-products.csv", 88, 54, {}, {"handle": "slug", "name": "name", "description": "description", "sku": "sku", "price": "price", "stock": "stockOnHand", "option1_name": "optionGroups", "option1_value": "optionValues"}),
    ("open/woocommerce/registrations-sample.txt", 11, 11, {}, {"handle": "ID", "name": "Nome", "sku": "REF", "price": "Preço", "description": "Descrição"}),
    ("open/json/dummyjson-products.json", 194, 194, {}, {"sku": "sku", "name": "title", "description": "description", "price": "price", "stock": "stock", "vendor": "brand", "tags": "tags", "category": "category", "images": "images", "barcode": "meta.barcode"}),
    ("local/json/northwind-products.json", 77, 77, {}, {"handle": "productID", "name": "name", "price": "unitPrice", "stock": "unitsInStock"}),
    ("local/json/google-store-japanese.jsonl", 1276, 1275, {"duplicate_variant": 1}, {"handle": "id", "name": "title", "price": "priceInfo.price", "category": "categories", "tags": "tags", "images": "images.uri"}),
    ("local/json/price-pulse.ndjson", 2, 2, {}, {"sku": "sku", "name": "title", "price": "pricing.current", "category": "breadcrumbs", "images": "media.primaryImage"}),
    ("local/json/thai-slice-44.json", 2000, 1998, {"required": 2}, {"sku": "sku", "name": "name", "price": "price", "vendor": "brand", "category": "category_en", "images": "image_url", "stock": "stock"}),
    ("local/json/gtin-only.jsonl", 27916, 27916, {}, {"handle": "gtin", "name": "gtin", "barcode": "gtin"}),
]
# fmt: on

# What the refusals are:
# - not_a_number: a range of prices ("$74.99 - $249.99"), or words ("Не указана");
# - ambiguous_number: "Dhs 1,050" in a column without a single decimal;
# - required: a row without the barcode or name that the mapping makes its handle of;
# - duplicate_variant: a second row of one product, from which nothing tells it apart.


def read(name: str, mapping: dict[str, str] | None) -> tuple[int, list[ProductRows], list[Refusal]]:
    """How many rows a file has, its products, and its refused rows."""
    data = (SHARED_DATA / name).read_bytes()
    reader = open_catalogue(lambda: io.BytesIO(data), Options(mapping=mapping))  # type: ignore[arg-type,return-value]
    surveyed = survey(key for key, _ in reader.keyed())
    found = [reader.read(group) for group in groups(reader.keyed(), surveyed.last_row)]
    products = [product for product, _ in found if product is not None]
    return surveyed.rows, products, [refusal for _, refusals in found for refusal in refusals]


@pytest.mark.parametrize(
    ("name", "rows", "products", "refused", "mapping"), FILES, ids=[name for name, *_ in FILES]
)
def test_a_real_file_is_read_by_a_mapping(
    name: str, rows: int, products: int, refused: dict[str, int], mapping: dict[str, str]
) -> None:
    total, found, refusals = read(name, mapping)

    assert (total, len(found)) == (rows, products)
    assert Counter(refusal.code for refusal in refusals) == refused
    variants = [variant for product in found for variant in product.variants]
    lines = {refusal.line for refusal in refusals}
    assert lines.isdisjoint(variant.line for variant in variants)
    assert all(refusal.column or refusal.value for refusal in refusals)
    nameless = [product.lines for product in found if "name" not in product.fields]
    assert nameless == ([[37]] if "ikea" in name else [])  # refused where no such product is stored
    fields = {field for variant in variants for field in variant.fields}
    # A field without a single value would be a mapping of the wrong column.
    assert mapping.keys() & {"sku", "price", "stock", "barcode"} - _EMPTY.get(name, set()) <= fields


# Columns that are there and blank throughout.
_EMPTY = {
    "open/other/medusa-comma.csv": {"sku"},
    "open/other/medusa-semicolon.csv": {"sku"},
    "open/woocommerce/registrations-sample.txt": {"sku"},
}


def test_every_other_file_of_the_index_is_here() -> None:
    told = [line.split("|")[1].strip() for line in INDEX.read_text().splitlines() if "|" in line]
    others = {name for name in told if "/other/" in name or "/json/" in name}

    assert others - {name for name, *_ in FILES} == set(NO_CATALOGUES) - {WXR}


WXR = "open/woocommerce/sample_products.xml"
NO_CATALOGUES = {
    "open/json/bestbuy-categories.json": ("unknown_format", "path, subCategories"),
    "open/json/saleor-populatedb.json": ("unknown_format", "model, pk, fields"),
    WXR: ("not_text", "XML"),
}


@pytest.mark.parametrize("name", NO_CATALOGUES)
def test_what_is_no_catalogue_is_refused_with_the_reason(name: str) -> None:
    code, detail = NO_CATALOGUES[name]

    with pytest.raises(Unreadable, match=detail) as caught:
        read(name, None)
    assert caught.value.error_code == code


@pytest.mark.parametrize(
    "name", ["local/other/artikel-german-latin1.csv", "local/json/google-store-japanese.jsonl"]
)
def test_a_real_file_arrives_by_way_of_the_api(
    app: Flask, web: Web, worker: Worker, name: str
) -> None:
    _, rows, products, refused, mapping = next(entry for entry in FILES if entry[0] == name)

    first = import_file(web, SHARED_DATA / name, mapping)
    again = import_file(web, SHARED_DATA / name, mapping)

    assert (first["total"], first["created"]) == (rows, products)
    assert first["failed"] == sum(refused.values())
    assert (again["unchanged"], again["created"], again["updated"]) == (products, 0, 0)


def import_file(web: Web, path: Path, mapping: dict[str, str]) -> dict[str, Any]:
    """The progress of the job that imports this file, once it has ended."""
    accepted = httpx.post(
        f"{web.url}/api/v1/imports",
        params={"mapping": json.dumps(mapping)},
        content=path.read_bytes(),
        headers={"Content-Type": "text/csv", **ADMIN},
    )
    assert accepted.status_code == 202, accepted.text

    def ended() -> dict[str, Any] | None:
        job: dict[str, Any] = httpx.get(accepted.headers["Location"], headers=ADMIN).json()
        return job if job["ready"] else None

    job = wait_for(f"{path.name} is imported", ended, 60)
    assert job["status"] == "succeeded", job
    progress: dict[str, Any] = job["progress"]
    return progress
