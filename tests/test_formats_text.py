"""Text from other programs: encodings, delimiters, quotes, and numbers in a file's own notation."""

import io
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from catalog.formats import cells
from catalog.formats import table as tables
from catalog.formats.numbers import NumberColumn
from catalog.formats.rows import Open, Options
from catalog.formats.table import Table
from errors import Fault, Unreadable


def file(content: str | bytes) -> Open:
    data = content.encode() if isinstance(content, str) else content
    return lambda: io.BytesIO(data)  # type: ignore[return-value]  # any stream of bytes will do


def table(content: str | bytes, **options: Any) -> Table:
    return Table(file(content), Options(**options))


def contents(content: str | bytes, **options: Any) -> list[list[str]]:
    read = table(content, **options)
    return [read.heading, *(row for _, row in read.rows())]


# --- encodings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [
        ("name;price\nMüller Käse;3\nCafé à la crème – 5 €;2\n", "cp1252", "windows-1252"),
        ("name,price\nThe baker’s “best”,2\n", "cp1252", "windows-1252"),
        ("name,price\nÀ la carte,2\n", "cp1252", "windows-1252"),
        ("商品コード,商品名\nP001,みそ 1L\n", "cp932", "shift_jis"),
        ("code,name\nP001,醤油\n", "cp932", "shift_jis"),
        ("name,price\nSunny – day,2\n", "mac_roman", "macintosh"),
        ("name,price\nCafé,2\n", "mac_roman", "macintosh"),
        ("name,price\nTéa,2\n", "utf-8", "utf-8"),
        ("name,price\nTéa,2\n", "utf-8-sig", "utf-8"),
        ("名前,price\n日本,2\n", "utf-16", "utf-16"),
        ("name,price\nTéa,2\n", "utf-16-le", "utf-16"),
        ("name,price\nTéa,2\n", "utf-16-be", "utf-16"),
    ],
)
def test_the_encoding_is_told_by_the_bytes(text: str, codec: str, name: str) -> None:
    content = text.encode(codec)

    assert table(content).about["encoding"] == name
    delimiter = ";" if ";" in text else ","
    assert contents(content) == [line.split(delimiter) for line in text.splitlines()]


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_that_is_asked_for_needs_no_mark(codec: str) -> None:
    content = "name,price\nT\u00e9a,2\n".encode(codec)

    assert contents(content, encoding="utf-16") == [["name", "price"], ["T\u00e9a", "2"]]


def test_one_line_in_another_encoding_is_read_and_noted() -> None:
    lines = ["name,price", *["Käse,1"] * 40_000, "Brühe,2", *["Tee,3"] * 10]
    content = b"\n".join(
        line.encode("cp1252" if line.startswith("Br") else "utf-8") for line in lines
    )

    read = table(content)

    assert [cells[0] for _, cells in read.rows()] == [line.split(",")[0] for line in lines[1:]]
    assert read.about["encoding"] == "utf-8"
    assert "Line 40002," in read.about["notes"][0]


def test_a_character_at_the_end_of_a_chunk_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_CHUNK", 7)
    text = "näme,ø\r\n" + "".join(f"日本{n},é\r\n" for n in range(50))

    assert contents(text) == [line.split(",") for line in text.splitlines()]
    assert [line for line, _ in table(text).rows()] == list(range(2, 52))


def test_an_encoding_that_is_given_holds_strictly() -> None:
    assert contents("naïve\n".encode("cp437"), encoding="cp437") == [["naïve"]]
    with pytest.raises(Unreadable, match="Line 2: the file is not utf-8") as caught:
        list(table(b"name\nM\xfcller\n", encoding="utf-8").rows())
    assert caught.value.error_code == "invalid_encoding"
    with pytest.raises(Unreadable, match="no encoding 'base64'"):
        table("name\n", encoding="base64")


def test_a_byte_without_a_meaning_is_no_text() -> None:
    ((_, row),) = table(b"name,note\nM\xfcller\x81,x\n").rows()

    with pytest.raises(Fault, match="control character"):
        cells.label(row[0])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04rest of an archive", "ZIP"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"%PDF-1.7", "PDF"),
        (b'\n<?xml version="1.0"?>', "XML"),
        (b"\x89PNG\r\n" + b"\0\0\0\rIHDR\0" * 9, "NUL"),
    ],
)
def test_what_is_no_text_is_called_what_it_is(content: bytes, what: str) -> None:
    with pytest.raises(Unreadable, match=what) as caught:
        table(content)
    assert caught.value.error_code == "not_text"


# --- delimiters, quotes, headings ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a,b\n1,2\n", [["a", "b"], ["1", "2"]]),
        ("Name;Price, net;Qty\nx;1,5;2\n", [["Name", "Price, net", "Qty"], ["x", "1,5", "2"]]),
        ('"x;y","b"\n1,2\n', [["x;y", "b"], ["1", "2"]]),
        ("List (a;b;c),n\n1,2\n3,4\n", [["List (a;b;c)", "n"], ["1", "2"], ["3", "4"]]),
        ("sep=|\na,b|c\n1|2\n", [["a,b", "c"], ["1", "2"]]),
        ("only\none\n", [["only"], ["one"]]),
        ("a;b\n", [["a", "b"]]),
    ],
)
def test_the_delimiter_is_the_one_that_makes_the_most_cells(
    content: str, expected: list[list[str]]
) -> None:
    assert contents(content) == expected


def test_a_delimiter_that_is_given_is_taken() -> None:
    assert contents("a,b;c,d\n", delimiter=";") == [["a,b", "c,d"]]
    assert [line for line, _ in table("sep=;\na;b\n1;2\n").rows()] == [3]


@pytest.mark.parametrize("end", ["\r\n", '"\n', "\n"])
def test_a_first_line_that_names_no_delimiter_is_a_heading(end: str) -> None:
    assert table(f"sep={end}a,b\n").heading[0].startswith("sep=")


def test_a_heading_is_text_that_can_be_stored() -> None:
    assert table(f"Gro\u0308\u00dfe,a\0b\n1,{'x' * 200}\n").heading == ["Gr\u00f6\u00dfe", "ab"]


def test_a_backslash_may_escape_a_quote() -> None:
    escaped = 'a,b\n"say \\"hi\\", loud",1\n"5\\"",2\n'

    assert contents(escaped) == [["a", "b"], ['say "hi", loud', "1"], ['5"', "2"]]


@pytest.mark.parametrize(
    ("content", "row"),
    [
        ('a,b\n"C:\\dir\\",2\n', ["C:\\dir\\", "2"]),
        ('a,b\n5\\" pipe,2\n', ['5\\" pipe', "2"]),
        ('a,b\n"x \\""y"" z",2\n', ['x \\"y" z', "2"]),
    ],
)
def test_a_backslash_in_proper_csv_is_a_backslash(content: str, row: list[str]) -> None:
    assert contents(content)[1] == row


@pytest.mark.parametrize(
    ("content", "heading"),
    [
        ("\t\ufeffhandle,name\n", ["handle", "name"]),
        ('handle,"Price\n in €"\n', ["handle", "Price in €"]),
        ("\n\n handle , name\n", ["handle", "name"]),
    ],
)
def test_a_heading_is_tidied(content: str, heading: list[str]) -> None:
    assert table(content).heading == heading


def test_a_bare_carriage_return_ends_a_line_outside_quotes_alone() -> None:
    assert contents('a,b\r"x\ry",2\r') == [["a", "b"], ["x\ry", "2"]]


def test_a_cell_may_be_large_and_a_line_not_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    large = "x" * 500_000
    assert contents(f"a,b\n{large},2\n")[1] == [large, "2"]
    monkeypatch.setattr(tables, "MAX_LINE", 100_000)
    with pytest.raises(Unreadable, match="Line 2 is too long"):
        contents(f"a,b\n{large},2\n")


# --- numbers ------------------------------------------------------------------------------------


def read_all(column: Sequence[str], rule: Any = cells.money, point: str | None = None) -> list[str]:
    """Each cell of a column of numbers as it is read, or the code of its fault."""
    numbers = NumberColumn(rule, lambda: column, point)

    def read(cell: str) -> str:
        try:
            return str(numbers.read(cell))
        except Fault as fault:
            return fault.code

    return [read(cell) for cell in column]


UNCLEAR = "ambiguous_number"


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["12.50", "3", "-1"], ["12.50", "3.00", "negative"]),
        (["1.234,56 €", "12,50 €", "1.234 €", "99"], ["1234.56", "12.50", "1234.00", "99.00"]),
        (["$12.50", "1,050", "$1,234.50"], ["12.50", "1050.00", "1234.50"]),
        (["Dhs 1,050", "Dhs 9.5"], ["1050.00", "9.50"]),
        (["28.00 USD", "R$ 5,00"], ["mixed_currencies", "mixed_currencies"]),
        (["R$ 10,00", "R$ 1.000,00"], ["10.00", "1000.00"]),
        (["11,99", "1.234"], ["11.99", "1234.00"]),
        (["1'234.50 CHF", "1'000"], ["1234.50", "1000.00"]),
        (["1 234,5", "1\u00a0234 zł"], ["1234.50", "1234.00"]),
        (["1.234.567", "1.500"], ["1234567.00", "1500.00"]),
        (["-$5.00", "$-5.00"], ["negative", "negative"]),
        # Nothing tells, or two things are told.
        (["Dhs 1,050", "Dhs 595"], [UNCLEAR, "595.00"]),
        (["1.234"], [UNCLEAR]),
        (["12.50", "12,50", "1.234"], ["12.50", UNCLEAR, UNCLEAR]),
        # Whatever is no number proves nothing.
        (["1.2.3", "x", "1e5", "$3.12 - $4.10", "10 kg", ""], ["not_a_number"] * 6),
        (["1,23,456.00", "1,234"], ["not_a_number", UNCLEAR]),
    ],
)
def test_a_price_takes_the_notation_of_its_column(column: list[str], expected: list[str]) -> None:
    assert read_all(column) == expected


def test_a_format_with_a_point_for_decimals_keeps_to_it() -> None:
    assert read_all(["453.592", "1"], cells.weight_grams, ".") == ["453.592", "1.000"]
    assert read_all(["453.592", "1,5"], cells.weight_grams, ".") == [UNCLEAR, "1.500"]
    assert read_all(["453,592"], cells.weight_grams, ".") == [UNCLEAR]


def test_counts_and_weights_have_no_currency() -> None:
    assert read_all(["1,234", "1,234,567", "5.0"], cells.integer) == ["1234", "1234567", "5"]
    assert read_all(["1.000"], cells.integer) == [UNCLEAR]
    assert read_all(["5 €"], cells.weight_grams) == ["not_a_number"]


def test_plain_digits_never_cost_a_look_at_the_column() -> None:
    def column() -> list[str]:
        raise AssertionError

    numbers = NumberColumn(cells.money, column, None)

    assert numbers.read("1250.00") == Decimal("1250.00")
    assert numbers.about == {}
