"""What the columns of WooCommerce's product CSV mean, and how its cells are written and read.

Source: WooCommerce's product CSV schema, its importer and its exporter. Booleans are 1 and 0;
lists are separated by commas, and a comma that is none has a backslash before it.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import partial

import values
from catalog.formats import cells
from catalog.formats.flat import FlatFormat
from errors import Fault
from models import JSONObject

HANDLE = "Meta: handle"  # ours: WooCommerce keeps it as a custom field
_SEPARATOR = re.compile(r"(?<!\\),")
_NEW_LINE = re.compile(r"\\?\\n")
_MILLIGRAM = Decimal("0.001")
_ATTRIBUTE = re.compile(r"attribute ([1-9][0-9]{0,2}) (name|value\(s\))")
_ABOUT_PRODUCT = re.compile(
    r"is featured\?|visibility in catalog(ue)?|catalog visibility|short description|purchase note"
    r"|sold individually\??|allow customer reviews\?|upsells|cross-sells|grouped products"
    r"|external url|button text|attribute [0-9]+ (visible|global|default)"
)
# WooCommerce writes its headings in the shop's language; `Type` and its words stay English.
_TRANSLATED = {
    "tipo": "type",
    "ref": "sku",
    "nome": "name",
    "publicado": "published",
    "descrição": "description",
    "em estoque?": "in stock?",
    "estoque": "stock",
    "são permitidas encomendas?": "backorders allowed?",
    "preço promocional": "sale price",
    "preço": "regular price",
    "peso (kg)": "weight (kg)",
    "categorias": "categories",
    "imagens": "images",
    "produto ascendente": "parent",
    "metadado: handle": "meta: handle",
}
_TRANSLATED_ATTRIBUTE = re.compile(r"(nome|valores) do atributo ([0-9]+)")
_STATUSES = {"1": "active", "0": "draft", "-1": "draft", "2": "draft"}
_BACKORDERS = {"1": True, "0": False, "notify": True, "yes": True, "no": False}
_GRAMS = {
    "kg": Decimal(1000),
    "g": Decimal(1),
    "lbs": Decimal("453.59237"),
    "oz": Decimal("28.349523125"),
}


def canonical(heading: str) -> str:
    """The English name, in lower case, of a heading."""
    name = heading.lower()
    if match := _TRANSLATED_ATTRIBUTE.fullmatch(name):
        return f"attribute {match[2]} {'name' if match[1] == 'nome' else 'value(s)'}"
    return _TRANSLATED.get(name, name)


def attribute_pairs(columns: Iterable[str]) -> list[tuple[str, str]]:
    """The columns of each attribute's name and values, of which a file has any number."""
    found = {int(match[1]) for name in columns if (match := _ATTRIBUTE.fullmatch(name))}
    return [(f"attribute {n} name", f"attribute {n} value(s)") for n in sorted(found)]


def attribute_number(heading: str) -> int:
    """Which attribute a heading is of; 0: none."""
    match = _ATTRIBUTE.fullmatch(canonical(heading))
    return int(match[1]) if match else 0


def is_bound(heading: str) -> bool:
    """Whether a heading means something to the reader, beside being kept."""
    name = canonical(heading)
    return name in _BOUND or attribute_number(heading) > 0


def is_about_variants(heading: str) -> bool:
    """Whether a column without a place, by its heading in lower case, is about variations too."""
    return _ABOUT_PRODUCT.fullmatch(heading) is None


def split(cell: str) -> list[str]:
    """The items of a list."""
    items = (item.replace(r"\,", ",").strip() for item in _SEPARATOR.split(cell))
    return [item for item in items if item]


def joined(items: Iterable[str]) -> str:
    """A list of these items."""
    return ", ".join(item.replace(",", r"\,") for item in items)


def described(text: str) -> str:
    """A description as WooCommerce writes it: on one line."""
    return text.replace(r"\n", r"\\n").replace("\n", r"\n")


def description(cell: str) -> str:
    """A description, its line breaks written as backslash and n."""
    return values.description(_NEW_LINE.sub(lambda m: "\n" if m[0] == r"\n" else r"\n", cell))


def tags(cell: str) -> list[str]:
    """The tags of a product."""
    return list(dict.fromkeys(map(cells.label, split(cell))))


def category(cell: str) -> str:
    """The first of a product's categories."""
    path = next(iter(split(cell)), "")
    return cells.name(" > ".join(part.strip() for part in path.split(">")))


def vendor(cell: str) -> str:
    """The first of a product's brands."""
    return cells.label(next(iter(split(cell)), ""))


def images(cell: str) -> list[JSONObject]:
    """The images of a product, the main one first."""
    return [{"url": url, "alt": None} for url in dict.fromkeys(map(values.url, split(cell)))]


def published(cell: str) -> str:
    """The status of a product: WooCommerce's private and pending ones are seen by nobody either."""
    try:
        return _STATUSES[cell.strip()]
    except KeyError:
        raise Fault("not_a_choice", f"is none of: {', '.join(_STATUSES)}") from None


def backorders(cell: str) -> bool:
    """Whether more can be sold than there is."""
    try:
        return _BACKORDERS[cell.strip().lower()]
    except KeyError:
        raise Fault("not_a_choice", "is none of: 0, 1, notify") from None


def option(cell: str) -> str:
    """The value of a variation's attribute: one, in which a comma needs no backslash."""
    return cells.label(cell.replace(r"\,", ","))


def variation_name(product: str | None, options: Mapping[str, str]) -> str:
    """What WooCommerce calls a variation, unless somebody has given it another name."""
    return f"{product} - {', '.join(options.values())}" if options else f"{product}"


def _grams(factor: Decimal, cell: str) -> Decimal:
    number = cell.strip()
    if number.startswith("."):
        number = f"0{number}"
    values.weight_grams(number)  # refuses what is no weight
    return values.weight_grams(f"{(Decimal(number) * factor).quantize(_MILLIGRAM):f}")


def finish_variant(fields: JSONObject, _: frozenset[str]) -> None:
    """A sale price is what is asked, and the regular one then what it is compared with."""
    regular, sale = fields.pop("regular", None), fields.pop("sale", None)
    if sale is not None:
        fields["price"], regular_field = sale, "compare_at_price"
    else:
        regular_field = "price"
    if regular is not None:
        fields[regular_field] = regular


FORMAT = FlatFormat(
    name="woocommerce",
    handle_columns=(HANDLE.lower(),),
    product=(
        ("name", "name", cells.name),
        ("published", "status", published),
        ("description", "description", description),
        ("categories", "category", category),
        ("tags", "tags", tags),
        ("images", "images", images),
        ("brands", "vendor", vendor),
    ),
    variant=(
        ("sku", "sku", cells.code),
        ("gtin, upc, ean, or isbn", "barcode", cells.code),
        ("regular price", "regular", cells.money),
        ("sale price", "sale", cells.money),
        ("stock", "stock", cells.integer),
        ("backorders allowed?", "backorder", backorders),
        *((f"weight ({unit})", "weight_grams", partial(_grams, f)) for unit, f in _GRAMS.items()),
    ),
    option_pairs=(),  # as many as the file has
    canonical=canonical,
    about_variants=is_about_variants,
    finish_variant=finish_variant,
)
WEIGHTS = tuple(f"Weight ({unit})" for unit in _GRAMS)
_BOUND = frozenset(
    {
        *FORMAT.handle_columns,
        *("type", "parent"),
        *(name for name, _, _ in (*FORMAT.product, *FORMAT.variant)),
    }
)
