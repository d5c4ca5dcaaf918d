"""Numbers as a file writes them: `1.234,56 €`, `$12.50`, `Dhs 1,050`.

A number in plain digits is read as it is. Any other takes the notation of its whole column, and
only if that leaves no doubt: `1.234` in a column that does not tell whether its point is for
decimals or for thousands is refused, not guessed.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any

from catalog.formats import cells
from errors import Fault
from models import JSONObject

_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?")
# Either sign could be for decimals or for thousands here.
_EITHER = re.compile(r"-?[1-9][0-9]{0,2}[.,][0-9]{3}")
_WRITTEN = re.compile(r"[0-9]+(?:[.,'’ \u00a0\u202f][0-9]+)*")
_SPACES = re.compile("['’ \u00a0\u202f]")
_GROUPED = {
    point: re.compile(rf"[0-9]{{1,3}}(?:(?P<sign>[^0-9{point}])[0-9]{{3}}(?:(?P=sign)[0-9]{{3}})*)")
    for point in ".,"
}
# Signs such as $ or R$, ISO 4217 codes, and what shops write instead of them.
_CURRENCY = re.compile(
    r"[A-Za-z]{0,3}[$¢-¥֏؋৲৳৻૱௹฿៛₠-⃀]|[A-Z]{3}|円|元"
    r"|(?:Dhs?|kr|Kč|zł|Ft|lei|лв|руб|р|грн|din|дин|RM|Rp|Rs|Fr|TL|KM|S/)\.?"
)
_MAX_LENGTH = 60
# Rules of cells that read plain digits, to which a column's own notation is applied.
RULES = frozenset((cells.money, cells.weight_grams, cells.integer))


@dataclass(frozen=True, slots=True)
class Written:
    """A number taken apart: `sign` is a minus or nothing, `currency` what stood beside it."""

    sign: str
    digits: str
    currency: str


@dataclass(frozen=True, slots=True)
class Notation:
    """What a column tells of itself: the signs that it uses for decimals, and its currencies."""

    points: frozenset[str]
    currencies: frozenset[str]


class NumberColumn:
    """The numbers of one column. The whole of it is looked at only when a cell needs that.

    `rule` is for the cell in plain digits. `column` gives every cell of the column. `point` is
    the sign for decimals that the format has by definition, if it has one.
    """

    def __init__(
        self,
        rule: Callable[[str], Any],
        column: Callable[[], Iterable[str]],
        point: str | None,
    ) -> None:
        self._rule = rule
        self._column = column
        self._point = point
        self._is_money = rule is cells.money
        self.read = lru_cache(4096)(self._read)  # numbers repeat, above all prices

    @cached_property
    def notation(self) -> Notation:
        """The notation of the column, from all its cells."""
        points: set[str] = set()
        currencies: set[str] = set()
        for cell in self._column():
            written = self._taken_apart(cell)
            if written is not None:
                points.update(_proven_points(written.digits))
                currencies.add(written.currency)
        return Notation(frozenset(points), frozenset(currencies - {""}))

    @property
    def about(self) -> JSONObject:
        """What was found out of the column, where that was needed."""
        if "notation" not in self.__dict__:
            return {}
        told = {"decimals": self.notation.points, "currency": self.notation.currencies}
        return {name: " ".join(sorted(signs)) for name, signs in told.items() if signs}

    def _read(self, cell: str) -> Any:
        text = cell.strip()
        if _PLAIN.fullmatch(text) and not _EITHER.fullmatch(text):
            return self._rule(text)
        written = self._taken_apart(text)
        if written is None:
            return self._rule(text)  # says what is wrong with it
        if written.currency and len(self.notation.currencies) > 1:
            shown = ", ".join(sorted(self.notation.currencies))
            raise Fault("mixed_currencies", f"stands in a column of several currencies: {shown}")
        return self._rule(written.sign + self._plain(written.digits))

    def _plain(self, digits: str) -> str:
        bare = _SPACES.sub("", digits)
        if bare.isdigit() and (bare == digits or _GROUPED["."].fullmatch(digits)):
            return bare
        if all(_in_plain_digits(digits, point) is None for point in ".,"):
            raise Fault("not_a_number", "is no number")
        points = self._points(digits)
        if len(points) != 1:
            seen = "uses both for decimals" if points else "does not tell which"
            raise Fault(
                "ambiguous_number",
                f"may have its point or comma for decimals or for thousands: the column {seen}",
            )
        (point,) = points
        plain = _in_plain_digits(digits, point)
        if plain is None:
            raise Fault("not_a_number", f"is no number in a column whose decimals follow a {point}")
        return plain

    def _points(self, digits: str) -> frozenset[str]:
        """The signs that may be for decimals here."""
        proven = self.notation.points
        by_definition = self._point is not None and self._point in digits
        if by_definition and _EITHER.fullmatch(digits):
            return proven | {self._point or ""}
        return proven

    def _taken_apart(self, cell: str) -> Written | None:
        """None: it is no number, or one with something beside it that is no currency."""
        text = cell.strip()
        found = _WRITTEN.search(text) if len(text) <= _MAX_LENGTH else None
        if found is None:
            return None
        before, after = text[: found.start()].strip(), text[found.end() :].strip()
        sign = ""
        for part in ("-", "\N{MINUS SIGN}"):
            if before.startswith(part) or before.endswith(part):
                sign, before = "-", before.strip(part).strip()
                break
        currency = before or after
        if (before and after) or (currency and not self._is_currency(currency)):
            return None
        return Written(sign, found[0], currency)

    def _is_currency(self, beside: str) -> bool:
        return self._is_money and _CURRENCY.fullmatch(beside) is not None


def unambiguous(number: Decimal) -> str:
    """An exact number as a cell that no column's notation can make another one of."""
    digits = f"{number:f}"
    return f"{digits}0" if _EITHER.fullmatch(digits) else digits


def _in_plain_digits(digits: str, point: str) -> str | None:
    """The number whose decimals follow this sign; None if its thousands are not in order."""
    whole, _, fraction = digits.partition(point)
    if not (whole.isdigit() or _GROUPED[point].fullmatch(whole)) or not (fraction or "0").isdigit():
        return None
    return re.sub("[^0-9]", "", whole) + (f".{fraction}" if fraction else "")


def _proven_points(digits: str) -> Iterable[str]:
    """The sign that this number alone proves to be for decimals, if it does."""
    signs = [character for character in digits if character in ".,"]
    if not signs or _EITHER.fullmatch(digits):
        return ()
    # A sign that stands more than once parts thousands, and so the other is for decimals.
    last = signs[-1]
    point = last if signs.count(last) == 1 else ".,".replace(last, "")
    return () if _in_plain_digits(digits, point) is None else (point,)
