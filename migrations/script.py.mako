"""${message}

Runs while the old code still serves: add, backfill, and remove only in a later release
(expand, then contract). One change each; the file's number is its revision.
"""

import sqlalchemy as sa
from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
