"""`db` and every table.

What must hold is enforced here by named constraints, so that no code path can store anything
else. Times are `timestamptz`; money and weights are exact numerics.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry, relationship

JSONObject = dict[str, Any]


class _ExactJSON(JSONB):
    """JSON whose changes are seen exactly: in Python True == 1, in JSON it is another value."""

    def compare_values(self, x: Any, y: Any) -> bool:
        return json.dumps(x, sort_keys=True) == json.dumps(y, sort_keys=True)


_JSON = _ExactJSON(none_as_null=True)  # None is NULL, not the JSON value null


class Base(DeclarativeBase):
    """The declarative base: naming convention and the column type of each Python type."""

    registry = registry(
        metadata=MetaData(
            naming_convention={
                "pk": "pk_%(table_name)s",
                "fk": "fk_%(table_name)s_%(column_0_name)s",
                "uq": "uq_%(table_name)s_%(column_0_name)s",
                "ix": "ix_%(table_name)s_%(column_0_name)s",
                "ck": "ck_%(table_name)s_%(constraint_name)s",
            }
        ),
        type_annotation_map={
            str: Text,
            int: BigInteger,
            datetime: TIMESTAMP(timezone=True),
            Decimal: Numeric,
            JSONObject: _JSON,
            list[str]: _JSON,
            list[JSONObject]: _JSON,
        },
    )


db = SQLAlchemy(model_class=Base)

PRODUCT_STATUSES = ("draft", "active", "archived")
# queued: waits for a worker · running: claimed under a lease · the rest are final
JOB_STATUSES = ("queued", "running", "succeeded", "failed", "canceled")
ORDER_STATUSES = ("confirmed", "canceled")
# Why a stock has changed. edit: somebody has written the product · opening: what was there when
# the ledger began
STOCK_REASONS = ("order", "cancellation", "adjustment", "import", "edit", "opening")
KEY_SCOPES = (
    *("products:read", "products:write", "jobs:read", "jobs:write"),
    *("orders:read", "orders:write", "keys:write"),
    *("events:read", "webhooks:write"),
)
EVENT_TYPES = (
    *("product.created", "product.updated", "product.deleted", "product.restored"),
    *("stock.changed", "order.created", "order.canceled", "job.finished", "webhook.test"),
)
# pending: to be sent when it is due · delivered, or failed: given up
DELIVERY_STATUSES = ("pending", "delivered", "failed")
# queued: to be sent, or tried again · sent: a server has taken it · failed: none ever will
MAIL_STATUSES = ("queued", "sent", "failed")


def _one_of(column: str, values: Sequence[str]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _of_living(name: str, *columns: Any, include: Sequence[str] = ()) -> Index:
    return Index(
        name, *columns, postgresql_include=include, postgresql_where=text("deleted_at IS NULL")
    )


def _for_search(name: str, column: Any, ops: str | None = None) -> Index:
    return Index(
        name,
        column,
        postgresql_using="gin",
        postgresql_ops={column: ops} if ops else {},
        # New entries wait in a list that each search reads as a whole: kept short (in KB).
        postgresql_with={"gin_pending_list_limit": 512},
    )


class Product(Base):
    """The aggregate: what a shop sells, with its variants and its rendered public document."""

    __tablename__ = "products"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    handle: Mapped[str]
    name: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="active")
    vendor: Mapped[str | None]
    category: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))
    options: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))
    images: Mapped[list[JSONObject]] = mapped_column(server_default=text("'[]'"))
    metadata_: Mapped[JSONObject] = mapped_column("metadata", server_default=text("'{}'"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]
    # The public JSON, and the fingerprint of the SQL that rendered it: catalog/documents.py.
    # Stored as it is, in the row: migration 0006.
    document: Mapped[str] = mapped_column(server_default="", deferred=True)
    document_shape: Mapped[int] = mapped_column(server_default=text("0"), index=True)
    # What lists sort and search by, written together with the document.
    lowest_price: Mapped[Decimal] = mapped_column(
        server_default=text("'Infinity'"),
        deferred=True,  # no variant has a price: sorts last
    )
    search_title: Mapped[str | None] = mapped_column(TSVECTOR, deferred=True)
    search_words: Mapped[str | None] = mapped_column(TSVECTOR, deferred=True)
    search_text: Mapped[str | None] = mapped_column(deferred=True)  # the release's before: 0007

    variants: Mapped[list["Variant"]] = relationship(
        order_by="Variant.id", cascade="all, delete-orphan", passive_deletes=True
    )

    __table_args__ = (
        # A deleted product gives its handle free, so uniqueness holds among the living.
        Index(
            "uq_products_handle", "handle", unique=True, postgresql_where=text("deleted_at IS NULL")
        ),
        Index(  # for undoing a deletion by handle
            "ix_products_deleted_handle", "handle", postgresql_where=text("deleted_at IS NOT NULL")
        ),
        # One index for each sort and each filter of catalog/listing.py and catalog/filters.py.
        _of_living("ix_products_living", "id"),
        _of_living("ix_products_status", "status", "id"),
        _of_living("ix_products_name", "name", "id"),
        _of_living("ix_products_lowest_price", "lowest_price", "id"),
        _of_living("ix_products_created_at", "created_at", "id"),
        _of_living("ix_products_updated_at", "updated_at", "id"),
        # A vendor may have thousands of products: sorted by anything, they are read from here.
        _of_living(
            "ix_products_vendor_sorts",
            *("vendor", "id"),
            include=("status", "name", "lowest_price", "created_at", "updated_at"),
        ),
        _of_living("ix_products_category", text('category COLLATE "C"')),
        _for_search("ix_products_tags", "tags"),
        _for_search("ix_products_search_title", "search_title"),
        _for_search("ix_products_search_words", "search_words"),
        _for_search("ix_products_labels", text("ts_filter(search_words, '{a,b}')")),
        # NFC is `values.handle`'s business: PostgreSQL may know a newer Unicode than Python, and
        # would then refuse what Python has normalised.
        CheckConstraint(
            "char_length(handle) BETWEEN 1 AND 255 AND handle = btrim(handle)"
            " AND handle !~ '[/\\u0001-\\u001f\\u007f-\\u009f]'",
            name="handle",
        ),
        CheckConstraint("char_length(name) BETWEEN 1 AND 512", name="name"),
        CheckConstraint(_one_of("status", PRODUCT_STATUSES), name="status"),
        CheckConstraint("char_length(vendor) <= 255", name="vendor"),
        CheckConstraint("char_length(category) <= 512", name="category"),
        CheckConstraint("jsonb_typeof(tags) = 'array'", name="tags"),
        CheckConstraint("jsonb_typeof(options) = 'array'", name="options"),
        CheckConstraint("jsonb_typeof(images) = 'array'", name="images"),
        CheckConstraint("jsonb_typeof(metadata) = 'object'", name="metadata"),
        CheckConstraint("version >= 1", name="version"),
    )


# The distinct words without digits of all names, handles, vendors, categories and tags; some may
# stand twice, or in no product any more. Triggers on `products` add to it: migration 0007.
VOCABULARY = Table(
    "vocabulary",
    Base.metadata,
    Column("word", Text, nullable=False, index=True),
    _for_search("ix_vocabulary_trigrams", "word", ops="gin_trgm_ops"),
)


class Variant(Base):
    """What is in the basket: one combination of a product's options, with price and stock."""

    __tablename__ = "variants"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    # Deferred, because an import writes the variants of a new product before the product itself:
    # only then can the product's row be written once, with its document.
    product_id: Mapped[int] = mapped_column(
        ForeignKey("products.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED")
    )
    sku: Mapped[str | None]
    options: Mapped[JSONObject] = mapped_column(server_default=text("'{}'"))
    price: Mapped[Decimal | None]
    compare_at_price: Mapped[Decimal | None]
    barcode: Mapped[str | None]
    weight_grams: Mapped[Decimal | None]
    stock: Mapped[int | None]  # null: not tracked
    backorder: Mapped[bool] = mapped_column(server_default=text("false"))

    __table_args__ = (
        # A variant's identity. Hashed, since three long option values outgrow a B-tree entry.
        Index(
            "uq_variants_product_id_options", "product_id", text("md5(options::text)"), unique=True
        ),
        Index("ix_variants_sku", "sku", postgresql_where=text("sku IS NOT NULL")),
        Index("ix_variants_sku_prefix", text("lower(sku) text_pattern_ops")),
        Index("ix_variants_stock", "stock", "product_id"),
        CheckConstraint("jsonb_typeof(options) = 'object'", name="options"),
        CheckConstraint("price >= 0", name="price"),
        CheckConstraint("compare_at_price >= 0", name="compare_at_price"),
        CheckConstraint("weight_grams >= 0", name="weight_grams"),
        CheckConstraint("char_length(sku) BETWEEN 1 AND 255", name="sku"),
        CheckConstraint("char_length(barcode) BETWEEN 1 AND 255", name="barcode"),
        CheckConstraint("stock BETWEEN -2147483647 AND 2147483647", name="stock"),
    )


class StockMovement(Base):
    """One change of a variant's stock; the sum of its movements is the stock, or 0 where null.

    Written by triggers on `variants` (migration 0010), whoever changes the stock: so it is whole.
    A variant that is removed gives up its stock, and its movements stay.
    """

    __tablename__ = "stock_movements"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    variant_id: Mapped[int]
    product_id: Mapped[int]
    delta: Mapped[int]
    stock_after: Mapped[int | None]  # null: not tracked any more
    reason: Mapped[str]
    reference: Mapped[str | None]  # the order, the job, or what an adjustment was made for
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = (
        CheckConstraint(_one_of("reason", STOCK_REASONS), name="reason"),
        Index("ix_stock_movements_variant_id", "variant_id", "id"),
        Index("ix_stock_movements_reason", "reason", "id"),
        Index(
            "ix_stock_movements_reference",
            *("reference", "id"),
            postgresql_where=text("reference IS NOT NULL"),
        ),
    )


class Order(Base):
    """What somebody has bought, with names and prices as they were then."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    public_id: Mapped[str]  # 128 random bits: what the API calls its id
    status: Mapped[str] = mapped_column(server_default="confirmed")
    email: Mapped[str]
    note: Mapped[str | None]
    metadata_: Mapped[JSONObject] = mapped_column("metadata", server_default=text("'{}'"))
    currency: Mapped[str]
    total: Mapped[Decimal]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    canceled_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_orders_public_id", "public_id", unique=True),
        Index("ix_orders_email", text("lower(email)"), "id"),
        Index("ix_orders_status", "status", "id"),
        Index("ix_orders_created_at", "created_at"),
        CheckConstraint("public_id ~ '^[0-9a-f]{32}$'", name="public_id"),
        CheckConstraint(_one_of("status", ORDER_STATUSES), name="status"),
        CheckConstraint("(status = 'canceled') = (canceled_at IS NOT NULL)", name="canceled_at"),
        CheckConstraint("char_length(email) BETWEEN 3 AND 254", name="email"),
        CheckConstraint("jsonb_typeof(metadata) = 'object'", name="metadata"),
        CheckConstraint("total >= 0", name="total"),
    )


class OrderLine(Base):
    """One variant of an order. It may be gone from the catalogue by now."""

    __tablename__ = "order_lines"

    order_id: Mapped[int] = mapped_column(
        ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)  # from 0 on
    product_id: Mapped[int]
    variant_id: Mapped[int]
    sku: Mapped[str | None]
    name: Mapped[str]
    options: Mapped[JSONObject] = mapped_column(server_default=text("'{}'"))
    quantity: Mapped[int]
    unit_price: Mapped[Decimal]
    total: Mapped[Decimal]

    __table_args__ = (
        CheckConstraint("jsonb_typeof(options) = 'object'", name="options"),
        CheckConstraint("quantity >= 1", name="quantity"),
        CheckConstraint("unit_price >= 0", name="unit_price"),
        CheckConstraint("total = quantity * unit_price", name="total"),
    )


class StoredFile(Base):
    """An upload or a result. It lives in the database because a dyno's disk does not last."""

    __tablename__ = "files"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    filename: Mapped[str | None]
    media_type: Mapped[str | None]
    size_bytes: Mapped[int | None]  # null: not whole yet, or never to be
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expired_at: Mapped[datetime | None]  # since then, its content is gone


class FileChunk(Base):
    """One piece of a stored file, `jobs.files.CHUNK_BYTES` long but for the last; from 0 on."""

    __tablename__ = "file_chunks"

    file_id: Mapped[int] = mapped_column(
        ForeignKey("files.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class Job(Base):
    """The truth about a piece of background work; Celery carries no more than its id."""

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str]
    task: Mapped[str]  # the Celery task that does it
    params: Mapped[JSONObject] = mapped_column(server_default=text("'{}'"))
    caller: Mapped[JSONObject] = mapped_column(server_default=text("'{}'"))
    file_id: Mapped[int | None] = mapped_column(ForeignKey("files.id"))  # what it reads
    result_file_id: Mapped[int | None] = mapped_column(ForeignKey("files.id"))  # what it writes
    status: Mapped[str] = mapped_column(server_default="queued")
    attempt: Mapped[int] = mapped_column(server_default=text("0"))  # the fencing token
    stalls: Mapped[int] = mapped_column(server_default=text("0"))  # attempts since the last step
    lease_until: Mapped[datetime | None]
    run_at: Mapped[datetime] = mapped_column(server_default=func.now())
    publish_at: Mapped[datetime] = mapped_column(server_default=func.now())  # when the sweep may
    publishes: Mapped[int] = mapped_column(server_default=text("0"))
    checkpoint: Mapped[JSONObject] = mapped_column(server_default=text("'{}'"))
    progress: Mapped[JSONObject] = mapped_column(server_default=text("'{}'"))
    result: Mapped[JSONObject | None]
    error: Mapped[JSONObject | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    # How fast this attempt is: when it made its first step, and how many rows were done by then.
    pace_since: Mapped[datetime | None]
    pace_from: Mapped[int | None]
    # Errors with ids up to this are of earlier runs, whose rows a retry does again.
    retried_errors: Mapped[int] = mapped_column(server_default=text("0"))

    __table_args__ = (
        CheckConstraint(_one_of("status", JOB_STATUSES), name="status"),
        CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name="lease"),
        CheckConstraint(
            "(status IN ('queued', 'running')) = (finished_at IS NULL)", name="finished_at"
        ),
        Index(
            "ix_jobs_unfinished",
            "status",
            "publish_at",
            postgresql_where=text("status IN ('queued', 'running')"),
        ),
        Index("ix_jobs_kind", "kind", "id"),
        Index("ix_jobs_status", "status", "id"),
        Index("ix_jobs_finished_at", "finished_at"),
        Index("ix_jobs_file_id", "file_id", postgresql_where=text("file_id IS NOT NULL")),
        Index(
            "ix_jobs_result_file_id",
            "result_file_id",
            postgresql_where=text("result_file_id IS NOT NULL"),
        ),
    )


class JobError(Base):
    """One refused row of a job's file: where, what stood there, and what is wrong with it."""

    __tablename__ = "job_errors"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    line: Mapped[int]  # physical line of the file, heading = 1
    column: Mapped[str | None]
    value: Mapped[str | None]
    code: Mapped[str]
    detail: Mapped[str]

    __table_args__ = (Index("ix_job_errors_job_id_line", "job_id", "line", "id"),)


class Schedule(Base):
    """When a job that comes again and again is due next; `jobs/schedules.py` says which."""

    __tablename__ = "schedules"

    name: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime]


class ApiKey(Base):
    """Who may do what. Of the key itself only its beginning is stored, and a hash of the rest."""

    __tablename__ = "api_keys"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    prefix: Mapped[str]  # the key up to its secret: by this it is found, and named in logs
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)  # SHA-256
    name: Mapped[str]
    scopes: Mapped[list[str]]
    created_by: Mapped[str | None]  # the id of the key that asked for it; null: the command line
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]  # to the minute
    revoked_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_api_keys_prefix", "prefix", unique=True),
        CheckConstraint("prefix ~ '^pushcart_[0-9a-f]{8}$'", name="prefix"),
        CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 255", name="name"),
        CheckConstraint("jsonb_typeof(scopes) = 'array'", name="scopes"),
    )


class IdempotentAnswer(Base):
    """The first answer to a POST with an Idempotency-Key, which its repeats are given again."""

    __tablename__ = "idempotent_answers"

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)  # of caller, URL and key
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)  # of query and body
    status: Mapped[int]
    headers: Mapped[JSONObject]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)

    __table_args__ = (
        CheckConstraint("octet_length(digest) = 32", name="digest"),
        CheckConstraint("octet_length(fingerprint) = 32", name="fingerprint"),
        CheckConstraint("status BETWEEN 200 AND 499", name="status"),
        CheckConstraint("jsonb_typeof(headers) = 'object'", name="headers"),
    )


class Event(Base):
    """Something that has happened; written in its transaction by triggers (migration 0011)."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    # Its place in the feed, given once it is committed: events.place. Null: not yet.
    position: Mapped[int | None]
    type: Mapped[str]
    subject_id: Mapped[str]
    payload: Mapped[JSONObject]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        Index("uq_events_position", "position", unique=True),
        Index("ix_events_unplaced", "id", postgresql_where=text("position IS NULL")),
        CheckConstraint("jsonb_typeof(payload) = 'object'", name="payload"),
    )


class EventFeed(Base):
    """The state of the feed, in the only row of its table."""

    __tablename__ = "event_feed"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int] = mapped_column(server_default=text("0"))  # the position given last
    forgotten: Mapped[int] = mapped_column(server_default=text("0"))  # up to it, all are deleted

    __table_args__ = (
        CheckConstraint("id = 1", name="single"),
        CheckConstraint("forgotten BETWEEN 0 AND last", name="forgotten"),
    )


class Webhook(Base):
    """An address that is told of events."""

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    url: Mapped[str]
    types: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))  # none: all of them
    secret: Mapped[str]  # in clear: each message is signed with it
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    disabled_because: Mapped[str | None]
    cursor: Mapped[int]  # the position in the feed up to which its deliveries are made
    failures: Mapped[int] = mapped_column(server_default=text("0"))  # since the last success
    paused_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint("char_length(url) BETWEEN 1 AND 2048", name="url"),
        CheckConstraint("jsonb_typeof(types) = 'array'", name="types"),
        CheckConstraint("secret LIKE 'whsec_%'", name="secret"),
    )


class Delivery(Base):
    """An event on its way to a webhook."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_id: Mapped[int] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    response_status: Mapped[int | None]  # of the last attempt; null: there was no answer
    response: Mapped[str | None]  # how the last answer begins
    error: Mapped[str | None]  # why the last attempt failed
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    attempted_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_webhook_deliveries_webhook_id", "webhook_id", "event_id", unique=True),
        Index("ix_webhook_deliveries_event_id", "event_id"),
        Index(
            "ix_webhook_deliveries_due",
            *("webhook_id", "due_at", "id"),
            postgresql_where=text("status = 'pending'"),
        ),
        CheckConstraint(_one_of("status", DELIVERY_STATUSES), name="status"),
    )


class Mail(Base):
    """A mail that is sent once: whether it has been, and why not."""

    __tablename__ = "mails"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str]
    reference: Mapped[str]  # what it is about: of a confirmation, the order
    recipient: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="queued")
    reason: Mapped[str | None]  # why it was not taken, the last time
    job_id: Mapped[int]  # the only job that may send it, for as long as there is one
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_mails_reference", "reference", "kind", unique=True),
        CheckConstraint(_one_of("status", MAIL_STATUSES), name="status"),
        CheckConstraint("(status = 'sent') = (sent_at IS NOT NULL)", name="sent_at"),
    )
