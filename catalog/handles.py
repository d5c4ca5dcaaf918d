"""Handles that a client left to us: derived from the name, and numbered until they are free."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

import values
from models import Product

_NUMBERS = (range(1, 2), range(2, 51), range(51, 5001))
_AT_ONCE = 25_000  # candidates that one statement looks up


def derived(session: Session, name: object) -> str:
    """The handle for a new product of this name; creators of the same name take turns."""
    base = values.handle_from(str(name))
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(base))))
    return free(session, [base])[0]


def taken(session: Session, handles: Iterable[str]) -> set[str]:
    """Those of the handles that a living product has."""
    living = Product.handle == func.any(list(handles)), Product.deleted_at.is_(None)
    return set(session.scalars(select(Product.handle).where(*living)))


def free(session: Session, bases: Sequence[str], claimed: Collection[str] = ()) -> list[str]:
    """For each base `base`, or `base-2` and so on: the first that nobody has or has claimed.

    With 5,000 namesakes it is the base itself, which is then refused as taken: they need handles
    of their own.
    """
    found = list(bases)
    used = set(claimed)
    waiting: Sequence[int] = range(len(bases))
    for numbers in _NUMBERS:
        distinct = list(dict.fromkeys(bases[index] for index in waiting))
        for some in _slices(distinct, _AT_ONCE // len(numbers)):
            used |= taken(session, [c for base in some for c in _numbered(base, numbers)])
        candidates = {base: _numbered(base, numbers) for base in distinct}
        still: list[int] = []
        for index in waiting:
            choice = next((c for c in candidates[bases[index]] if c not in used), None)
            if choice is None:
                still.append(index)
            else:
                found[index] = choice
                used.add(choice)
        waiting = still
    return found


def _numbered(base: str, numbers: range) -> Iterator[str]:
    return (base if number == 1 else f"{base}-{number}" for number in numbers)


def _slices(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
