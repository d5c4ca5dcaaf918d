"""What lists and search need: sort keys, search columns, and an index for each filter and sort.

Columns without a rewrite of the table, indexes built concurrently: the code still running goes on
beside it. Its own writes leave the new columns empty until a release renders them anew.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

LIVING = sa.text("deleted_at IS NULL")
OF_LIVING: dict[str, list[Any]] = {
    "ix_products_living": ["id"],
    "ix_products_status": ["status", "id"],
    "ix_products_name": ["name", "id"],
    "ix_products_lowest_price": ["lowest_price", "id"],
    "ix_products_created_at": ["created_at", "id"],
    "ix_products_updated_at": ["updated_at", "id"],
    "ix_products_vendor": ["vendor", "id"],
    "ix_products_category": [sa.text('category COLLATE "C"')],
}
FOR_SEARCH = {
    "ix_products_tags": "tags",
    "ix_products_search_title": "search_title",
    "ix_products_search_words": "search_words",
    "ix_products_search_text": "search_text",
}
OF_VARIANTS: dict[str, list[Any]] = {
    "ix_variants_sku_prefix": [sa.text("lower(sku) text_pattern_ops")],
    "ix_variants_stock": ["stock", "product_id"],
}


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS unaccent")
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    # Repeatable too: what stands before an `autocommit_block` is committed when that begins.
    for added in (
        sa.Column(
            "lowest_price", sa.Numeric(), server_default=sa.text("'Infinity'"), nullable=False
        ),
        sa.Column("search_title", TSVECTOR(), nullable=True),
        sa.Column("search_words", TSVECTOR(), nullable=True),
        sa.Column("search_text", sa.Text(), nullable=True),
    ):
        op.add_column("products", added, if_not_exists=True)
    with op.get_context().autocommit_block():
        for name, columns in OF_LIVING.items():
            op.create_index(name, "products", columns, postgresql_where=LIVING, **concurrently())
        for name, column in FOR_SEARCH.items():
            ops = {column: "gin_trgm_ops"} if column == "search_text" else {}
            op.create_index(
                name,
                "products",
                [column],
                postgresql_using="gin",
                postgresql_ops=ops,
                postgresql_with={"gin_pending_list_limit": 512},
                **concurrently(),
            )
        for name, columns in OF_VARIANTS.items():
            op.create_index(name, "variants", columns, **concurrently())


def concurrently() -> dict[str, Any]:
    """Repeatable, because what is built outside a transaction stays when a later step fails."""
    return {"postgresql_concurrently": True, "if_not_exists": True}


def downgrade() -> None:
    for name in (*OF_LIVING, *FOR_SEARCH):
        op.drop_index(name, "products", if_exists=True)
    for name in OF_VARIANTS:
        op.drop_index(name, "variants", if_exists=True)
    for column in ("lowest_price", "search_title", "search_words", "search_text"):
        op.drop_column("products", column)
    # The extensions stay: someone else may have begun to use them.
