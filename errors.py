"""The one family of errors: raised in services, turned into problem+json in `api/problems.py`.

Each class carries the HTTP status it becomes and a stable `code`; `detail` is written for the
person who sent the request. `faults` names each wrong field or parameter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class Fault(ValueError):
    """One wrong value: a stable snake_case `code` and a `detail` for the person who sent it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class FieldFault:
    """A fault and its place: a JSON pointer (RFC 6901) into the body, or a query parameter."""

    code: str
    detail: str
    pointer: str | None = None
    parameter: str | None = None
    extra: Mapping[str, Any] | None = None  # members of its own, for programs: what is left


class PushcartError(Exception):
    """Base of every error that a client may see."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(
        self, detail: str, faults: Sequence[FieldFault] = (), *, code: str | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = tuple(faults)
        self.error_code = code or self.code


class BadRequest(PushcartError):
    """The request cannot be understood: broken JSON, an unknown parameter, a forged cursor."""

    status, code = 400, "bad_request"


class Unauthorized(PushcartError):
    """No key was sent, or one that is not known."""

    status, code = 401, "unauthorized"


class Forbidden(PushcartError):
    """The key is known and lacks the scope that this needs."""

    status, code = 403, "forbidden"


class NotFound(PushcartError):
    """Nothing lives at this address."""

    status, code = 404, "not_found"


class Conflict(PushcartError):
    """The request collides with what is already stored."""

    status, code = 409, "conflict"


class Ambiguous(Conflict):
    """What the request names is several things; each of `candidates` tells one of them."""

    code = "ambiguous"

    def __init__(
        self,
        detail: str,
        candidates: Sequence[Mapping[str, Any]],
        faults: Sequence[FieldFault] = (),
        *,
        code: str,
    ) -> None:
        super().__init__(detail, faults, code=code)
        self.candidates = tuple(candidates)


class Gone(PushcartError):
    """What lived at this address was kept for its time, and no longer."""

    status, code = 410, "gone"


class PreconditionFailed(PushcartError):
    """The product is in another state than the one that the request was made for."""

    status, code = 412, "precondition_failed"


class TooLarge(PushcartError):
    """The body is larger than this address accepts."""

    status, code = 413, "too_large"


class UnsupportedMediaType(PushcartError):
    """The body is of a type that this address does not read."""

    status, code = 415, "unsupported_media_type"


class RangeNotSatisfiable(PushcartError):
    """The part of a file that was asked for begins behind its end."""

    status, code = 416, "range_not_satisfiable"


class Invalid(PushcartError):
    """The request was understood, and its content breaks a rule; `faults` says which."""

    status, code = 422, "invalid"


class PreconditionRequired(PushcartError):
    """A change must tell for which state of the product it was made: `REQUIRE_IF_MATCH` is on."""

    status, code = 428, "precondition_required"


class TooManyRequests(PushcartError):
    """The key, or without one the address, has used up its requests for now."""

    status, code = 429, "rate_limited"


class Unreadable(PushcartError):
    """A catalogue file that cannot be read at all; fails its job with this one reason."""

    status, code = 422, "unreadable_file"


class Stopped(PushcartError):
    """An import that was to end at the first refused row, and did."""

    status, code = 422, "stopped_at_error"


class Undeliverable(PushcartError):
    """A mail that no server takes; fails its job with this one reason."""

    status, code = 422, "mail_refused"
