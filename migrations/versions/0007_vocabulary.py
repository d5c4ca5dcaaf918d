"""A vocabulary of what is said of products, and an index to find them by it without descriptions.

Small typing errors are forgiven by looking for the nearest words in the vocabulary. Triggers add
to it, for the release that still runs as well, and from before its first words are collected.
Nothing is unique in it: two transactions with the same new word do not wait for each other, and a
word that stands twice does no harm, nor does one that no product has any more.

The release before goes on with `products.search_text`, without an index: its own search for a word
with a typing error is slow until it has ended. The column goes once that release cannot come back.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LABELS = "ts_filter(search_words, '{a,b}')"
# A word with a digit is a code: the next one to it is another thing's.
WORDS = f"SELECT DISTINCT lexeme FROM %s, unnest({LABELS}) WHERE lexeme !~ '[0-9]'"  # noqa: S608  # ours, as below
# Counted, and not by NOT EXISTS: the plan is made once in a session, perhaps while the vocabulary is
# empty, and would then read all of it for each statement, however large it has grown.
LEARN = f"""
CREATE OR REPLACE FUNCTION learn_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO vocabulary (word)
    SELECT lexeme FROM ({WORDS % "written"}) said
    WHERE (SELECT count(*) FROM vocabulary WHERE word = lexeme) = 0;
    RETURN NULL;
END $$
"""  # noqa: S608
TRIGGER = """
CREATE OR REPLACE TRIGGER learn_words_of_{event} AFTER {event} ON products
REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION learn_words()
"""
COLLECT = f"""
INSERT INTO vocabulary (word)
SELECT lexeme FROM ({WORDS % "products"}) said
WHERE NOT EXISTS (SELECT FROM vocabulary WHERE word = lexeme)
"""  # noqa: S608


def upgrade() -> None:
    op.create_table("vocabulary", sa.Column("word", sa.Text(), nullable=False), if_not_exists=True)
    op.create_index("ix_vocabulary_word", "vocabulary", ["word"], if_not_exists=True)
    op.execute(LEARN)
    for event in ("insert", "update"):  # one trigger cannot see the rows of both
        op.execute(TRIGGER.format(event=event))
    with op.get_context().autocommit_block():
        op.execute(COLLECT)
        op.execute("ANALYZE vocabulary")
        create_gin("ix_vocabulary_trigrams", "vocabulary", "word", "gin_trgm_ops")
        create_gin("ix_products_labels", "products", sa.text(LABELS))
        op.drop_index(
            "ix_products_search_text", "products", postgresql_concurrently=True, if_exists=True
        )


def create_gin(name: str, table: str, column: Any, ops: str | None = None) -> None:
    """Build an index beside the code that runs."""
    op.create_index(
        name,
        table,
        [column],
        postgresql_using="gin",
        postgresql_ops={column: ops} if ops else {},
        postgresql_with={"gin_pending_list_limit": 512},
        postgresql_concurrently=True,
        if_not_exists=True,
    )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        create_gin("ix_products_search_text", "products", "search_text", "gin_trgm_ops")
        op.drop_index(
            "ix_products_labels", "products", postgresql_concurrently=True, if_exists=True
        )
    op.execute("DROP FUNCTION IF EXISTS learn_words CASCADE")
    op.drop_table("vocabulary", if_exists=True)
