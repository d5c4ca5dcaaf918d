"""Stock: variants locked by what names them, and counts written to them as a set.

Whoever changes stock holds the locks of the products first, in the order of their ids, as all that
writes products does: so nobody waits for anybody in a circle. What is written becomes movements by
itself (`models.StockMovement`); why, is said here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg2.errors import DeadlockDetected
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from catalog import documents
from catalog.matching import ambiguous_sku, candidate
from catalog.refs import MAX_CANDIDATES
from errors import Conflict, FieldFault, Invalid
from models import JSONObject

Entry = Mapping[str, Any]  # what names a variant: its `variant_id`, or else its `sku`

_ATTEMPTS = 3

# `of_sku` is the SKU that a row was found by: one that a single variant of the `statuses` carries.
# Both rows are locked, the product's first, and so both are read as they stand under the lock.
# The savepoint is what a deadlock falls back to; it comes in the same round trip.
_LOCK = """
SAVEPOINT locking;
WITH named AS MATERIALIZED (
    SELECT sku, min(id) AS id FROM unnest(%(skus)s::text[]) AS wanted (sku) CROSS JOIN LATERAL (
        SELECT v.id FROM variants v JOIN products p ON p.id = v.product_id
        WHERE v.sku = wanted.sku AND p.deleted_at IS NULL AND p.status = ANY(%(statuses)s::text[])
        LIMIT 2
    ) found
    GROUP BY sku HAVING count(*) = 1
)
SELECT v.id, v.product_id, v.sku, v.options, v.price, v.stock, v.backorder, p.name,
    (SELECT n.sku FROM named n WHERE n.id = v.id) AS of_sku
FROM products p JOIN variants v ON v.product_id = p.id
WHERE v.id = ANY(%(ids)s::bigint[] || ARRAY(SELECT id FROM named)) AND p.deleted_at IS NULL
    AND p.status = ANY(%(statuses)s::text[])
ORDER BY p.id, v.id FOR UPDATE OF p, v
"""
_LOCK_IDS = """
SAVEPOINT locking;
SELECT v.id, v.product_id, v.stock FROM products p JOIN variants v ON v.product_id = p.id
WHERE v.id = ANY(%(ids)s::bigint[]) ORDER BY p.id, v.id FOR UPDATE OF p, v
"""
_CARRIERS = """
SELECT wanted.sku AS wanted, found.* FROM unnest(%(skus)s::text[]) AS wanted (sku)
CROSS JOIN LATERAL (
    SELECT v.id, v.options, v.product_id, p.handle, p.status = ANY(%(statuses)s::text[]) AS is_meant
    FROM variants v JOIN products p ON p.id = v.product_id
    WHERE v.sku = wanted.sku AND p.deleted_at IS NULL
    ORDER BY is_meant DESC, v.id LIMIT %(limit)s
) found
"""
_LIVING = """
SELECT v.id, p.status = ANY(%(statuses)s::text[]) AS is_meant
FROM variants v JOIN products p ON p.id = v.product_id
WHERE v.id = ANY(%(ids)s::bigint[]) AND p.deleted_at IS NULL
"""
_PUT = """
SELECT set_config('pushcart.stock_reason', %(reason)s, true),
    set_config('pushcart.stock_reference', %(reference)s, true);
UPDATE variants v SET stock = s.stock
FROM unnest(%(variants)s::bigint[], %(stocks)s::bigint[]) AS s (id, stock) WHERE v.id = s.id;
"""
# Writes counts, and the documents that show them: with `putting()` and `products`, one round trip.
PUT = _PUT + documents.COUNT_UP


def locked(
    session: Session, entries: Sequence[Entry], statuses: Sequence[str], place: str
) -> list[Any]:
    """The variant of each entry, locked, among living products of these `statuses`.

    `place` is where the entries stand in the body. Raises Invalid with a fault for each that names
    no variant, or one of other products; Ambiguous for a SKU that several carry; Conflict if
    others change again and again what the SKUs mean.
    """
    ids = [entry["variant_id"] for entry in entries if "variant_id" in entry]
    skus = list(dict.fromkeys(e["sku"] for e in entries if "variant_id" not in e))
    wanted = {"ids": ids, "skus": skus, "statuses": list(statuses)}
    for _ in range(_ATTEMPTS):
        rows = _locked(session, _LOCK, wanted)
        by_id = {row.id: row for row in rows}
        by_sku = {row.sku: row for row in rows if row.of_sku == row.sku}
        found = [
            by_id.get(entry["variant_id"]) if "variant_id" in entry else by_sku.get(entry["sku"])
            for entry in entries
        ]
        missing = {n: entries[n] for n, row in enumerate(found) if row is None}
        if not missing:
            return found
        _refuse(session, missing, wanted, place)
    # What is missing was there when it was looked for, and has another name or status by now.
    raise Conflict("Others are changing these variants.", code="changed_meanwhile")


def locked_by_id(session: Session, ids: Iterable[int]) -> Sequence[Any]:
    """Those of these variants that there still are, locked, deleted products or not."""
    return _locked(session, _LOCK_IDS, {"ids": list(ids)})


def putting(stocks: Mapping[int, int | None], reason: str, reference: str) -> JSONObject:
    """The parameters of `PUT` but for `products`: a new count for each variant's id, and why."""
    return {
        "variants": list(stocks),
        "stocks": list(stocks.values()),
        "reason": reason,
        "reference": reference,
    }


def put_alone(session: Session, stocks: JSONObject) -> None:
    """Write counts, as `putting` gives them, of products that are counted up later."""
    session.connection().exec_driver_sql(_PUT, stocks)


def count_up(session: Session, product_ids: Iterable[int]) -> None:
    """Count the versions of these locked products up, and render their documents."""
    ids = sorted(set(product_ids))
    session.connection().exec_driver_sql(documents.COUNT_UP, {"products": ids})


def tell_why(session: Session, reason: str, reference: str) -> None:
    """Say why stock changes in the rest of this transaction; otherwise it is an edit."""
    session.connection().exec_driver_sql(
        "SELECT set_config('pushcart.stock_reason', %(reason)s, true),"
        " set_config('pushcart.stock_reference', %(reference)s, true)",
        {"reason": reason, "reference": reference},
    )


def _locked(session: Session, statement: str, params: JSONObject) -> Sequence[Any]:
    connection = session.connection()
    for left in reversed(range(_ATTEMPTS)):
        try:
            return connection.exec_driver_sql(statement, params).all()
        except OperationalError as error:
            # With someone who holds several locks that he has not taken in their order.
            if not (left and isinstance(error.orig, DeadlockDetected)):
                raise
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT locking")
    raise AssertionError  # the last attempt returns or raises


def _refuse(session: Session, missing: Mapping[int, Entry], wanted: JSONObject, place: str) -> None:
    """Raise what is wrong with entries for which nothing was found; nothing is, if there is now."""
    execute = session.connection().exec_driver_sql
    living = {row.id: row.is_meant for row in execute(_LIVING, wanted)}
    carriers: dict[str, list[Any]] = {sku: [] for sku in wanted["skus"]}
    for row in execute(_CARRIERS, {**wanted, "limit": MAX_CANDIDATES + 1}):
        carriers[row.wanted].append(row)
    faults, ambiguous = [], None
    for number, entry in missing.items():
        if "variant_id" in entry:
            name, states = "variant_id", [living.get(entry["variant_id"])]
        else:
            name, states = "sku", [row.is_meant for row in carriers[entry["sku"]]] or [None]
        pointer = f"{place}/{number}/{name}"
        if states[0] is None:
            faults.append(FieldFault("unknown_variant", "names no variant", pointer))
        elif not states[0]:
            detail = "names a variant of a product that is not active"
            faults.append(FieldFault("inactive_variant", detail, pointer))
        elif sum(map(bool, states)) > 1 and ambiguous is None:
            meant = [row for row in carriers[entry["sku"]] if row.is_meant]
            found = [candidate(r.id, r.options, r.product_id, r.handle) for r in meant]
            ambiguous = ambiguous_sku(found, pointer)
    if faults:
        raise Invalid(f"{faults[0].pointer} {faults[0].detail}.", faults)
    if ambiguous is not None:
        raise ambiguous
