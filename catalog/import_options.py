"""The options of an import that somebody writes as text: each is read by a rule, or is a Fault.

They are kept in the job's parameters under the names that they have in the API.
"""

import codecs
import json

import values
from errors import Fault
from models import JSONObject
from schemas import MAX_OPTIONS, VariantFields

BLANK = ("keep", "clear")
ON_ERROR = ("continue", "stop")

# What catalogue files are found in, by the names that Python gives; each has aliases too.
ENCODINGS = (
    *("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "ascii"),
    *(f"iso8859-{part}" for part in range(1, 17) if part != 12),
    *(f"cp{page}" for page in range(1250, 1259)),
    *("cp437", "cp850", "cp852", "cp866", "cp874", "mac-roman", "mac-cyrillic", "koi8-r", "koi8-u"),
    *(
        "shift_jis",
        "cp932",
        "euc_jp",
        "iso2022_jp",
        "gb2312",
        "gbk",
        "gb18030",
        "big5",
        "big5hkscs",
    ),
    *("euc_kr", "cp949", "johab"),
)
_CODECS = frozenset(codecs.lookup(name).name for name in ENCODINGS)

_TAB = "\t"
DELIMITERS = {",": ",", ";": ";", "|": "|", _TAB: _TAB, "tab": _TAB, r"\t": _TAB}

MAPPED_FIELDS = (
    *("handle", "name", "description", "status", "vendor", "category", "tags", "images"),
    *("metadata", *VariantFields().fields),
    *(f"option{n}_{part}" for n in range(1, MAX_OPTIONS + 1) for part in ("name", "value")),
)


def encoding(sent: str) -> str:
    """The name of a text encoding, by any of its aliases."""
    try:
        found = codecs.lookup(sent).name
    except (LookupError, ValueError):
        found = ""
    if found not in _CODECS:
        raise Fault("not_a_choice", f"must be one of: {', '.join(ENCODINGS)}")
    return found


def delimiter(sent: str) -> str:
    """What stands between two cells."""
    return DELIMITERS[values.choice(tuple(DELIMITERS), sent)]


def mapping(sent: str) -> dict[str, str]:
    """Our fields with the columns that feed them: a JSON object such as `{"name": "Artikel"}`."""
    try:
        found: JSONObject = json.loads(sent)
    except (ValueError, RecursionError):
        raise Fault("invalid_json", 'must be a JSON object such as {"name": "Artikel"}') from None
    if not isinstance(found, dict) or not found:
        raise Fault("invalid_type", "must be a JSON object that names a column")
    if unknown := found.keys() - set(MAPPED_FIELDS):
        raise Fault("unknown_field", f"names {min(unknown)!r}, which is no field of a catalogue")
    return {field: values.label(column) for field, column in found.items()}
