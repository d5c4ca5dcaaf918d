"""NDJSON: the API's own product objects, one a line. A line that is wrong fails alone."""

from collections.abc import Iterator, Sequence
from functools import partial

from catalog.formats import encodings
from catalog.formats.objects import MAX_OBJECT, MEDIA_TYPE, ObjectReader, encoded, value_of
from catalog.formats.rows import Extent, Open, Options, Row, Writer
from errors import Unreadable
from models import JSONObject

NAME = "ndjson"


def matches(beginning: str) -> bool:
    """Whether a file that begins like this is a sequence of JSON objects."""
    return beginning.lstrip().startswith("{")


def objects(open_: Open, encoding: encodings.Encoding) -> Iterator[Row]:
    """The value of each line that is not blank, with its number. Raises Unreadable."""
    text = encoding.text(open_())
    try:
        for number, line in enumerate(iter(partial(text.readline, MAX_OBJECT), ""), 1):
            if len(line) == MAX_OBJECT:
                raise Unreadable(f"Line {number} is too long.", code="line_too_long")
            if sent := (encodings.without_mark(line) if number == 1 else line).strip():
                yield number, value_of(sent)
    except UnicodeError:
        raise encoding.misfit(open_()) from None


def read(open_: Open, options: Options) -> ObjectReader:
    """A reader of this file. Raises Unreadable."""
    encoding = encodings.of_json(open_, options.encoding)
    return ObjectReader(NAME, encoding, lambda: objects(open_, encoding))


class _Writer:
    media_type = MEDIA_TYPE
    extension = "ndjson"

    def head(self) -> bytes:
        return b""

    def rows(self, products: Sequence[JSONObject]) -> bytes:
        return b"".join(encoded(product).encode() + b"\n" for product in products)

    def tail(self) -> bytes:
        return b""


def write(_: Extent) -> Writer:
    """A writer of this format."""
    return _Writer()
