"""Products: read, create, replace, patch, delete, restore. Plain functions; the edge commits.

Reads return the stored document as it is. Writes go through the ORM and render the document anew
before they return, in the same transaction; each locks its product before it looks at it.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from sqlalchemy import func
from sqlalchemy.orm import Session

import values
from catalog import handles, revisions
from catalog.expected import UNCONDITIONAL, Expected
from catalog.merging import invalid
from catalog.refs import (
    handle_taken,
    is_id,
    living,
    locked,
    locked_or_none,
    locked_restorable,
    named,
    not_found,
)
from catalog.revisions import Document
from errors import Conflict, Fault
from models import JSONObject
from reads import fetch

_ATTEMPTS = 3


class Stored(Protocol):
    """A product as it was read: `document` is its public JSON in UTF-8, never decoded."""

    id: int
    version: int
    document: bytes
    document_shape: int


def document(ref: str, statuses: Sequence[str]) -> Stored:
    """The living product with this id or handle, among those of `statuses`. Raises NotFound.

    A `ref` of digits alone is an id: a handle made of digits is found by the list's filter.
    """
    column, value = named(ref)
    given = {"value": value, "statuses": f"{{{','.join(statuses)}}}"}
    rows: Sequence[Stored] = fetch(_DOCUMENT[column], given, prepared=True, raw=True)
    if not rows:
        raise not_found(ref)
    return rows[0]


_DOCUMENT = {
    column: "SELECT id, version, document, document_shape FROM products"  # noqa: S608  # our words
    f" WHERE {column} = %(value)s AND deleted_at IS NULL AND status = ANY(%(statuses)s::text[])"
    for column in ("id", "handle")
}


def create(session: Session, sent: JSONObject) -> Document:
    """Store a new product from a client's JSON.

    Without `variants` it gets one, from the top-level fields of a variant. Raises
    ValidationError; Invalid for both at once; Conflict for a handle that is taken.
    """
    if sent.get("handle") is None:
        # Without a name the product is refused, for that alone.
        sent = {**sent, "handle": handles.derived(session, sent.get("name"))}
    return _stored(session, revisions.new(sent))


def put(
    session: Session, ref: str, sent: JSONObject, expected: Expected = UNCONDITIONAL
) -> tuple[Document, bool]:
    """Replace the living product with this id or handle, or create it; whether it was created.

    Only a handle creates: ids are the server's. Raises NotFound for an id without a product, and
    whatever `revisions.new` and `revisions.replacing` raise; Conflict for a new handle that is
    taken; PreconditionFailed, PreconditionRequired.
    """
    handle = None if is_id(ref) else _valid_handle(ref)
    for _ in range(_ATTEMPTS):
        product = locked_or_none(session, living(ref))
        if product is not None:
            expected.check(product)
            return _stored(session, revisions.replacing(product, sent)), False
        if handle is None:
            raise not_found(ref)
        expected.check(None)
        revision = revisions.new(_under(handle, sent))
        # If somebody else is just creating it, it is there the next time, to be replaced.
        with suppress(Conflict), session.begin_nested():
            return _stored(session, revision), True
    raise handle_taken()


def patch(
    session: Session, ref: str, change: JSONObject, expected: Expected = UNCONDITIONAL
) -> Document:
    """Apply a JSON merge patch (RFC 7396) to the living product with this id or handle.

    Raises NotFound, PreconditionFailed, PreconditionRequired, whatever `revisions.changing`
    raises, and Conflict for a handle that is taken.
    """
    product = locked(session, ref)
    expected.check(product)
    return _stored(session, revisions.changing(product, change))


def delete(session: Session, ref: str, expected: Expected = UNCONDITIONAL) -> None:
    """Hide the living product with this id or handle.

    Raises NotFound, PreconditionFailed, PreconditionRequired.
    """
    product = locked(session, ref)
    expected.check(product)
    product.deleted_at = func.now()
    revisions.mark_changed(product)


def restore(session: Session, ref: str) -> Document:
    """Undo a deletion; a living product stays as it is.

    By handle, if exactly one deleted product had it. Raises NotFound; Ambiguous for several, and
    Conflict for a handle that another product has by now.
    """
    product = locked_restorable(session, ref)
    if product.deleted_at is None:
        return revisions.written(session, [product], ())[0]
    product.deleted_at = None
    revisions.mark_changed(product)
    return revisions.written(session, [product], {product})[0]


def _stored(session: Session, revision: revisions.Revision) -> Document:
    changed = {revision.product} if revisions.apply(session, revision) else ()
    return revisions.written(session, [revision.product], changed)[0]


def _valid_handle(sent: object) -> str:
    try:
        return values.handle(sent)
    except Fault as fault:
        raise invalid(fault.code, fault.detail, "/handle") from None


def _under(handle: str, sent: JSONObject) -> JSONObject:
    """The body of a PUT as a new product's. Raises Invalid for another handle, and for an id."""
    given = sent.get("handle")
    if given is not None and _valid_handle(given) != handle:
        raise invalid("other_handle", f"is not the handle in the address, {handle!r}", "/handle")
    return {**revisions.without_servers(sent, None), "handle": handle}
