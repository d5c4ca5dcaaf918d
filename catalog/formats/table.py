"""CSV mechanics: from the bytes of a stored file to rows with their physical line numbers.

`csv` parses; this module adds what it lacks: which encoding and delimiter, where a record begins,
and a clear `Unreadable` with the line for a file that cannot be read to its end.
"""

import csv
import io
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from catalog.formats import encodings
from catalog.formats.numbers import NumberColumn
from catalog.formats.rows import Open, Options, Row
from errors import Unreadable
from models import JSONObject

# The largest cell: a description of 512 Ki characters, and room for one that is refused by name.
# A quote that is never closed ends here too, instead of taking the rest of the file.
csv.field_size_limit(2 * 1024 * 1024)

MAX_LINE = 8 * 1024 * 1024  # characters

_CHUNK = 64 * 1024  # characters

DELIMITERS = ",;\t|"
# Excel's own way to name the delimiter, in a line above the heading.
_SEP = re.compile(r'"?sep=([^\r\n"])"?\s*', re.IGNORECASE)
# Quotes that are escaped as MySQL and PHP do it; in proper CSV they are doubled. First those that
# end no cell, since no delimiter follows, then all.
_ESCAPED_QUOTES = (r'\\"(?=[^{0}\r\n"]|"[{0}\r\n])', r'(?<!\\)\\"')
# Comes back as a row of its own, unless a quote is still open when the file ends.
_END = "\0end of file\0"


class Sheet(ABC):
    """Rows of cells below a heading, and what its columns of numbers tell of themselves."""

    heading: list[str]
    delimiter = ","

    def __init__(self) -> None:
        self._numbers: dict[str, NumberColumn] = {}

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Every record below the heading, blank lines left out. Raises Unreadable."""

    @property
    def about(self) -> JSONObject:
        """What the job's result tells of the file."""
        numbers = {name: column.about for name, column in self._numbers.items() if column.about}
        return {"numbers": numbers} if numbers else {}

    def number(
        self, index: int, rule: Callable[[str], Any], point: str | None
    ) -> Callable[[str], Any]:
        """The rule for a column of numbers, in whatever notation the column has."""
        column = NumberColumn(rule, lambda: self._column(index), point)
        self._numbers[self.heading[index]] = column
        return column.read

    def _column(self, index: int) -> Iterator[str]:
        return (cells[index] for _, cells in self.rows() if index < len(cells))


class Table(Sheet):
    """A CSV file; if it is not `headed`, its columns are #1, #2 and so on."""

    def __init__(self, open_: Open, options: Options, *, headed: bool = True) -> None:
        super().__init__()
        self._open = open_
        sample = encodings.beginning(open_)
        self.encoding = encodings.of(sample, options.encoding)
        self._misfit: int | None = None  # the first line that is not in this encoding
        lines = io.StringIO(self.encoding.beginning(sample), newline="").readlines()
        complete = lines if len(sample) < encodings.SAMPLE or len(lines) == 1 else lines[:-1]
        self._skipped = _SEP.fullmatch(complete[0]) if complete else None
        dialect = _dialect(complete[1:] if self._skipped else complete, options, self._skipped)
        self.delimiter, self._escape = dialect
        first = next(self._records(), (0, [""]))[1]
        # The report of the refused rows of a file without a heading gives it one.
        self._headed = headed or first[0] == "#1"
        names = first if self._headed else [f"#{number}" for number, _ in enumerate(first, 1)]
        self.heading = [_name(name) for name in names]
        if not any(first):
            raise Unreadable("The file is empty: it has no heading.", code="empty_file")

    @property
    def about(self) -> JSONObject:
        """What the job's result tells of the file; `notes` only where there is something odd."""
        told = {"encoding": self.encoding.name, "delimiter": self.delimiter, **super().about}
        if self._misfit is not None:
            first = f"Line {self._misfit}, and perhaps later ones, hold bytes that are not"
            told["notes"] = [f"{first} {self.encoding.name}: they are read as windows-1252."]
        return told

    def rows(self) -> Iterator[Row]:
        """Every record below the heading, blank lines left out. Raises Unreadable."""
        return islice(self._records(), 1 if self._headed else 0, None)

    def _lines(self) -> Iterator[str]:
        return chain.from_iterable(self._blocks())

    def _blocks(self) -> Iterator[Sequence[str]]:
        """The file's lines, as `csv` takes them, some at a time: Python looks at none alone."""
        text = self.encoding.text(self._open())
        number, rest, more = 0, "", True
        while more:
            chunk = text.read(_CHUNK)
            more = bool(chunk)
            block = rest + chunk
            lines = io.StringIO(block, newline="").readlines()
            # The last line, or the line feed after its carriage return, may be still to come.
            rest = lines.pop() if lines and more else ""
            if len(rest) > MAX_LINE:
                detail = f"Line {number + len(lines) + 1} is too long for CSV."
                raise Unreadable(detail, code="line_too_long")
            if not number and lines:
                lines[0] = "\n" if self._skipped else encodings.without_mark(lines[0])
            if not block.isascii() and encodings.is_misfit(block):
                self._mend(lines, number)
            number += len(lines)
            yield _doubled(lines, self._escape)

    def _mend(self, lines: list[str], before: int) -> None:
        for index, line in enumerate(lines):
            if encodings.is_misfit(line):
                self._misfit = self._misfit or before + index + 1
                lines[index] = encodings.mended(line)

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
        except UnicodeError:
            raise self.encoding.misfit(self._open()) from None
        except csv.Error as error:
            detail = f"Line {line}: {error}. Is a quote opened there and not closed?"
            raise Unreadable(detail, code="malformed_csv") from None
        if cells != [_END]:
            detail = f"Line {line}: a quote is opened in this row and never closed."
            raise Unreadable(detail, code="unclosed_quote")


def _name(cell: str) -> str:
    """A column's name, as it can be a key of `metadata`."""
    return " ".join(unicodedata.normalize("NFC", cell).replace("\0", "").split())


def _dialect(
    lines: Sequence[str], options: Options, sep: re.Match[str] | None
) -> tuple[str, re.Pattern[str] | None]:
    """The delimiter, and what finds escaped quotes, if the file escapes them with a backslash.

    Those by which the most cells come to stand below a heading.
    """
    given = options.delimiter or (sep[1] if sep else None)
    best = given or max(DELIMITERS, key=lambda delimiter: _fitting(lines, delimiter))
    if not any('\\"' in line for line in lines):
        return best, None
    escapes = [None, *(re.compile(p.format(re.escape(best))) for p in _ESCAPED_QUOTES)]
    return best, max(escapes, key=lambda escape: _fitting(_doubled(lines, escape), best))


def _doubled(lines: Sequence[str], escape: re.Pattern[str] | None) -> Sequence[str]:
    return [escape.sub('""', line) for line in lines] if escape else lines


def _fitting(lines: Sequence[str], delimiter: str) -> int:
    """How many cells stand in rows that are as wide as the heading, the first column aside."""
    try:
        widths = [len(cells) for cells in csv.reader(lines, delimiter=delimiter) if cells]
    except csv.Error:
        return 0
    return sum(width - 1 for width in widths if width == widths[0])
