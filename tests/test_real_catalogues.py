"""Real exports of real shops, through the whole path: real gunicorn, real worker.

The files lie outside the project, in ../shared/data; without them these tests are skipped.
"""

import csv
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask

from tests.processes import Web, Worker, wait_for
from tests.stage import ADMIN, SHARED_DATA

INDEX = SHARED_DATA / "INDEX.md"
_ROW = re.compile(r"\| (\S+/shopify/\S+\.csv) \|.*?\| (\d+) \| (\d+) by handle \|")

pytestmark = pytest.mark.skipif(not INDEX.exists(), reason="../shared/data is not beside the clone")


def catalogues() -> list[Any]:
    """(file, rows, products) of every Shopify file that INDEX.md counts by handle."""
    if not INDEX.exists():
        return [pytest.param("none", 0, 0, id="none")]
    found = _ROW.findall(INDEX.read_text())
    return [pytest.param(name, int(rows), int(products), id=name) for name, rows, products in found]


def import_file(web: Web, path: Path) -> dict[str, Any]:
    accepted = httpx.post(
        f"{web.url}/api/v1/imports",
        content=path.read_bytes(),
        headers={"Content-Type": "text/csv", **ADMIN},
    )
    assert accepted.status_code == 202, accepted.text

    def ended() -> dict[str, Any] | None:
        job: dict[str, Any] = httpx.get(accepted.headers["Location"], headers=ADMIN).json()
        return job if job["ready"] else None

    return wait_for(f"{path.name} is imported", ended, 60)


def refused_lines(job: dict[str, Any]) -> set[int]:
    """The lines of every refused row, each of which says what is wrong."""
    url, lines = job["links"]["errors"] + "?limit=200", set()
    while url:
        page = httpx.get(url, headers=ADMIN).json()
        assert all(error["code"] and error["detail"] for error in page["data"])
        lines |= {error["line"] for error in page["data"]}
        url = page["next"]
    return lines


def rows_by_handle(path: Path) -> dict[str, list[tuple[int, dict[str, str]]]]:
    """The file read once more, by other means: handle → [(line, cells by lower-case heading)]."""
    found: dict[str, list[tuple[int, dict[str, str]]]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        heading = [name.strip().lower() for name in next(reader)]
        line = reader.line_num + 1
        for cells in reader:
            row = dict(zip(heading, (cell.strip() for cell in cells), strict=False))
            handle = row.get("handle", row.get("url handle", ""))
            found.setdefault(handle, []).append((line, row))
            line = reader.line_num + 1
    return found


@pytest.mark.parametrize(("name", "rows", "products"), catalogues())
def test_a_real_shopify_file_arrives_whole(
    app: Flask, web: Web, worker: Worker, name: str, rows: int, products: int
) -> None:
    path = SHARED_DATA / name
    job = import_file(web, path)
    refused = refused_lines(job)
    expected = {
        handle: kept
        for handle, given in rows_by_handle(path).items()
        if (kept := [row for line, row in given if line not in refused])
    }

    assert job["status"] == "succeeded", job
    progress = job["progress"]
    assert (progress["total"], progress["processed"]) == (rows, rows)
    assert progress["failed"] == len(refused)
    assert progress["created"] == len(expected)
    assert len(rows_by_handle(path)) == products
    with httpx.Client(base_url=f"{web.url}/api/v1/products", headers=ADMIN) as client:
        for handle, kept in expected.items():
            found = client.get("", params={"handle": handle}).json()["data"]
            assert [product["handle"] for product in found] == [handle]
            assert_variants_and_images(found[0], kept)

    again = import_file(web, path)["progress"]
    assert (again["unchanged"], again["created"], again["updated"]) == (len(expected), 0, 0)


def assert_variants_and_images(product: dict[str, Any], rows: list[dict[str, str]]) -> None:
    values = [[v for n in (1, 2, 3) if (v := row.get(f"option{n} value"))] for row in rows]
    # A row without options is the product's only variant, or adds an image.
    variants = [sorted(v) for v in values if v and v != ["Default Title"]] or [[]]
    assert sorted(sorted(v["options"].values()) for v in product["variants"]) == sorted(variants)
    columns = ("image src", "product image url", "image url")
    images = {url for row in rows for name in columns if (url := row.get(name))}
    assert {image["url"] for image in product["images"]} == images
