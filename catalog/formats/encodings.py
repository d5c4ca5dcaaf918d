"""Which encoding a file of text is in, where nobody says it.

UTF-8 or UTF-16 by their marks or by being valid; otherwise what shops' files are in apart from
these: Shift_JIS, Mac Roman, Windows-1252. A file in UTF-8 with some bytes that are not keeps
those as Windows-1252: real files are put together from several sources.
"""

import codecs
import io
import re
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from catalog.formats.rows import Open
from errors import Unreadable

SAMPLE = 256 * 1024  # bytes, by which encoding and delimiter are told

_NAMES = {
    "utf-8": "utf-8",
    "cp932": "shift_jis",
    "cp1252": "windows-1252",
    "mac_roman": "macintosh",
}
_MAGIC = {
    b"PK\x03\x04": "a ZIP archive or a spreadsheet",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"\x1f\x8b": "compressed by gzip",
    b"%PDF": "a PDF",
    b"<": "XML or HTML",
}
# Bytes that do not fit come as lone surrogates: Python's `surrogateescape`.
_MISFIT = re.compile("[\udc80-\udcff]")
# As browsers read them: the five bytes that Windows-1252 leaves open are control characters.
_MEND = {
    0xDC00 + byte: bytes([byte]).decode("cp1252", "ignore") or chr(byte)
    for byte in range(0x80, 0x100)
}
_JAPANESE_WORD = re.compile("[ぁ-んァ-ヶー一-龯]{2}")
_WORDS = "àÀèÈéÉíÍóÓúÚåÅöÖ"  # that are a letter alone, in the languages of Windows-1252
_JAPANESE = re.compile("[ぁ-んァ-ヶー一-龯]")


@dataclass(frozen=True, slots=True)
class Encoding:
    """A codec of Python's under its IANA name; `strict`: one byte that does not fit is an error."""

    codec: str
    name: str
    strict: bool

    @property
    def _errors(self) -> str:
        return "strict" if self.strict else "surrogateescape"

    def text(self, stream: io.RawIOBase) -> io.TextIOWrapper:
        """The stream's text, its line ends as they are. Reading it raises UnicodeError."""
        buffered = io.BufferedReader(stream, 64 * 1024)
        return io.TextIOWrapper(buffered, self.codec, self._errors, newline="")

    def beginning(self, sample: bytes) -> str:
        """The text of a file's first bytes, where they may end within a character."""
        errors = "replace" if self.strict else self._errors
        return without_mark(codecs.getincrementaldecoder(self.codec)(errors).decode(sample))

    def misfit(self, stream: io.RawIOBase) -> Unreadable:
        """The error for a file that is not in this encoding."""
        decoder = codecs.getincrementaldecoder(self.codec)()
        line = 1
        try:
            for chunk in iter(partial(io.BufferedReader(stream).read, 64 * 1024), b""):
                line += decoder.decode(chunk).count("\n")
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
        return Unreadable(f"Line {line}: the file is not {self.name}.", code="invalid_encoding")


def beginning(open_: Open) -> bytes:
    """The first bytes of a file."""
    return io.BufferedReader(open_(), 64 * 1024).read(SAMPLE)


def of_json(open_: Open, given: str | None) -> Encoding:
    """The encoding of a file of JSON: UTF-8 unless its mark or somebody says otherwise."""
    found = of(beginning(open_), given)
    return found if found.strict else Encoding("utf-8", "utf-8", strict=False)


def of(sample: bytes, given: str | None) -> Encoding:
    """The encoding of a file that begins like this, or the `given` one.

    Raises Unreadable for what is no text, and for an encoding that nobody knows.
    """
    for magic, what in _MAGIC.items():
        if sample.lstrip().startswith(magic):
            raise Unreadable(f"The file is {what}, not CSV or JSON.", code="not_text")
    if given is not None:
        codec = _known(given)
        if codec == "utf-16":  # which Python reads with a mark alone
            codec = _utf16(sample) or "utf-16-le"
        return Encoding(codec, given, strict=True)
    utf16 = _utf16(sample)
    if utf16 is not None:
        return Encoding(utf16, "utf-16", strict=True)
    if sample.count(0) * 100 > len(sample):
        raise Unreadable("The file is not text: it is full of NUL bytes.", code="not_text")
    codec = _eight_bit(sample)
    return Encoding(codec, _NAMES[codec], strict=False)


def without_mark(text: str) -> str:
    """A file's first line without its byte order mark, and what an editor has put before that."""
    return text[text.index("\ufeff") + 1 :] if "\ufeff" in text[:8] else text


def is_misfit(line: str) -> bool:
    """Whether a line holds bytes that are not in the file's encoding."""
    return _MISFIT.search(line) is not None


def mended(line: str) -> str:
    """The line with these bytes as Windows-1252."""
    return line.translate(_MEND)


def _known(name: str) -> str:
    try:
        codec = codecs.lookup(name)
        "".encode(codec.name)  # there are codecs that are no encodings of text
    except LookupError:
        raise Unreadable(f"There is no encoding {name!r}.", code="unknown_encoding") from None
    return codec.name


def _utf16(sample: bytes) -> str | None:
    """Told by its mark, or by the zeros that every second byte of Latin text is."""
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) * 10 > len(sample) and min(even, odd) * 20 < max(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def _eight_bit(sample: bytes) -> str:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        pass
    else:
        return "utf-8"
    odd = [line for line in sample.splitlines() if not line.isascii()]
    if sum(map(_is_utf8, odd)) * 2 > len(odd):
        return "utf-8"
    text = _decoded(sample, "cp932")
    if _JAPANESE_WORD.search(text) and len(_JAPANESE.findall(text)) * 2 > _not_ascii(text):
        return "cp932"
    return max(("cp1252", "mac_roman"), key=lambda codec: _fitting(_decoded(sample, codec)))


def _is_utf8(line: bytes) -> bool:
    return not is_misfit(line.decode(errors="surrogateescape"))


def _decoded(sample: bytes, codec: str) -> str:
    return codecs.getincrementaldecoder(codec)("surrogateescape").decode(sample)


def _not_ascii(text: str) -> int:
    return sum(not character.isascii() for character in text)


def _fitting(text: str) -> int:
    """How many characters beyond ASCII stand where they may: letters in words, signs elsewhere."""
    padded = f" {text} "
    return sum(
        _fits(before, character, after)
        for (before, character), after in zip(pairwise(padded), padded[2:], strict=False)
        if not character.isascii()
    )


def _fits(before: str, character: str, after: str) -> bool:
    in_word = before.isalpha() or after.isalpha() or character in _WORDS
    if character.isalpha():
        return in_word and not (character.isupper() and before.islower())
    return not (before.isalpha() and after.isalpha()) or character in "’‘-\u00ad"
