"""Find deleted products by their handle, to undo a deletion.

An index of deleted rows alone, which are few; built beside the code that runs.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_products_deleted_handle",
            "products",
            ["handle"],
            postgresql_where=sa.text("deleted_at IS NOT NULL"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    op.drop_index("ix_products_deleted_handle", "products", if_exists=True)
