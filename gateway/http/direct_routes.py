"""Routes that are answered without Litestar's machinery, where their handler needs none of it.

Litestar finds the route, builds a request, extracts and converts parameters, resolves dependencies
and wraps the answer, an eighth of the event loop's time for an order. A handler that takes no more
than its raw body, the caller, objects of its plugin (:func:`gateway.sdk.http.provided`) and text
headers without constraints is called directly, after the same authentication and with the same
answers to errors; one whose response waits for news may take the request too, to see that its
client has gone. Any other route, and any other spelling of an address, goes to Litestar; an answer
that isn't plain JSON is sent by Litestar too.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from types import NoneType
from typing import Any, Final, NamedTuple

from litestar import Litestar, Response
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter
from litestar.routes import HTTPRoute
from litestar.types import Empty, Receive, Scope, Send
from litestar.typing import FieldDefinition

from gateway.http.access_log import WHOLE_ANSWER, send_json
from gateway.http.auth import Authentication, caller_of, provide_caller, sent_header
from gateway.http.errors import answer_to
from gateway.http.forms import BoundedRequest
from gateway.sdk.http import JSON, Provided

# Authentication does more for a route that declares one of these.
_NOT_DIRECT: Final = frozenset({"max_body_bytes", "page", "public", "resolve", "session"})
# Litestar sends no body with these.
_WITHOUT_BODY: Final = frozenset({204, 304})
_OWN_HEADERS: Final = frozenset({"content-length", "content-type"})
_USUAL_HOST: Final = re.compile(rb"[0-9A-Za-z.:-]*")


class DirectRoute(NamedTuple):
    """A handler, and where its arguments come from."""

    path: str
    handler: HTTPRouteHandler
    provided: Mapping[str, Any]
    headers: Mapping[str, tuple[bytes, str | None]]
    """By parameter: the header's name in lower case, and the default."""
    takes_body: bool
    takes_caller: bool
    takes_request: bool
    waits: bool
    max_body_bytes: int

    async def call(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Call the handler and return its answer."""
        arguments = dict(self.provided)
        if self.takes_request:
            arguments["request"] = BoundedRequest(scope, receive, send)
        for parameter, (name, default) in self.headers.items():
            sent = sent_header(scope, name)
            arguments[parameter] = default if sent is None else sent
        if self.takes_caller:
            arguments["caller"] = caller_of(scope)
        if self.takes_body:
            length = sent_header(scope, b"content-length")
            # The server has checked that it is a number.
            if length is not None and int(length) > self.max_body_bytes:
                raise RequestEntityTooLarge
            arguments["body"] = await _body(receive, self.max_body_bytes)
        return await self.handler.fn(**arguments)


class DirectRoutes:
    """The ASGI application: direct routes, and Litestar for all else."""

    def __init__(self, app: Litestar, authentication: Authentication) -> None:
        self._app = app
        self._authentication = authentication
        self._routes = dict(direct_routes(app))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request."""
        route = self._route_of(scope)
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["app"] = scope["litestar_app"] = self._app
        scope["route_handler"] = route.handler
        scope["path_template"] = route.path
        scope["path_params"] = {}
        scope.setdefault("state", {})
        try:
            caller = await self._authentication.admit(scope, receive, route.handler.opt)
            with self._authentication.waiting(caller) if route.waits else nullcontext():
                answer = await route.call(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - Litestar's handlers take any
            answer = answer_to(BoundedRequest(scope, receive, send), error)
        if _is_plain(answer):
            if answer.headers or WHOLE_ANSWER not in (scope.get("extensions") or ()):
                await _send(answer, send)
            else:
                whole: Any = {
                    "type": WHOLE_ANSWER, "status": answer.status_code, "body": answer.content,
                }  # fmt: skip
                await send(whole)
            if answer.background is not None:
                await answer.background()
            return
        request = BoundedRequest(scope, receive, send)
        wrapped = await route.handler.to_response(app=self._app, data=answer, request=request)
        await wrapped(scope, receive, send)

    def _route_of(self, scope: Scope) -> DirectRoute | None:
        if scope["type"] != ScopeType.HTTP or scope["query_string"] or scope.get("root_path"):
            return None
        route = self._routes.get((scope["method"], scope["path"]))
        if route is None:
            return None
        for name, value in scope["headers"]:
            if name == b"host" and not _USUAL_HOST.fullmatch(value):
                return None
        return route


def direct_routes(app: Litestar) -> Iterator[tuple[tuple[str, str], DirectRoute]]:
    """Yield the direct routes of an application by method and address."""
    for route in app.routes:
        if isinstance(route, HTTPRoute) and not route.path_parameters:
            for method, (handler, model) in route.route_handler_map.items():
                found = _direct(route.path_format, handler, model)
                if found is not None:
                    yield (method, route.path), found


def _direct(path: str, handler: HTTPRouteHandler, model: Any) -> DirectRoute | None:
    """Return a handler as a direct route; ``None`` where it needs more than such a route has."""
    fields = handler.parsed_fn_signature.parameters
    providers = handler.resolve_dependencies()
    provided: dict[str, Any] = {}
    headers: dict[str, tuple[bytes, str | None]] = {}
    waits = bool(handler.opt.get("waits"))
    reserved = {"body", "request"} if waits else {"body"}
    by_header = {each.field_name: each for each in model.expected_header_params}
    for name, field in fields.items():
        provider = providers.get(name)
        if isinstance(provider, Provided):
            provided[name] = provider.value
        elif name in by_header and _is_plain_header(field):
            headers[name] = (by_header[name].field_alias.lower().encode(), field.default)
        elif not (name in reserved and provider is None) and not _is_caller(name, provider):
            return None
    most = handler.resolve_request_max_body_size()
    if most is None or _has_hooks(handler):
        return None
    return DirectRoute(
        path,
        handler,
        provided,
        headers,
        takes_body="body" in fields,
        takes_caller="caller" in fields,
        takes_request="request" in fields,
        waits=waits,
        max_body_bytes=most,
    )


def _is_plain_header(field: FieldDefinition) -> bool:
    """Say whether a header is taken as it is sent, and has a default of its parameter's type."""
    kwarg = field.kwarg_definition
    defaults: tuple[type, ...] = (str, NoneType) if field.annotation == str | None else (str,)
    return (
        field.annotation in {str, str | None}
        and isinstance(field.default, defaults)
        and isinstance(kwarg, HeaderParameter)
        and kwarg.default is Empty
        and not (kwarg.is_constrained or kwarg.required or field.metadata)
    )


def _is_caller(name: str, provider: Provide | None) -> bool:
    return name == "caller" and provider is not None and provider.dependency is provide_caller


def _has_hooks(handler: HTTPRouteHandler) -> bool:
    """Say whether something is to happen before or after the handler, besides what the app does."""
    _, *own = handler.ownership_layers
    return bool(
        handler.has_sync_callable
        or handler.cache
        or handler.background
        or handler.resolve_guards()
        or handler.resolve_before_request()
        or handler.resolve_after_response()
        or handler.resolve_response_headers()
        or handler.resolve_response_cookies()
        or handler.resolve_return_dto()
        or any(each.after_request for each in handler.ownership_layers)
        or any(each.middleware or each.exception_handlers for each in own)
        or not _NOT_DIRECT.isdisjoint(handler.opt)
    )


async def _body(receive: Receive, most: int) -> bytes:
    """Read a request's body; raises ``RequestEntityTooLarge``."""
    read = bytearray()
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise InternalServerException("client disconnected prematurely")
        read += message["body"]
        if len(read) > most:
            raise RequestEntityTooLarge
        if not message.get("more_body", False):
            return bytes(read)


def _is_plain(answer: Any) -> bool:
    return (
        type(answer) is Response
        and isinstance(answer.content, bytes)
        and answer.status_code is not None
        and answer.status_code not in _WITHOUT_BODY
        and answer.media_type == JSON
        and not answer.cookies
        and _OWN_HEADERS.isdisjoint(map(str.lower, answer.headers))
    )


async def _send(answer: Response[bytes], send: Send) -> None:
    assert answer.status_code is not None  # noqa: S101 - it is plain
    own = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    await send_json(send, answer.status_code, answer.content, own)
