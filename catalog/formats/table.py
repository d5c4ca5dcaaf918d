"""CSV mechanics: from the bytes of a stored file to rows with their physical line numbers.

`csv` parses; this module adds what it lacks: which delimiter, where a record begins, and a clear
`Unreadable` with the line for a file that cannot be read to its end.
"""

import codecs
import csv
import io
from collections.abc import Iterator
from itertools import chain, islice

from catalog.formats.rows import Open, Options, Row
from errors import Unreadable

# The largest cell: a description of 512 Ki characters, and room for one that is refused by name.
# A quote that is never closed ends here too, instead of taking the rest of the file.
csv.field_size_limit(2 * 1024 * 1024)

_DELIMITERS = ",;\t|"
# Comes back as a row of its own, unless a quote is still open when the file ends.
_END = "\0end of file\0"


class Table:
    """A CSV file, and its heading."""

    def __init__(self, open_: Open, options: Options) -> None:
        self._open = open_
        try:
            first = next(self._lines(), "")
        except UnicodeError as error:
            raise _not_decodable(1, error) from None
        self.delimiter = options.delimiter or max(_DELIMITERS, key=first.count)
        self.heading = [name.strip() for name in next(self._records(), (0, [""]))[1]]
        if not any(self.heading):
            raise Unreadable("The file is empty: it has no heading.", code="empty_file")

    def rows(self) -> Iterator[Row]:
        """Every record below the heading, blank lines left out. Raises Unreadable."""
        return islice(self._records(), 1, None)

    def _lines(self) -> Iterator[str]:
        return _decoded(self._open())

    def _records(self) -> Iterator[Row]:
        reader = csv.reader(chain(self._lines(), [_END]), delimiter=self.delimiter)
        line, cells = 1, [""]
        try:
            for cells in reader:
                if cells and cells[-1].endswith(_END):
                    break
                if cells:
                    yield line, cells
                line = reader.line_num + 1
        except UnicodeError as error:
            raise _not_decodable(reader.line_num + 1, error) from None
        except csv.Error as error:
            detail = f"Line {line}: {error}. Is a quote opened there and not closed?"
            raise Unreadable(detail, code="malformed_csv") from None
        if cells != [_END]:
            detail = f"Line {line}: a quote is opened in this row and never closed."
            raise Unreadable(detail, code="unclosed_quote")


def _decoded(stream: io.RawIOBase) -> Iterator[str]:
    buffered = io.BufferedReader(stream, 64 * 1024)
    start = buffered.peek(4)[:4]
    if start.startswith(b"PK\x03\x04"):
        raise Unreadable("The file is a ZIP archive or a spreadsheet, not CSV.", code="not_csv")
    utf16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return io.TextIOWrapper(buffered, encoding="utf-16" if utf16 else "utf-8-sig", newline="")


def _not_decodable(line: int, error: UnicodeError) -> Unreadable:
    reason = getattr(error, "reason", "invalid data")
    return Unreadable(
        f"Near line {line}: the file is not UTF-8 ({reason}).", code="invalid_encoding"
    )
