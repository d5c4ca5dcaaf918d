"""The app's routes with their declarations: what there is to document."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from flask import Flask

from api.operations import Operation

_VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")
_ANSWERED_BY_FLASK = {"HEAD", "OPTIONS"}  # from what GET answers, and from the rules


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one address."""

    path: str  # as OpenAPI writes it: /api/v1/products/{ref}
    method: str  # in lower case
    variables: tuple[str, ...]
    tag: str  # the blueprint
    name: str  # the view, in camel case: listProducts
    operation: Operation


def routes(app: Flask) -> Iterator[Route]:
    """Every route but static files, in the order of registration. Raises TypeError for a bare one.

    A view without `@operation` promises nothing, and so could not be documented.
    """
    for rule in app.url_map.iter_rules():
        if rule.endpoint.endswith("static"):
            continue
        view = app.view_functions[rule.endpoint]
        if not isinstance(view, Operation):
            raise TypeError(f"{rule.endpoint} lacks its @operation")
        tag, _, name = rule.endpoint.rpartition(".")
        path, variables = _VARIABLE.sub(r"{\1}", rule.rule), tuple(_VARIABLE.findall(rule.rule))
        for method in sorted((rule.methods or set()) - _ANSWERED_BY_FLASK):
            yield Route(path, method.lower(), variables, tag, _camel(name), view)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
