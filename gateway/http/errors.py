"""The one place that knows which error is which HTTP status, and what the answer looks like.

``{"error": "<one sentence>", "details": [{"index"?, "field"?, "message"}]}``
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from gateway import errors
from gateway.errors import GatewayError, Problem, RateLimited
from gateway.http.access_log import fault_sentence, log_fault, log_outage
from gateway.sdk.http import json_response

# The first match along the error's own ancestry counts.
STATUS: Final[Mapping[type[GatewayError], int]] = {
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.InvalidInput: 400,
    errors.NotAuthenticated: 401,
    errors.PlanLimitReached: 402,
    errors.NotAllowed: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.IdempotencyKeyReused: 422,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
    errors.StorageError: 503,
}
_SENTENCES: Final[Mapping[int, str]] = {
    400: "The request can't be understood.",
    404: "There is nothing at this address; /docs lists what there is.",
    405: "This address doesn't take that method; /docs lists what it takes.",
    413: "The request body is larger than this address takes.",
}
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")


def answer(
    status: int,
    sentence: str,
    details: tuple[Problem, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """Make an answer in our one error shape."""
    body: dict[str, Any] = {"error": sentence}
    if details:
        body["details"] = details
    return json_response(body, status, headers)


def on_gateway_error(_request: Request[Any, Any, Any], error: GatewayError) -> Response[bytes]:
    """Answer for an error that the gateway raised on purpose."""
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    if status == 500:  # noqa: PLR2004
        return on_fault(_request, error)
    if isinstance(error, errors.StorageError):
        log_outage(error)
    headers = _limit_headers(error) if isinstance(error, RateLimited) else None
    return answer(status, error.message, error.details, headers)


def on_http_error(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer for what the HTTP layer refused by itself: no such address, a bad parameter."""
    if error.status_code >= 500:  # noqa: PLR2004
        return on_fault(_request, error)
    details: tuple[Problem, ...] = ()
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        details = tuple(_parameter_problem(entry) for entry in error.extra)
    sentence = _SENTENCES.get(error.status_code, _SENTENCES[400])
    return answer(error.status_code, sentence, details, error.headers)


def on_fault(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer for a fault of our own."""
    log_fault(error)
    return answer(500, fault_sentence())


HANDLERS: Final[ExceptionHandlersMap] = {
    GatewayError: on_gateway_error,
    HTTPException: on_http_error,
    Exception: on_fault,
}


def _parameter_problem(entry: Any) -> Problem:
    """Name the parameter, not what was sent in it."""
    if not isinstance(entry, dict):
        return Problem("a parameter doesn't fit")
    message = _QUOTED.sub("…", str(entry.get("message", "doesn't fit"))).replace("`", "")
    return Problem(message, field=entry.get("key"))


def _limit_headers(error: RateLimited) -> dict[str, str]:
    """https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ ."""
    return {
        "Retry-After": str(error.retry_after_seconds),
        "RateLimit": f'"{error.policy}";r=0;t={error.retry_after_seconds}',
        "RateLimit-Policy": f'"{error.policy}";q={error.limit};w={error.window_seconds}',
    }
