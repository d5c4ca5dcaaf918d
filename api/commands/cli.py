"""Commands of `flask --app wsgi …`."""

from flask import Flask

from api.commands.imports import import_file
from api.commands.jobs import jobs
from api.commands.keys import keys
from api.commands.release import release


def init_app(app: Flask) -> None:
    """Add the commands to the app."""
    for command in (release, keys, jobs, import_file):
        app.cli.add_command(command)
