"""A JSON array of the API's own product objects, alone or as a list of the API gives it.

An array can be of any length, so it is taken in element by element. An element whose content is
wrong fails alone; text that is not JSON ends the reading, since nobody can tell where the next
element would begin.
"""

import json
import re
from collections.abc import Iterator

from catalog.formats import encodings
from catalog.formats.encodings import Encoding
from catalog.formats.objects import MAX_OBJECT, ObjectReader, value_of
from catalog.formats.rows import Open, Options, Row
from errors import Unreadable

NAME = "json"
_CHUNK = 64 * 1024  # characters
_START = re.compile(r'\s*(\{\s*"(?:data|products|items)"\s*:\s*)?\[')
_BLANK = re.compile(r"[ \t\r\n]*")
# An error this near to the end of what is there may come from what is not there yet.
_NEAR = 12
# Finds where an element ends, whatever it holds: `strict_json` looks at that later.
_decode = json.JSONDecoder(parse_int=len, parse_float=len, strict=False).raw_decode


def matches(beginning: str) -> bool:
    """Whether a file that begins like this is an array, or an object that begins with one."""
    return _START.match(beginning) is not None


def objects(open_: Open, encoding: Encoding) -> Iterator[Row]:
    """The value of each element, with the line that it begins in. Raises Unreadable.

    No two elements have one line: of those that share it, each counts one further.
    """
    text = _Text(open_, encoding)
    start, line = text.begin(), 0
    if text.next_sign() != "]":
        while True:
            element = text.element()
            line = max(text.line, line + 1)
            yield line, value_of(element)
            sign = text.next_sign()
            if sign == "]":
                break
            if sign != ",":
                raise text.malformed(text.at, "a comma or the end of the array is missing")
            text.at += 1
            text.next_sign()
    text.at += 1
    if not start[1] and text.next_sign():
        raise text.malformed(text.at, "something follows the array")


def read(open_: Open, options: Options) -> ObjectReader:
    """A reader of this file. Raises Unreadable."""
    encoding = encodings.of_json(open_, options.encoding)
    return ObjectReader(NAME, encoding, lambda: objects(open_, encoding))


class _Text:
    """The text of a file, of which only the part around `at` is held."""

    def __init__(self, open_: Open, encoding: Encoding) -> None:
        self._open = open_
        self._text = encoding.text(open_())
        self._encoding = encoding
        self._buffer = ""
        self._counted = 0  # `line` is the line of the buffer there
        self.line = 1
        self.at = 0

    def begin(self) -> re.Match[str]:
        """Step over the beginning of the array."""
        self._fill()
        self._buffer = encodings.without_mark(self._buffer)
        start = _START.match(self._buffer)
        if start is None:
            raise self.malformed(0, "it does not begin with an array")
        self.at = start.end()
        return start

    def next_sign(self) -> str:
        """Step over white space; the character there, empty at the end of the file."""
        while True:
            blank = _BLANK.match(self._buffer, self.at)
            self.at = blank.end() if blank else self.at
            if self.at < len(self._buffer) or not self._fill():
                return self._buffer[self.at : self.at + 1]

    def element(self) -> str:
        """The text of the element here; step over it."""
        while True:
            try:
                _, end = _decode(self._buffer, self.at)
            except json.JSONDecodeError as error:
                near = len(self._buffer) - error.pos < _NEAR or "string" in error.msg
                if not (near and self._fill()):
                    raise self.malformed(error.pos, error.msg) from None
            except RecursionError:
                raise self.malformed(self.at, "an element is nested too deeply") from None
            else:
                if end < len(self._buffer) or not self._fill():
                    break
        found = self._buffer[self.at : end]
        self._count(self.at)
        self.at = end
        return found

    def malformed(self, at: int, reason: str) -> Unreadable:
        """The error for text that is not JSON."""
        self._count(at)
        return Unreadable(f"Line {self.line} is not JSON: {reason}.", code="invalid_json")

    def _count(self, at: int) -> None:
        self.line += self._buffer.count("\n", self._counted, at)
        self._counted = at

    def _fill(self) -> bool:
        """Read on, and let go what has been read; whether there was more."""
        self._count(self.at)
        self._buffer = self._buffer[self.at :]
        self.at = self._counted = 0
        if len(self._buffer) > MAX_OBJECT:
            detail = f"The element in line {self.line} is too long."
            raise Unreadable(detail, code="line_too_long")
        try:
            more = self._text.read(max(_CHUNK, len(self._buffer)))
        except UnicodeError:
            raise self._encoding.misfit(self._open()) from None
        self._buffer += more
        return bool(more)
