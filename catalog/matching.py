"""Which of a product's variants an entry of a request means, by `id`, `sku` or `options`."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import values
from catalog.merging import invalid
from catalog.refs import MAX_CANDIDATES
from errors import Ambiguous, Fault, FieldFault
from models import JSONObject, Product, Variant
from schemas import option_values

Identity = frozenset[tuple[str, str]]


def identity(options: Mapping[str, str]) -> Identity:
    """A variant's options, comparable: no two variants of a product have the same."""
    return frozenset(options.items())


class Named:
    """A product's variants by each of their names; a large product is searched once, not often."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._by_id = {variant.id: variant for variant in product.variants}
        self._by_options = {identity(variant.options): variant for variant in product.variants}
        self._by_sku: defaultdict[str | None, list[Variant]] = defaultdict(list)
        for variant in product.variants:
            self._by_sku[variant.sku].append(variant)

    def patched(self, entries: Sequence[JSONObject]) -> list[Variant | None]:
        """For each entry of a patch its variant, by `id`, `sku` or `options`; None for a new one.

        Raises Invalid for an id of another product and for a variant named twice, Ambiguous for
        a SKU that several variants carry.
        """
        return _each_once([self._patched(e, f"/variants/{i}") for i, e in enumerate(entries)])

    def replaced(
        self, entries: Sequence[JSONObject], ids: Mapping[int, Any]
    ) -> list[Variant | None]:
        """For each validated entry the variant that it replaces; None for a new one.

        By the id that the entry of that index gave, else by the options, else by a SKU that only
        one of the variants carries which are left over. Raises Invalid for an id of another
        product and for one that is given twice.
        """
        found: list[Variant | None] = [None] * len(entries)
        for index, variant_id in ids.items():
            found[index] = self._with_id(variant_id, f"/variants/{index}")
        free = set(self._by_id.values()).difference(_each_once(found))
        for named in (self._with_options, self._with_sku):
            for index, entry in enumerate(entries):
                if found[index] is None:
                    candidates = [variant for variant in named(entry) if variant in free]
                    found[index] = candidates[0] if len(candidates) == 1 else None
                    free.discard(found[index])
        return found

    def _patched(self, entry: JSONObject, place: str) -> Variant | None:
        if "id" in entry:
            return self._with_id(entry["id"], place)
        sku = stored_or_none(values.label, entry.get("sku"))
        same = [] if sku is None else self._by_sku.get(sku, [])
        if len(same) > 1:
            product = self._product
            found = [candidate(v.id, v.options, product.id, product.handle) for v in same]
            raise ambiguous_sku(found, f"{place}/sku")
        if same:
            return same[0]
        options = stored_or_none(option_values, entry.get("options", {}))
        return None if options is None else self._by_options.get(identity(options))

    def _with_id(self, variant_id: Any, place: str) -> Variant:
        if type(variant_id) is not int or variant_id not in self._by_id:
            raise invalid("unknown_variant", "is no variant of this product", f"{place}/id")
        return self._by_id[variant_id]

    def _with_options(self, entry: JSONObject) -> list[Variant]:
        variant = self._by_options.get(identity(entry["options"]))
        return [] if variant is None else [variant]

    def _with_sku(self, entry: JSONObject) -> list[Variant]:
        return [] if entry["sku"] is None else self._by_sku.get(entry["sku"], [])


def _each_once(named: list[Variant | None]) -> list[Variant | None]:
    seen: set[Variant] = set()
    for index, variant in enumerate(named):
        if variant in seen:
            raise invalid("named_twice", "means the same variant again", f"/variants/{index}")
        if variant is not None:
            seen.add(variant)
    return named


def stored_or_none(rule: Callable[[Any], Any], sent: Any) -> Any:
    """What was sent as it would be stored; None if it breaks the rule, to be refused elsewhere."""
    try:
        return rule(sent)
    except Fault:
        return None


def candidate(variant_id: int, options: JSONObject, product_id: int, handle: str) -> JSONObject:
    """One of the variants that a SKU may mean, in the error that lists them."""
    return {
        "variant_id": variant_id,
        "options": options,
        "product_id": product_id,
        "product_handle": handle,
    }


def ambiguous_sku(candidates: Sequence[JSONObject], pointer: str | None = None) -> Ambiguous:
    """The error for a SKU that several variants carry, which stood at `pointer` of a body."""
    listed = candidates[:MAX_CANDIDATES]
    ids = ", ".join(str(found["variant_id"]) for found in listed)
    more = " and others" if len(candidates) > len(listed) else ""
    detail = f"is carried by the variants {ids}{more}"
    fault = [FieldFault("ambiguous_sku", detail, pointer)] if pointer is not None else []
    return Ambiguous(f"The SKU {detail}: name one by its id.", listed, fault, code="ambiguous_sku")
