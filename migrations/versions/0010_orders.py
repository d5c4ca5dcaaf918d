"""Orders, and a ledger in which every change of a variant's stock is a movement.

Triggers keep it, for the release that still runs as well. They stand before the first movements
are written for what is there already: each of those is what the stock is more than the sum of its
movements, both of one moment, so that nobody has to wait meanwhile, and to do it twice does nothing.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Aggregated, and not joined: the plan is made once in a session, perhaps for a single row, and
# would be quadratic for the thousands of an import. Who changes stock says why in two settings of
# the transaction. Without a stock before and after there is no movement; with 0 for the first time
# there is one of 0, since that is when the variant begins to be tracked.
RECORD = """
CREATE OR REPLACE FUNCTION record_stock_movements() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    because text := coalesce(nullif(current_setting('pushcart.stock_reason', true), ''), 'edit');
    of_what text := nullif(current_setting('pushcart.stock_reference', true), '');
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO stock_movements (variant_id, product_id, delta, stock_after, reason, reference)
        SELECT id, product_id, stock, stock, because, of_what
        FROM written WHERE stock IS NOT NULL ORDER BY id;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO stock_movements (variant_id, product_id, delta, stock_after, reason, reference)
        SELECT id, max(product_id), coalesce(max(now_is), 0) - coalesce(max(was), 0), max(now_is),
            because, of_what
        FROM (
            SELECT id, product_id, NULL::bigint AS was, stock AS now_is FROM written
            UNION ALL SELECT id, product_id, stock, NULL FROM replaced
        ) both_sides
        GROUP BY id HAVING max(was) IS DISTINCT FROM max(now_is) ORDER BY id;
    ELSE
        INSERT INTO stock_movements (variant_id, product_id, delta, stock_after, reason, reference)
        SELECT id, product_id, -stock, NULL, because, of_what
        FROM replaced WHERE stock IS NOT NULL ORDER BY id;
    END IF;
    RETURN NULL;
END $$
"""
TRIGGER = """
CREATE OR REPLACE TRIGGER record_stock_movements_of_{event} AFTER {event} ON variants
REFERENCING {rows} FOR EACH STATEMENT EXECUTE FUNCTION record_stock_movements()
"""
ROWS = {
    "insert": "NEW TABLE AS written",
    "update": "OLD TABLE AS replaced NEW TABLE AS written",
    "delete": "OLD TABLE AS replaced",
}
OPEN = """
INSERT INTO stock_movements (variant_id, product_id, delta, stock_after, reason)
SELECT id, product_id, stock - moved, stock - moved, 'opening'
FROM (
    SELECT v.id, v.product_id, v.stock, coalesce(sum(m.delta), 0) AS moved, count(m.id) AS movements
    FROM variants v LEFT JOIN stock_movements m ON m.variant_id = v.id
    WHERE v.stock IS NOT NULL GROUP BY v.id
) counted
WHERE stock <> moved OR movements = 0 ORDER BY id
"""


def upgrade() -> None:
    timestamp = postgresql.TIMESTAMP(timezone=True)
    op.create_table(
        "stock_movements",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("variant_id", sa.BigInteger(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("delta", sa.BigInteger(), nullable=False),
        sa.Column("stock_after", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column(
            "created_at", timestamp, server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint(
            "reason IN ('order', 'cancellation', 'adjustment', 'import', 'edit', 'opening')",
            name=op.f("ck_stock_movements_reason"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_movements")),
        if_not_exists=True,
    )
    create_index("ix_stock_movements_variant_id", "stock_movements", ["variant_id", "id"])
    create_index("ix_stock_movements_reason", "stock_movements", ["reason", "id"])
    create_index(
        "ix_stock_movements_reference",
        "stock_movements",
        ["reference", "id"],
        postgresql_where=sa.text("reference IS NOT NULL"),
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="confirmed", nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=False),
        sa.Column("created_at", timestamp, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", timestamp, server_default=sa.text("now()"), nullable=False),
        sa.Column("canceled_at", timestamp, nullable=True),
        sa.CheckConstraint("public_id ~ '^[0-9a-f]{32}$'", name=op.f("ck_orders_public_id")),
        sa.CheckConstraint("status IN ('confirmed', 'canceled')", name=op.f("ck_orders_status")),
        sa.CheckConstraint(
            "(status = 'canceled') = (canceled_at IS NOT NULL)",
            name=op.f("ck_orders_canceled_at"),
        ),
        sa.CheckConstraint("char_length(email) BETWEEN 3 AND 254", name=op.f("ck_orders_email")),
        sa.CheckConstraint("jsonb_typeof(metadata) = 'object'", name=op.f("ck_orders_metadata")),
        sa.CheckConstraint("total >= 0", name=op.f("ck_orders_total")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        if_not_exists=True,
    )
    create_index("uq_orders_public_id", "orders", ["public_id"], unique=True)
    create_index("ix_orders_email", "orders", [sa.text("lower(email)"), "id"])
    create_index("ix_orders_status", "orders", ["status", "id"])
    create_index("ix_orders_created_at", "orders", ["created_at"])
    op.create_table(
        "order_lines",
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("variant_id", sa.BigInteger(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("options", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("unit_price", sa.Numeric(), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=False),
        sa.CheckConstraint("jsonb_typeof(options) = 'object'", name=op.f("ck_order_lines_options")),
        sa.CheckConstraint("quantity >= 1", name=op.f("ck_order_lines_quantity")),
        sa.CheckConstraint("unit_price >= 0", name=op.f("ck_order_lines_unit_price")),
        sa.CheckConstraint("total = quantity * unit_price", name=op.f("ck_order_lines_total")),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["orders.id"],
            name=op.f("fk_order_lines_order_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("order_id", "position", name=op.f("pk_order_lines")),
        if_not_exists=True,
    )
    op.execute(RECORD)
    for event, rows in ROWS.items():  # one trigger cannot see the rows of all
        op.execute(TRIGGER.format(event=event, rows=rows))
    with op.get_context().autocommit_block():
        op.execute(OPEN)


def create_index(name: str, table: str, columns: list[object], **options: object) -> None:
    """Of a new table, in which nothing is yet."""
    op.create_index(name, table, columns, if_not_exists=True, **options)  # type: ignore[arg-type]


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS record_stock_movements CASCADE")
    for table in ("order_lines", "orders", "stock_movements"):
        op.drop_table(table, if_exists=True)
