"""The one place that maps errors to HTTP statuses and to the error shape.

``{"error": "<one sentence>", "code": "<stable_word>",
"details": [{"index"?, "field"?, "message"}]}``
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from gateway import errors
from gateway.errors import GatewayError, Problem, RateLimited
from gateway.http.access_log import (
    CLIENT_CLOSED_REQUEST,
    client_disconnected,
    error_body,
    log_outage,
    log_unexpected,
    unexpected_error_sentence,
)
from gateway.sdk.http import json_response
from gateway.storage.database import is_server_outage
from gateway.storage.outage import out_of_reach

# The first match in the error's method resolution order counts.
STATUS: Final[Mapping[type[GatewayError], int]] = {
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.InvalidInput: 400,
    errors.NotAuthenticated: 401,
    errors.SessionLocked: 401,
    errors.PlanLimitReached: 402,
    errors.Forbidden: 403,
    errors.NotOnPlan: 403,
    errors.NotAllowed: 403,
    errors.StepUpRequired: 403,
    errors.NotFound: 404,
    errors.BodyTimeout: 408,
    errors.Conflict: 409,
    errors.IdempotencyKeyReused: 422,
    errors.RateLimited: 429,
    errors.MissingExtra: 501,
    errors.Unavailable: 503,
    errors.StorageError: 503,
}
_OF_STATUS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("The request is malformed.", "invalid_input"),
    404: ("No such route; /docs lists them.", "no_such_route"),
    405: ("This route doesn't take that method; /docs lists those it takes.", "method_not_allowed"),
    413: ("The request body is larger than this route takes.", "too_large"),
}
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")


def code_of(kind: type[GatewayError]) -> str:
    """Return the stable ``code`` of an error: its class in snake case (``rate_limited``)."""
    return _CAPITAL.sub("_", kind.__name__).lower()


def status_of(error: GatewayError) -> int:
    """Return the HTTP status of an error: 500 for one that has none of its own."""
    kind = _kind(error)
    return 500 if kind is None else STATUS[kind]


def _kind(error: GatewayError) -> type[GatewayError] | None:
    return next((kind for kind in type(error).__mro__ if kind in STATUS), None)


def error_response(
    status: int,
    sentence: str,
    code: str,
    details: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """Make an answer in the error shape."""
    return json_response(error_body(sentence, code, details), status, headers)


def on_gateway_error(request: Request[Any, Any, Any], error: GatewayError) -> Response[bytes]:
    """Answer for an error that the gateway raised on purpose."""
    kind = _kind(error)
    if kind is None:
        return on_unexpected(request, error)
    if isinstance(error, errors.StorageError):
        log_outage(error)
    refusals = _refusals(request)
    if refusals is not None:
        answer: Response[bytes] = refusals.answer(request, error, STATUS[kind])
        return answer
    headers = _limit_headers(error) if isinstance(error, RateLimited) else None
    if isinstance(error, errors.PlanLimitReached):
        return json_response(_plan_body(error), STATUS[kind])
    return error_response(STATUS[kind], error.message, code_of(kind), error.details, headers)


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer for an error of Litestar's: no such route, an invalid parameter."""
    if error.status_code >= 500:  # noqa: PLR2004
        return on_unexpected(request, error)
    details: tuple[Problem, ...] = ()
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        details = tuple(_parameter_problem(entry) for entry in error.extra)
    sentence, code = _OF_STATUS.get(error.status_code, _OF_STATUS[400])
    return error_response(error.status_code, sentence, code, details, error.headers)


def on_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer for an unexpected exception; a client that disconnected is no failure."""
    if client_disconnected(request.scope):
        return error_response(CLIENT_CLOSED_REQUEST, "The client disconnected.", "disconnected")
    if is_server_outage(error):
        return on_gateway_error(request, out_of_reach(error))
    log_unexpected(error)
    refusals = _refusals(request)
    if refusals is not None:
        answer: Response[bytes] = refusals.failed(request, error)
        return answer
    return error_response(500, unexpected_error_sentence(), "internal_error")


def _refusals(request: Request[Any, Any, Any]) -> Any:
    """Return what answers in place of a page; ``None`` for a route that is no page."""
    handler: Any = request.scope.get("route_handler")
    if handler is None or not handler.opt.get("page"):
        return None
    return request.app.state.get("refusals")


HANDLERS: Final[ExceptionHandlersMap] = {
    GatewayError: on_gateway_error,
    HTTPException: on_http_error,
    Exception: on_unexpected,
}


def answer_to(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer for any error, as :data:`HANDLERS` say."""
    handler: Any = next(HANDLERS[kind] for kind in type(error).__mro__ if kind in HANDLERS)
    answer: Response[Any] = handler(request, error)
    return answer


def _parameter_problem(entry: Any) -> Problem:
    """Name the parameter, not the submitted value."""
    if not isinstance(entry, dict):
        return Problem("a parameter is invalid")
    message = _QUOTED.sub("…", str(entry.get("message", "is invalid"))).replace("`", "")
    return Problem(message, field=entry.get("key"))


def _plan_body(error: errors.PlanLimitReached) -> dict[str, Any]:
    """Return the error shape with the limit, how much of it is used, and when it resets."""
    return error_body(error.message, code_of(errors.PlanLimitReached), error.details) | {
        "limit_name": error.limit_name,
        "limit": error.limit,
        "used": error.used,
        "resets_at": error.resets_at,
    }


def _limit_headers(error: RateLimited) -> dict[str, str]:
    """https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ ."""
    return {
        "Retry-After": str(error.retry_after_seconds),
        "RateLimit": f'"{error.policy}";r=0;t={error.retry_after_seconds}',
        "RateLimit-Policy": f'"{error.policy}";q={error.limit};w={error.window_seconds}',
    }
