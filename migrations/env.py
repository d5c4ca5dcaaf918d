"""Alembic's environment, run by `flask db …` and `flask release` inside the app."""

from alembic import context
from flask import current_app
from sqlalchemy import text

db = current_app.extensions["migrate"].db
metadata = db.metadatas[None]

# Behind a lock that a migration waits for, every request of the running release waits too: it
# gives up soon instead. A long statement is no harm, so it may take its time.
SETTINGS = "SET lock_timeout = '4s'; SET statement_timeout = 0"

if context.is_offline_mode():
    context.configure(url=db.engine.url, target_metadata=metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with db.engine.connect() as connection:
        connection.execute(text(SETTINGS))
        connection.commit()
        context.configure(connection, target_metadata=metadata, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
        # The connection does not go back into the pool with these settings.
        connection.invalidate()
