"""Products and their variants.

New tables: nothing that runs beside this knows them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "products",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("vendor", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("tags", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("options", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("images", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("metadata", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("deleted_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("document", sa.Text(), server_default="", nullable=False),
        sa.Column("document_shape", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "char_length(handle) BETWEEN 1 AND 255 AND handle = btrim(handle)"
            " AND handle !~ '[/\\u0001-\\u001f\\u007f-\\u009f]'",
            name=op.f("ck_products_handle"),
        ),
        sa.CheckConstraint("jsonb_typeof(images) = 'array'", name=op.f("ck_products_images")),
        sa.CheckConstraint("jsonb_typeof(metadata) = 'object'", name=op.f("ck_products_metadata")),
        sa.CheckConstraint("jsonb_typeof(options) = 'array'", name=op.f("ck_products_options")),
        sa.CheckConstraint("jsonb_typeof(tags) = 'array'", name=op.f("ck_products_tags")),
        sa.CheckConstraint(
            "status IN ('draft', 'active', 'archived')", name=op.f("ck_products_status")
        ),
        sa.CheckConstraint("char_length(category) <= 512", name=op.f("ck_products_category")),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 512", name=op.f("ck_products_name")),
        sa.CheckConstraint("char_length(vendor) <= 255", name=op.f("ck_products_vendor")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_products_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_products")),
    )
    op.create_index("ix_products_document_shape", "products", ["document_shape"], unique=False)
    op.create_index(
        "uq_products_handle",
        "products",
        ["handle"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "variants",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("options", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=True),
        sa.Column("compare_at_price", sa.Numeric(), nullable=True),
        sa.Column("barcode", sa.Text(), nullable=True),
        sa.Column("weight_grams", sa.Numeric(), nullable=True),
        sa.Column("stock", sa.BigInteger(), nullable=True),
        sa.Column("backorder", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("jsonb_typeof(options) = 'object'", name=op.f("ck_variants_options")),
        sa.CheckConstraint(
            "char_length(barcode) BETWEEN 1 AND 255", name=op.f("ck_variants_barcode")
        ),
        sa.CheckConstraint("char_length(sku) BETWEEN 1 AND 255", name=op.f("ck_variants_sku")),
        sa.CheckConstraint("compare_at_price >= 0", name=op.f("ck_variants_compare_at_price")),
        sa.CheckConstraint("price >= 0", name=op.f("ck_variants_price")),
        sa.CheckConstraint(
            "stock BETWEEN -2147483647 AND 2147483647", name=op.f("ck_variants_stock")
        ),
        sa.CheckConstraint("weight_grams >= 0", name=op.f("ck_variants_weight_grams")),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.id"],
            name=op.f("fk_variants_product_id"),
            ondelete="CASCADE",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_variants")),
    )
    op.create_index(
        "ix_variants_sku",
        "variants",
        ["sku"],
        unique=False,
        postgresql_where=sa.text("sku IS NOT NULL"),
    )
    op.create_index(
        "uq_variants_product_id_options",
        "variants",
        ["product_id", sa.literal_column("md5(options::text)")],
        unique=True,
    )


def downgrade() -> None:
    op.drop_table("variants")
    op.drop_table("products")
