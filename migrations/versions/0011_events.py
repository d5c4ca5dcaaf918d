"""Events, written by triggers in the transaction of what they tell of; webhooks and mails.

Triggers, so that no way of writing can forget, the release that still runs included. A transaction
that sets `pushcart.events` to `off` writes none of products and stock: an import does, whose end is
one event. 0010 makes the orders; what stands in a DO block needs them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
JSON = postgresql.JSONB()
NOW = sa.text("now()")

# Plans are kept for a session, perhaps made for a single row: a nested loop would be quadratic for
# the thousand of an import.
PRODUCTS = """
CREATE OR REPLACE FUNCTION write_product_events() RETURNS trigger LANGUAGE plpgsql
SET enable_nestloop = off AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO events (type, subject_id, payload)
        SELECT 'product.created', id::text, jsonb_build_object(
            'id', id, 'handle', handle, 'status', status, 'version', version)
        FROM written WHERE deleted_at IS NULL ORDER BY id;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO events (type, subject_id, payload)
        SELECT CASE WHEN w.deleted_at IS NOT NULL THEN 'product.deleted'
                WHEN r.deleted_at IS NOT NULL THEN 'product.restored'
                ELSE 'product.updated' END,
            w.id::text, jsonb_build_object(
            'id', w.id, 'handle', w.handle, 'status', w.status, 'version', w.version)
        FROM written w JOIN replaced r ON r.id = w.id
        WHERE (w.version, w.deleted_at) IS DISTINCT FROM (r.version, r.deleted_at)
            AND (w.deleted_at IS NULL OR r.deleted_at IS NULL)
        ORDER BY w.id;
    ELSE
        INSERT INTO events (type, subject_id, payload)
        SELECT 'product.deleted', id::text, jsonb_build_object(
            'id', id, 'handle', handle, 'status', status, 'version', version)
        FROM replaced WHERE deleted_at IS NULL ORDER BY id;
    END IF;
    RETURN NULL;
END $$
"""
STOCK = """
CREATE OR REPLACE FUNCTION write_stock_events() RETURNS trigger LANGUAGE plpgsql
SET enable_nestloop = off AS $$
BEGIN
    INSERT INTO events (type, subject_id, payload)
    SELECT 'stock.changed', w.id::text, jsonb_build_object(
        'variant_id', w.id, 'product_id', w.product_id, 'sku', w.sku,
        'stock', w.stock, 'before', r.stock)
    FROM written w JOIN replaced r ON r.id = w.id
    WHERE w.stock IS DISTINCT FROM r.stock ORDER BY w.id;
    RETURN NULL;
END $$
"""
JOBS = """
CREATE OR REPLACE FUNCTION write_job_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (type, subject_id, payload) VALUES ('job.finished', NEW.id::text,
        jsonb_build_object('id', NEW.id, 'kind', NEW.kind, 'status', NEW.status));
    RETURN NULL;
END $$
"""
ORDERS = """
CREATE OR REPLACE FUNCTION write_order_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (type, subject_id, payload) VALUES (
        CASE WHEN NEW.status = 'canceled' THEN 'order.canceled' ELSE 'order.created' END,
        NEW.public_id, jsonb_build_object('id', NEW.public_id, 'status', NEW.status,
            'currency', NEW.currency, 'total', NEW.total::text));
    RETURN NULL;
END $$
"""
FUNCTIONS = ("write_product_events", "write_stock_events", "write_job_event", "write_order_event")

UNLESS_OFF = "WHEN (current_setting('pushcart.events', true) IS DISTINCT FROM 'off')"
SETS = """
CREATE OR REPLACE TRIGGER {function}_of_{event} AFTER {event} ON {table}
REFERENCING {rows} FOR EACH STATEMENT {when} EXECUTE FUNCTION {function}()
"""
# What tells webhooks of events must not make any, and of a clean-up nobody wants to hear.
FINISHED = """
CREATE OR REPLACE TRIGGER write_job_event AFTER UPDATE ON jobs FOR EACH ROW
WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL
    AND NEW.kind NOT IN ('webhook', 'clean-up'))
EXECUTE FUNCTION write_job_event()
"""
OF_ORDERS = """
DO $do$ BEGIN
    IF to_regclass('orders') IS NOT NULL THEN
        CREATE OR REPLACE TRIGGER write_order_event_of_insert AFTER INSERT ON orders
        FOR EACH ROW EXECUTE FUNCTION write_order_event();
        CREATE OR REPLACE TRIGGER write_order_event_of_update AFTER UPDATE ON orders
        FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
        EXECUTE FUNCTION write_order_event();
    END IF;
END $do$
"""
ROWS = {
    "insert": "NEW TABLE AS written",
    "update": "OLD TABLE AS replaced NEW TABLE AS written",
    "delete": "OLD TABLE AS replaced",
}


def upgrade() -> None:
    op.create_table(
        "events",
        identity(),
        sa.Column("position", sa.BigInteger()),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("payload", JSON, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("jsonb_typeof(payload) = 'object'", name=op.f("ck_events_payload")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        if_not_exists=True,
    )
    op.create_index("uq_events_position", "events", ["position"], unique=True, if_not_exists=True)
    op.create_index(
        "ix_events_unplaced",
        "events",
        ["id"],
        postgresql_where=sa.text("position IS NULL"),
        if_not_exists=True,
    )
    op.create_table(
        "event_feed",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("forgotten", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_event_feed_single")),
        sa.CheckConstraint("forgotten BETWEEN 0 AND last", name=op.f("ck_event_feed_forgotten")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_feed")),
        if_not_exists=True,
    )
    op.execute("INSERT INTO event_feed (id) VALUES (1) ON CONFLICT DO NOTHING")
    create_webhooks()
    create_mails()
    for function in (PRODUCTS, STOCK, JOBS, ORDERS):
        op.execute(function)
    for event, rows in ROWS.items():  # one trigger cannot see the rows of all
        create_trigger("write_product_events", event, "products", rows)
    create_trigger("write_stock_events", "update", "variants", ROWS["update"])
    op.execute(FINISHED)
    op.execute(OF_ORDERS)


def create_webhooks() -> None:
    op.create_table(
        "webhooks",
        identity(),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("types", JSON, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("disabled_because", sa.Text()),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("paused_until", TIME),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("char_length(url) BETWEEN 1 AND 2048", name=op.f("ck_webhooks_url")),
        sa.CheckConstraint("jsonb_typeof(types) = 'array'", name=op.f("ck_webhooks_types")),
        sa.CheckConstraint("secret LIKE 'whsec_%'", name=op.f("ck_webhooks_secret")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
        if_not_exists=True,
    )
    op.create_table(
        "webhook_deliveries",
        identity(),
        sa.Column("webhook_id", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", TIME, server_default=NOW, nullable=False),
        sa.Column("response_status", sa.BigInteger()),
        sa.Column("response", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("attempted_at", TIME),
        sa.CheckConstraint(
            "status IN ('pending', 'delivered', 'failed')",
            name=op.f("ck_webhook_deliveries_status"),
        ),
        references("webhook_deliveries", "webhook_id", "webhooks"),
        references("webhook_deliveries", "event_id", "events"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        if_not_exists=True,
    )
    for name, columns, options in (
        ("uq_webhook_deliveries_webhook_id", ["webhook_id", "event_id"], {"unique": True}),
        ("ix_webhook_deliveries_event_id", ["event_id"], {}),
        (
            "ix_webhook_deliveries_due",
            ["webhook_id", "due_at", "id"],
            {"postgresql_where": sa.text("status = 'pending'")},
        ),
    ):
        op.create_index(name, "webhook_deliveries", columns, if_not_exists=True, **options)


def create_mails() -> None:
    op.create_table(
        "mails",
        identity(),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="queued", nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("sent_at", TIME),
        sa.CheckConstraint("status IN ('queued', 'sent', 'failed')", name=op.f("ck_mails_status")),
        sa.CheckConstraint(
            "(status = 'sent') = (sent_at IS NOT NULL)", name=op.f("ck_mails_sent_at")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
        if_not_exists=True,
    )
    op.create_index(
        "uq_mails_reference", "mails", ["reference", "kind"], unique=True, if_not_exists=True
    )


def identity() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False)


def references(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=name, ondelete="CASCADE")


def create_trigger(function: str, event: str, table: str, rows: str) -> None:
    op.execute(SETS.format(function=function, event=event, table=table, rows=rows, when=UNLESS_OFF))


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION IF EXISTS {function} CASCADE")
    for table in ("mails", "webhook_deliveries", "webhooks", "event_feed", "events"):
        op.drop_table(table, if_exists=True)
