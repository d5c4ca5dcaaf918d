"""What a format has no place for: its own columns in our `metadata`, our own values in its cells.

Reading keeps every column that no field is made of in the product's `metadata`, under its own
heading: a text where it is about the product, `{variant: text}` where it is about variants.

Writing makes a column of each key of `metadata`. What cells cannot say goes into one more column,
`_exact`, as JSON, in every CSV format alike:

    {"cells": {"Tags": ["a, b", ["a, b"]]}, "metadata": {"size": 5}, "options": [], "images": []}

`cells` gives, for a heading, the cell as it was written and the value that it stands for. Once
somebody has changed the cell, the cell counts.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import values
from models import JSONObject

EXACT = "_exact"
# Columns that are about the file and not about the products: those of an error report, and ours.
OWN_COLUMNS = frozenset(("_line", "_error", EXACT))
MAX_COLUMNS = 500  # of metadata in one file; the keys beyond go into `_exact`

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def variant_key(options: Mapping[str, str]) -> str:
    """Under which a variant's value stands in `metadata`; the one without options: an empty text."""
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


class MetadataColumns:
    """The columns that `metadata` gets in a file.

    `taken` are the headings, in lower case, that mean something else there.
    """

    def __init__(
        self,
        keys: Iterable[str],
        taken: AbstractSet[str],
        per_variant: AbstractSet[str] = frozenset(),
    ) -> None:
        self.headings: list[str] = []
        self._per_variant = per_variant
        seen = set(taken | OWN_COLUMNS)
        for key in keys:
            if len(self.headings) < MAX_COLUMNS and _is_heading(key) and key.lower() not in seen:
                seen.add(key.lower())
                self.headings.append(key)

    def cells(
        self, metadata: JSONObject, variants: Sequence[str]
    ) -> tuple[list[list[str]], JSONObject]:
        """A row of cells for each variant key, and the entries of metadata that fit no cell."""
        rest = dict(metadata)
        rows = [[""] * len(self.headings) for _ in variants]
        for index, heading in enumerate(self.headings):
            value = rest.get(heading)
            said = _spread(value, variants)
            if said is None or folded(said, heading.lower() in self._per_variant) != value:
                continue
            del rest[heading]
            for row, (_, cell) in zip(rows, said, strict=True):
                row[index] = cell
        return rows, rest


def _is_heading(key: str) -> bool:
    """Whether a key comes back as it is when it is read as a heading."""
    return key == key.strip() and key.isprintable() and 0 < len(key) <= values.LABEL_LIMIT


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


def exact_cell(
    cells: Mapping[str, tuple[str, Any]] = {}, **product: Any  # noqa: B006  # never changed
) -> str:
    """The cell of `_exact` for a row; blank if there is nothing to say."""
    said = {name: value for name, value in {"cells": cells, **product}.items() if value}
    return _encode(said) if said else ""
