"""Which format a file is in: told by its heading, or by whoever sent it."""

from catalog.formats import native, shopify, woocommerce
from catalog.formats.rows import Format, Open, Options, Reader
from catalog.formats.table import Table
from errors import Unreadable

_MODULES: dict[str, Format] = {module.NAME: module for module in (native, shopify, woocommerce)}
FORMATS = tuple(_MODULES)


def open_catalogue(open_: Open, options: Options) -> Reader:
    """A reader of this file, in the format that the sender names or else the one that fits.

    Raises Unreadable for a file of no known format, or without the columns that one needs.
    """
    if options.format is not None:
        return _MODULES[options.format].read(open_, options)
    columns = frozenset(column.lower() for column in Table(open_, options).heading)
    for module in _MODULES.values():
        if module.matches(columns):
            return module.read(open_, options)
    known = " or ".join(FORMATS)
    detail = f"The heading is not one of a {known} catalogue: it has no column handle."
    raise Unreadable(detail, code="unknown_format")
