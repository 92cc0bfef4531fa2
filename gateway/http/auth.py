"""Authentication, rate limit and content type: checked before a body is read.

A route declares these in its ``opt``:

- ``permission``: the permission that the caller needs, or a tuple of several;
  :data:`~gateway.model.permission.ANY_CALLER` where any valid key is enough;
- ``session``, ``step_up``, ``quiet``: see :mod:`gateway.http.web_sessions`;
- ``public``: true where no key is needed (health, docs, a sender with its own signature);
- ``limit``: the rate limit policy; by default ``reads`` for GET, else ``updates``. A public
  route has none by default, and one that it names counts by the client's address;
- ``waits``: true where the response is delayed on purpose (a long poll, a stream);
- ``feature``: the feature of a plan that a change needs: by default the name of the route's
  plugin, ``None`` where the route is in every plan (reads and searches always are);
- ``media``: the content types of its request body; by default JSON only;
- ``max_body_bytes``: the largest body, where it isn't the route's own ``request_max_body_size``;
- ``resolve``: where one route serves many addresses, the function of the scope that returns the
  options of the requested one.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.auth.key_throttle import KeyThrottle
from gateway.auth.plans import Plans
from gateway.auth.rate_limits import Limits, client_network
from gateway.auth.roles import Permissions
from gateway.dashboard.page_routes import PageRoute
from gateway.errors import (
    InvalidInput,
    PluginError,
    RateLimited,
    SessionLocked,
    UnsupportedMedia,
)
from gateway.http.parameters import DeclaredParameters
from gateway.http.request_caps import AnonymousBodies, WaitingRequests, capped
from gateway.http.web_sessions import WebSessions
from gateway.model.account import Caller
from gateway.model.audit import AuditEntry
from gateway.model.permission import ANY_CALLER
from gateway.observability.log_context import traceparent
from gateway.settings import HttpTable
from gateway.storage.stores.audit import AuditTrail

_log = logging.getLogger(__name__)

_CALLER: Final = "gateway_caller"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_JSON: Final = ("application/json",)


class Authentication(ASGIMiddleware):
    """Looks up the API key, applies the rate limit, and stores the caller in the scope."""

    scopes = (ScopeType.HTTP,)

    def __init__(
        self,
        keys: KeyThrottle,
        web: WebSessions,
        limits: Limits,
        plans: Plans,
        audit: AuditTrail,
        table: HttpTable,
    ) -> None:
        self._keys = keys
        self._web = web
        self._plans = plans
        self._audit = audit
        self._limits = limits
        self._bodies = AnonymousBodies(table.max_anonymous_body_bytes)
        self._waiting = WaitingRequests(table.max_waiting_requests)
        self._streams = WaitingRequests(table.max_waiting_requests)  # of people, apart from keys
        self._has_proxies = bool(table.trusted_proxies)
        self._parameters = DeclaredParameters()

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Call the next layer, or raise the error that refuses the request."""
        options: Mapping[str, Any] = scope["route_handler"].opt
        if "resolve" in options:
            options = options["resolve"](scope)
        method = scope["method"]  # type: ignore[typeddict-item]  # only HTTP comes here
        caller: Caller | None = None
        if not options.get("public"):
            caller = await self.admit(scope, receive, options)
        elif "limit" in options:
            client = client_network(_host(scope))
            await self._limits.take(options["limit"], f"address:{client}")
        if "max_body_bytes" in options:
            receive = capped(scope, receive, options["max_body_bytes"])
        self._parameters.check(scope)  # type: ignore[arg-type]  # only HTTP comes here
        if caller is not None and options.get("waits"):
            with self.waiting(caller):
                await next_app(scope, receive, send)
            return
        if options.get("session"):
            self._web.browser(scope, Headers.from_scope(scope))
        if method not in _SAFE_METHODS and options.get("public"):
            with self._bodies.counted(receive, client_network(_host(scope))) as counted:
                await next_app(scope, counted, send)
            return
        await next_app(scope, receive, send)

    def waiting(self, caller: Caller) -> AbstractContextManager[None]:
        """Count a request whose response is delayed; raises ``RateLimited`` at a cap."""
        waiting = self._streams if caller.kind == "person" else self._waiting
        return waiting.held(caller.actor)

    async def admit(self, scope: Scope, receive: Receive, options: Mapping[str, Any]) -> Caller:
        """Store the caller in the scope, if limits, permissions and plan allow the request."""
        caller = await self._admitted(scope, receive, options, scope["method"])  # type: ignore[typeddict-item]  # only HTTP comes here
        if (trace := traceparent.get()) is not None:
            caller = msgspec.structs.replace(caller, trace=trace)
        scope["state"][_CALLER] = caller
        return caller

    async def _admitted(
        self, scope: Scope, receive: Receive, options: Mapping[str, Any], method: str
    ) -> Caller:
        """Return the caller, if its limits, permissions and plan allow the request."""
        try:
            caller = await self._authenticate(scope, options)
        except SessionLocked:
            if options.get("page") and method not in _SAFE_METHODS:
                await self._web.keep_form(scope, receive)
            raise
        policy = options.get("limit", "reads" if method in _SAFE_METHODS else "updates")
        if caller.kind == "person" and policy == "reads":
            policy = "people_reads"
        await self._limits.take(policy, caller.actor)
        for permission in needed(options):
            if not caller.may(permission):
                await self._note_denied(scope, caller, permission)
            caller.need(permission)
        feature = options.get("feature")
        if feature is not None and method not in _SAFE_METHODS and not policy.endswith("reads"):
            self._plans.need(caller.account_id, feature)
        if method not in _SAFE_METHODS:
            _check_media(scope, options.get("media", _JSON))
        _check_address(scope)
        return caller

    async def _note_denied(self, scope: Scope, caller: Caller, permission: str) -> None:
        """Audit a refusal; repeated ones of a caller within ten minutes are one entry."""
        entry = AuditEntry.by(
            caller,
            "denied",
            "permission.denied",
            permission,
            outcome="denied",
            address=_host(scope),
        )
        await self._audit.note([entry])

    async def _authenticate(self, scope: Scope, options: Mapping[str, Any]) -> Caller:
        key = sent_header(scope, b"x-api-key")
        if key is None or options.get("session"):
            person = await self._web.person(scope, Headers.from_scope(scope), options)
            if person is not None:
                return person
        try:
            return await self._keys.authenticate(key, _host(scope))
        except RateLimited:
            if not self._has_proxies and sent_header(scope, b"x-forwarded-for") is not None:
                self._has_proxies = True  # logged once
                _log.warning(
                    "many invalid API keys came through a proxy: name it in [http] "
                    "trusted_proxies, so that each of its clients has a budget of its own"
                )
            raise


def needed(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the permissions that a route's ``opt`` names."""
    named: str | tuple[str, ...] = options.get("permission", ())
    return (named,) if isinstance(named, str) else named


def refuse_undeclared(app: Litestar, permissions: Permissions) -> None:
    """Raise ``PluginError`` for a route without a permission, or with an unknown one."""
    for method, path, options in declared_routes(app):
        fault = undeclared(options, permissions)
        if fault:
            raise PluginError(f"{method} {path} {fault}")


def declared_routes(app: Litestar) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the method, address and ``opt`` of each route of the application and of each page."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                # Litestar's own OPTIONS handler has no options; it answers with the methods only.
                if method != "OPTIONS" and "resolve" not in handler.opt:
                    yield method, route.path_format, handler.opt
    pages: Iterable[PageRoute] = app.state["page_routes"]
    for page in pages:
        yield page.method, page.path, page.options


def undeclared(options: Mapping[str, Any], permissions: Permissions) -> str | None:
    """Return the fault of the permission that a route's ``opt`` declares, if any."""
    if options.get("public"):
        return None
    named = needed(options)
    if not named:
        return 'names no permission: add opt={"permission": …}, or "public": True'
    unknown = sorted({*named} - permissions.names - {ANY_CALLER})
    return f"needs {', '.join(unknown)}, which no plugin brings" if unknown else None


def provide_caller(request: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    """Return the caller, for handlers that declare it as a dependency."""
    caller: Caller = request.scope["state"][_CALLER]
    return caller


def caller_of(scope: Scope) -> Caller | None:
    """Return the caller, or ``None`` on public routes and refused requests."""
    caller: Caller | None = scope.get("state", {}).get(_CALLER)
    return caller


def sent_header(scope: Scope, name: bytes) -> str | None:
    """Return a header of the request, the first of that name; ``name`` is in lower case.

    Litestar's ``Headers`` decode all of them for one.
    """
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return None


def _host(scope: Scope) -> str:
    client = scope["client"]
    return "" if client is None else client[0]


def _check_address(scope: Scope) -> None:
    """Refuse a NUL: no id or filter contains one, and PostgreSQL text can't store it."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        raise InvalidInput("The URL contains a NUL character; remove it.")


def _check_media(scope: Scope, accepted: tuple[str, ...]) -> None:
    """Refuse a body of a content type that the route doesn't take; an empty body is fine."""
    given = (sent_header(scope, b"content-type") or "").partition(";")[0].strip().lower()
    if given in accepted:
        return
    is_empty = sent_header(scope, b"content-length") in {None, "0"}
    if not is_empty or sent_header(scope, b"transfer-encoding") is not None:
        raise UnsupportedMedia(f"Send the body with Content-Type: {' or '.join(accepted)}.")
