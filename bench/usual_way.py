"""The usual way to import: `csv.DictReader`, marshmallow and an ORM session, row by row."""

import csv
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import documents
from models import Product, Variant, db
from schemas import ProductSchema, VariantSchema

ROWS_PER_COMMIT = 500
PRODUCT = ("handle", "name", "description", "status", "vendor", "category")
VARIANT = ("sku", "price", "compare_at_price", "barcode", "weight_grams")

CSVRow = dict[str, str]
JSONObject = dict[str, Any]


def first_rows(file: Path, number: int) -> list[CSVRow]:
    """At least `number` rows from the beginning, to the end of a product."""
    found: list[CSVRow] = []
    for row in _rows(file):
        if len(found) >= number and row["handle"] != found[-1]["handle"]:
            break
        found.append(row)
    return found


def _rows(file: Path) -> Iterator[CSVRow]:
    with file.open(encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


def run(file: Path, number: int) -> float:
    """Import the first `number` rows; returns how many seconds that took, reading included."""
    session = db.session()
    start = time.perf_counter()
    for done, row in enumerate(islice(_rows(file), number), 1):
        _import_row(session, row)
        if done % ROWS_PER_COMMIT == 0:
            session.commit()
    session.commit()
    return time.perf_counter() - start


def _import_row(session: Session, row: CSVRow) -> None:
    living = select(Product).where(Product.handle == row["handle"], Product.deleted_at.is_(None))
    product = session.scalars(living).one_or_none()
    if product is None:
        product = _new_product(row)
        session.add(product)
    else:
        _put_variant(product, VariantSchema().load(_variant(row)))
    session.flush()
    documents.render(session, [product.id])


def _new_product(row: CSVRow) -> Product:
    sent = {name: row[name] or None for name in PRODUCT} | {
        "tags": row["tags"].split(","),
        "images": [{"url": url} for url in row["images"].split()],
        "variants": [_variant(row)],
    }
    data = ProductSchema().load(sent)
    variants = [Variant(**fields) for fields in data.pop("variants")]
    data["options"] = list(variants[0].options)
    return Product(**data, variants=variants)


def _put_variant(product: Product, data: JSONObject) -> None:
    known = next((v for v in product.variants if v.options == data["options"]), None)
    if known is None:
        product.variants.append(Variant(**data))
        return
    for name, value in data.items():
        setattr(known, name, value)


def _variant(row: CSVRow) -> JSONObject:
    names = ("option1", "option2")
    options = {row[f"{n}_name"]: row[f"{n}_value"] for n in names if row[f"{n}_value"]}
    return {name: row[name] or None for name in VARIANT} | {
        "options": options,
        "stock": int(row["stock"]) if row["stock"] else None,
        "backorder": row["backorder"] == "true",
    }
