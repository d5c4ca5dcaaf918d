"""The rules for single values, shared by the JSON schemas and the catalogue file readers.

Each function takes a value as it came from outside, returns it in its stored form, or raises
`Fault` with a stable code. No function here knows a field name, a row or a request.
"""

import csv
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from config import settings
from errors import Fault

# PostgreSQL's B-tree refuses an entry above 2,704 bytes; a character takes up to four. Whatever
# is indexed therefore stays below 600 characters.
HANDLE_LIMIT = 255
NAME_LIMIT = 512
LABEL_LIMIT = 255  # vendor, category, SKU, barcode, a tag, an option's name or value
DESCRIPTION_LIMIT = 512 * 1024  # Shopify's own limit on body_html, in characters
URL_LIMIT = 2048
MAX_STOCK = 2**31 - 1
MAX_ID = 2**63 - 1
EMAIL_LIMIT = 254  # RFC 5321 §4.5.3.1.3, without the brackets
NOTE_LIMIT = 4000
MAX_QUANTITY = 1_000_000  # of one line of an order
MAX_AMOUNT = Decimal(10) ** 12
MAX_WEIGHT_GRAMS = Decimal(10) ** 9
MAX_DIGITS = 40  # of a decimal: Python's own is quadratic in its length

# U+2028 and U+2029 are line breaks, and glibc, which PostgreSQL may ask, calls them control too.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_INTEGER = re.compile(r"-?[0-9]+")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_HYPHENS = re.compile(r"-+")
_URL = re.compile(r"https?://[^\s/]\S*", re.IGNORECASE)
_ENDPOINT = r"[Hh][Tt][Tt][Pp][Ss]?://[A-Za-z0-9.:\[\]-]+([/?#][!-~]*)?"
_EVENT_ID = re.compile(r"evt_([0-9]{1,19})")
_CENT = Decimal(1).scaleb(-settings.currency_decimals)
_MILLIGRAM = Decimal("0.001")
# What HTML's <input type="email"> takes, with RFC 5321's limit for what stands before the @.
_LABEL_OF_HOST = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL_OF_HOST}(\.{_LABEL_OF_HOST})*"


class Scientific(Decimal):
    """A number that was written with an exponent, which no amount is."""


def text(value: object, limit: int) -> str:
    """Any text in NFC, up to `limit` characters; NUL and lone surrogates are refused.

    PostgreSQL stores neither U+0000 nor a surrogate, so letting one in would be a 500 later.
    """
    if not isinstance(value, str):
        raise Fault("not_text", "must be text")
    if "\0" in value:
        raise Fault("nul_character", "holds a NUL character (U+0000)")
    if not value.isascii():  # what is needs no care, and is most of what comes
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Fault("lone_surrogate", "holds half of a surrogate pair") from None
        if not unicodedata.is_normalized("NFC", value):
            value = unicodedata.normalize("NFC", value)
    if len(value) > limit:
        raise Fault("too_long", f"is longer than {limit} characters")
    return value


def label(value: object, limit: int = LABEL_LIMIT) -> str:
    """One line of text, trimmed and not blank: a name, a vendor, a SKU, a tag."""
    trimmed = text(value, limit).strip()
    if not trimmed:
        raise Fault("blank", "must not be blank")
    if not trimmed.isprintable() and _CONTROL.search(trimmed):
        raise Fault("control_character", "holds a control character or a line break")
    return trimmed


def name(value: object) -> str:
    """One longer line: a product's name, a category path, the text for an image."""
    return label(value, NAME_LIMIT)


def description(value: object) -> str:
    """HTML as given: neither trimmed nor changed beyond NFC."""
    return text(value, DESCRIPTION_LIMIT)


def handle(value: object) -> str:
    """A product's public name in URLs: any NFC text without `/` or control characters."""
    trimmed = label(value, HANDLE_LIMIT)
    if "/" in trimmed:
        raise Fault("slash_in_handle", "must not hold a slash")
    return trimmed


def handle_from(name: str) -> str:
    """The handle derived from a product's name: its letters and digits, joined by hyphens.

    Marks stay with their letters: Hindi and Thai words would fall apart without them.
    """
    composed = unicodedata.normalize("NFC", name.lower())
    kept = (c if unicodedata.category(c)[0] in "LNM" else "-" for c in composed)
    slug = _HYPHENS.sub("-", "".join(kept)).strip("-")
    return slug[: HANDLE_LIMIT - 12].rstrip("-") or "product"


def url(value: object) -> str:
    """An absolute http or https address."""
    address = label(value, URL_LIMIT)
    if not _URL.fullmatch(address):
        raise Fault("not_a_url", "must be an absolute http:// or https:// address")
    return address


def storable(said: str, limit: int = 500) -> str:
    """The beginning of what somebody else has said, as PostgreSQL can keep it.

    It takes in no text NUL, or halves of a character.
    """
    return said[:limit].encode(errors="replace").decode().replace("\0", "")


def endpoint(value: object) -> str:
    """An address that we can send to: in ASCII, and without a user or a password."""
    address = url(value)
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").encode("idna")
        good = bool(host) and parts.port != 0 and re.fullmatch(_ENDPOINT, address)
    except ValueError:
        good = False
    if not good:
        raise Fault("invalid_endpoint", "must name a host and perhaps a port in ASCII, and no user")
    return address


def event_id(value: object) -> int:
    """The id of an event, such as evt_4711, as its number."""
    found = _EVENT_ID.fullmatch(text(value, LABEL_LIMIT))
    if found is None or int(found[1]) > MAX_ID:
        raise Fault("not_an_event", "must be the id of an event, such as evt_4711")
    return int(found[1])


@lru_cache(maxsize=4096)  # prices repeat: in a catalogue file most of them are cache hits
def money(value: str) -> Decimal:
    """An amount of the shop's currency, with exactly that currency's number of decimals.

    Plain ASCII digits with an optional point; exponents, NaN and Infinity are refused. More
    decimals than the currency has are accepted only when they are zeros.
    """
    amount = _not_negative(value, "1250.00")
    if amount >= MAX_AMOUNT:
        raise Fault("too_large", f"must be below {MAX_AMOUNT}")
    rounded = amount.quantize(_CENT)
    if rounded != amount:
        raise Fault(
            "too_many_decimals",
            f"has more decimals than {settings.currency} allows ({settings.currency_decimals})",
        )
    return rounded


@lru_cache(maxsize=4096)
def weight_grams(value: str) -> Decimal:
    """A weight in grams, kept to the milligram: exports convert from pounds with long tails."""
    weight = _not_negative(value, "453.6")
    if weight >= MAX_WEIGHT_GRAMS:
        raise Fault("too_large", f"must be below {MAX_WEIGHT_GRAMS}")
    return weight.quantize(_MILLIGRAM)


def _not_negative(value: str, example: str) -> Decimal:
    # Decimal() itself takes exponents, NaN, underscores and Arabic digits: the pattern does not.
    if len(value) > MAX_DIGITS or not _DECIMAL.fullmatch(value):
        raise Fault("not_a_number", f"is not a plain decimal number such as {example}")
    number = Decimal(value)
    if number < 0:
        raise Fault("negative", "must not be negative")
    return number.copy_abs()  # -0 is 0


def stock(value: int | str) -> int:
    """A count of pieces. Real shops carry negative stock, so only the size is limited."""
    if isinstance(value, str):
        if len(value) > 12 or not _INTEGER.fullmatch(value):
            raise Fault("not_an_integer", "is not a whole number")
        value = int(value)
    if abs(value) > MAX_STOCK:
        raise Fault("too_large", f"must lie between -{MAX_STOCK} and {MAX_STOCK}")
    return value


def email(value: object) -> str:
    """An address for mail, as browsers take it: in ASCII, without a name around it."""
    address = text(value, EMAIL_LIMIT)
    if not re.fullmatch(_EMAIL, address):
        raise Fault("not_an_email", "must be an address such as ada@example.com")
    return address


def note(value: object) -> str:
    """A few lines of plain text, as given."""
    return text(value, NOTE_LIMIT)


def quantity(value: int) -> int:
    """How many pieces somebody buys."""
    if not 1 <= value <= MAX_QUANTITY:
        raise Fault("out_of_range", f"must lie between 1 and {MAX_QUANTITY}")
    return value


def variant_id(value: int) -> int:
    """The id of a variant, as a number."""
    if not 1 <= value <= MAX_ID:
        raise Fault("out_of_range", f"must lie between 1 and {MAX_ID}")
    return value


def choice(words: Sequence[str], value: object) -> str:
    """One of a few words."""
    if not isinstance(value, str) or value not in words:
        raise Fault("not_a_choice", f"must be one of: {', '.join(words)}")
    return value


def row_id(value: str) -> int:
    """The id of a row, in ASCII digits."""
    if not (value.isascii() and value.isdigit() and len(value) < 20 and int(value) <= MAX_ID):
        raise Fault("not_an_id", "must be an id: digits alone")
    return int(value)


def timestamp(value: str) -> datetime:
    """A moment as RFC 3339 writes it, with its offset from UTC."""
    if not _TIMESTAMP.fullmatch(value):
        raise Fault(
            "not_a_time", "must be a time such as 2026-11-21T09:30:00Z (a + is sent as %2B)"
        )
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Fault("not_a_time", "is no time that there is") from None


def comma_separated(value: str, limit: int) -> list[str]:
    """The values between commas; one that holds a comma stands in double quotes (RFC 4180)."""
    try:
        found = next(csv.reader([value], strict=True), [])
    except csv.Error:
        raise Fault("not_a_list", 'must be values between commas, or "quoted"') from None
    if not 1 <= len(found) <= limit:
        raise Fault("out_of_range", f"must hold 1 to {limit} values")
    return found


# --- the same rules in JSON Schema, for the documentation ---------------------------------------

# As ECMA-262 and Python both read them. What is trimmed away may stand at the ends.
_NO_LINE = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
_ONE_LINE = rf"^\s*[^\s{_NO_LINE}]([^{_NO_LINE}]*[^\s{_NO_LINE}])?\s*$"


def _shape_of_line(limit: int, pattern: str = _ONE_LINE) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": limit, "pattern": pattern}


def _shape_of_decimal(below: Decimal, decimals: str) -> dict[str, Any]:
    pattern = rf"^0*[0-9]{{1,{len(str(below)) - 1}}}(\.{decimals})?$"
    return {"type": "string", "minLength": 1, "maxLength": MAX_DIGITS, "pattern": pattern}


_FRACTION = rf"[0-9]{{1,{settings.currency_decimals}}}" if settings.currency_decimals else "0"
SHAPES: Mapping[Callable[..., Any], Mapping[str, Any]] = {
    label: _shape_of_line(LABEL_LIMIT),
    name: _shape_of_line(NAME_LIMIT),
    handle: _shape_of_line(
        HANDLE_LIMIT, rf"^\s*[^\s/{_NO_LINE}]([^/{_NO_LINE}]*[^\s/{_NO_LINE}])?\s*$"
    ),
    url: _shape_of_line(
        URL_LIMIT, rf"^\s*[Hh][Tt][Tt][Pp][Ss]?://[^\s/{_NO_LINE}][^\s{_NO_LINE}]*\s*$"
    ),
    endpoint: _shape_of_line(URL_LIMIT, rf"^\s*{_ENDPOINT}\s*$"),
    event_id: {"type": "string", "pattern": "^evt_[0-9]{1,19}$"},
    description: {"type": "string", "maxLength": DESCRIPTION_LIMIT, "pattern": r"^[^\u0000]*$"},
    money: _shape_of_decimal(MAX_AMOUNT, f"{_FRACTION}0*"),
    weight_grams: _shape_of_decimal(MAX_WEIGHT_GRAMS, "[0-9]+"),
    email: _shape_of_line(EMAIL_LIMIT, f"^{_EMAIL}$") | {"minLength": 3},
    note: {"type": "string", "maxLength": NOTE_LIMIT, "pattern": r"^[^\u0000]*$"},
    quantity: {"type": "integer", "minimum": 1, "maximum": MAX_QUANTITY},
    variant_id: {"type": "integer", "minimum": 1, "maximum": MAX_ID},
    stock: {"type": "integer", "minimum": -MAX_STOCK, "maximum": MAX_STOCK},
    row_id: {"type": "integer", "minimum": 0, "maximum": MAX_ID},
    timestamp: {"type": "string", "format": "date-time"},
}
