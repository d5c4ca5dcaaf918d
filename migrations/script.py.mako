"""${message}

The rule: it runs while the release before it still serves, and stays when that comes back by a
rollback. So both must work with it. Expand: add what may be missing (a nullable column, one with a
constant default, a table), build indexes CONCURRENTLY with IF NOT EXISTS in an `autocommit_block`,
add constraints NOT VALID and validate them in a migration of their own. What stands before such a
block is committed when it begins, and is repeated with it: IF NOT EXISTS there too. Backfill in
batches, in a job or in the release command. Contract (drop, rename, forbid null) one release after the last code
that knew it. One change each; the file's number is its revision. `bin/lint` checks the SQL.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
