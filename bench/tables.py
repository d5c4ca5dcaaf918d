"""The tables before and after a contender: emptied for it, and compared by their contents."""

from dataclasses import dataclass

from sqlalchemy import text

from models import db
from reads import read


@dataclass(frozen=True, slots=True)
class Contents:
    """What the tables hold; `checksum` covers the documents, without what every run has anew."""

    products: int
    variants: int
    checksum: str | None  # None: there are no products


def empty() -> None:
    """Empty the tables, and let no contender pay for what an earlier one has left to write."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            text(
                "TRUNCATE products, vocabulary, variants, stock_movements, jobs, job_errors, files,"
                " events CASCADE"
            )
        )
        connection.execute(text("CHECKPOINT"))


def contents(first_products: int | None = None) -> Contents:
    """What is stored of the first products, in the order of their ids, or of all."""
    row = read(text(_CONTENTS), {"limit": first_products})[0]
    return Contents(row.products, row.variants, row.checksum)


# Ids, version and times are no part of the catalogue. A variant's place in its document is.
_CONTENTS = """
WITH chosen AS (
    SELECT id, document::jsonb AS document FROM products ORDER BY id LIMIT :limit
), bare AS (
    SELECT document - '{id,version,created_at,updated_at,variants}'::text[] AS product, (
        SELECT jsonb_agg(variant - 'id' ORDER BY n)
        FROM jsonb_array_elements(document -> 'variants') WITH ORDINALITY AS list (variant, n)
    ) AS variants
    FROM chosen
)
SELECT count(*) AS products,
    (SELECT count(*) FROM variants JOIN chosen ON chosen.id = product_id) AS variants,
    md5(string_agg(product::text || variants::text, '' ORDER BY product ->> 'handle')) AS checksum
FROM bare
"""
