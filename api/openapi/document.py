"""The OpenAPI 3.1 document, made from the routes, their declarations and the schemas."""

from http import HTTPStatus
from typing import Any

from flask import Flask

from api import idempotency
from api.inputs import JSON, Parameter
from api.openapi import problems
from api.openapi.examples import EXAMPLES, FILE, REPORTS, example_of
from api.openapi.notes import ANSWER_HEADERS, INFO, REQUEST_HEADERS, TAGS, VARIABLES
from api.openapi.routes import Route, routes
from api.openapi.shapes import Shapes, Use
from api.operations import Answer, Body
from models import JSONObject

_SENT_BY = {"patch": Use.PATCH, "put": Use.REPLACEMENT}
_MULTIPART = "multipart/form-data"
_SECURITY = "key"
# Which variable the `id` of an answer fills in, by the component that is answered.
_LINKED_BY = {
    "Product": "ref",
    "Job": "job_id",
    "NewKey": "key_id",
    "NewOrder": "order_id",
    "NewWebhook": "webhook_id",
}


def build(app: Flask) -> JSONObject:
    """The document of every route. Raises TypeError, LookupError for what nothing is known of."""
    known = list(routes(app))
    shapes = Shapes()
    paths: dict[str, JSONObject] = {}
    for route in known:
        paths.setdefault(route.path, {})[route.method] = _operation(route, known, shapes)
    return {
        "openapi": "3.1.1",
        "info": INFO,
        "servers": [{"url": "/", "description": "The server that this document comes from."}],
        "tags": [{"name": name, "description": words} for name, words in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {**shapes.components, "Problem": problems.SCHEMA, "Fault": problems.FAULT},
            "parameters": {n: {"name": n, "in": "header", **h} for n, h in REQUEST_HEADERS.items()},
            "headers": ANSWER_HEADERS,
            "examples": problems.examples(known),
            "securitySchemes": {_SECURITY: {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, known: list[Route], shapes: Shapes) -> JSONObject:
    declared = route.operation
    summary, _, rest = (declared.__doc__ or "").strip().partition("\n\n")
    document: JSONObject = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": " ".join(summary.split()).rstrip(".").replace("`", ""),  # no Markdown here
        "security": _security(route),
        "parameters": _parameters(route),
        "responses": _responses(route, known, shapes),
    }
    document["description"] = "\n\n".join(filter(None, (" ".join(rest.split()), _who(route))))
    if declared.body:
        document["requestBody"] = _request_body(route.method, declared.body, shapes)
    return document


def _security(route: Route) -> list[JSONObject]:
    if route.operation.scope is None:
        return []
    is_optional = route.operation.visitors or route.operation.opened_by
    return [{}, {_SECURITY: []}] if is_optional else [{_SECURITY: []}]


def _who(route: Route) -> str:
    if route.operation.scope is None:
        return "Anyone may."
    if route.operation.visitors:
        return f"Anyone may, unless the shop reads for itself; then with `{route.operation.scope}`."
    if opened_by := route.operation.opened_by:
        return f"Needs a key with the scope `{route.operation.scope}`, or `{opened_by.name}`."
    return f"Needs a key with the scope `{route.operation.scope}`."


def _parameters(route: Route) -> list[JSONObject]:
    variables = [
        {"name": name, "in": "path", "required": True, **VARIABLES[name]}
        for name in route.variables
    ]
    headers = [_header(route, name) for name in (*route.operation.headers, "X-Request-ID")]
    return [*variables, *map(_query_parameter, route.operation.query.values()), *headers]


def _header(route: Route, name: str) -> JSONObject:
    if name == idempotency.HEADER and route.operation.needs_idempotency_key:
        return {"name": name, "in": "header", "required": True, **REQUEST_HEADERS[name]}
    return {"$ref": f"#/components/parameters/{name}"}


def _query_parameter(parameter: Parameter) -> JSONObject:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _request_body(method: str, body: Body, shapes: Shapes) -> JSONObject:
    shape = shapes.of(body.schema, _SENT_BY.get(method, Use.INPUT))
    return {"required": True, "content": {kind: _sent(kind, shape) for kind in body.media_types}}


def _sent(media_type: str, shape: JSONObject) -> JSONObject:
    if media_type == _MULTIPART:
        form = {"type": "object", "required": ["file"], "properties": {"file": shape}}
        return {"schema": {**form, "additionalProperties": False}, "example": {"file": FILE}}
    name = shape.get("$ref", "").rpartition("/")[2]
    if not name and media_type == JSON:  # which is read later, and may be anything until then
        return {"schema": {}, "example": [EXAMPLES["ProductInput"]["the least"]]}
    if not name:
        return {"schema": shape, "example": FILE}
    examples = {
        title.replace(" ", "_"): {"summary": title, "value": value}
        for title, value in EXAMPLES[name].items()
    }
    return {"schema": shape, "examples": examples}


# --- responses --------------------------------------------------------------------------------


def _responses(route: Route, known: list[Route], shapes: Shapes) -> JSONObject:
    use = Use.PART if "fields" in route.operation.query else Use.ANSWER
    found: dict[int, JSONObject] = {}
    for status, answer in route.operation.answers.items():
        found[status] = _answer(answer, use, shapes, _headers(route, *answer.headers))
        if links := _links(route, status, answer, known):
            found[status]["links"] = links
    for status, codes in problems.codes_by_status(route).items():
        found[status] = _problem(status, codes, _headers(route, *problems.HEADERS.get(status, ())))
    return {str(status): found[status] for status in sorted(found)}


def _headers(route: Route, *own: str) -> JSONObject:
    names = ["X-Request-ID", *own]
    if route.operation.scope is not None:
        names += ["RateLimit", "RateLimit-Policy"]
    if idempotency.HEADER in route.operation.headers:
        names.append(idempotency.REPLAYED)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _answer(answer: Answer, use: Use, shapes: Shapes, headers: JSONObject) -> JSONObject:
    document: JSONObject = {"description": answer.description, "headers": headers}
    if answer.schema is not None:
        shape = shapes.of(answer.schema, use)
        example = example_of(shape, shapes.components)
        document["content"] = {answer.media_type: {"schema": shape, "example": example}}
        for kind in answer.file_types:
            text = {"schema": {"type": "string"}, "example": REPORTS[kind]}
            document["content"][kind] = text
    return document


def _problem(status: int, codes: list[str], headers: JSONObject) -> JSONObject:
    schema = {"$ref": "#/components/schemas/Problem"}
    examples = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
    return {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in codes)}.",
        "headers": headers,
        "content": {problems.MEDIA_TYPE: {"schema": schema, "examples": examples}},
    }


def _links(route: Route, status: int, answer: Answer, known: list[Route]) -> JSONObject:
    """From what has been made to every route that takes its id."""
    made = getattr(answer.schema, "__name__", "").removesuffix("Schema")
    variable: Any = _LINKED_BY.get(made)
    if status not in (HTTPStatus.CREATED, HTTPStatus.ACCEPTED) or variable is None:
        return {}
    return {
        other.name: {"operationId": other.name, "parameters": {variable: "$response.body#/id"}}
        for other in known
        if other.variables == (variable,)
    }
