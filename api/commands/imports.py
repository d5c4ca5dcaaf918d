"""`flask --app wsgi import FILE`: the import of the API, from a terminal."""

import json
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from api.commands import watching
from api.commands.plainly import told_plainly
from catalog.formats.detection import FORMATS
from catalog.tasks import import_catalogue
from config import settings
from errors import Invalid
from jobs import queue
from jobs.files import FileWriter, copy
from models import JSONObject, db


def _mapping(_context: click.Context, _option: click.Parameter, sent: str | None) -> Any:
    try:
        mapping = None if sent is None else json.loads(sent)
    except ValueError:
        raise click.BadParameter("is not JSON") from None
    texts = [*mapping, *mapping.values()] if isinstance(mapping, dict) else [mapping]
    if mapping is not None and not all(isinstance(text, str) for text in texts):
        raise click.BadParameter('must be like {"name": "Artikel"}')
    return mapping


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--format", type=click.Choice(["auto", *FORMATS]), help="Else it is recognised.")
@click.option("--mode", type=click.Choice(["upsert", "create", "update"]))
@click.option("--dry-run", is_flag=True, default=None, help="Only say what would change.")
@click.option("--blank", type=click.Choice(["keep", "clear"]), help="What an empty cell means.")
@click.option("--on-error", type=click.Choice(["continue", "stop"]))
@click.option("--encoding", help="Else it is recognised.")
@click.option("--delimiter", help="Else it is recognised.")
@click.option("--mapping", callback=_mapping, help='Columns of the file: {"name": "Artikel"}.')
@click.option("--no-wait", is_flag=True, help="Leave it to the worker, and end.")
@with_appcontext
def import_file(file: str, no_wait: bool, **options: Any) -> None:
    """Import a catalogue file (- is the standard input), with live progress."""
    params = {name: value for name, value in options.items() if value not in (None, "auto")}
    with told_plainly():
        job_id = _enqueued(file, params)
        if no_wait:
            click.echo(job_id)
            watching.tell_where(job_id)
            return
        job = watching.until_its_end(queue.find(job_id))
        watching.tell(job)
    if job.status != "succeeded":
        raise click.exceptions.Exit(1)


def _enqueued(file: str, params: JSONObject) -> int:
    """The id of a job that imports the file, which lies in the database by then."""
    writer = FileWriter(db.engine, settings.max_import_bytes)
    try:
        with click.open_file(file, "rb") as opened:
            copy(opened, writer)
        if not writer.size_bytes:
            raise Invalid("The file is empty.", code="empty_file")
    except BaseException:
        writer.discard()
        raise
    writer.finish(db.session(), None if file == "-" else Path(file).name)
    job = queue.enqueue(db.session(), import_catalogue, "import", params, file_id=writer.file_id)
    job_id = job.id
    db.session.commit()
    return job_id
