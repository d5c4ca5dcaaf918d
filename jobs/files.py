"""Files in PostgreSQL, in chunks: written as they arrive, read as they are needed."""

import io
from collections.abc import Iterable
from typing import Protocol

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.orm import Session

from errors import TooLarge
from models import FileChunk, StoredFile
from reads import read

CHUNK_BYTES = 512 * 1024


class Readable(Protocol):
    """What an upload is read from."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; empty at the end."""


class FileWriter(io.RawIOBase):
    """A stored file being written, chunk by chunk, each in a transaction of its own.

    An upload takes as long as its sender likes; nothing is locked and no transaction stays open
    meanwhile. A file counts only once `finish` has given it its size; the sweep deletes others.
    Raises TooLarge as soon as `max_bytes` are exceeded.
    """

    def __init__(self, engine: Engine, max_bytes: int) -> None:
        super().__init__()
        self._engine = engine
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._chunks = 0
        self.size_bytes = 0
        with engine.begin() as connection:
            self.file_id: int = connection.execute(
                insert(StoredFile).returning(StoredFile.id)
            ).scalar_one()

    def writable(self) -> bool:
        """Always: the file object's way to say what it is for."""
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # bytes are all we are given
        """Take some bytes; whole chunks go to the database at once."""
        self.size_bytes += len(data)
        if self.size_bytes > self._max_bytes:
            raise TooLarge(f"The file is larger than {self._max_bytes} bytes.")
        self._buffer += data
        while len(self._buffer) >= CHUNK_BYTES:
            self._store(bytes(self._buffer[:CHUNK_BYTES]))
            del self._buffer[:CHUNK_BYTES]
        return len(data)

    def seek(self, _offset: int, _whence: int = 0, /) -> int:
        """Nothing: form parsers go back to the start of what they have written, to hand it on."""
        return 0

    def finish(self, session: Session, filename: str | None) -> None:
        """Store the rest and declare the file whole, within the caller's transaction."""
        if self._buffer:
            self._store(bytes(self._buffer))
        session.execute(
            update(StoredFile)
            .where(StoredFile.id == self.file_id)
            .values(size_bytes=self.size_bytes, filename=filename)
        )

    def discard(self) -> None:
        """Delete what has been written."""
        with self._engine.begin() as connection:
            connection.execute(delete(StoredFile).where(StoredFile.id == self.file_id))

    def _store(self, content: bytes) -> None:
        row = {"file_id": self.file_id, "number": self._chunks, "content": content}
        with self._engine.begin() as connection:
            connection.execute(insert(FileChunk), row)
        self._chunks += 1


class FileReader(io.RawIOBase):
    """A stored file as a readable binary stream; one chunk is in memory at a time."""

    def __init__(self, file_id: int) -> None:
        super().__init__()
        self._file_id = file_id
        self._number = 0
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Always: the file object's way to say what it is for."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Fill `buffer` from the current chunk, or the next; 0 at the end of the file."""
        if not self._rest:
            self._rest = self._next_chunk()
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def _next_chunk(self) -> memoryview:
        rows = read(
            select(FileChunk.content).where(
                FileChunk.file_id == self._file_id, FileChunk.number == self._number
            )
        )
        self._number += 1
        return memoryview(rows[0].content if rows else b"")


def copy(source: Readable, target: FileWriter) -> None:
    """Read `source` to its end into `target`."""
    for data in _pieces(source):
        target.write(data)


def _pieces(source: Readable) -> Iterable[bytes]:
    return iter(lambda: source.read(64 * 1024), b"")
