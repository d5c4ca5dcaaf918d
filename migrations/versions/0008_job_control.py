"""Result files, retries and the pace of a job, and schedules.

New columns that old code neither reads nor misses. 0009 validates the constraint.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.add_column("files", sa.Column("media_type", sa.Text()))
    op.add_column("files", sa.Column("expired_at", TIME))
    op.add_column("jobs", sa.Column("result_file_id", sa.BigInteger()))
    op.create_foreign_key(
        op.f("fk_jobs_result_file_id"),
        "jobs",
        "files",
        ["result_file_id"],
        ["id"],
        postgresql_not_valid=True,
    )
    op.add_column("jobs", sa.Column("pace_since", TIME))
    op.add_column("jobs", sa.Column("pace_from", sa.BigInteger()))
    op.add_column(
        "jobs",
        sa.Column("retried_errors", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.create_table(
        "schedules",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedules")),
    )


def downgrade() -> None:
    op.drop_table("schedules")
    for name in ("retried_errors", "pace_from", "pace_since", "result_file_id"):
        op.drop_column("jobs", name)
    op.drop_column("files", "expired_at")
    op.drop_column("files", "media_type")
