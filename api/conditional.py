"""Conditional requests (RFC 9110 §13): the ETag of a product, and what If-Match says of it."""

import re
from collections.abc import Container

from flask import request
from werkzeug.http import parse_etags

from api import context
from api.operations import Sent
from catalog.expected import EVERY, Expected, State
from config import settings
from errors import BadRequest, FieldFault

HEADERS = ("If-Match", "If-None-Match")

_ENTITY_TAG = re.compile(r'[ \t]*(?:(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|\Z)')
_OURS = re.compile(r"([0-9]{1,19})\.([0-9]{1,19})\.[0-9a-f]{1,8}")


def tag(product_id: int, version: int, shape: int) -> str:
    """A product's ETag, without the quotes.

    The id, because a handle may come to mean another product at the same version. The shape,
    because a new release may render the same version in another form.
    """
    return f"{version}.{product_id}.{shape & 0xFFFFFFFF:x}"


def not_modified(tag: str) -> Sent | None:
    """The answer to a client that holds what has this ETag (§13.1.2); None if it does not."""
    sent = context.current().environ.get("HTTP_IF_NONE_MATCH")
    if sent is None:
        return None
    header = etag(tag)
    if sent != header[1] and not parse_etags(sent).contains_weak(tag):
        return None
    return Sent(b"", 304, [header])


def etag(tag: str) -> tuple[str, str]:
    """The header ETag."""
    return "ETag", f'"{tag}"'


def expected() -> Expected:
    """What the request's headers say of the product that it writes. Raises BadRequest.

    The shape is left out: that a release has rendered a product anew is no change of somebody's.
    """
    return Expected(
        match=_states("If-Match", weakly=False),
        none_match=_states("If-None-Match", weakly=True),
        required=settings.require_if_match,
    )


def _states(header: str, *, weakly: bool) -> Container[State] | None:
    """The states whose tags stand in a header. Weak tags count for If-None-Match alone."""
    sent = request.headers.get(header)
    if sent is None:
        return None
    if sent.strip() == "*":
        return EVERY
    tags = [tag for weak, tag in _tags(header, sent) if weakly or not weak]
    ours = (_OURS.fullmatch(tag) for tag in tags)  # a tag of somebody else's matches nothing
    return {(int(found[2]), int(found[1])) for found in ours if found}


def _tags(header: str, sent: str) -> list[tuple[str | None, str]]:
    """Each entity tag of a list, with its mark if it is weak."""
    tags, position = [], 0
    while position < len(sent):
        found = _ENTITY_TAG.match(sent, position)
        if found is None:
            raise _malformed(header)
        if found[2] is not None:  # a list may hold empty elements (§5.6.1)
            tags.append((found[1], found[2]))
        position = found.end()
    if not tags:
        raise _malformed(header)
    return tags


def _malformed(header: str) -> BadRequest:
    detail = 'must be * or entity tags, such as "3.12.5f0e"'
    fault = FieldFault("invalid_header", detail, parameter=header)
    return BadRequest(f"The header {header} {detail}.", [fault], code="invalid_header")
