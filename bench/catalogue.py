"""Writes a catalogue in our own CSV, of as many rows as are asked for; the same each time.

`python -m bench.catalogue ROWS > file`, or with the file's path as a second argument.
"""

import argparse
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import count, islice, product
from pathlib import Path
from random import Random

HEADING = (
    *("handle", "name", "description", "status", "vendor", "category", "tags", "images"),
    *("option1_name", "option1_value", "option2_name", "option2_value"),
    *("sku", "price", "compare_at_price", "barcode", "weight_grams", "stock", "backorder"),
)
CONTINUED = ("",) * 7  # a product's further rows leave its own fields blank

# Sizes × colours, and how many of 100 products have them: 3 variants on average.
SHAPES = {(0, 0): 23, (2, 0): 20, (3, 0): 25, (2, 2): 15, (3, 2): 17}
SIZES = ("XS", "S", "M", "L", "XL", "38", "40", "42", "250 g", "1 kg", "½ l")
COLOURS = ("Black", "Sand", "Crème", "Teal", "Rosé", "Midnight Blue", "Olive", "Weiß", "藍")

ADJECTIVES = (
    *("Quiet", "Rainy", "Enamel", "Organic", "Roasted", "Café", "Smørrebrød", "Nordic", "Old"),
    *("Folding", "Heavy", "Señorita", "Wild", "Tiny", "Crème Brûlée", "Phố Cổ", "Ultra™", "Linen"),
)
NOUNS = (
    *("T-shirt", "Mug", "Oolong", "Blend", "Lamp", "Chair", "Notebook", "Bag", "Jacket", "Socks"),
    *("Kettle", "Poster", "Soap", "Candle", "Scarf", "Bowl", "Backpack", "Jalapeño Sauce"),
)
WORDS = (
    *("cotton", "heavy", "with", "our", "wheel", "on", "the", "chest", "roasted", "good", "for"),
    *("five", "infusions", "chips", "dignity", "holds", "hazelnut", "cocoa", "fuss", "bergamot"),
    *("made", "by", "hand", "in", "a", "small", "workshop", "and", "washed", "twice", "before"),
    *("it", "leaves", "us", "piqué", "naïve", "élan", "größer", "façade", "50&nbsp;%", "“soft”"),
)
TOPICS = ("season", "material", "gift", "thé", "sale")
TAGS = tuple(f"{topic} {number}" for topic in TOPICS for number in range(12))
VENDORS = tuple(f"{ADJECTIVES[n % 18]} {NOUNS[n % 17]} & Co. {n}" for n in range(200))
LEVELS = (
    ("Apparel", "Home", "Drinks", "Épicerie"),
    ("New", "Basics", "Gifts", "Kids", "Pro"),
    ("One", "Two", "Three", "Four", "Übergröße"),
)
CATEGORIES = tuple(" > ".join(path) for path in product(*LEVELS))

Row = tuple[str, ...]


def rows() -> Iterator[Row]:
    """The rows below the heading, without end; a product's rows follow each other."""
    random = Random("pushcart")  # noqa: S311  # the same catalogue each time
    barcodes = count(2_000_000_000_000)
    for number in count(1):
        name = f"{random.choice(ADJECTIVES)} {random.choice(NOUNS)} {number}"
        handle = name.lower().replace(" ", "-")
        start: Row = _product(random, name, handle)
        for index, options in enumerate(_options(random)):
            sku = f"{handle[:3].upper()}-{number}-{index}"
            yield (handle, *start, *options, *_variant(random, sku, next(barcodes)))
            start = CONTINUED


def _product(random: Random, name: str, handle: str) -> Row:
    tags = ",".join(random.sample(TAGS, random.randint(2, 5)))
    images = (f"https://example.com/images/{handle}-{n}.jpg" for n in range(random.randint(1, 3)))
    status = random.choices(("active", "draft", "archived"), (90, 7, 3))[0]
    vendor, category = random.choice(VENDORS), random.choice(CATEGORIES)
    return (name, _description(random), status, vendor, category, tags, " ".join(images))


def _description(random: Random) -> str:
    text = " ".join(random.choices(WORDS, k=200))
    cut = text.find(" ", random.randint(195, 380))
    return f"<p>{text[:cut]}</p>"


def _options(random: Random) -> list[Row]:
    sizes, colours = random.choices(tuple(SHAPES), tuple(SHAPES.values()))[0]
    chosen: list[list[Row]] = [
        [(heading, value) for value in random.sample(values, number)] or [("", "")]
        for heading, values, number in (("Size", SIZES, sizes), ("Colour", COLOURS, colours))
    ]
    return [(*size, *colour) for size, colour in product(*chosen)]


def _variant(random: Random, sku: str, barcode: int) -> Row:
    price = random.randint(5, 250)
    compare_at = f"{price + random.randint(5, 50)}.00" if random.random() < 0.2 else ""
    cents = random.choice(("00", "50", "90", "95", "99"))
    weight = str(random.randint(10, 1000) * 5)
    stock = str(random.randint(-3, 500))
    backorder = random.choice(("false", "false", "false", "true"))
    return (sku, f"{price}.{cents}", compare_at, str(barcode), weight, stock, backorder)


def write(target: io.TextIOBase, number: int) -> None:
    """Write the heading and the first `number` rows."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(HEADING)
    writer.writerows(islice(rows(), number))


def main(arguments: Sequence[str]) -> None:
    """Write to the path given, or to the standard output."""
    parser = argparse.ArgumentParser(prog="python -m bench.catalogue", description=__doc__)
    parser.add_argument("rows", type=int)
    parser.add_argument("path", type=Path, nargs="?")
    chosen = parser.parse_args(arguments)
    raw = chosen.path.open("wb") if chosen.path else nullcontext(sys.stdout.buffer)
    with raw as stream, io.TextIOWrapper(stream, encoding="utf-8", newline="") as target:
        write(target, chosen.rows)


if __name__ == "__main__":
    main(sys.argv[1:])
