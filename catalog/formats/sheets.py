"""CSV that spreadsheets may open: its bytes, and cells that no spreadsheet takes for a formula.

A cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return is run by spreadsheets
(OWASP, CSV injection). Written, it gets an apostrophe; read, it loses it again. So that a text
which has such an apostrophe of its own survives, it is given one more.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from models import JSONObject

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")
_NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?")


def guarded(cell: str) -> str:
    """The cell as it is written; a negative number is no formula."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def unguarded(cell: str) -> str:
    """The cell without the apostrophe that `guarded`, or WooCommerce, has put before it."""
    return cell[1:] if cell[:1] == "'" and _GUARDED.match(cell) else cell


def encoded(rows: Iterable[Sequence[str]], delimiter: str = ",") -> bytes:
    """Rows of cells as CSV (RFC 4180) in UTF-8; cells are written as they are."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows(rows)
    return buffer.getvalue().encode()


class SheetWriter:
    """Writes products as CSV: `rows_of` gives a product's rows, each as cells by heading."""

    media_type = "text/csv; charset=utf-8"
    extension = "csv"

    def __init__(
        self,
        heading: Sequence[str],
        rows_of: Callable[[JSONObject], Iterable[Mapping[str, str]]],
    ) -> None:
        self._heading = heading
        self._rows_of = rows_of

    def head(self) -> bytes:
        """The heading."""
        return encoded([self._heading])

    def rows(self, products: Sequence[JSONObject]) -> bytes:
        """The rows of some products, as their public documents."""
        return encoded(
            [guarded(row.get(name, "")) for name in self._heading]
            for product in products
            for row in self._rows_of(product)
        )

    def tail(self) -> bytes:
        """Nothing."""
        return b""
