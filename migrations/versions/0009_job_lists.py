"""What lists and clean-up of jobs need: indexes, built beside the code that runs."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_jobs_kind": ["kind", "id"],
    "ix_jobs_status": ["status", "id"],
    "ix_jobs_finished_at": ["finished_at"],
    "ix_jobs_file_id": ["file_id"],
    "ix_jobs_result_file_id": ["result_file_id"],
}
OF_FILES = ("file_id", "result_file_id")


def upgrade() -> None:
    # squawk-ignore: to validate it once more changes nothing.
    op.execute(
        "-- squawk-ignore prefer-robust-stmts\n"
        "ALTER TABLE jobs VALIDATE CONSTRAINT fk_jobs_result_file_id"
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
