"""The export of products: survey what the file has to hold, then write it page by page.

Both go through the products in the order of their ids, so that one which is created or changed
meanwhile stands in the file once at most. What is new since the survey and has no column (a key of
`metadata`, a further option) is left to the format. A checkpoint tells what has been written:

    {"extent": {…}, "after": […], "whole": false}   all products up to that key, but not the end
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from catalog import listing
from catalog.filters import FILTERS
from catalog.formats import detection
from catalog.formats.rows import Extent, Writer
from catalog.formats.spare import MAX_COLUMNS
from jobs.running import ResultFile, RunningJob, Step
from models import JSONObject
from schemas import PROGRESS
from values import LABEL_LIMIT

PAGE_PRODUCTS = 250


def run(job: RunningJob) -> JSONObject:
    """Write the job's result file from its checkpoint on; returns the job's result.

    Raises LeaseLost and TurnOver as `job.step` does.
    """
    chosen = _selection(job.params)
    done = job.checkpoint.get("before", job.checkpoint)
    extent = Extent(**done["extent"]) if done else _surveyed(job, chosen)
    writer = detection.writer(job.params["format"], extent)
    if not done:
        done = {"extent": asdict(extent), "after": None, "whole": False}
        job.step(lambda _: Step(job.progress, output=writer.head()), checkpoint=done)
    while not done["whole"]:
        done = _write_page(job, chosen, writer, done)
    job.result_file = ResultFile(f"products-{job.id}.{writer.extension}", writer.media_type)
    return {"format": job.params["format"]}


def _selection(params: JSONObject) -> listing.Selection:
    """What was asked for; filters are kept as they were sent."""
    filters = {name: FILTERS[name].read(sent) for name, sent in params["filters"].items()}
    return listing.Selection(tuple(params["statuses"]), filters, params["q"], sort="id")


def _surveyed(job: RunningJob, chosen: listing.Selection) -> Extent:
    """Go through all products once, and set the job's total."""
    metadata: dict[str, None] = {}
    total = options = images = 0
    for rows in _pages(chosen):
        job.renew()
        total += len(rows)
        for product in _documents(rows):
            options = max(options, len(product["options"]))
            images = max(images, len(product["images"]))
            metadata |= dict.fromkeys(product["metadata"])
    job.progress = {**dict.fromkeys(PROGRESS, 0), "total": total}
    keys = [key for key in metadata if len(key) <= LABEL_LIMIT]
    return Extent(keys[:MAX_COLUMNS], options, images)


def _pages(chosen: listing.Selection) -> Iterator[Sequence[Any]]:
    after = None
    while rows := listing.page(chosen, PAGE_PRODUCTS, after):
        yield rows
        after = listing.key(rows[-1])


def _documents(rows: Sequence[Any]) -> list[JSONObject]:
    return [json.loads(row.document) for row in rows]


def _write_page(
    job: RunningJob, chosen: listing.Selection, writer: Writer, done: JSONObject
) -> JSONObject:
    """Commit one page with the checkpoint behind it, which is returned."""
    rows = listing.page(chosen, PAGE_PRODUCTS, done["after"])
    is_last = len(rows) < PAGE_PRODUCTS
    output = writer.rows(_documents(rows)) + (writer.tail() if is_last else b"")
    processed = job.progress["processed"] + len(rows)
    total = processed if is_last else max(processed, job.progress["total"])
    progress = {**job.progress, "total": total, "processed": processed}
    after = listing.key(rows[-1]) if rows else done["after"]
    checkpoint = {**done, "after": after, "whole": is_last}
    job.step(lambda _: Step(progress, output=output), checkpoint=checkpoint)
    return checkpoint
