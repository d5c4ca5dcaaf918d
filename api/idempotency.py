"""`Idempotency-Key`: however often a POST is sent, it takes effect once and has one answer.

The answer is stored in the transaction of the effect, so that there is never one without the
other, whoever is killed when (docs/adr/0007). An advisory lock of the same transaction keeps a
second request with the key away for as long as the first one runs, and ends with it, however it
ends. See draft-ietf-httpapi-idempotency-key-header.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from http import HTTPStatus

from flask import Response, after_this_request, current_app, request
from marshmallow import ValidationError
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException

from api import context, limits
from errors import BadRequest, Conflict, FieldFault, Invalid, PushcartError
from models import db

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT_FOR = timedelta(hours=24)
_EXPIRED_AT_ONCE = 10  # rows that each new one clears away: more than come in, so they run out
# Bare, or a string of RFC 8941 with its two escapes; printable ASCII either way.
_BARE = re.compile(r"[!#-~]([ -~]*[!-~])?")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
# What the same request may be answered otherwise a moment later, although it is the client's.
_PASSING = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}


@dataclass(frozen=True, slots=True)
class Once:
    """A request that is to take effect once."""

    digest: bytes  # of who asks, of the address, and of the key
    fingerprint: bytes  # of what is sent

    @property
    def lock(self) -> int:
        """The advisory lock of all requests with this key: a signed integer of 64 bits."""
        return int.from_bytes(self.digest[:8], signed=True)


def sent_key() -> str | None:
    """The request's Idempotency-Key, without quotes. Raises BadRequest for an ill-formed one."""
    sent = request.headers.get(HEADER)
    if sent is None:
        return None
    quoted = _QUOTED.fullmatch(sent)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else sent
    if not 1 <= len(key) <= 255 or not (quoted or _BARE.fullmatch(sent)):
        detail = 'must be 1 to 255 printable ASCII characters, bare or in "quotes"'
        fault = FieldFault("invalid_idempotency_key", detail, parameter=HEADER)
        raise BadRequest(f"The header {HEADER} {detail}.", [fault], code=fault.code)
    return key


def missing() -> BadRequest:
    """The error for a request that is not to be sent twice by accident."""
    detail = "must be there: name this request, so that a repeat of it takes no effect"
    fault = FieldFault("idempotency_key_required", detail, parameter=HEADER)
    return BadRequest(f"The header {HEADER} {detail}.", [fault], code="idempotency_key_required")


def once(key: str, body: bytes) -> Once:
    """The current request with its body, or a hash of it, as one that is to take effect once."""
    caller = context.current().key
    address = limits.client_address(request.environ)
    who = f"key {caller.id}" if caller else f"address {address}"
    parts = json.dumps([who, request.method, request.path, key])
    sent = sha256(request.query_string + b"\0" + body)
    return Once(sha256(parts.encode()).digest(), sent.digest())


def first_answer(asked: Once, run: Callable[[], Response], shown_once: str | None) -> Response:
    """The answer to the first of these requests, which this one may be: then it is `run` for it.

    Commits. A problem that `run` raises is an answer as well, unless it is a fault of ours or may
    pass. The field `shown_once` of an answer is not stored: its repeats show null.
    Raises Conflict while the first one runs, Invalid if it sent something else.
    """
    session = db.session()
    if earlier := _answer_before(session, asked):
        return earlier
    try:
        response = run()
    except (PushcartError, ValidationError, HTTPException) as error:
        session.rollback()
        response = current_app.make_response(current_app.handle_user_exception(error))
        # The lock went with the transaction: whoever came in between was the first one.
        if earlier := _answer_before(session, asked):
            return earlier
    if _is_kept(response):
        _keep(session, asked, response, shown_once)
    session.commit()
    return response


# The second statement, for it must see what was committed before the lock was free.
_LOCK_AND_LOOK = """
SELECT set_config(
    'pushcart.is_first', CAST(pg_try_advisory_xact_lock(%(lock)s) AS text), true
);
SELECT current_setting('pushcart.is_first') = 'true' AS is_first, answer.*
FROM (VALUES (1)) AS always LEFT JOIN idempotent_answers answer
ON answer.digest = %(digest)s AND answer.created_at > now() - %(kept_for)s
"""
# An answer may replace one that has expired. What has, is cleared away by rows that nobody holds,
# and last of all, so that nobody waits for anybody.
_KEEP = f"""
INSERT INTO idempotent_answers (digest, fingerprint, status, headers, body)
VALUES (%(digest)s, %(fingerprint)s, %(status)s, %(headers)s, %(body)s)
ON CONFLICT (digest) DO UPDATE SET fingerprint = EXCLUDED.fingerprint, status = EXCLUDED.status,
    headers = EXCLUDED.headers, body = EXCLUDED.body, created_at = EXCLUDED.created_at;
DELETE FROM idempotent_answers WHERE digest IN (
    SELECT digest FROM idempotent_answers WHERE created_at <= now() - %(kept_for)s
    ORDER BY created_at LIMIT {_EXPIRED_AT_ONCE} FOR UPDATE SKIP LOCKED
)
"""  # noqa: S608  # a number of ours


def _answer_before(session: Session, asked: Once) -> Response | None:
    """What has been answered already; None if nothing was, and then nobody else goes on."""
    given = {"lock": asked.lock, "digest": asked.digest, "kept_for": KEPT_FOR}
    row = session.connection().exec_driver_sql(_LOCK_AND_LOOK, given).one()
    if not row.is_first:
        session.rollback()
        after_this_request(_retry_soon)
        detail = f"A request with this {HEADER} is being worked on. Ask again for its answer."
        raise Conflict(detail, code="idempotency_in_progress")
    if row.digest is None:
        return None
    session.rollback()
    if row.fingerprint.tobytes() != asked.fingerprint:
        detail = f"This {HEADER} was sent with another body or query: use a new one."
        raise Invalid(detail, code="idempotency_key_reused")
    return Response(row.body.tobytes(), row.status, {**row.headers, REPLAYED: "true"})


def _retry_soon(response: Response) -> Response:
    response.headers["Retry-After"] = "1"
    return response


def _is_kept(response: Response) -> bool:
    status = response.status_code
    return status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _PASSING


def _keep(session: Session, asked: Once, response: Response, shown_once: str | None) -> None:
    body = response.get_data()
    if shown_once and response.status_code < HTTPStatus.BAD_REQUEST:
        body = json.dumps({**json.loads(body), shown_once: None}).encode()
    headers = {name: value for name, value in response.headers if name != "Content-Length"}
    answer = {
        "digest": asked.digest,
        "fingerprint": asked.fingerprint,
        "status": response.status_code,
        "headers": json.dumps(headers),
        "body": body,
        "kept_for": KEPT_FOR,
    }
    session.connection().exec_driver_sql(_KEEP, answer)
