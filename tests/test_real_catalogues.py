"""Real exports of real shops, through the whole path: real gunicorn, real worker.

The files lie outside the project, in ../shared/data; without them these tests are skipped.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask

from tests.processes import Web, Worker, wait_for
from tests.stage import ADMIN, SHARED_DATA

INDEX = SHARED_DATA / "INDEX.md"
_ROW = re.compile(
    r"\| (\S+/(shopify|woocommerce)/\S+\.(?:csv|txt)) \|.*?\| (\d+) \| (\d+) by \w+ \|"
)
# Refusals that no single cell is to blame for.
_OF_ROWS = {"ragged_row", "product_refused"}

pytestmark = pytest.mark.skipif(not INDEX.exists(), reason="../shared/data is not beside the clone")


def catalogues(format_: str) -> list[Any]:
    """(file, rows, products) of every CSV file of a format in INDEX.md."""
    if not INDEX.exists():
        return [pytest.param("none", 0, 0, id="none")]
    return [
        pytest.param(name, int(rows), int(products), id=name)
        for name, found, rows, products in _ROW.findall(INDEX.read_text())
        if found == format_
    ]


@pytest.fixture(scope="module")
def shop(web: Web, worker: Worker) -> Iterator[httpx.Client]:
    """The API, behind which a worker does its jobs."""
    with httpx.Client(base_url=f"{web.url}/api/v1/", headers=ADMIN) as client:
        yield client


def import_file(shop: httpx.Client, path: Path) -> dict[str, Any]:
    accepted = shop.post("imports", content=path.read_bytes(), headers={"Content-Type": "text/csv"})
    assert accepted.status_code == 202, accepted.text

    def ended() -> dict[str, Any] | None:
        job: dict[str, Any] = shop.get(accepted.headers["Location"]).json()
        return job if job["ready"] else None

    return wait_for(f"{path.name} is imported", ended, 60)


def refusals(shop: httpx.Client, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Every refused row; each names its cell and says what is wrong with it."""
    url, found = job["links"]["errors"] + "?limit=200", []
    while url:
        page = shop.get(url).json()
        found += page["data"]
        url = page["next"]
    for error in found:
        assert error["line"] > 1, error
        assert error["detail"], error
        assert error["code"] in _OF_ROWS or (error["column"] and error["value"]), error
    return found


def stored(shop: httpx.Client) -> dict[str, dict[str, Any]]:
    """Every product of the shop by its handle."""
    url: str | None = "products?limit=200"
    found: dict[str, dict[str, Any]] = {}
    while url:
        page = shop.get(url).json()
        found |= {product["handle"]: product for product in page["data"]}
        url = page["next"]
    return found


def records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The file read once more, by other means: (line, cells by lower-case heading)."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        heading = [name.strip().lower() for name in next(reader)]
        line = reader.line_num + 1
        for cells in reader:
            yield line, dict(zip(heading, (cell.strip() for cell in cells), strict=False))
            line = reader.line_num + 1


def assert_counts(job: dict[str, Any], rows: int, refused: set[int], products: int) -> None:
    assert job["status"] == "succeeded", job
    progress = job["progress"]
    assert (progress["total"], progress["processed"]) == (rows, rows)
    assert (progress["failed"], progress["created"]) == (len(refused), products)


def assert_changes_nothing(shop: httpx.Client, path: Path, products: int) -> None:
    again = import_file(shop, path)["progress"]
    assert (again["unchanged"], again["created"], again["updated"]) == (products, 0, 0)


@pytest.mark.parametrize(("name", "rows", "products"), catalogues("shopify"))
def test_a_real_shopify_file_arrives_whole(
    app: Flask, shop: httpx.Client, name: str, rows: int, products: int
) -> None:
    path = SHARED_DATA / name
    job = import_file(shop, path)
    refused = {error["line"] for error in refusals(shop, job)}
    by_handle: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for line, row in records(path):
        by_handle.setdefault(row.get("handle", row.get("url handle", "")), []).append((line, row))
    expected = {
        handle: kept
        for handle, given in by_handle.items()
        if (kept := [row for line, row in given if line not in refused])
    }

    assert len(by_handle) == products
    assert_counts(job, rows, refused, len(expected))
    found = stored(shop)
    assert found.keys() == expected.keys()
    for handle, kept in expected.items():
        assert_variants_and_images(found[handle], kept)
        assert_nothing_lost(found[handle], kept[0])
    assert_changes_nothing(shop, path, len(expected))


def assert_variants_and_images(product: dict[str, Any], rows: list[dict[str, str]]) -> None:
    values = [[v for n in (1, 2, 3) if (v := row.get(f"option{n} value"))] for row in rows]
    # A row without options is the product's only variant, or adds an image.
    variants = [sorted(v) for v in values if v and v != ["Default Title"]] or [[]]
    assert sorted(sorted(v["options"].values()) for v in product["variants"]) == sorted(variants)
    columns = ("image src", "product image url", "image url")
    images = {url for row in rows for name in columns if (url := row.get(name))}
    assert {image["url"] for image in product["images"]} == images


def assert_nothing_lost(product: dict[str, Any], row: dict[str, str]) -> None:
    """Columns that we have no field for are in `metadata`, under their own headings."""
    kept = {name.lower(): value for name, value in product["metadata"].items()}
    for name, cell in row.items():
        if cell and any(word in name for word in ("seo ", "metafields", "google shopping")):
            assert kept[name].strip() == cell


@pytest.mark.parametrize(("name", "rows", "products"), catalogues("woocommerce"))
def test_a_real_woocommerce_file_arrives_whole(
    app: Flask, shop: httpx.Client, name: str, rows: int, products: int
) -> None:
    path = SHARED_DATA / name
    job = import_file(shop, path)
    refused = {error["line"] for error in refusals(shop, job)}
    given = [row for line, row in records(path) if line not in refused]
    is_variation = ["variation" in row.get("type", row.get("tipo", "")) for row in given]
    parents = [row for row, varies in zip(given, is_variation, strict=True) if not varies]

    assert_counts(job, rows, refused, len(parents))
    found = list(stored(shop).values())
    names = sorted(row.get("name", row.get("nome", "")) for row in parents)
    assert sorted(product["name"] for product in found) == names
    variants = [variant for product in found for variant in product["variants"]]
    assert len([v for v in variants if v["options"]]) == sum(is_variation)
    skus = {row["sku"] for row in given if row.get("sku")}
    of_parents = {product["metadata"].get("SKU") for product in found} - {None}
    assert {v["sku"] for v in variants} - {None} == skus - of_parents
    assert_changes_nothing(shop, path, len(parents))


def test_a_second_woocommerce_file_finds_the_products_of_the_first_by_their_skus(
    app: Flask, shop: httpx.Client
) -> None:
    folder = SHARED_DATA / "open/woocommerce"
    import_file(shop, folder / "sample_products.csv")

    progress = import_file(shop, folder / "sample_products_override.csv")["progress"]

    assert (progress["updated"], progress["created"], progress["failed"]) == (18, 0, 0)
    prices = {v["sku"]: v["price"] for p in stored(shop).values() for v in p["variants"]}
    assert prices["woo-hoodie-red"] == "142.00"
    hoodie = stored(shop)["hoodie"]
    assert hoodie["name"] == "Hoodie Override"
    assert len(hoodie["variants"]) == 4
