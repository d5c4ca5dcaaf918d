"""Result files, retries, the pace of a job, schedules, and what lists and clean-up of jobs need.

New columns that old code neither reads nor misses; indexes are built beside the code that runs.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
INDEXES = {
    "ix_jobs_kind": ["kind", "id"],
    "ix_jobs_status": ["status", "id"],
    "ix_jobs_finished_at": ["finished_at"],
    "ix_jobs_file_id": ["file_id"],
    "ix_jobs_result_file_id": ["result_file_id"],
}
OF_FILES = ("file_id", "result_file_id")


def upgrade() -> None:
    op.add_column("files", sa.Column("media_type", sa.Text()))
    op.add_column("files", sa.Column("expired_at", TIME))
    op.add_column("jobs", sa.Column("result_file_id", sa.BigInteger()))
    op.create_foreign_key(
        op.f("fk_jobs_result_file_id"), "jobs", "files", ["result_file_id"], ["id"]
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
    with op.get_context().autocommit_block():
        for name, columns in INDEXES.items():
            of_file = columns[0] if columns[0] in OF_FILES else None
            op.create_index(
                name,
                "jobs",
                columns,
                postgresql_where=sa.text(f"{of_file} IS NOT NULL") if of_file else None,
                postgresql_concurrently=True,
                if_not_exists=True,
            )


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "jobs", if_exists=True)
    op.drop_table("schedules")
    for name in ("retried_errors", "pace_from", "pace_since", "result_file_id"):
        op.drop_column("jobs", name)
    op.drop_column("files", "expired_at")
    op.drop_column("files", "media_type")
