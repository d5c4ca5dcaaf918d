"""CSV that spreadsheets may open: its bytes, and cells that no spreadsheet takes for a formula.

A cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return is run by spreadsheets
(OWASP, CSV injection). Written, it gets an apostrophe; read, it loses it again. So that a text
which has such an apostrophe of its own survives, it is given one more.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")
_NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?")


def guarded(cell: str) -> str:
    """The cell as it is written; a negative number is no formula."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def unguarded(cell: str) -> str:
    """The cell without the apostrophe that `guarded`, or WooCommerce, has put before it."""
    return cell[1:] if _GUARDED.match(cell) else cell


def encoded(rows: Iterable[Sequence[str]], delimiter: str = ",") -> bytes:
    """Rows of cells as CSV (RFC 4180) in UTF-8; cells are written as they are."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows(rows)
    return buffer.getvalue().encode()
