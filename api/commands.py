"""Commands of `flask --app wsgi …`."""

import click
from flask import Flask
from flask_migrate import upgrade

from catalog import documents
from models import db


def init_app(app: Flask) -> None:
    """Add the commands to the app."""
    app.cli.add_command(release)


@click.command()
def release() -> None:
    """Bring the database up to this code: migrate, then render documents whose shape changed."""
    upgrade()
    while rendered := documents.render_outdated(db.session()):
        db.session.commit()
        click.echo(f"rendered {rendered} documents anew")
