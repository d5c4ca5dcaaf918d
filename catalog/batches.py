"""Batches: up to 500 products created or changed at once (docs/adr/0008).

Whatever the number of items, a batch takes about a dozen statements: all that it means is found
and locked at once, read, and written at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from marshmallow import ValidationError
from psycopg2.errors import DeadlockDetected
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import values
from catalog import handles, revisions
from catalog.matching import stored_or_none
from catalog.merging import invalid, merged
from catalog.refs import handle_taken
from catalog.revisions import Document, Revision
from catalog.targets import Name, Overtaken, Targets, name_of
from errors import Conflict, FieldFault, Invalid, PushcartError, TooLarge
from models import JSONObject, Product, Variant
from schemas import MAX_BATCH, invalid_by

MAX_VARIANTS = 10_000  # of all its products, sent and stored: what a request can hold
_MAX_FAULTS = 100  # that are told of one item
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Written:
    """What became of an item: its product as it stands now."""

    document: Document
    is_new: bool


Outcome = Written | PushcartError


@dataclass(slots=True, eq=False)
class _Item:
    """One product of the batch, on its way from what was sent to what is written."""

    index: int
    sent: JSONObject
    name: Name | None = None
    product: Product | None = None  # None: to be created
    variant: Variant | None = None  # the one with the SKU, if that is its name
    revision: Revision | None = None
    error: PushcartError | None = None

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Keep what is raised as the item's error, with pointers into the whole body."""
        try:
            yield
        except Overtaken:
            raise
        except (PushcartError, ValidationError) as raised:
            error = invalid_by(raised) if isinstance(raised, ValidationError) else raised
            faults = error.faults[:_MAX_FAULTS] or (FieldFault(error.error_code, error.detail),)
            place = f"/products/{self.index}"
            error.faults = tuple(replace(f, pointer=place + (f.pointer or "")) for f in faults)
            if isinstance(error, Invalid):  # tells a place, which is another in the whole body
                error.detail = f"{error.faults[0].pointer} {error.faults[0].detail}."
            self.error = error


def write(session: Session, sent: Sequence[Any], *, atomic: bool) -> list[Outcome]:
    """Create or change these products; each item's outcome stands at its index.

    Unless it is `atomic`, an item that is refused does not hinder the others. Raises TooLarge;
    Invalid with the faults of every refused item, if it is atomic; Conflict if others change the
    same products again and again.
    """
    _check_size(sent)
    for left in reversed(range(_ATTEMPTS)):
        try:
            with session.begin_nested():
                return _write(session, sent, atomic)
        except (Conflict, OperationalError) as error:
            # What somebody else has just created or moved is found where it is, the next time.
            overtaken = isinstance(error, Conflict) or isinstance(error.orig, DeadlockDetected)
            if not (left and overtaken):
                raise
    raise AssertionError  # the last attempt returns or raises


def _write(session: Session, sent: Sequence[Any], atomic: bool) -> list[Outcome]:
    items = [_Item(index, product) for index, product in enumerate(sent)]
    for item in items:
        with item.refusing():
            item.name = name_of(item.sent)
    _find_products(session, [item for item in items if not item.error])
    _revise(session, [item for item in items if not item.error])
    refused = [item for item in items if item.error]
    if refused and atomic:
        raise _refusal(refused, len(items))
    written = iter(_store(session, [i.revision for i in items if i.revision and not i.error]))
    return [item.error or Written(next(written), item.product is None) for item in items]


def _check_size(sent: Sequence[Any]) -> None:
    instead = "send them as a file to /api/v1/imports"
    if len(sent) > MAX_BATCH:
        raise TooLarge(f"A batch holds up to {MAX_BATCH} products: for more, {instead}.")
    variants = (item.get("variants") for item in sent if isinstance(item, dict))
    if sum(len(entries) for entries in variants if isinstance(entries, list)) > MAX_VARIANTS:
        raise TooLarge(f"A batch holds up to {MAX_VARIANTS} variants: for more, {instead}.")


def _find_products(session: Session, items: Sequence[_Item]) -> None:
    """Give each item the product that it means, and refuse those that mean it again."""
    targets = Targets(session, {item.name for item in items if item.name}, MAX_VARIANTS)
    meant: set[object] = set()
    brought: set[str] = set()  # SKUs, by which a later item may mean a product of this batch
    for item in items:
        with item.refusing():
            item.product, item.variant = targets.meant_by(item.name)
            name = ("id", item.product.id) if item.product else item.name
            is_sku = name is not None and name[0] == "sku"
            if name and (name[1] in brought if is_sku else name in meant):
                raise invalid("duplicate_item", "means the product of an earlier item again", "")
            meant.add(name)
            brought.update(_skus(item.sent))


def _skus(sent: JSONObject) -> Iterator[str]:
    entries = sent.get("variants")
    for entry in (sent, *(entries if isinstance(entries, list) else ())):
        sku = stored_or_none(values.label, entry.get("sku")) if isinstance(entry, dict) else None
        if sku is not None:
            yield sku


def _revise(session: Session, items: Sequence[_Item]) -> None:
    """Read each item, as a merge patch of its product or, if it has none, as a new one."""
    claimed = {stored_or_none(values.handle, item.sent.get("handle")) for item in items}
    unnamed = [item for item in items if not item.product and item.sent.get("handle") is None]
    bases = [values.handle_from(str(item.sent.get("name"))) for item in unnamed]
    derived = dict(zip(unnamed, handles.free(session, bases, claimed), strict=True))
    for item in items:
        with item.refusing():
            if item.product:
                item.revision = revisions.changing(item.product, item.sent, item.variant)
            else:
                sent = _merged_with_nothing(item.sent)
                item.revision = revisions.new({"handle": derived.get(item), **sent})
    _refuse_taken_handles(session, items)


def _merged_with_nothing(sent: JSONObject) -> JSONObject:
    """A merge patch as the whole of a new product: null is what is not there."""
    whole: JSONObject = merged({}, sent)
    if isinstance(entries := whole.get("variants"), list):
        whole["variants"] = [merged({}, entry) for entry in entries]
    return whole


def _refuse_taken_handles(session: Session, items: Sequence[_Item]) -> None:
    revised = [(item, item.revision.fields["handle"]) for item in items if item.revision]
    renamed = [(i, handle) for i, handle in revised if i.product and handle != i.product.handle]
    if not renamed:
        return
    used = handles.taken(session, [handle for _, handle in renamed])
    used |= {handle for item, handle in revised if not item.product}
    for item, handle in renamed:
        with item.refusing():
            if handle in used:
                raise handle_taken()
        used.add(handle)


def _refusal(refused: Sequence[_Item], total: int) -> Invalid:
    faults = [fault for item in refused if item.error for fault in item.error.faults]
    detail = f"{len(refused)} of {total} products are refused, and so nothing is stored."
    return Invalid(detail, faults)


def _store(session: Session, read: Sequence[Revision]) -> list[Document]:
    now = session.scalar(select(func.clock_timestamp()))
    # New handles are taken in one order by all, as the locks are.
    in_order = sorted(read, key=lambda revision: str(revision.fields["handle"]))
    changed = {r.product for r in in_order if revisions.apply(session, r, now)}
    return revisions.written(session, [revision.product for revision in read], changed)
