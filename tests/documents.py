"""Products that put file formats to the test, as public documents, and files of them."""

import io
import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Protocol

from hypothesis import strategies as st

from catalog.formats.rows import (
    Extent,
    Format,
    Options,
    ProductRows,
    Refusal,
    Writer,
    groups,
    survey,
)

Document = dict[str, Any]


class Writable(Protocol):
    """A format that can be written."""

    def write(self, extent: Extent) -> Writer: ...


def _stored(text: str) -> str:
    """As `values.label` would store it, or an empty text."""
    printable = "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp"))
    return unicodedata.normalize("NFC", printable).strip()


_NASTY = st.sampled_from(
    [
        *("=1+2", "'=x", "''-x", "'0123", "+49", "-5", "@sum", "1.55E+15", "12,5", "TRUE", "'"),
        *("a, b", "a\\, b", "a\\", '"', "A > B, C", "S / M", "x;y|z", "Default Title", "{"),
        *("  x", "é", "☕", "_line"),
    ]
)
line = (_NASTY | st.text(max_size=12)).map(_stored).filter(bool)
text = _NASTY | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).map(
    lambda found: unicodedata.normalize("NFC", found)
)
price = st.none() | st.integers(0, 10**14 - 1).map(lambda n: str(Decimal(n).scaleb(-2)))
weight = st.none() | st.integers(0, 10**12 - 1).map(lambda n: float(Decimal(n).scaleb(-3)))
url = st.from_regex(r"https?://[a-z,]{1,8}(/[\w,;|\\]{0,8})?", fullmatch=True).map(_stored)
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)
keys = (
    line
    | text
    | st.sampled_from(
        [
            *("Type", "Status", "Published", "SKU", "sku", "ID", "Name", "Categories", "Images"),
            *("Published on online store", "Variant Image", "Cost per item", "Meta: x", "_exact"),
            *("Attribute 1 name", "Attribute 1 value(s)", "Weight (lbs)", "Stock"),
        ]
    )
)


EMPTY: Document = {
    "handle": "tea",
    "name": "Tea",
    "description": None,
    "status": "active",
    "vendor": None,
    "category": None,
    "tags": [],
    "options": [],
    "images": [],
    "metadata": {},
    "variants": [
        {
            "options": {},
            "sku": None,
            "price": None,
            "compare_at_price": None,
            "barcode": None,
            "weight_grams": None,
            "stock": None,
            "backorder": False,
        }
    ],
}


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A product with anything that the API would let it have."""
    names = draw(st.lists(line, max_size=5, unique=True))
    options = draw(
        st.lists(
            st.fixed_dictionaries({}, optional=dict.fromkeys(names, line)),
            min_size=1,
            max_size=4,
            unique_by=lambda found: tuple(sorted(found.items())),
        )
    )
    variants = [
        {
            "options": given,
            "sku": draw(st.none() | line),
            "price": draw(price),
            "compare_at_price": draw(price),
            "barcode": draw(st.none() | line),
            "weight_grams": draw(weight),
            "stock": draw(st.none() | st.integers(-(2**31) + 1, 2**31 - 1)),
            "backorder": draw(st.booleans()),
        }
        for given in options
    ]
    value = json | st.dictionaries(
        st.sampled_from([" / ".join(given.values()) for given in options]), text, min_size=1
    )
    return {
        "handle": draw(line.filter(lambda found: "/" not in found)),
        "name": draw(line),
        "description": draw(st.none() | text),
        "status": draw(st.sampled_from(["draft", "active", "archived"])),
        "vendor": draw(st.none() | line),
        "category": draw(st.none() | line),
        "tags": draw(st.lists(line, max_size=3, unique=True)),
        "options": draw(st.permutations(names)),
        "images": draw(
            st.lists(st.fixed_dictionaries({"url": url, "alt": st.none() | line}), max_size=5)
        ),
        "metadata": draw(st.dictionaries(keys, value, max_size=4)),
        "variants": variants,
    }


def written(format_: Writable, products: list[Document]) -> bytes:
    """A file of these products."""
    keys = dict.fromkeys(key for product in products for key in product["metadata"])
    writer = format_.write(
        Extent(
            metadata=list(keys),
            options=max((len(product["options"]) for product in products), default=0),
            images=max((len(product["images"]) for product in products), default=0),
        )
    )
    return writer.head() + writer.rows(products) + writer.tail()


def read(
    format_: Format, content: str | bytes, **options: Any
) -> tuple[list[ProductRows], list[Refusal]]:
    """What a format makes of a file."""
    data = content.encode() if isinstance(content, str) else content
    reader = format_.read(lambda: io.BytesIO(data), Options(**options))  # type: ignore[arg-type,return-value]
    last_row = survey(key for key, _ in reader.keyed()).last_row
    found = [reader.read(group) for group in groups(reader.keyed(), last_row)]
    refusals = [refusal for _, refused in found for refusal in refused]
    return [product for product, _ in found if product is not None], refusals


def stored(products: Iterable[ProductRows]) -> list[Document]:
    """The documents that an import of these into an empty shop makes."""
    return [
        {
            "handle": product.handle,
            **{name: product.fields.get(name) for name in ("name", "description", "vendor")},
            "status": product.fields.get("status", "active"),
            "category": product.fields.get("category"),
            "tags": product.fields.get("tags", []),
            "options": product.options,
            "images": product.images,
            "metadata": product.fields.get("metadata", {}),
            "variants": [
                {
                    "options": dict(variant.options),
                    "sku": variant.fields.get("sku"),
                    "price": _text(variant.fields.get("price")),
                    "compare_at_price": _text(variant.fields.get("compare_at_price")),
                    "barcode": variant.fields.get("barcode"),
                    "weight_grams": _number(variant.fields.get("weight_grams")),
                    "stock": variant.fields.get("stock"),
                    "backorder": variant.fields.get("backorder", False),
                }
                for variant in product.variants
            ],
        }
        for product in products
    ]


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
