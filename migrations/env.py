"""Alembic's environment, run by `flask db …` and `flask release` inside the app."""

from alembic import context
from flask import current_app
from sqlalchemy import text

db = current_app.extensions["migrate"].db
metadata = db.metadatas[None]

# Behind a lock that a migration waits for, every request of the running release waits too: it
# gives up soon, and `flask release` tries again. A statement may take its time, which for an index
# of a large table is long, but not for ever: Heroku gives a release an hour.
SETTINGS = "SET lock_timeout = '4s'; SET statement_timeout = '15min'"

if context.is_offline_mode():
    # For bin/lint: the SQL of all migrations, with what they are run under.
    context.configure(
        url=db.engine.url,
        target_metadata=metadata,
        literal_binds=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.execute(SETTINGS)
        context.run_migrations()
else:
    with db.engine.connect() as connection:
        try:
            connection.execute(text(SETTINGS))
            connection.commit()
            context.configure(connection, target_metadata=metadata, transaction_per_migration=True)
            with context.begin_transaction():
                context.run_migrations()
        finally:
            connection.invalidate()  # it does not go back into the pool with these settings
