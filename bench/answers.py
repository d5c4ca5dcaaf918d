"""What each contender answers: the same products and pages, and which requests it is sent."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import httpx

from bench.contenders import Contender

RANDOM_IDS = 5_000  # that are asked for while the clock runs
COMPARED_IDS = 300  # of which each contender is asked before, and whose ETags are then sent
PAGES = 200
SELDOM_PAGES = 500  # more than a process of ours keeps (api/pages.py)
COMPARED_PAGES = 20

ONE_PRODUCT = "one product by id"
PAGE = "page of 25, of 200 pages"
SELDOM_PAGE = "page of 25, of 500 pages"
NOT_MODIFIED = "one product, 304"
SCENARIOS = (ONE_PRODUCT, PAGE, SELDOM_PAGE, NOT_MODIFIED)


@dataclass(slots=True)
class Answers:
    """One contender's answers before the measurement, and the requests that it will get."""

    products: list[Any] = field(default_factory=list)
    pages: list[Any] = field(default_factory=list)
    requests: dict[str, list[str]] = field(default_factory=dict)

    def write(self, folder: Path, scenario: str) -> Path:
        """The file of a scenario's requests, as bench/requests.lua reads it."""
        path = folder / f"{scenario.replace(' ', '-')}.requests"
        path.write_text("".join(f"{line}\n" for line in self.requests[scenario]))
        return path


def random_ids(products: int) -> list[int]:
    """The ids that are asked for: the same for all."""
    return Random("pushcart").choices(range(1, products + 1), k=RANDOM_IDS)  # noqa: S311


def collect(contender: Contender, ids: Sequence[int], key: str) -> Answers:
    """Ask a running contender; raise RuntimeError where it does not answer as it should."""
    found = Answers()
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=contender.url, headers=headers, timeout=30) as client:
        found.requests[ONE_PRODUCT] = [f"{contender.products}/{number}" for number in ids]
        found.requests[NOT_MODIFIED] = []
        for path in found.requests[ONE_PRODUCT][:COMPARED_IDS]:
            answer = _get(client, path)
            found.products.append(answer.json())
            etag = answer.headers["ETag"]
            found.requests[NOT_MODIFIED].append(f"{path}\t{etag}")
            _check_not_modified(client, path, etag)
        found.requests[SELDOM_PAGE] = _page_links(client, contender.products)
        found.requests[PAGE] = found.requests[SELDOM_PAGE][:PAGES]
        found.pages = [_get(client, path).json() for path in found.requests[PAGE][:COMPARED_PAGES]]
    return found


def _get(client: httpx.Client, path: str) -> httpx.Response:
    return client.get(path).raise_for_status()


def _check_not_modified(client: httpx.Client, path: str, etag: str) -> None:
    same = client.get(path, headers={"If-None-Match": etag})
    other = client.get(path, headers={"If-None-Match": '"another"'})
    if (same.status_code, same.content, other.status_code) != (304, b"", 200):
        raise RuntimeError(f"{path}: If-None-Match gives {same.status_code}, {other.status_code}")


def _page_links(client: httpx.Client, products: str) -> list[str]:
    """Pages of 25 from all over the list, by following the `next` of pages of 200."""
    links: list[str] = []
    following = f"{products}?limit=200"
    while following and len(links) < SELDOM_PAGES:
        parts = urlsplit(following)
        path = f"{parts.path}?{parts.query}"
        links.append(re.sub(r"\blimit=200\b", "limit=25", path))
        following = _get(client, path).json()["next"]
    Random("pushcart").shuffle(links)  # noqa: S311  # in the same order for all
    return links


def difference(ours: Answers, theirs: Answers) -> str | None:
    """Where the answers differ, or None; how a page leads to others is everyone's own."""
    pairs = list(zip(ours.products, theirs.products, strict=True))
    for page, other in zip(ours.pages, theirs.pages, strict=True):
        pairs += zip_longest(page["data"], other["data"])
    return next((f"\n  {one}\n  {other}" for one, other in pairs if one != other), None)
