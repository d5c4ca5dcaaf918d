"""Reading tables: line numbers, files that cannot be read, and rows that belong together."""

import io
from collections.abc import Sequence

import pytest

from catalog.formats import cells
from catalog.formats import rows as grouping
from catalog.formats.detection import open_catalogue
from catalog.formats.rows import Group, Open, Options, Reader, groups, survey
from catalog.formats.table import Table
from errors import Fault, Unreadable


def file(content: str | bytes) -> Open:
    """A file with this content."""
    data = content.encode() if isinstance(content, str) else content
    return lambda: io.BytesIO(data)  # type: ignore[return-value]  # any stream of bytes will do


def table(content: str | bytes) -> Table:
    return Table(file(content), Options())


def reader(heading: Sequence[str], name: str | None = None) -> Reader:
    """A reader of a file that has this heading alone."""
    return open_catalogue(file(",".join(heading)), Options(format=name))


def lines(content: str | bytes) -> list[tuple[int, list[str]]]:
    return list(table(content).rows())


def grouped(keys: Sequence[str]) -> list[tuple[str, list[int]]]:
    """The groups of rows with these keys, as (key, row numbers)."""
    last_row = survey(keys).last_row
    rows = ((key, (number, [key])) for number, key in enumerate(keys, 1))
    return [(group.key, [line for line, _ in group.rows]) for group in groups(rows, last_row)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a,b\n1,2\n3,4\n", [(2, ["1", "2"]), (3, ["3", "4"])]),
        ("a,b\r\n1,2\r\n", [(2, ["1", "2"])]),
        ("a,b\n1,2", [(2, ["1", "2"])]),
        ('a,b\n"x\ny\nz",2\n3,4\n', [(2, ["x\ny\nz", "2"]), (5, ["3", "4"])]),
        ("a,b\n\n\n1,2\n", [(4, ["1", "2"])]),
        ('a,"b\nc"\n1,2\n', [(3, ["1", "2"])]),
        ("a;b\n1,5;2\n", [(2, ["1,5", "2"])]),
        ("a\tb\n1\t2\n", [(2, ["1", "2"])]),
        ("a|b\n1|2\n", [(2, ["1", "2"])]),
        ('a,b\n"say ""hi""",2\n', [(2, ['say "hi"', "2"])]),
        ("a,b\n", []),
    ],
)
def test_every_row_comes_with_the_physical_line_it_begins_in(
    content: str, expected: list[tuple[int, list[str]]]
) -> None:
    assert lines(content) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_tells_the_encoding(encoding: str) -> None:
    read = table("nàme,b\n日本,2\n".encode(encoding))

    assert read.heading == ["nàme", "b"]
    assert list(read.rows()) == [(2, ["日本", "2"])]


@pytest.mark.parametrize(
    ("content", "code", "detail"),
    [
        (b"", "empty_file", "no heading"),
        (b"\n", "empty_file", "no heading"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "unclosed_quote", "Line 3"),
        (b'a,b\n1,"' + b"x" * 3_000_000, "malformed_csv", "Line 2"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_why(
    content: bytes, code: str, detail: str
) -> None:
    with pytest.raises(Unreadable, match=detail) as caught:
        lines(content)
    assert caught.value.error_code == code


def test_rows_of_a_product_come_together_even_where_they_are_not_adjacent() -> None:
    assert grouped(["a", "a", "b", "c", "b", "d"]) == [
        ("a", [1, 2]),
        ("c", [4]),
        ("b", [3, 5]),
        ("d", [6]),
    ]


def test_rows_without_a_product_part_none() -> None:
    assert grouped(["a", "", "a", ""]) == [("", [2]), ("", [4]), ("a", [1, 3])]


def test_too_many_waiting_rows_let_the_oldest_product_go_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grouping, "MAX_HELD_ROWS", 2)

    assert grouped(["a", "b", "c", "a", "b", "c"]) == [
        ("a", [1]),
        ("a", [4]),
        ("b", [2, 5]),
        ("c", [3, 6]),
    ]


def test_a_product_with_more_rows_than_it_can_hold_keeps_only_the_lines_of_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grouping, "MAX_GROUP_ROWS", 2)
    group = Group("a")
    for line in range(2, 6):
        group.add((line, ["a"]))

    product, refusals = reader(["handle"]).read(group)

    assert product is not None
    assert product.lines == [2, 3]
    assert [(r.line, r.code) for r in refusals if r.code == "too_many_rows"] == [
        (4, "too_many_rows"),
        (5, "too_many_rows"),
    ]


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        (["handle", "name", "price"], "native"),
        (["handle", "sku", "stock"], "native"),
        (["Handle", "Title", "Body (HTML)"], "shopify"),
        (["Title", "URL handle", "Price"], "shopify"),
        (["", "handle", "title"], "shopify"),
    ],
)
def test_a_heading_tells_the_format(heading: list[str], name: str) -> None:
    assert reader(heading).about["format"] == name


@pytest.mark.parametrize(
    ("heading", "name", "code"),
    [
        (["sku", "price"], None, "unknown_format"),
        (["title", "price"], "shopify", "column_missing"),
        (["handle", "Price", "price"], None, "duplicate_column"),
    ],
)
def test_a_heading_that_does_not_do_is_refused(
    heading: list[str], name: str | None, code: str
) -> None:
    with pytest.raises(Unreadable) as caught:
        reader(heading, name)
    assert caught.value.error_code == code


def test_a_name_that_stands_twice_and_feeds_no_field_is_kept_twice() -> None:
    content = b"handle,name,note,Note\na,A,x,y\n"
    found = open_catalogue(file(content), Options())
    ((product, refusals),) = [found.read(group) for group in groups(found.keyed(), {})]

    assert product is not None
    assert (product.fields["metadata"], refusals) == ({"note": "x", "Note (2)": "y"}, [])


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ('{"a": "\\u0000"}', "nul_character"),  # PostgreSQL cannot store it
        ('{"a": NaN}', "invalid_json"),
        ('{"a": 1, "a": 2}', "duplicate_name"),
        ("[1]", "invalid_type"),
    ],
)
def test_a_json_object_in_a_cell_is_what_the_api_would_take(cell: str, code: str) -> None:
    with pytest.raises(Fault) as caught:
        cells.json_object(cell)
    assert caught.value.code == code
