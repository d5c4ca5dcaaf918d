"""The refused rows of an import, in the form of its file: to be mended and sent again."""

import math
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from sqlalchemy import Row

from catalog import imports
from errors import NotFound
from jobs import queue

_AT_ONCE = 1000  # errors in memory


def failed_rows(job: Row[Any]) -> tuple[str, Iterator[bytes]]:
    """The media type and the bytes of the refused rows of a row of `jobs`, an import.

    Each with its line and with all that is wrong with it. Reads the file while it is iterated
    over, with little of it in memory. Raises NotFound (`no_refused_rows`), Gone (`file_expired`).
    """
    if not queue.errors(job.id, 1):
        raise NotFound("The job has refused no row.", code="no_refused_rows")
    queue.stored_file(job.file_id)
    reader = imports.opened(job.file_id, job.params)
    return reader.report_media_type, reader.report(_Refused(job.id))


class _Refused(Mapping[int, str]):
    """What is wrong with each refused line, read a page at a time: fast in the order of lines."""

    def __init__(self, job_id: int) -> None:
        self._job_id = job_id
        self._first: float = 0
        self._last: float = -1  # `_told` knows all lines from the first to the last
        self._told: dict[int, str] = {}

    def __getitem__(self, line: int) -> str:
        if not self._first <= line <= self._last:
            self._read(line)
        return self._told[line]

    def __iter__(self) -> Iterator[int]:
        self._read(0)
        while self._told:
            yield from [*self._told]
            self._read(max(self._told) + 1)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _read(self, line: int) -> None:
        """Read the errors from this line on; of the last line there may be more behind them."""
        found = queue.errors(self._job_id, _AT_ONCE, (line, 0))
        self._told = {
            number: "; ".join(map(_message, errors))
            for number, errors in groupby(found, key=lambda error: error.line)
        }
        self._first, self._last = line, math.inf
        if len(found) == _AT_ONCE:
            self._last = found[-1].line
            if len(self._told) > 1:
                del self._told[found[-1].line]
                self._last -= 1


def _message(error: Row[Any]) -> str:
    return f"{error.column}: {error.detail}" if error.column else str(error.detail)
