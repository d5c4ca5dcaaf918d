"""The refused rows of a CSV file as a CSV file: to be mended, and sent again as it is.

A cell that a spreadsheet would run gets its apostrophe here too: such a report is made to be
opened in one, reading takes the apostrophe away again, and suppliers' files are where such cells
come from. A cell that has its apostrophe already stays as it is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from catalog.formats.rows import Row
from catalog.formats.sheets import encoded, guarded

MEDIA_TYPE = "text/csv; charset=utf-8"
_OWN = ("_line", "_error")
_AT_ONCE = 500  # rows


def written(
    rows: Iterable[Row], errors: Mapping[int, str], heading: Sequence[str], delimiter: str
) -> Iterator[bytes]:
    """These rows below their heading, each with its line and its error; a helping row has none.

    A row of too few or too many cells stays one, so that it cannot be taken for mended.
    """
    width = len(heading)
    kept = [index for index, name in enumerate(heading) if name.lower() not in _OWN]
    yield encoded([[*(heading[index] for index in kept), *_OWN]], delimiter)
    found = iter(rows)
    while some := list(islice(found, _AT_ONCE)):
        yield encoded(
            (
                [
                    *(_safe(cells[index]) for index in kept if index < len(cells)),
                    *map(_safe, cells[width:]),
                    str(line) if line in errors else "",
                    guarded(errors.get(line, "")),
                ]
                for line, cells in some
            ),
            delimiter,
        )


def _safe(cell: str) -> str:
    return cell if cell.startswith("'") else guarded(cell)


def with_names(
    keyed: Iterable[tuple[str, Row]],
    refused: Mapping[int, str],
    products: Mapping[str, dict[int, str]],
    names: Sequence[tuple[int, int]],
) -> Iterator[Row]:
    """The refused rows, with the option names that only an earlier row of the product gives.

    `products` has an empty dict for the key of each product with a refused row; `names` are the
    columns of each option's name and value.
    """
    for key, (line, cells) in keyed:
        if key not in products:
            if line in refused:
                yield line, cells
            continue
        known, whole = products[key], list(cells)
        for name, value in names:
            if cells[name].strip():
                known[name] = cells[name]
            elif cells[value].strip():
                whole[name] = known.get(name, "")
        if line in refused:
            yield line, whole
