"""Every answer bears an ``X-Request-Id``; what goes wrong is logged under it."""

import logging
import secrets
import traceback

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import StorageError
from gateway.observability.log_context import request_id

_log = logging.getLogger(__name__)


class RequestIds:
    """The outermost layer: gives each request an id, and each answer that id.

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
