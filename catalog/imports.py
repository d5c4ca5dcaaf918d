"""The import of a catalogue file: survey it, then read and write it in chunks.

The survey reads the whole file once before anything is written, so that a file which cannot be
read to its end fails with its reason and no effect. Each chunk commits products, refusals,
progress and checkpoint together. A checkpoint counts groups of rows, in the order of the file:

    {"groups": 7}                           7 groups are done
    {"before": {"groups": 9}, "groups": 7}  a retry has done again, of the first 7 of the 9 groups
                                            of earlier runs, those that had refused rows
    {…, "stopped": "Line 12: …"}            the next group has a refused row, and was to end it
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from sqlalchemy.orm import Session

from catalog import staging, staging_sql, stock
from catalog.formats.detection import open_catalogue
from catalog.formats.rows import Group, Options, ProductRows, Reader, Refusal, groups, survey
from errors import Stopped
from jobs.files import FileReader
from jobs.running import ResultFile, RunningJob, Step
from models import JSONObject
from schemas import PROGRESS

CHUNK_ROWS = 1000
_CHUNK_CHARACTERS = 4 * 1024 * 1024  # of descriptions, which may be long: a chunk is in memory
_FIRST_CHUNK_ROWS = 100  # so that whoever waits sees the import move soon

NO_PROGRESS = dict.fromkeys(PROGRESS, 0)


@dataclass(frozen=True)
class Part:
    """A group of rows as it has been read; `number` is its place among the groups of the file.

    `is_counted`: an earlier run has done it, but for some rows that it refused.
    """

    number: int
    is_counted: bool
    lines: Sequence[int]
    product: ProductRows | None
    refusals: Sequence[Refusal]


@dataclass(frozen=True)
class Chunk:
    """Some parts, written at once; `stopped_by` are refused rows that end the import then."""

    parts: Sequence[Part]
    stopped_by: Sequence[Refusal] = ()

    @cached_property
    def products(self) -> Sequence[ProductRows]:
        """The products of its parts."""
        return [part.product for part in self.parts if part.product is not None]

    def before(self, refusals: Sequence[Refusal]) -> "Chunk":
        """What stands before the part of the first of these refusals, which ends the import."""
        lines = {refusal.line for refusal in refusals}
        number = next(n for n, part in enumerate(self.parts) if not lines.isdisjoint(part.lines))
        of_part = [refusal for refusal in refusals if refusal.line in self.parts[number].lines]
        return Chunk(self.parts[:number], sorted(of_part, key=lambda refusal: refusal.line))


def run(job: RunningJob) -> JSONObject:
    """Import the job's file from its checkpoint on; returns the job's result.

    Raises Unreadable for a file that cannot be read, Stopped for a refused row where that is to
    end the import; LeaseLost and TurnOver as `job.step` does.
    """
    return _Run(job).to_the_end()


class _Run:
    """One attempt at an import, of the whole file or of what earlier runs have left of it."""

    def __init__(self, job: RunningJob) -> None:
        self._job = job
        self._checks_only = bool(job.params.get("dry_run"))
        self._stops = job.params.get("on_error") == "stop"
        self._tells = bool(job.params.get("events"))
        self._mode = job.params.get("mode", "upsert")
        self._groups_before = _groups_done(job.checkpoint.get("before", {}))
        self._groups_done = job.checkpoint.get("groups", 0)
        self._retried = frozenset(job.retried_lines())
        self._reader = opened(job.file_id, job.params)

    def to_the_end(self) -> JSONObject:
        """Go on from the checkpoint."""
        self._check_stopped()
        surveyed = survey(self._renewing(key for key, _ in self._reader.keyed()))
        progress = {**NO_PROGRESS, **self._job.progress, "total": surveyed.rows}
        self._job.step(lambda _: Step(progress), checkpoint=self._checkpoint(self._groups_done))
        found = groups(self._renewing(self._reader.keyed()), surveyed.last_row)
        for chunk in _chunks(self._parts(found)):
            self._import(chunk)
            self._check_stopped()
        if not self._checks_only:
            return self._reader.about
        name = f"changes-{self._job.id}.ndjson"
        self._job.result_file = ResultFile(name, "application/x-ndjson")
        return {**self._reader.about, "dry_run": True}

    def _check_stopped(self) -> None:
        if (detail := self._job.checkpoint.get("stopped")) is not None:
            raise Stopped(detail)

    def _renewing(self, rows: Iterable[Any]) -> Iterator[Any]:
        for number, row in enumerate(rows):
            if not number % CHUNK_ROWS:
                self._job.renew()
            yield row

    def _checkpoint(self, groups_done: int) -> JSONObject:
        before = {"before": {"groups": self._groups_before}} if self._groups_before else {}
        return {**before, "groups": groups_done}

    def _parts(self, found: Iterable[Group]) -> Iterator[Part]:
        """What is left to do; of what earlier runs have done, only what had refused rows."""
        for number, group in enumerate(found):
            if number < self._groups_done:
                continue
            lines = group.lines
            is_old = number < self._groups_before
            if not is_old or not self._retried.isdisjoint(lines):
                is_counted = is_old and not self._retried.issuperset(lines)
                yield Part(number, is_counted, lines, *self._reader.read(group))

    def _import(self, chunk: Chunk) -> None:
        """Commit a chunk, or, if a refused row is to end the import, what stands before it."""
        refused = [refusal for part in chunk.parts for refusal in part.refusals]
        if self._stops and refused:
            chunk = chunk.before(refused)
        try:
            self._commit(chunk)
        except _RefusedOnWriting as error:
            self._import(chunk.before(error.refusals))

    def _commit(self, chunk: Chunk) -> None:
        done = chunk.parts[-1].number + 1 if chunk.parts else self._groups_done
        checkpoint = self._checkpoint(done)
        if chunk.stopped_by:
            checkpoint["stopped"] = _told(chunk.stopped_by[0])
        self._job.step(lambda session: self._write(session, chunk), checkpoint=checkpoint)
        self._groups_done = done

    def _write(self, session: Session, chunk: Chunk) -> Step:
        stock.tell_why(session, "import", str(self._job.id))
        # Of what this import has created, the rest may follow.
        is_ours = self._mode == "create" and any(part.is_counted for part in chunk.parts)
        mode = "upsert" if is_ours else self._mode
        if self._checks_only:
            staged = staging.plan(session, chunk.products, mode)
        else:
            staged = staging.write(session, chunk.products, mode, events=self._tells)
        refused = [*_refused_on_writing(chunk.products, staged, self._reader)]
        if self._stops and refused:
            session.rollback()
            raise _RefusedOnWriting(refused)
        refused += [refusal for part in chunk.parts for refusal in part.refusals]
        refused += chunk.stopped_by
        lines = {line for part in chunk.parts for line in part.lines}
        settled = self._retried & (lines | {refusal.line for refusal in refused})
        counts = self._counts(chunk, staged)
        counts["failed"] = len({refusal.line for refusal in refused}) - len(settled)
        before = self._job.progress
        return Step(
            before | {name: before[name] + count for name, count in counts.items()},
            errors=[asdict(refusal) for refusal in refused],
            resolved=sorted(settled),
            output=b"".join(_changes(chunk.products[n], staged.changes[n]) for n in staged.changes),
        )

    def _counts(self, chunk: Chunk, staged: staging.Staged) -> dict[str, int]:
        """What a chunk adds to the progress: nothing twice, whatever earlier runs have counted."""
        new = [part for part in chunk.parts if part.number >= self._groups_before]
        is_counted = any(part.is_counted for part in chunk.parts)
        return {
            "processed": sum(len(part.lines) for part in new),
            "created": len(staged.created),
            "updated": len(staged.updated),
            "unchanged": 0 if is_counted else len(staged.unchanged),
        }


class _RefusedOnWriting(Exception):
    """Ends a step, of which nothing is written, where a refused row is to end the import."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__(refusals)
        self.refusals = refusals


def _groups_done(checkpoint: JSONObject) -> int:
    """How many groups all earlier runs have done."""
    done: int = checkpoint.get("groups", 0)
    return max(done, _groups_done(checkpoint["before"])) if "before" in checkpoint else done


def opened(file_id: int | None, params: JSONObject) -> Reader:
    """A reader of an import's file, by the options that it was sent with. Raises Unreadable."""
    if file_id is None:
        raise ValueError("an import without a file")
    options = Options(
        params.get("format"),
        params.get("encoding"),
        params.get("delimiter"),
        params.get("mapping"),
        blank_clears=params.get("blank") == "clear",
    )
    return open_catalogue(lambda: FileReader(file_id), options)


def _chunks(parts: Iterable[Part]) -> Iterator[Chunk]:
    """Parts by the thousand rows; a handle occurs once in a chunk, and all or none are counted."""
    chunk: list[Part] = []
    handles: set[str] = set()
    rows, characters, most = 0, 0, min(_FIRST_CHUNK_ROWS, CHUNK_ROWS)
    for part in parts:
        handle = part.product.handle if part.product and not part.product.found_by_sku else None
        text = part.product.fields.get("description") or "" if part.product else ""
        is_large = rows + len(part.lines) > most or characters + len(text) > _CHUNK_CHARACTERS
        is_full = is_large or handle in handles
        if chunk and (is_full or part.is_counted != chunk[-1].is_counted):
            yield Chunk(chunk)
            chunk, handles, rows, characters, most = [], set(), 0, 0, CHUNK_ROWS
        chunk.append(part)
        rows += len(part.lines)
        characters += len(text)
        if handle is not None:
            handles.add(handle)
    if chunk:
        yield Chunk(chunk)


def _told(refusal: Refusal) -> str:
    place = f", {refusal.column}" if refusal.column else ""
    return f"Line {refusal.line}{place}: {refusal.detail} ({refusal.code})."


def _changes(product: ProductRows, changes: str) -> bytes:
    """A line of the result of a dry run: a JSON object, `changes` with the lines of the file."""
    return f'{{"lines": {product.lines}, {changes[1:]}\n'.encode()


# Why only the database could refuse a product: the field to blame, and what to say.
_DETAILS: Mapping[str, tuple[str, str]] = {
    "required": ("name", "is needed: the product is new, and none of its rows has it"),
    "exists": ("handle", "is there already, and this import only creates"),
    "product_not_found": ("handle", "is of no product, and this import cannot create it"),
    "ambiguous_sku": ("sku", "is carried by several products, and the handle is of none of them"),
    "duplicate_product": ("sku", "means a product that an earlier row means"),
    **{
        f"too_many_{field}": (field, f"would be more than {most}, with those that are there")
        for field, most in staging_sql.LIMITS.items()
    },
}


def _refused_on_writing(
    products: Sequence[ProductRows], staged: staging.Staged, reader: Reader
) -> Iterator[Refusal]:
    """What only the database could tell."""
    for index, code in staged.refused.items():
        product = products[index]
        field, detail = _DETAILS[code]
        value = product.handle or None if field == "handle" else None
        for line in product.lines:
            yield Refusal(line, reader.column_of(field), value, code, detail)
    for line in staged.unknown:
        detail = "is of no variant that is there, and this format creates none"
        yield Refusal(line, None, None, "variant_not_found", detail)
    for line in staged.optionless:
        detail = "has no options, and the product has several variants: say which one it means"
        yield Refusal(line, None, None, "options_missing", detail)
