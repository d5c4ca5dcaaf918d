"""From the text of a cell to a value: what CSV adds to the rules in `values`.

Each function takes a cell that is not blank and returns the stored form, or raises `Fault`.
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Any

from marshmallow import ValidationError

import strict_json
import values
from errors import Fault
from schemas import FreeObject, faults_of

_INTEGER = re.compile(r"(-?[0-9]{1,12})(\.0*)?")
_SPREADSHEET_NUMBER = re.compile(r"[0-9](\.[0-9]+)?E\+[0-9]+", re.IGNORECASE)
_BREAK = re.compile(r"[\t\r\n\v\f]+")
_TRUE = frozenset(("true", "1", "yes"))
_FALSE = frozenset(("false", "0", "no"))


@lru_cache(maxsize=4096)  # vendors, tags, options and their values repeat
def label(cell: str) -> str:
    """One line of text. Line breaks inside it, which real exports hold, become spaces."""
    return values.label(_one_line(cell))


def name(cell: str) -> str:
    """One longer line: a product's name, a category path."""
    return values.name(_one_line(cell))


def _one_line(cell: str) -> str:
    return cell if cell.isprintable() else _BREAK.sub(" ", cell)


def code(cell: str) -> str:
    """A SKU or barcode, without the apostrophe with which spreadsheets keep digits as text.

    `1.55E+15` is what a spreadsheet leaves of a long number: the digits are gone, so it is
    refused instead of stored.
    """
    text = values.label(_one_line(cell))
    if text[0] == "'":
        text = values.label(text[1:])
    if "+" in text and _SPREADSHEET_NUMBER.fullmatch(text):
        raise Fault("spreadsheet_number", "is a number whose digits a spreadsheet has destroyed")
    return text


def tags(cell: str) -> list[str]:
    """Tags, separated by commas or line breaks."""
    found = cell.replace("\n", ",").split(",")
    return list(dict.fromkeys(label(tag) for tag in found if tag.strip()))


def money(cell: str) -> Decimal:
    """An amount in plain digits."""
    return values.money(cell.strip())


def weight_grams(cell: str) -> Decimal:
    """A weight in grams."""
    return values.weight_grams(cell.strip())


@lru_cache(maxsize=1024)
def integer(cell: str) -> int:
    """A whole number; `5.0` is one, since some exporters write every number so."""
    match = _INTEGER.fullmatch(cell.strip())
    if match is None:
        raise Fault("not_an_integer", "is not a whole number")
    return values.stock(match[1])


@lru_cache(maxsize=64)
def boolean(cell: str) -> bool:
    """True or false, 1 or 0, yes or no."""
    word = cell.strip().lower()
    if word not in _TRUE | _FALSE:
        raise Fault("not_a_boolean", "is neither true nor false")
    return word in _TRUE


def json_object(cell: str) -> dict[str, Any]:
    """A JSON object in a cell."""
    try:
        found: dict[str, Any] = _FREE_OBJECT.deserialize(strict_json.value(cell))
    except ValidationError as error:
        fault = faults_of(error)[0]
        raise Fault(fault.code, fault.detail) from None
    return found


_FREE_OBJECT = FreeObject()
