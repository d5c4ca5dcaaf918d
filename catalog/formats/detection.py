"""Which format a file is in: told by its heading, or by whoever sent it."""

from collections.abc import Sequence

from catalog.formats import native, shopify
from catalog.formats.flat import FlatReader
from errors import Unreadable

_MODULES = {module.FORMAT.name: module for module in (native, shopify)}
FORMATS = tuple(_MODULES)


def reader_for(heading: Sequence[str], name: str | None = None) -> FlatReader:
    """A reader for a file with this heading, in the named format or the one that fits.

    Raises Unreadable for a heading of no known format, or without the columns that one needs.
    """
    if name is not None:
        return FlatReader(_MODULES[name].FORMAT, heading)
    columns = frozenset(column.lower() for column in heading)
    for module in _MODULES.values():
        if module.matches(columns):
            return FlatReader(module.FORMAT, heading)
    known = " or ".join(FORMATS)
    detail = f"The heading is not one of a {known} catalogue: it has no column handle."
    raise Unreadable(detail, code="unknown_format")
