"""The import of a catalogue file: survey it, then read and write it in chunks.

The survey reads the whole file once before anything is written, so that a file which cannot be
read to its end fails with its reason and no effect. Each chunk commits products, refusals,
progress and checkpoint together; the checkpoint counts products, in the order of the file.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice

from sqlalchemy.orm import Session

from catalog import staging
from catalog.formats.detection import open_catalogue
from catalog.formats.rows import Group, Options, ProductRows, Reader, Refusal, groups, survey
from jobs.files import FileReader
from jobs.running import RunningJob, Step
from models import JSONObject
from schemas import PROGRESS

CHUNK_ROWS = 1000

NO_PROGRESS = dict.fromkeys(PROGRESS, 0)


def run(job: RunningJob) -> JSONObject:
    """Import the job's file from its checkpoint on; returns the job's result.

    Raises Unreadable for a file that cannot be read, LeaseLost and TurnOver as `job.step` does.
    """
    reader = _opened(job)
    surveyed = survey(key for key, _ in reader.keyed())
    progress = {**NO_PROGRESS, **job.progress, "total": surveyed.rows}
    done = job.checkpoint.get("groups", 0)
    job.step(lambda _: Step(progress), checkpoint={"groups": done})

    found = islice(groups(reader.keyed(), surveyed.last_row), done, None)
    for chunk in _read_chunks(found, reader):
        done += chunk.groups
        _import_chunk(job, reader, chunk, done)
    return reader.about


def _opened(job: RunningJob) -> Reader:
    file_id = job.file_id
    if file_id is None:
        raise ValueError(f"job {job.id} has no file to import")
    return open_catalogue(lambda: FileReader(file_id), Options(format=job.params.get("format")))


@dataclass(frozen=True, slots=True)
class Chunk:
    """What some groups of rows have been read into."""

    groups: int
    rows: int
    products: Sequence[ProductRows]
    refusals: Sequence[Refusal]


def _read_chunks(found: Iterable[Group], reader: Reader) -> Iterator[Chunk]:
    for chunk in _chunks(found):
        read = [reader.read(group) for group in chunk]
        yield Chunk(
            groups=len(chunk),
            rows=sum(len(group) for group in chunk),
            products=[product for product, _ in read if product is not None],
            refusals=[refusal for _, refusals in read for refusal in refusals],
        )


def _chunks(found: Iterable[Group]) -> Iterator[list[Group]]:
    """Groups by the thousand rows; a handle occurs once in a chunk."""
    chunk: list[Group] = []
    handles: set[str] = set()
    rows = 0
    for group in found:
        if chunk and (rows + len(group) > CHUNK_ROWS or (group.key and group.key in handles)):
            yield chunk
            chunk, handles, rows = [], set(), 0
        chunk.append(group)
        handles.add(group.key)
        rows += len(group)
    if chunk:
        yield chunk


def _import_chunk(job: RunningJob, reader: Reader, chunk: Chunk, done: int) -> None:
    before = job.progress

    def write(session: Session) -> Step:
        written = staging.write(session, chunk.products)
        refused = [*chunk.refusals, *_refused_on_writing(chunk.products, written, reader)]
        counts = {
            "processed": chunk.rows,
            "failed": len({refusal.line for refusal in refused}),
            "created": written.created,
            "updated": written.updated,
            "unchanged": written.unchanged,
        }
        progress = before | {name: before[name] + count for name, count in counts.items()}
        return Step(progress, [asdict(refusal) for refusal in refused])

    job.step(write, checkpoint={"groups": done})


def _refused_on_writing(
    products: Sequence[ProductRows], written: staging.Written, reader: Reader
) -> Iterator[Refusal]:
    """What only the database could tell."""
    for index in written.nameless:
        for line in products[index].lines:
            detail = "is needed: the product is new, and none of its rows has it"
            yield Refusal(line, reader.column_of("name"), None, "required", detail)
    for line in written.optionless:
        detail = "has no options, and the product has several variants: say which one it means"
        yield Refusal(line, None, None, "options_missing", detail)
