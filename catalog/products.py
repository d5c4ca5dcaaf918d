"""Products: find, page, create, patch, delete. Plain functions; the edge commits.

Reads return the stored document as it is. Writes go through the ORM and render the document anew
before they return, in the same transaction.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Protocol

from marshmallow import ValidationError
from sqlalchemy import ColumnElement, Row, and_, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import values
from catalog import documents
from catalog.merging import (
    both_at_once,
    entry_for_only_variant,
    invalid,
    match_variants,
    merged,
    take_single_variant,
    variant_entries,
    without_id,
)
from errors import Conflict, FieldFault, NotFound
from models import JSONObject, Product, Variant, read
from schemas import MAX_OPTIONS, MAX_VARIANTS, ProductSchema, VariantSchema

_ID = re.compile(r"[0-9]+")
_MAX_ID = 2**63 - 1
_WRITABLE = tuple(name for name, field in ProductSchema().fields.items() if not field.dump_only)


class Document(Protocol):
    """A product as clients read it: `document` is its public JSON."""

    id: int
    version: int
    document: str
    document_shape: int


_COLUMNS = (Product.id, Product.version, Product.document, Product.document_shape)


def document(ref: str, statuses: Sequence[str]) -> Row[tuple[int, int, str, int]]:
    """The living product with this id or handle, among those of `statuses`. Raises NotFound.

    A `ref` of digits alone is an id: a handle made of digits is found by the list's filter.
    """
    statement = select(*_COLUMNS).where(_living(ref), Product.status.in_(statuses))
    rows = read(statement)
    if not rows:
        raise _not_found(ref)
    return rows[0]


def page(
    *, after_id: int, limit: int, statuses: Sequence[str], handle: str | None = None
) -> Sequence[Row[tuple[int, int, str, int]]]:
    """Up to `limit` living products after an id, in the order of their ids."""
    statement = (
        select(*_COLUMNS)
        .where(Product.deleted_at.is_(None), Product.id > after_id, Product.status.in_(statuses))
        .order_by(Product.id)
        .limit(limit)
    )
    return read(statement if handle is None else statement.where(Product.handle == handle))


def create(session: Session, sent: JSONObject) -> Document:
    """Store a new product from a client's JSON.

    Without `variants` it gets one, from the top-level fields of a variant. Raises
    ValidationError; Invalid for both at once; Conflict for a handle that is taken.
    """
    sent = dict(sent)
    single = take_single_variant(sent)
    if single and "variants" in sent:
        raise both_at_once(single)
    if sent.get("variants", []) == []:
        sent["variants"] = [single]
    if sent.get("handle") is None:
        # Without a name the product is refused, for that alone.
        sent["handle"] = _free_handle(session, values.handle_from(str(sent.get("name"))))
    data = _load(sent, pointing_to_single=bool(single))
    product = Product()
    _apply(product, data, [None] * len(data["variants"]))
    session.add(product)
    return _written(session, product)


def patch(session: Session, ref: str, change: JSONObject) -> Document:
    """Apply a JSON merge patch (RFC 7396) to the living product with this id or handle.

    An entry of `variants` is merged into the variant that it names by `id`, by `sku` or by
    `options`; any other entry is added, and variants that no entry names stay as they are
    (docs/adr/0005). Raises NotFound, ValidationError, Invalid, and Conflict for a handle that is
    taken or a SKU that several variants carry.
    """
    product = _locked(session, ref)
    change = dict(change)
    single = take_single_variant(change)
    if single:
        change["variants"] = [entry_for_only_variant(product, change, single)]
    entries = variant_entries(change.pop("variants", []))
    named = match_variants(product.variants, entries)
    current = ProductSchema(only=_WRITABLE, exclude=("variants",)).dump(product)
    target = merged(current, change)
    target["variants"] = [
        merged(VariantSchema(exclude=("id",)).dump(variant) if variant else {}, without_id(entry))
        for variant, entry in zip(named, entries, strict=True)
    ]
    _apply(product, _load(target, pointing_to_single=bool(single)), named)
    if any(session.is_modified(part) for part in (product, *product.variants)):
        product.version += 1
        product.updated_at = func.clock_timestamp()  # now() may lie before a change waited for
    return _written(session, product)


def delete(session: Session, ref: str) -> None:
    """Hide the living product with this id or handle. Raises NotFound."""
    product = _locked(session, ref)
    product.deleted_at = func.now()
    product.version += 1


def _living(ref: str) -> ColumnElement[bool]:
    if "\0" in ref:  # PostgreSQL takes no such text, so no product has it
        raise _not_found(ref)
    if _ID.fullmatch(ref):
        wanted = Product.id == min(int(ref[:20]), _MAX_ID)
    else:
        wanted = Product.handle == unicodedata.normalize("NFC", ref)
    return and_(wanted, Product.deleted_at.is_(None))


def _not_found(ref: str) -> NotFound:
    return NotFound(f"There is no product {ref!r}.", code="product_not_found")


def _locked(session: Session, ref: str) -> Product:
    # Whoever writes a product or its variants holds this lock first.
    product = session.scalars(select(Product).where(_living(ref)).with_for_update()).one_or_none()
    if product is None:
        raise _not_found(ref)
    return product


def _load(sent: JSONObject, *, pointing_to_single: bool) -> JSONObject:
    """Validate; faults of a variant that the client wrote at the top level point to the top."""
    try:
        data: JSONObject = ProductSchema().load(sent)
    except ValidationError as error:
        if not pointing_to_single:
            raise
        messages = dict(error.normalized_messages())  # type: ignore[no-untyped-call]
        faults = messages.pop("variants", {})
        raise ValidationError(messages | faults.get(0, faults)) from None
    return data


def _apply(product: Product, data: JSONObject, named: Sequence[Variant | None]) -> None:
    """Write validated fields, each variant's into the one it names or into a new one."""
    for variant, fields in zip(named, data.pop("variants"), strict=True):
        if variant is None:
            product.variants.append(Variant(**fields))
        else:
            for name, value in fields.items():
                setattr(variant, name, value)
    for name, value in data.items():
        setattr(product, name, value)
    used = (name for variant in product.variants for name in variant.options)
    product.options = list(dict.fromkeys([*product.options, *used]))
    if len(product.options) > MAX_OPTIONS:
        raise invalid("too_many", f"holds more than {MAX_OPTIONS} names", "/options")
    if len(product.variants) > MAX_VARIANTS:
        raise invalid("too_many", f"holds more than {MAX_VARIANTS} variants", "/variants")


def _written(session: Session, product: Product) -> Document:
    try:
        session.flush()
    except IntegrityError as error:
        constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
        if constraint == "uq_products_handle":
            fault = FieldFault("handle_taken", "belongs to another product", "/handle")
            raise Conflict("The handle is taken.", [fault], code="handle_taken") from None
        if constraint == "uq_variants_product_id_options":
            detail = "repeats the options of another variant"
            raise invalid("duplicate_options", detail, "/variants") from None
        raise
    return documents.render(session, [product.id])[0]


def _free_handle(session: Session, base: str) -> str:
    """`base`, or `base-2` and so on: the first that no living product has."""
    # Two creators of the same name take turns, so that neither meets the other's handle.
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(base))))
    for numbers in (range(1, 51), range(51, 5001)):
        candidates = [base if number == 1 else f"{base}-{number}" for number in numbers]
        living = Product.handle.in_(candidates), Product.deleted_at.is_(None)
        taken = set(session.scalars(select(Product.handle).where(*living)))
        for candidate in candidates:
            if candidate not in taken:
                return candidate
    return base  # which is then refused as taken: 5,000 namesakes need handles of their own
