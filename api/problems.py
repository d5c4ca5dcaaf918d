"""Every error as `application/problem+json` (RFC 9457), from one place."""

import json
import logging
from http import HTTPStatus

from flask import Flask, Response, request
from gunicorn.http.errors import ParseException
from marshmallow import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from errors import Ambiguous, PushcartError
from jobs import caller
from models import JSONObject, db
from reads import is_away
from schemas import invalid_by

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
    app.register_error_handler(ParseException, _malformed_body)
    app.register_error_handler(DBAPIError, _database_error)
    app.register_error_handler(PoolTimeout, _database_away)
    app.register_error_handler(Exception, _fault_of_ours)
    app.teardown_appcontext(_end_transaction)  # the last one registered is the first one called


def problem_of(error: PushcartError) -> JSONObject:
    """The body that tells of an error."""
    faults = [
        {
            name: value
            for name in ("pointer", "parameter", "code", "detail")
            if (value := getattr(fault, name)) is not None
        }
        | dict(fault.extra or {})
        for fault in error.faults
    ]
    extra: JSONObject = {"errors": faults} if faults else {}
    if isinstance(error, Ambiguous):
        extra["candidates"] = error.candidates
    return _body(error.status, error.error_code, error.detail, extra)


def _body(status: int, code: str, detail: str, extra: JSONObject) -> JSONObject:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": caller.current().request_id,
        **extra,
    }


def _respond(body: JSONObject) -> Response:
    return Response(json.dumps(body), body["status"], content_type="application/problem+json")


def _problem(status: int, code: str, detail: str) -> Response:
    return _respond(_body(status, code, detail, {}))


def _pushcart_error(error: PushcartError) -> Response:
    response = _respond(problem_of(error))
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="pushcart"'
    return response


def _validation_error(error: ValidationError) -> Response:
    return _pushcart_error(invalid_by(error))


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


def _malformed_body(error: ParseException) -> Response:
    """The chunks of a body, read just now, are none."""
    log.info("not a body: %s", type(error).__name__)
    return _problem(400, "bad_request", "The body does not come in chunks of HTTP/1.1.")


def _database_error(error: DBAPIError) -> Response:
    return _database_away(error) if is_away(error) else _fault_of_ours(error)


def _database_away(error: Exception) -> Response:
    """PostgreSQL does not answer, or every connection is taken: the client may try again."""
    log.error("database: %s", error)
    response = _problem(503, "database_unavailable", "The database does not answer. Try again.")
    response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return response


def _end_transaction(_: BaseException | None) -> None:
    """Roll back what was not committed. A database that dies just then takes no answer back."""
    try:
        db.session.remove()
    except DBAPIError as error:  # it has let go of the connection; Flask-SQLAlchemy does the rest
        log.warning("database: %s", error)


def _fault_of_ours(error: Exception) -> Response:
    log.error("unhandled %s", type(error).__name__, exc_info=error)
    return _problem(500, "internal_error", "A fault of ours. It has been logged under this id.")
