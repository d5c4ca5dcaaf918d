"""Orders for the tests: what is for sale, orders of it, and the ledger behind it."""

import secrets
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from tests.stage import created

ORDERS = "/api/v1/orders"
ADJUSTMENTS = "/api/v1/stock/adjustments"
MOVEMENTS = "/api/v1/stock/movements"

WRONG_SUMS = """
    SELECT v.id, v.stock, coalesce(sum(m.delta), 0)
    FROM variants v LEFT JOIN stock_movements m ON m.variant_id = v.id
    GROUP BY v.id HAVING coalesce(v.stock, 0) <> coalesce(sum(m.delta), 0)
"""


def for_sale(admin: FlaskClient, **fields: Any) -> int:
    """The id of the only variant of a new product, for 2.50 each unless the fields say more."""
    product = created(admin, **{"price": "2.50", **fields})
    variant_id: int = product["variants"][0]["id"]
    return variant_id


def order(client: FlaskClient, *lines: dict[str, Any], **fields: Any) -> TestResponse:
    """The answer to an order of these lines, under an Idempotency-Key of its own."""
    return client.post(
        ORDERS,
        json={"email": "ada@example.com", "lines": list(lines), **fields},
        headers={"Idempotency-Key": secrets.token_hex(8)},
    )


def placed(client: FlaskClient, *lines: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """An order that has been placed."""
    response = order(client, *lines, **fields)
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.get_json()
    return found


def stock_of(admin: FlaskClient, sku: str) -> int | None:
    """The stock of a variant, as its product's document shows it."""
    products = admin.get("/api/v1/products", query_string={"sku": sku}).get_json()["data"]
    (stock,) = [v["stock"] for p in products for v in p["variants"] if v["sku"] == sku]
    return stock  # type: ignore[no-any-return]


def wrong_sums(session: Session) -> list[Any]:
    """Variants whose movements do not add up to their stock, with both."""
    return [tuple(row) for row in session.execute(text(WRONG_SUMS))]
