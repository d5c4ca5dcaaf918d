"""Which format a file is in, told by how it begins or by whoever sent it; and who writes one."""

from collections.abc import Callable, Iterable
from typing import Protocol

import values
from catalog.formats import (
    encodings,
    inventory,
    json_array,
    mapped,
    native,
    ndjson,
    shopify,
    woocommerce,
)
from catalog.formats.objects import ObjectReader, unknown_names
from catalog.formats.rows import Extent, Format, Open, Options, Reader, Writer
from catalog.formats.table import Table
from errors import Unreadable


class _OfObjects(Protocol):
    def matches(self, beginning: str) -> bool:
        """Whether a file that begins like this is of the format."""

    def read(self, open_: Open, options: Options) -> ObjectReader:
        """A reader of this file. Raises Unreadable."""


class _Writable(Protocol):
    def write(self, extent: Extent) -> Writer:
        """A writer of the format."""


# By their headings, the first that matches.
_SHEETS: dict[str, Format] = {
    module.NAME: module for module in (inventory, native, shopify, woocommerce)
}
_OF_OBJECTS: dict[str, _OfObjects] = {module.NAME: module for module in (json_array, ndjson)}
_WRITABLE: dict[str, _Writable] = {
    module.NAME: module for module in (native, shopify, woocommerce, ndjson)
}
_READERS: dict[str, Callable[[Open, Options], Reader]] = {
    **{name: module.read for name, module in _SHEETS.items()},
    **{name: module.read for name, module in _OF_OBJECTS.items()},
}
FORMATS = tuple(_READERS)
WRITABLE = tuple(_WRITABLE)


def open_catalogue(open_: Open, options: Options) -> Reader:
    """A reader of this file, in the format that the sender names or else the one that fits.

    Raises Unreadable for a file of no known format, or without the columns that one needs.
    """
    if options.mapping:
        return mapped.read(open_, options)
    if options.format is not None:
        return _READERS[options.format](open_, options)
    sample = encodings.beginning(open_)
    beginning = encodings.of(sample, options.encoding).beginning(sample)
    for module in _OF_OBJECTS.values():
        if module.matches(beginning):
            reader = module.read(open_, options)
            if unknown := unknown_names(reader.keyed()):
                raise _unknown("The objects are no products of the API", unknown)
            return reader
    heading = Table(open_, options).heading
    columns = frozenset(column.lower() for column in heading)
    for name, sheet in _SHEETS.items():
        if sheet.matches(columns):
            return _READERS[name](open_, options)
    raise _unknown(f"The heading is of none of the formats {', '.join(_SHEETS)}", heading)


def _unknown(what: str, names: Iterable[str]) -> Unreadable:
    shown = values.storable(", ".join(name for name in names if name), 1000)
    how = 'Send a mapping, such as {"name": "a column"}, that says which columns feed which fields.'
    return Unreadable(f"{what}. {how} There are: {shown}.", code="unknown_format")


def writer(name: str, extent: Extent) -> Writer:
    """A writer of one of `WRITABLE`."""
    return _WRITABLE[name].write(extent)
