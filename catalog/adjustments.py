"""Stock set right by hand, and the ledger of all its changes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from catalog import stock
from errors import Conflict, FieldFault, Invalid
from models import PRODUCT_STATUSES, JSONObject, StockMovement, Variant
from reads import Filters, bounds, passing, read_page
from schemas import AdjustmentsSchema
from values import MAX_STOCK

_SCHEMA = AdjustmentsSchema()
_PLACE = "/adjustments"


def adjust(session: Session, sent: JSONObject) -> list[JSONObject]:
    """Change the stock of these variants, all or none; each as it stands then, in their order.

    Raises ValidationError; Invalid and Ambiguous as `stock.locked` does, and Invalid for a variant
    that is named twice, a delta where nothing is counted, and a stock beyond all bounds; Conflict
    (`stale_stock`) for each entry that expected another stock.
    """
    entries = _SCHEMA.load(sent)["adjustments"]
    rows = stock.locked(session, entries, PRODUCT_STATUSES, _PLACE)
    _refuse_repeats(rows)
    _refuse_stale(entries, rows)
    new = _new_stocks(entries, rows)
    of_reason: defaultdict[str, dict[int, int | None]] = defaultdict(dict)
    changed = [(e, r, s) for e, r, s in zip(entries, rows, new, strict=True) if s != r.stock]
    for entry, row, count in changed:
        of_reason[entry["reason"]][row.id] = count
    for reason, counts in of_reason.items():
        stock.put_alone(session, stock.putting(counts, "adjustment", reason))
    if changed:
        stock.count_up(session, [row.product_id for _, row, _ in changed])
    return [
        {
            "variant_id": row.id,
            "product_id": row.product_id,
            "sku": row.sku,
            "delta": (count or 0) - (row.stock or 0),
            "stock": count,
        }
        for row, count in zip(rows, new, strict=True)
    ]


def _refuse_repeats(rows: Sequence[Any]) -> None:
    seen: set[int] = set()
    faults = []
    for number, row in enumerate(rows):
        if row.id in seen:
            detail = "means the same variant as an earlier entry"
            faults.append(FieldFault("named_twice", detail, f"{_PLACE}/{number}"))
        seen.add(row.id)
    if faults:
        raise Invalid("An entry means the variant of an earlier one.", faults)


def _refuse_stale(entries: Sequence[JSONObject], rows: Sequence[Any]) -> None:
    faults = [
        FieldFault(
            "stale_stock",
            f"is not the stock, which is {'not tracked' if row.stock is None else row.stock}",
            f"{_PLACE}/{number}/expected",
            extra={"current": row.stock},
        )
        for number, (entry, row) in enumerate(zip(entries, rows, strict=True))
        if "expected" in entry and entry["expected"] != row.stock
    ]
    if faults:
        raise Conflict("The stock is another than expected.", faults, code="stale_stock")


def _new_stocks(entries: Sequence[JSONObject], rows: Sequence[Any]) -> list[int | None]:
    new: list[int | None] = []
    faults = []
    for number, (entry, row) in enumerate(zip(entries, rows, strict=True)):
        place = f"{_PLACE}/{number}/delta"
        if "set" in entry:
            new.append(entry["set"])
        elif row.stock is None:
            detail = "is of a variant whose stock is not tracked: set it"
            faults.append(FieldFault("not_tracked", detail, place))
        else:
            new.append(row.stock + entry["delta"])
            if abs(row.stock + entry["delta"]) > MAX_STOCK:
                detail = f"takes the stock beyond {MAX_STOCK} pieces"
                faults.append(FieldFault("too_large", detail, place))
    if faults:
        raise Invalid(f"{faults[0].pointer} {faults[0].detail}.", faults)
    return new


# What movements are listed by, under the names of the API's parameters.
FILTERS: Filters = {
    "variant_id": lambda variant_id: StockMovement.variant_id == variant_id,
    "sku": lambda sku: StockMovement.variant_id.in_(select(Variant.id).where(Variant.sku == sku)),
    "reason": lambda reason: StockMovement.reason == reason,
    "reference": lambda reference: StockMovement.reference == reference,
    **bounds("created_at", StockMovement.created_at),
}


def page(
    sent: Mapping[str, Any],
    limit: int,
    after: Sequence[int] | None = None,
    *,
    backwards: bool = False,
) -> Sequence[Row[Any]]:
    """Up to `limit` movements that pass the filters in `sent`, the newest first, after (id).

    `backwards`: before it, the nearest first. Each with the SKU that its variant has now.
    """
    statement = (
        select(StockMovement.__table__, Variant.sku)
        .outerjoin(Variant, Variant.id == StockMovement.variant_id)
        .where(*passing(FILTERS, sent))
    )
    return read_page(statement, (StockMovement.id,), limit, after, backwards=not backwards)
