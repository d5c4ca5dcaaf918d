"""Asks for the same among few products and among many, and prints how much slower that is.

`bench/scale` runs it; `bench/README.md` says what is asked.
"""

import argparse
import json
import logging
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlencode, urlsplit

from bench import fill
from bench.catalogue import CATEGORIES, VENDORS
from bench.contenders import Ours
from tests.processes import BIN, ROOT

DEEP_PAGES = 10
WARM_UP_REQUESTS = 30
TARGET = 3.0  # times slower than among few

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Timing:
    """What a single client has seen; times from the sending of a request to its answer's end."""

    p50_ms: float
    p99_ms: float
    shown: int  # products in the first answer


class Client:
    """One connection that is kept, as bare as the standard library has it."""

    def __init__(self, url: str) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=60)

    def get(self, path: str) -> bytes:
        """The body of a 200; raises RuntimeError for anything else."""
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {body.decode()}")
        return body

    def time(self, paths: Sequence[str], requests: int) -> Timing:
        """Ask for these paths in turn, the first ones for warming up."""
        shown = len(json.loads(self.get(paths[0]))["data"])
        for path in islice(cycle(paths), WARM_UP_REQUESTS):
            self.get(path)
        taken = [self._milliseconds(path) for path in islice(cycle(paths), requests)]
        return Timing(median(taken), quantiles(taken, n=100, method="inclusive")[98], shown)

    def _milliseconds(self, path: str) -> float:
        start = time.perf_counter()
        self.get(path)
        return (time.perf_counter() - start) * 1000

    def deep_pages(self, depth: int, **query: str) -> list[str]:
        """Some pages of 25 that begin `depth` rows and more behind the first."""
        pages: list[str] = []
        following = _path(limit="200", **query)
        while following and len(pages) < depth // 200 + DEEP_PAGES:
            parts = urlsplit(following)
            path = f"{parts.path}?{parts.query}"
            pages.append(re.sub(r"\blimit=200\b", "limit=25", path))
            following = json.loads(self.get(path))["next"]
        return pages[-DEEP_PAGES:]


def _path(**query: str) -> str:
    return f"{Ours.products}?{urlencode(query)}"


def scenarios(client: Client, depth: int) -> Iterator[tuple[str, list[str]]]:
    """Each scenario's name and paths; but for the depth they are the same in every catalogue."""
    yield "first page", [_path()]
    yield "deep page", client.deep_pages(depth)
    yield "deep page, sort=price", client.deep_pages(depth, sort="price")
    above = dict.fromkeys(path.rpartition(" > ")[0] for path in CATEGORIES)
    for name, paths in (("category", CATEGORIES), ("category above it", above)):
        yield f"{name}, sort=price", [_path(category=path, sort="price") for path in paths]
    yield "vendor, sort=-updated_at", [_path(vendor=v, sort="-updated_at") for v in VENDORS]
    for name, asked in searches(json.loads(client.get(_path(limit="30")))["data"]).items():
        yield f"q: {name}", [_path(q=q) for q in asked]


def searches(products: Sequence[Any]) -> dict[str, list[str]]:
    """What is searched for, `products` being some that every catalogue has."""
    words = fill.vocabulary().words
    usual = [word for word in words[300:600] if len(word) > 5][:30]
    return {
        "common word": list(words[60:90]),
        "word": usual,
        "two words": [" ".join(product["name"].split()[:2]) for product in products],
        "beginning of a word": [word[:4] for word in usual],
        "word with a typo": [f"{word[:3]}x{word[4:]}" for word in usual],
        "beginning of a SKU": [product["variants"][0]["sku"][:-2] for product in products],
    }


def measure(products: int, chosen: argparse.Namespace, folder: Path) -> dict[str, Timing]:
    """Add products until there are so many, and ask everything."""
    print(f"Filling the tables with {products:,} products", flush=True)
    fill.grow_to(products)
    folder.mkdir()
    found = {}
    with Ours(folder) as web:
        client = Client(web.url)
        for name, paths in scenarios(client, min(chosen.depth, products // 2)):
            found[name] = client.time(paths, chosen.requests)
            print(f"  {name}: {found[name].p50_ms:.1f} ms", flush=True)
    return found


def report(
    few: Mapping[str, Timing], many: Mapping[str, Timing], chosen: argparse.Namespace
) -> None:
    """Print both side by side; the ratio is that of the medians."""
    print(f"\n{'':30}{chosen.few:>18,}{chosen.many:>22,} products")
    print(f"{'':30}{'p50 ms':>10}{'p99 ms':>10}{'p50 ms':>12}{'p99 ms':>10}{'ratio':>8}")
    for name, one in few.items():
        other = many[name]
        ratio = other.p50_ms / one.p50_ms
        line = f"{one.p50_ms:10.1f}{one.p99_ms:10.1f}{other.p50_ms:12.1f}{other.p99_ms:10.1f}"
        remarks = ["above the target"] * (ratio > TARGET)
        remarks += ["finds NOTHING"] * (not one.shown or not other.shown)
        print(f"{name:30}{line}{ratio:8.2f}", *remarks)


def main(arguments: Sequence[str]) -> None:
    """Measure twice, and compare."""
    parser = argparse.ArgumentParser(prog="bench/scale", description=__doc__)
    parser.add_argument("--few", type=int, default=10_000, help="products")
    parser.add_argument("--many", type=int, default=1_000_000, help="products")
    parser.add_argument("--requests", type=int, default=300, help="per scenario")
    parser.add_argument(
        "--depth", type=int, default=100_000, help="rows before the deep pages, or half of all"
    )
    chosen = parser.parse_args(arguments)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each call
    subprocess.run([BIN / "flask", "--app", "wsgi", "release"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(prefix="pushcart-bench-") as folder:
        few = measure(chosen.few, chosen, Path(folder, "few"))
        many = measure(chosen.many, chosen, Path(folder, "many"))
    report(few, many, chosen)


if __name__ == "__main__":
    main(sys.argv[1:])
