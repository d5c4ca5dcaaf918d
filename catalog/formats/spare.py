"""What a format has no place for: its own columns in our `metadata`, our own values in its cells.

Reading keeps every column that no field is made of in the product's `metadata`, under its own
heading: a text where it is about the product, `{variant: text}` where it is about variants.

Writing makes a column of each key of `metadata`. What cells cannot say goes into one more column,
`_exact`, as JSON, in every CSV format alike:

    {"cells": {"Tags": ["a, b", ["a, b"]]}, "metadata": {"size": 5}}

`cells` gives, for a heading, the cell as it was written and the value that it stands for. Once
somebody has changed the cell, the cell counts. `metadata`, `options` and `images` are those of the
product, `identity` the options of the row's variant, and `variant` what else of it has no cell.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError

import values
from catalog.formats.cells import json_object
from catalog.formats.sheets import guarded, unguarded
from errors import Fault
from models import JSONObject
from schemas import ProductSchema, VariantFields, VariantSchema, faults_of

EXACT = "_exact"
# Columns that are about the file and not about the products: those of an error report, and ours.
OWN_COLUMNS = frozenset(("_line", "_error", EXACT))
MAX_COLUMNS = 500  # of metadata in one file; the keys beyond go into `_exact`

Told = dict[str, tuple[str, Any]]  # heading → cell and value: what `_exact` says of a row's cells
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def variant_key(options: Mapping[str, str]) -> str:
    """Under which a variant's value stands in `metadata`: blank for the one without options."""
    return " / ".join(options.values())


def folded(said: Sequence[tuple[str, str]], per_variant: bool) -> str | dict[str, str] | None:
    """What `metadata` keeps of a column, from each row's variant key and cell.

    A text, if only the first row says something or all rows say the same; an object of the rows
    that say something otherwise. In a column that is known to be about variants (`per_variant`)
    each variant with options speaks for itself alone, so that a later file with some of the
    variants leaves the others as they are. None: nobody says anything.
    """
    found = {key: cell for key, cell in said if cell and not cell.isspace()}
    if not found:
        return None
    first, text = next(iter(found.items()))
    about_product = first == said[0][0] if len(found) == 1 else len(found) == len(said)
    if per_variant:
        about_product = len(found) == 1 and not first
    return text if about_product and set(found.values()) == {text} else found


def ordered_options(product: JSONObject) -> list[dict[str, str]]:
    """Each variant's options in the order of the product's: JSON objects are stored without one."""
    given = [variant["options"] for variant in product["variants"]]
    names = dict.fromkeys([*product["options"], *(name for options in given for name in options)])
    return [{name: options[name] for name in names if name in options} for options in given]


def plain(number: float | None) -> str:
    """A number of a document in plain digits."""
    return "" if number is None else f"{Decimal(str(number)):f}"


class MetadataColumns:
    """The columns that `metadata` gets in a file.

    `taken` are the headings, in lower case, that mean something else there.
    """

    def __init__(
        self,
        keys: Iterable[str],
        taken: AbstractSet[str],
        about_variants: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.headings: list[str] = []
        self._about_variants = about_variants
        seen = set(taken | OWN_COLUMNS)
        for key in keys:
            if len(self.headings) < MAX_COLUMNS and _is_heading(key) and key.lower() not in seen:
                seen.add(key.lower())
                self.headings.append(key)

    def cells(
        self, metadata: JSONObject, variants: Sequence[str]
    ) -> tuple[list[dict[str, str]], JSONObject]:
        """The cells by heading for each variant key, and the entries that fit no cell."""
        rest = dict(metadata)
        rows: list[dict[str, str]] = [{} for _ in variants]
        for heading in self.headings:
            value = rest.get(heading)
            said = _spread(value, variants)
            if said is None or folded(said, self._about_variants(heading.lower())) != value:
                continue
            del rest[heading]
            for row, (_, cell) in zip(rows, said, strict=True):
                row[heading] = cell
        return rows, rest


def _is_heading(key: str) -> bool:
    """Whether a key comes back as it is when it is read as a heading."""
    return (
        key == " ".join(key.split())
        and key.isprintable()
        and 0 < len(key) <= values.LABEL_LIMIT
        and guarded(key) == unguarded(key)
    )


def _spread(value: Any, variants: Sequence[str]) -> list[tuple[str, str]] | None:
    """The cell of each variant key, if the value consists of texts for these alone."""
    if isinstance(value, str):
        cells = [value, *[""] * (len(variants) - 1)]
    elif isinstance(value, dict) and value.keys() <= set(variants):
        cells = [value.get(key, "") for key in variants]
    else:
        return None
    if len(set(variants)) < len(variants) or not all(isinstance(cell, str) for cell in cells):
        return None
    return list(zip(variants, cells, strict=True))


_VARIANT = VariantSchema().fields
_OF_VARIANT = VariantFields().fields.keys()
# A product's own `options` are names; those of a variant, its identity, are names and values.
_FIELDS = {**_VARIANT, **ProductSchema().fields, "identity": _VARIANT["options"]}


@dataclass(frozen=True, slots=True)
class Exact:
    """What a cell of `_exact` says; blank, it says nothing."""

    cells: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    identity: dict[str, str] | None = None
    product: JSONObject = field(default_factory=dict)
    variant: JSONObject = field(default_factory=dict)

    @classmethod
    def read(cls, cell: str) -> "Exact":
        """Read a cell of `_exact`. Raises Fault."""
        said = {"cells": {}, "identity": None, "variant": {}} | json_object(cell)
        cells, identity, variant = (said.pop(name) for name in ("cells", "identity", "variant"))
        if (
            not (isinstance(cells, dict) and all(map(_is_pair, cells.values())))
            or not (isinstance(variant, dict) and variant.keys() <= _OF_VARIANT)
            or not said.keys() <= {"metadata", "options", "images"}
        ):
            raise Fault("invalid_exact", "is not what an export has written there")
        return cls(
            cells,
            None if identity is None else _loaded("identity", identity),
            {name: _loaded(name, value) for name, value in said.items()},
            {name: _loaded(name, value) for name, value in variant.items()},
        )

    def fill(self, fields: JSONObject, heading: str, name: str, cell: str) -> None:
        """Set what a column feeds, if its cell is still what was written. Raises Fault."""
        if heading in self.cells and self.cells[heading][0] == cell and name in _FIELDS:
            fields[name] = _loaded(name, self.cells[heading][1])


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2


def _loaded(name: str, value: Any) -> Any:
    try:
        return _FIELDS[name].deserialize(value)
    except ValidationError as error:
        fault = faults_of(error)[0]
        raise Fault(fault.code, f"holds a {name} that {fault.detail}") from None


def told(
    exact: Told,
    heading: str,
    value: Any,
    rule: Callable[[str], Any],
    shown: Callable[[Any], str] = str,
) -> str:
    """The cell for a value; noted in `exact` if `rule` would read another value from it."""
    if value is None or value == []:
        return ""
    cell = shown(value)
    try:
        comes_back = bool(cell.strip()) and rule(cell) == value
    except Fault:
        comes_back = False
    if not comes_back:
        exact[heading] = (cell, value)
    return cell


def exact_cell(cells: Told, **said: Any) -> str:
    """The cell of `_exact` for a row; blank if there is nothing to say."""
    all_said = {name: value for name, value in {"cells": cells, **said}.items() if value}
    return _encode(all_said) if all_said else ""
