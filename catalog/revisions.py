"""From a client's JSON to a product's rows, in two steps: read it all, then write it all.

Reading (`new`, `replacing`, `changing`) refuses whatever is wrong and changes nothing; it gives a
`Revision`. Applying one cannot fail; what is applied is written and rendered by `written`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from marshmallow import ValidationError
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from catalog import documents
from catalog.matching import Named, identity
from catalog.merging import (
    entry_for_only_variant,
    invalid,
    merged,
    take_single_variant,
    variant_entries,
    without_id,
    without_repeated,
)
from catalog.refs import handle_taken
from models import JSONObject, Product, Variant
from schemas import MAX_OPTIONS, MAX_VARIANTS, ProductSchema, VariantSchema

# Made once: making a schema costs as much as loading a product with it.
_PRODUCT = ProductSchema()
_READ_ONLY = tuple(name for name, field in _PRODUCT.fields.items() if field.dump_only)
_WRITABLE = ProductSchema(exclude=("variants", *_READ_ONLY))
_SERVERS = ProductSchema(only=_READ_ONLY)
_VARIANT = VariantSchema(exclude=("id",))


class Document(Protocol):
    """A product as clients read it: `document` is its public JSON."""

    id: int
    version: int
    document: str
    document_shape: int


COLUMNS = (Product.id, Product.version, Product.document, Product.document_shape)


@dataclass(frozen=True, slots=True)
class Revision:
    """A product and what it is to become: validated fields, each variant's, and which to remove."""

    product: Product
    fields: JSONObject
    variants: Sequence[tuple[Variant | None, JSONObject]]  # None: to be added
    removed: Sequence[Variant] = ()


def new(sent: JSONObject) -> Revision:
    """A new product from a client's JSON, in which the handle has been filled in.

    Without `variants` it gets one, from the top-level fields of a variant. Raises ValidationError
    for wrong fields, Invalid for variants both ways at once.
    """
    data = _load_whole(dict(sent))
    return _revision(Product(), data, [None] * len(data["variants"]))


def replacing(product: Product, sent: JSONObject) -> Revision:
    """The whole of a product from a client's JSON; what is absent falls back to its default.

    An entry of `variants` replaces the variant that it names, and variants that no entry names
    go. What only the server writes may be there, and counts for nothing; but an `id` must be the
    product's. Raises as `new` does, and Invalid for the id of another product or its variant.
    """
    sent = without_servers(sent, product.id)
    if sent.get("handle") is None:
        sent["handle"] = product.handle
    ids: dict[int, Any] = {}
    if isinstance(entries := sent.get("variants"), list):
        ids = {i: e["id"] for i, e in enumerate(entries) if isinstance(e, dict) and "id" in e}
        sent["variants"] = [without_id(e) if i in ids else e for i, e in enumerate(entries)]
    data = _load_whole(sent)
    named = Named(product).replaced(data["variants"], ids)
    kept = set(named)
    return _revision(product, data, named, [v for v in product.variants if v not in kept])


def without_servers(sent: JSONObject, product_id: int | None) -> JSONObject:
    """The body of a PUT without what only the server writes. Raises Invalid for another id."""
    sent = without_repeated(sent, {"id": product_id})
    return {name: value for name, value in sent.items() if name not in _READ_ONLY}


def changing(product: Product, change: JSONObject, only: Variant | None = None) -> Revision:
    """A JSON merge patch (RFC 7396) of a product, which is locked.

    An entry of `variants` is merged into the variant that it names by `id`, by `sku` or by
    `options`; any other entry is added, and variants that no entry names stay (docs/adr/0005).
    Top-level fields of a variant mean `only`, or else the product's only one. Raises
    ValidationError, Invalid, and Ambiguous for a SKU that several variants carry.
    """
    change = dict(change)
    single = take_single_variant(change)
    if single:
        entry = {"id": only.id, **single} if only else entry_for_only_variant(product, single)
        change["variants"] = [entry]
    if any(name in change for name in _READ_ONLY):
        change = without_repeated(change, _SERVERS.dump(product))
    entries = variant_entries(change.pop("variants", []))
    named = Named(product).patched(entries) if entries else []
    target = merged(_WRITABLE.dump(product), change)
    target["variants"] = [
        merged(_VARIANT.dump(variant) if variant else {}, without_id(entry))
        for variant, entry in zip(named, entries, strict=True)
    ]
    return _revision(product, _load(target, pointing_to_single=bool(single)), named)


def apply(
    session: Session, revision: Revision, now: datetime | ColumnElement[datetime] | None = None
) -> bool:
    """Bring a revision into the session; whether it changes anything.

    A change counts the version up, and happens `now`: by default when it reaches the database,
    because the transaction's time may lie before a change that it has waited for.
    """
    product = revision.product
    if is_new := product not in session:
        session.add(product)
    elif _make_room(session, revision):
        _flush(session)
    for variant, fields in revision.variants:
        if variant is None:
            product.variants.append(Variant(**fields))
        else:
            _assign(variant, fields)
    _assign(product, revision.fields)
    if is_new:
        return True
    changed = bool(revision.removed) or session.is_modified(product)
    changed = changed or any(v is None or session.is_modified(v) for v, _ in revision.variants)
    if changed:
        mark_changed(product, now)
    return changed


def mark_changed(product: Product, now: datetime | ColumnElement[datetime] | None = None) -> None:
    """Count the version up."""
    product.version += 1
    product.updated_at = func.clock_timestamp() if now is None else now


def written(
    session: Session, products: Sequence[Product], changed: Collection[Product]
) -> list[Document]:
    """Write what has been applied, and return the products' documents, those of `changed` anew.

    Raises Conflict for a handle that another product took meanwhile.
    """
    _flush(session)
    anew = [product.id for product in products if product in changed]
    as_is = [product.id for product in products if product not in changed]
    rows: list[Any] = [*documents.render(session, anew)] if anew else []
    if as_is:
        rows += session.execute(select(*COLUMNS).where(Product.id.in_(as_is)))
    found = {row.id: row for row in rows}
    return [found[product.id] for product in products]


def _load_whole(sent: JSONObject) -> JSONObject:
    single = take_single_variant(sent)
    if sent.get("variants", []) == []:
        sent["variants"] = [single]
    return _load(sent, pointing_to_single=bool(single))


def _load(sent: JSONObject, *, pointing_to_single: bool) -> JSONObject:
    """Validate; faults of a variant that the client wrote at the top level point to the top."""
    try:
        data: JSONObject = _PRODUCT.load(sent)
    except ValidationError as error:
        if not pointing_to_single:
            raise
        messages = dict(error.normalized_messages())  # type: ignore[no-untyped-call]
        faults = messages.pop("variants", {})
        raise ValidationError(messages | faults.get(0, faults)) from None
    return data


def _revision(
    product: Product,
    data: JSONObject,
    named: Sequence[Variant | None],
    removed: Sequence[Variant] = (),
) -> Revision:
    """Raises Invalid for what only shows when entries and stored variants come together."""
    entries: list[JSONObject] = data.pop("variants")
    gone = {*removed, *named}
    others = [variant.options for variant in product.variants if variant not in gone]
    _check_distinct(others, entries)
    options = [*others, *(entry["options"] for entry in entries)]
    if len(options) > MAX_VARIANTS:
        raise invalid("too_many", f"holds more than {MAX_VARIANTS} variants", "/variants")
    data["options"] = list(dict.fromkeys([*data["options"], *(n for o in options for n in o)]))
    if len(data["options"]) > MAX_OPTIONS:
        raise invalid("too_many", f"holds more than {MAX_OPTIONS} names", "/options")
    return Revision(product, data, list(zip(named, entries, strict=True)), removed)


def _check_distinct(others: Sequence[Mapping[str, str]], entries: Sequence[JSONObject]) -> None:
    taken = {identity(options) for options in others}
    for index, entry in enumerate(entries):
        if identity(entry["options"]) in taken:
            detail = "repeats the options of another variant"
            raise invalid("duplicate_options", detail, f"/variants/{index}/options")


def _make_room(session: Session, revision: Revision) -> bool:
    """Take away what stands in the way of a variant's new options, which trade places perhaps.

    The unique index looks at each row as it is written, and rows go last.
    """
    wanted = {identity(fields["options"]) for _, fields in revision.variants}
    moved = [v for v, fields in revision.variants if v and v.options != fields["options"]]
    in_the_way = [variant for variant in moved if identity(variant.options) in wanted]
    for variant in in_the_way:
        variant.options = {"": str(variant.id)}  # a name that no client's options can have
    for variant in revision.removed:
        revision.product.variants.remove(variant)
    return bool(in_the_way or revision.removed)


def _assign(row: Product | Variant, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        setattr(row, name, value)


def _flush(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
        if constraint == "uq_products_handle":
            raise handle_taken() from None
        raise
