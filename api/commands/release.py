"""`flask --app wsgi release`, which a deployment runs before its new code."""

import click
from flask_migrate import upgrade

from catalog import documents
from models import db


@click.command()
def release() -> None:
    """Bring the database up to this code: migrate, then render documents whose shape changed."""
    upgrade()
    while rendered := documents.render_outdated(db.session()):
        db.session.commit()
        click.echo(f"rendered {rendered} documents anew")
