"""Keys of the API, and the answers kept for repeats of a POST.

New tables: nothing that runs beside this knows them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.JSONB(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("last_used_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("prefix ~ '^pushcart_[0-9a-f]{8}$'", name=op.f("ck_api_keys_prefix")),
        sa.CheckConstraint("octet_length(secret_hash) = 32", name=op.f("ck_api_keys_secret_hash")),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 255", name=op.f("ck_api_keys_name")),
        sa.CheckConstraint("jsonb_typeof(scopes) = 'array'", name=op.f("ck_api_keys_scopes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.create_index("uq_api_keys_prefix", "api_keys", ["prefix"], unique=True)
    op.create_table(
        "idempotent_answers",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("ck_idempotent_answers_digest")),
        sa.CheckConstraint(
            "octet_length(fingerprint) = 32", name=op.f("ck_idempotent_answers_fingerprint")
        ),
        sa.CheckConstraint("status BETWEEN 200 AND 499", name=op.f("ck_idempotent_answers_status")),
        sa.CheckConstraint(
            "jsonb_typeof(headers) = 'object'", name=op.f("ck_idempotent_answers_headers")
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_idempotent_answers")),
    )
    op.create_index(
        "ix_idempotent_answers_created_at", "idempotent_answers", ["created_at"], unique=False
    )


def downgrade() -> None:
    op.drop_table("idempotent_answers")
    op.drop_table("api_keys")
