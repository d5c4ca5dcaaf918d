"""Files in PostgreSQL, in chunks: written as they arrive, read as they are needed."""

import io
from collections.abc import Iterable
from typing import Protocol

from sqlalchemy import Engine, delete, func, insert, select, update
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
    meanwhile. A file counts only once `finish` has given it its size; clean-up deletes others.
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
    """A stored file as a readable, seekable stream; one chunk is in memory at a time.

    No connection is held between two chunks, however slowly they are read.
    """

    def __init__(self, file_id: int) -> None:
        super().__init__()
        self._file_id = file_id
        self._position = 0
        self._number = -1  # of the chunk in memory
        self._chunk = memoryview(b"")

    def readable(self) -> bool:
        """Always: the file object's way to say what it is for."""
        return True

    def seekable(self) -> bool:
        """Always, from the start and from where it stands."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a byte, counted from the start or from here; what is read there is one query."""
        if whence not in (io.SEEK_SET, io.SEEK_CUR):
            raise io.UnsupportedOperation("The end is found by reading.")
        self._position = max(0, offset + (self._position if whence else 0))
        return self._position

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Fill `buffer` from the current chunk, or the next; 0 at the end of the file."""
        number, offset = divmod(self._position, CHUNK_BYTES)
        if number != self._number:
            self._chunk, self._number = self._load(number), number
        piece = self._chunk[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _load(self, number: int) -> memoryview:
        rows = read(
            select(FileChunk.content).where(
                FileChunk.file_id == self._file_id, FileChunk.number == number
            )
        )
        return memoryview(rows[0].content if rows else b"")


def create(session: Session) -> int:
    """A file that `append` will write; it counts once `declare_whole` has been told so."""
    return session.execute(insert(StoredFile).returning(StoredFile.id)).scalar_one()


def append(session: Session, file_id: int, data: bytes) -> None:
    """Add to a file's end, within the caller's transaction, which only one at a time may do."""
    chunks = select(FileChunk.number, func.octet_length(FileChunk.content).label("length"))
    last = session.execute(
        chunks.where(FileChunk.file_id == file_id).order_by(FileChunk.number.desc()).limit(1)
    ).first()
    number, length = (last.number, last.length) if last else (-1, CHUNK_BYTES)
    room = CHUNK_BYTES - length
    if room:
        session.execute(
            update(FileChunk)
            .where(FileChunk.file_id == file_id, FileChunk.number == number)
            .values(content=FileChunk.content.concat(data[:room]))
        )
    pieces = (data[start : start + CHUNK_BYTES] for start in range(room, len(data), CHUNK_BYTES))
    rows = [
        {"file_id": file_id, "number": next_number, "content": piece}
        for next_number, piece in enumerate(pieces, number + 1)
    ]
    if rows:
        session.execute(insert(FileChunk), rows)


def declare_whole(session: Session, file_id: int, filename: str, media_type: str) -> None:
    """Give an appended file its size, name and type, within the caller's transaction."""
    size = select(func.coalesce(func.sum(func.octet_length(FileChunk.content)), 0))
    session.execute(
        update(StoredFile)
        .where(StoredFile.id == file_id)
        .values(
            filename=filename,
            media_type=media_type,
            size_bytes=size.where(FileChunk.file_id == file_id).scalar_subquery(),
        )
    )


def copy(source: Readable, target: FileWriter) -> None:
    """Read `source` to its end into `target`."""
    for data in _pieces(source):
        target.write(data)


def _pieces(source: Readable) -> Iterable[bytes]:
    return iter(lambda: source.read(64 * 1024), b"")
