"""Every error as `application/problem+json` (RFC 9457), from one place."""

import json
import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from marshmallow import ValidationError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from errors import Invalid, PushcartError
from jobs import caller
from schemas import faults_of

log = logging.getLogger(__name__)

_RETRY_SECONDS = 5
_WERKZEUG_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}


def init_app(app: Flask) -> None:
    """Register a handler for each family of exceptions."""
    app.register_error_handler(PushcartError, _pushcart_error)
    app.register_error_handler(ValidationError, _validation_error)
    app.register_error_handler(HTTPException, _http_exception)
    app.register_error_handler(OperationalError, _database_away)
    app.register_error_handler(PoolTimeout, _database_away)
    app.register_error_handler(Exception, _fault_of_ours)


def _problem(status: int, code: str, detail: str, **extra: Any) -> Response:
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": caller.current().request_id,
        **extra,
    }
    return Response(json.dumps(body), status, content_type="application/problem+json")


def _pushcart_error(error: PushcartError) -> Response:
    faults = [
        {
            name: value
            for name in ("pointer", "parameter", "code", "detail")
            if (value := getattr(fault, name)) is not None
        }
        for fault in error.faults
    ]
    extra = {"errors": faults} if faults else {}
    response = _problem(error.status, error.error_code, error.detail, **extra)
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="pushcart"'
    return response


def _validation_error(error: ValidationError) -> Response:
    faults = faults_of(error)
    first = f"{faults[0].pointer or 'the body'}: {faults[0].detail}"
    detail = first if len(faults) == 1 else f"{len(faults)} fields are invalid, first {first}"
    return _pushcart_error(Invalid(detail, faults))


def _http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    code = _WERKZEUG_CODES.get(status, HTTPStatus(status).name.lower())
    detail = error.description or HTTPStatus(status).phrase
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and request.max_content_length:
        detail = f"The body is larger than {request.max_content_length} bytes."
    response = _problem(status, code, detail)
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value  # such as Allow with a 405
    return response


def _database_away(error: Exception) -> Response:
    """PostgreSQL does not answer, or every connection is taken: the client may try again."""
    log.error("database: %s", error)
    response = _problem(503, "database_unavailable", "The database does not answer. Try again.")
    response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return response


def _fault_of_ours(error: Exception) -> Response:
    log.error("unhandled %s", type(error).__name__, exc_info=error)
    return _problem(500, "internal_error", "A fault of ours. It has been logged under this id.")
