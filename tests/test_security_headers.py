"""What browsers and caches are told, on either way to a view; CORS by its list."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from flask.testing import FlaskClient

from tests.processes import Web
from tests.stage import ADMIN, created

PRODUCTS = "/api/v1/products"
SHOP = "https://shop.example"
ANSWERS = [
    ("GET", PRODUCTS, 200), ("GET", f"{PRODUCTS}/none", 404), ("POST", PRODUCTS, 401),
    ("GET", "/nowhere", 404), ("PUT", "/healthz", 405), ("OPTIONS", PRODUCTS, 200),
    ("GET", "/healthz", 200), ("GET", "/openapi.json", 200), ("GET", "/docs", 200),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
def test_every_answer_tells_browsers_what_to_keep_to(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method)

    assert answer.status_code == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Vary"] == "Authorization"
    assert len(answer.headers.getlist("Content-Security-Policy")) == 1
    assert "Strict-Transport-Security" not in answer.headers
    assert not any(name.startswith("Access-Control") for name in {**answer.headers})


@pytest.mark.parametrize("path", [PRODUCTS, "/healthz"])
def test_through_tls_browsers_are_told_to_stay_there(client: FlaskClient, path: str) -> None:
    answer = client.get(path, base_url="https://localhost")

    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_what_a_key_has_fetched_is_for_no_shared_cache(
    admin: FlaskClient, client: FlaskClient
) -> None:
    tee = created(admin)

    for path in (PRODUCTS, f"{PRODUCTS}/{tee['id']}", f"{PRODUCTS}/none"):
        assert admin.get(path).headers["Cache-Control"] == "private, no-cache"
        assert "Cache-Control" not in client.get(path).headers


@pytest.fixture(scope="module")
def listing(migrated: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server with a list of origins."""
    folder = tmp_path_factory.mktemp("web")
    with Web(folder, CORS_ORIGINS=f"{SHOP}, http://localhost:3000") as running:
        yield running


@pytest.mark.parametrize("path", [PRODUCTS, f"{PRODUCTS}/none", "/healthz"])
@pytest.mark.parametrize("origin", [SHOP, "http://localhost:3000"])
def test_a_page_of_the_list_may_read_the_answer(listing: Web, origin: str, path: str) -> None:
    answer = httpx.get(listing.url + path, headers={"Origin": origin, **ADMIN})

    assert answer.headers["Access-Control-Allow-Origin"] == origin
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"ETag", "Link", "Location", "RateLimit", "Retry-After"} <= {*exposed}
    assert answer.headers["Vary"] == "Authorization, Origin"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.example", f"{SHOP}.evil.example", "null", ""])
def test_no_other_page_may(listing: Web, origin: str) -> None:
    answer = httpx.get(listing.url + PRODUCTS, headers={"Origin": origin})

    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_preflight_names_what_may_be_sent(listing: Web, method: str) -> None:
    asked = {"Origin": SHOP, "Access-Control-Request-Method": method,
             "Access-Control-Request-Headers": "authorization, if-match"}  # fmt: skip

    answer = httpx.options(f"{listing.url}{PRODUCTS}/1", headers=asked)

    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == SHOP
    assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")
    allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert {"authorization", "content-type", "if-match", "idempotency-key"} <= {*allowed}


@pytest.mark.usefixtures("migrated")
def test_a_star_lists_all(tmp_path: Path) -> None:
    with Web(tmp_path, CORS_ORIGINS="*") as web:
        answer = httpx.get(web.url + PRODUCTS, headers={"Origin": "https://any.example"})

    assert answer.headers["Access-Control-Allow-Origin"] == "https://any.example"
