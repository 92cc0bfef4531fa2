"""One line for each request: what was asked of us, by which key, how it went, how long it took.

Never the path, the query or the body: those may say whom it is about. The route's
template says what was asked.
"""

import logging
import secrets
import traceback
from collections.abc import Callable
from typing import Final

import msgspec
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from gateway.clock import Clock
from gateway.errors import StorageError
from gateway.http.auth import caller_of
from gateway.observability import log_context
from gateway.observability.log_context import request_id
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing, traceparent_of

_log = logging.getLogger(__name__)


class RequestIds:
    """Middleware inside :class:`AccessLog`: gives each request and its response an id.

    An exception that nothing else turned into an answer ends here, as a 500 whose id
    is in the log. The log has where it happened, never the exception's own words:
    those may repeat what was sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        identity = secrets.token_hex(8)
        request_id.set(identity)
        begun = False

        async def send_with_id(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message["headers"], (b"x-request-id", identity.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            log_fault(error)
            if begun:
                raise
            body = msgspec.json.encode({"error": fault_sentence()})
            headers = [(b"content-type", b"application/json; charset=utf-8")]
            await send_with_id({"type": "http.response.start", "status": 500, "headers": headers})
            await send_with_id({"type": "http.response.body", "body": body, "more_body": False})


def log_fault(error: Exception) -> None:
    """Log where an unforeseen exception happened, under the request's id."""
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("request %s failed: %s\n%s", request_id.get(), type(error).__name__, where)


def log_outage(error: StorageError) -> None:
    """Log what kept a request from the database: a class or SQLite's own code, never its words."""
    cause: BaseException = error
    while reason := cause.__cause__ or getattr(cause, "orig", None):
        cause = reason
    code = getattr(cause, "sqlite_errorname", type(cause).__name__)
    _log.warning("the database could not be used", extra={"cause": code})


def fault_sentence() -> str:
    """Say that it is our fault, and what to look for in the log."""
    return (
        "Something went wrong on our side; sending it again is safe. "
        f"The log has it as request {request_id.get()}."
    )


# Whatever else is sent as a method is one and the same to us.
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
# Asked every few seconds by machines; in the log only when the answer is bad.
_WATCHED: Final = frozenset({"/health/live", "/health/ready", "/metrics"})
_UNANSWERED: Final = 499


class AccessLog:
    """The outermost layer: counts each request, writes its line and its span when it is over.

    The status is 499 when we gave up before there was an answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        clock: Clock,
        tracing: Callable[[], Tracing | None] = lambda: None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = self._clock.monotonic_seconds()
        status = _UNANSWERED
        tracing = self._tracing()
        span = None
        if tracing is not None and scope["path"] not in _WATCHED:
            span = tracing.begin(Headers.from_scope(scope).get("traceparent"))
            log_context.traceparent.set(traceparent_of(span))

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            method: str = scope["method"]
            method = method if method in _METHODS else "OTHER"
            # Absent where no route matched; then nothing of the path is known to be harmless.
            route = scope.get("path_template") or "unmatched"
            if tracing is not None and span is not None:
                facts = {"request_id": log_context.request_id.get()}
                tracing.answered(span, method, route, status, facts)
            self._tell(scope, method, route, status, self._clock.monotonic_seconds() - began)

    def _tell(self, scope: Scope, method: str, route: str, status: int, seconds: float) -> None:
        self._metrics.answered(method, route, status, seconds)
        level = logging.DEBUG if route in _WATCHED and status < 400 else logging.INFO  # noqa: PLR2004
        if _log.isEnabledFor(level):
            caller = caller_of(scope)
            _log.log(
                level,
                "answered",
                extra={
                    "method": method,
                    "route": route,
                    "status": status,
                    "duration_ms": round(seconds * 1000, 1),
                    "key_id": None if caller is None else caller.actor,
                },
            )
