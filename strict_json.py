"""JSON from outside, read strictly (RFC 8259): no name twice, no NaN, no depth without end.

Numbers with a fraction or an exponent come as Decimal, exactly as they were written.
"""

import json
import math
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from errors import Fault
from values import Scientific

MAX_DEPTH = 100  # far below where Python's recursion or PostgreSQL's stack would end


def value(text: str) -> Any:
    """The value of a JSON text. Raises Fault: `invalid_json` or `duplicate_name`."""
    try:
        found = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Fault("invalid_json", f"is not JSON: {error.msg} ({where})") from None
    except RecursionError:
        raise _too_deep() from None
    except Fault:
        raise
    except ValueError:  # Python refuses to read integers of more than 4,300 digits
        raise Fault("invalid_json", "holds a number that is too long") from None
    _check_depth(found)
    return found


def _check_depth(found: Any) -> None:
    level = [found]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> Fault:
    return Fault("invalid_json", "is nested too deeply")


def _inside(found: Any) -> Iterable[Any]:
    if isinstance(found, dict):
        return found.values()
    return found if isinstance(found, list) else ()


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Fault("duplicate_name", f"holds the name {twice!r} twice in one object")
    return names


def _finite(digits: str) -> Decimal:
    try:
        if math.isfinite(float(digits)):
            return Scientific(digits) if "e" in digits.lower() else Decimal(digits)
    except InvalidOperation:  # an exponent of twenty digits, which float() takes for zero
        pass
    raise Fault("invalid_json", "holds a number that is out of range")


def _refuse_constant(name: str) -> NoReturn:
    raise Fault("invalid_json", f"holds {name}, which is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_without_duplicates, parse_float=_finite, parse_constant=_refuse_constant
)
