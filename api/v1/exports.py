"""`/api/v1/exports`: a selection of products becomes a catalogue file."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from api import selection
from api.inputs import choice
from api.operations import Answer, operation
from api.v1.jobs import accepted, public
from catalog.formats.detection import WRITABLE
from catalog.tasks import export_products
from jobs import queue
from models import JSONObject, db
from schemas import JobSchema

blueprint = Blueprint("exports", __name__)


@blueprint.post("")
@operation(
    "products:read",
    query=(
        choice("format", WRITABLE, "The file's format.", default="native"),
        *selection.CHOOSING,
    ),
    answers={202: Answer("A job exports them.", JobSchema, headers=("Location", "Retry-After"))},
)
def create_export(query: JSONObject) -> ResponseReturnValue:
    """Export the products that a list with the same filters shows, in the order of their ids.

    A job writes the file, which its `result` link then gives. Cells that a spreadsheet would run as
    formulas are neutralised, and importing the file again changes nothing.
    """
    params = {
        "format": query["format"],
        "statuses": selection.visible(),
        "filters": selection.filters_as_sent(),
        "q": query["q"],
    }
    job = queue.enqueue(db.session(), export_products, kind="export", params=params)
    return accepted(public(job))
