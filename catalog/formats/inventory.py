"""Shopify's inventory CSV: how much of each variant there is at each location.

Source: Shopify's documentation of its inventory CSV. It sets the stock of variants that are
there, and creates nothing: a row tells too little of a product. Stock here is what can be sold,
Shopify's `Available`, over all locations together.
"""

from collections.abc import Sequence

import values
from catalog.formats import cells
from catalog.formats.flat import FlatFormat, FlatReader, RowRefused, settle_options
from catalog.formats.rows import (
    Group,
    Open,
    Options,
    ProductRows,
    Reader,
    Refusal,
    Row,
    VariantRow,
)
from catalog.formats.shopify import OPTION_PAIRS, finish_options
from catalog.formats.table import Table
from errors import Fault
from models import JSONObject

NAME = "shopify_inventory"
_NOT_STOCKED = "not stocked"


def _quantity(cell: str) -> int | None:
    """A count; None where the variant is never kept."""
    return None if cell.strip().lower() == _NOT_STOCKED else cells.integer(cell)


_FORMAT = FlatFormat(
    name=NAME,
    handle_columns=("handle", "url handle"),
    product=(),
    variant=(
        ("available", "available", _quantity),
        ("available (not editable)", "available", _quantity),
        ("on hand (current)", "on_hand", _quantity),
        ("on hand", "on_hand", _quantity),
        ("on hand (new)", "new", _quantity),
    ),
    option_pairs=OPTION_PAIRS,
    finish_options=finish_options,
)


def matches(columns: frozenset[str]) -> bool:
    """Whether a heading, in lower case, is of this format: a place, a count and no price."""
    counts = {name for name, _, _ in _FORMAT.variant}
    return bool(
        columns & {"handle", "url handle"}
        and "location" in columns
        and columns & counts
        and not columns & {"price", "variant price"}
    )


def read(open_: Open, options: Options) -> Reader:
    """A reader of this file. Raises Unreadable."""
    return _InventoryReader(_FORMAT, Table(open_, options), options)


class _InventoryReader(FlatReader):
    """Adds up what a variant's rows say; one wrong row of a variant refuses all of them."""

    def read(self, group: Group) -> tuple[ProductRows | None, list[Refusal]]:
        """As every FlatReader; but of a product whose rows are not all there, no sum is right."""
        if not (group.is_part or group.excess):
            return super().read(group)
        why = "are too many" if group.excess else "lie too far apart: sort the file by handle"
        detail = f"is of a product whose rows {why}, and cannot be added up"
        return None, [Refusal(line, None, None, "incomplete", detail) for line in group.lines]

    def _without_place(self) -> list[int]:
        return []  # what is not about stock is no business of this file

    def _read_rows(
        self, product: ProductRows, rows: Sequence[Row], refusals: list[Refusal]
    ) -> None:
        product.only_existing = True
        names: dict[int, str] = {}
        found: dict[tuple[tuple[str, str], ...], VariantRow] = {}
        refused: dict[tuple[tuple[str, str], ...], int] = {}
        lines: dict[int, tuple[tuple[str, str], ...]] = {}
        for line, cells_ in rows:
            try:
                options = self._read_options(line, cells_, names) or {}
            except RowRefused as error:
                refusals.append(error.refusal)
                continue
            lines[line] = tuple(options.items())
            variant = found.setdefault(lines[line], VariantRow(line, options, {}))
            if line != variant.line:
                variant.further = [*variant.further, line]
            try:
                self._add(variant, line, cells_)
            except RowRefused as error:
                refusals.append(error.refusal)
                refused.setdefault(lines[line], line)
        explained = {refusal.line for refusal in refusals}
        for line, key in lines.items():
            if key in refused and line not in explained:
                detail = f"is of a variant whose count is refused in line {refused[key]}"
                refusals.append(Refusal(line, None, None, "variant_refused", detail))
        product.variants = [row for key, row in found.items() if key not in refused]
        settle_options(product)

    def _add(self, variant: VariantRow, line: int, cells_: list[str]) -> None:
        stock = _sellable(self._fill({}, line, cells_, self._variant))
        try:
            if stock is not None:
                total = values.stock(variant.fields.get("stock", 0) + stock)
                variant.fields = {"stock": total}
        except Fault as fault:
            raise self._refused(line, cells_, self._variant[0][0], fault) from None


def _sellable(fields: JSONObject) -> int | None:
    """What can be sold at a location, once the counted number is on hand; None: no change."""
    available, on_hand = fields.get("available"), fields.get("on_hand")
    new: int | None = fields.get("new")
    if new is not None:
        return new if available is None or on_hand is None else available + new - on_hand
    return on_hand if available is None and "available" not in fields else available
