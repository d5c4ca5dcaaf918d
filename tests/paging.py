"""Walking through a list by the addresses in its pages, as a client does."""

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

URL = "/api/v1/products"
Rows = list[dict[str, Any]]


def names(response: TestResponse) -> list[str]:
    """The names of the products on a page."""
    assert response.status_code == 200, response.text
    return [product["name"] for product in response.get_json()["data"]]


def walk(client: FlaskClient, **query: Any) -> list[Rows]:
    """The rows of each page, from the first by `next` to the last.

    Walking back by `prev` has to show the same pages.
    """
    pages, last = _follow(client, client.get(URL, query_string=query), "next")
    same, _ = _follow(client, last, "prev")
    assert same == pages[::-1]
    return pages


def walked(client: FlaskClient, **query: Any) -> Rows:
    """The rows of all pages, in their order."""
    return [row for page in walk(client, **query) for row in page]


def _follow(client: FlaskClient, page: TestResponse, link: str) -> tuple[list[Rows], TestResponse]:
    """The rows of this page and of all that lie behind it, and the last of these pages."""
    assert page.status_code == 200, page.text
    pages = [page.get_json()["data"]]
    while url := page.get_json()[link]:
        page = client.get(url)
        assert page.status_code == 200, page.text
        pages.append(page.get_json()["data"])
    return pages, page
