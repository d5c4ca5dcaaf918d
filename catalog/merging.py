"""Merge patches (RFC 7396), and which variant an entry of a patch means."""

from collections.abc import Callable, Sequence
from typing import Any

import values
from errors import Conflict, Fault, FieldFault, Invalid
from models import JSONObject, Product, Variant
from schemas import VariantFields, option_values

_VARIANT_FIELDS = tuple(VariantFields().fields)


def merged(target: Any, change: Any) -> Any:
    """RFC 7396's MergePatch: objects merge, null removes, everything else replaces."""
    if not isinstance(change, dict):
        return change
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def take_single_variant(sent: JSONObject) -> JSONObject:
    """Remove the fields of a variant from the top level of a request, and return them."""
    return {name: sent.pop(name) for name in _VARIANT_FIELDS if name in sent}


def both_at_once(single: JSONObject) -> Invalid:
    """The error for a request with `variants` and the fields of a single one."""
    faults = [
        FieldFault("both_at_once", "stands beside variants: give one or the other", f"/{name}")
        for name in single
    ]
    return Invalid("Give variants, or the fields of a single one.", faults)


def entry_for_only_variant(product: Product, change: JSONObject, single: JSONObject) -> JSONObject:
    """The entry that top-level variant fields stand for. Raises Invalid if they name no one."""
    if "variants" in change:
        raise both_at_once(single)
    if len(product.variants) != 1:
        detail = f"means no one of {len(product.variants)} variants: send variants"
        faults = [FieldFault("ambiguous_variant", detail, f"/{name}") for name in single]
        raise Invalid("The product has several variants.", faults)
    return {"id": product.variants[0].id, **single}


def variant_entries(sent: Any) -> list[JSONObject]:
    """The `variants` of a patch. Raises Invalid unless it is an array of objects."""
    if not isinstance(sent, list):
        raise invalid("invalid_type", "must be an array of objects", "/variants")
    for index, entry in enumerate(sent):
        if not isinstance(entry, dict):
            raise invalid("invalid_type", "must be an object", f"/variants/{index}")
    return sent


def match_variants(
    variants: Sequence[Variant], entries: Sequence[JSONObject]
) -> list[Variant | None]:
    """For each entry the variant that it names by `id`, `sku` or `options`; None for a new one.

    Raises Invalid for an id of another product and for a variant named twice, Conflict for a SKU
    that several variants carry.
    """
    named = [_match(variants, entry, f"/variants/{i}") for i, entry in enumerate(entries)]
    for index, variant in enumerate(named):
        if variant is not None and variant in named[:index]:
            raise invalid("named_twice", "means the same variant again", f"/variants/{index}")
    return named


def _match(variants: Sequence[Variant], entry: JSONObject, place: str) -> Variant | None:
    if "id" in entry:
        found = [v for v in variants if v.id == entry["id"] and type(entry["id"]) is int]
        if not found:
            raise invalid("unknown_variant", "is no variant of this product", f"{place}/id")
        return found[0]
    sku = _stored(values.label, entry.get("sku"))
    found = [v for v in variants if v.sku is not None and v.sku == sku]
    if len(found) > 1:
        ids = ", ".join(str(variant.id) for variant in found)
        fault = FieldFault("ambiguous_sku", f"is carried by the variants {ids}", f"{place}/sku")
        raise Conflict("Several variants carry this SKU: name one by id.", [fault])
    if not found:
        options = _stored(option_values, entry.get("options", {}))
        found = [v for v in variants if v.options == options]
    return found[0] if found else None


def _stored(rule: Callable[[Any], Any], sent: Any) -> Any:
    """What was sent as it would be stored; as it is, if it breaks the rule and is refused later."""
    try:
        return rule(sent)
    except Fault:
        return sent


def without_id(entry: JSONObject) -> JSONObject:
    """The entry without the id by which it named its variant."""
    return {name: value for name, value in entry.items() if name != "id"}


def invalid(code: str, detail: str, pointer: str) -> Invalid:
    """The error for one wrong place in a body."""
    return Invalid(f"{pointer} {detail}.", [FieldFault(code, detail, pointer)])
