"""Merge patches (RFC 7396), and the fields of a variant at the top level of a request."""

from collections.abc import Mapping
from typing import Any

from errors import FieldFault, Invalid
from models import JSONObject, Product
from schemas import VariantFields

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


def without_repeated(change: JSONObject, stored: Mapping[str, Any]) -> JSONObject:
    """The change without what only the server writes, where it repeats that as it stands.

    So an answer can be sent back whole. Raises Invalid where it says anything else.
    """
    faults = [
        FieldFault("read_only", "is given by the server, which has another value", f"/{name}")
        for name, value in stored.items()
        if name in change and not (type(change[name]) is type(value) and change[name] == value)
    ]
    if faults:
        raise Invalid(f"{faults[0].pointer} {faults[0].detail}.", faults)
    return {name: value for name, value in change.items() if name not in stored}


def take_single_variant(sent: JSONObject) -> JSONObject:
    """Remove the fields of a variant from the top level of a request, and return them.

    Raises Invalid for a request that gives `variants` too.
    """
    single = {name: sent.pop(name) for name in _VARIANT_FIELDS if name in sent}
    if single and "variants" in sent:
        detail = "stands beside variants: give one or the other"
        faults = [FieldFault("both_at_once", detail, f"/{name}") for name in single]
        raise Invalid("Give variants, or the fields of a single one.", faults)
    return single


def entry_for_only_variant(product: Product, single: JSONObject) -> JSONObject:
    """The entry that top-level variant fields stand for. Raises Invalid if they name no one."""
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


def without_id(entry: JSONObject) -> JSONObject:
    """The entry without the id by which it named its variant."""
    return {name: value for name, value in entry.items() if name != "id"}


def invalid(code: str, detail: str, pointer: str) -> Invalid:
    """The error for one wrong place in a body."""
    return Invalid(f"{pointer} {detail}.", [FieldFault(code, detail, pointer)])
