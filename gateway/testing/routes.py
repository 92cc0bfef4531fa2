"""Checks of a plugin's routes: documentation, authentication, rejection of invalid input."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import httpx
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.routes import HTTPRoute

from gateway.auth.roles import Permissions
from gateway.http.auth import undeclared
from gateway.sdk.http import JSON
from gateway.testing.harness import GatewayHarness

_WRITING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_MARKER: Final = "s3cr3t-value"
_NO_JSON: Final = (b"{", b"\xff\xfe\x00", b"[" * 5000, b'{"a": 1} trailing', b"'single'")
_OTHER_JSON: Final = (
    b"",
    b"null",
    b"7",
    b"[]",
    b"{}",
    b'"%s"' % _MARKER.encode(),
    b'["%s"]' % _MARKER.encode(),
    *(b'{"%s": "%s"}' % (name, _MARKER.encode()) for name in (b"a", b"orders", b"events", b"id")),
)
_QUERIES: Final = (
    "?limit=nonsense&since=yesterday&cursor=%F0%9F%92%8A&status=&id[]=1",
    "?limit=-1&cursor='--&since=9999-12-31T23:59:59%2B23:59&site=%00",
)
_EXAMPLES: Final[Mapping[type, str]] = {int: "1", float: "1.5", uuid.UUID: str(uuid.UUID(int=7))}


class RouteUnderTest(NamedTuple):
    """One method of a route. ``path`` has an example value for each parameter."""

    method: str
    path: str
    handler: Any

    @property
    def name(self) -> str:
        """The method and path, for messages."""
        return f"{self.method} {self.path}"

    @property
    def media_type(self) -> str:
        """The content type of its request bodies."""
        accepted: Sequence[str] = self.handler.opt.get("media", ("application/json",))
        return accepted[0]


def routes_of(routers: Sequence[Router]) -> list[RouteUnderTest]:
    """Return every route of ``routers``, as the gateway serves them."""
    app = Litestar(
        route_handlers=list(routers),
        dependencies={"caller": Provide(lambda: None, sync_to_thread=False)},
        openapi_config=None,
        logging_config=None,
    )
    return [
        RouteUnderTest(method, _filled(route), handler)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
        if method not in {"HEAD", "OPTIONS"}
    ]


def _filled(route: HTTPRoute) -> str:
    parts = (
        each if isinstance(each, str) else _EXAMPLES.get(each.type, "nonsense")
        for each in route.path_components
    )
    return "/" + "/".join(parts)


def documentation_faults(routes: Sequence[RouteUnderTest]) -> Iterator[str]:
    """Check that routes have a summary and a docstring."""
    for route in routes:
        in_the_docs = route.handler.resolve_include_in_schema()
        if in_the_docs and not (route.handler.summary or "").strip():
            yield f"{route.name} has no summary"
        if not (route.handler.fn.__doc__ or route.handler.description or "").strip():
            yield f"{route.name} has no docstring"


def permission_faults(routes: Sequence[RouteUnderTest], permissions: Permissions) -> Iterator[str]:
    """Check that routes name an existing permission."""
    for route in routes:
        fault = undeclared(route.handler.opt, permissions)
        if fault is not None:
            yield f"{route.name} {fault}"


async def access_faults(gateway: GatewayHarness, routes: Sequence[RouteUnderTest]) -> list[str]:
    """Check that routes answer 401 to a missing or a wrong key."""
    faults = []
    for route in routes:
        if route.handler.opt.get("public"):
            continue
        for key in (None, "sk_live_" + "0" * 48):
            answer = await _asked(gateway, route, key, b"{")
            if answer.status_code != httpx.codes.UNAUTHORIZED:
                credential = "no key" if key is None else "a wrong key"
                faults.append(f"{route.name} answers {answer.status_code} to {credential}")
    return faults


async def garbage_faults(gateway: GatewayHarness, routes: Sequence[RouteUnderTest]) -> list[str]:
    """Check that routes refuse invalid input in the one error shape, without echoing it."""
    key = await gateway.issue_key()
    faults: list[str] = []
    for route in routes:
        must_refuse = "body" in route.handler.opt
        if route.method not in _WRITING:
            for query in _QUERIES:
                answer = await _asked(gateway, route, key, b"", query)
                faults.extend(_answer_faults(route, answer, must_refuse=False))
            continue
        for body in (*_NO_JSON, *_OTHER_JSON):
            answer = await _asked(gateway, route, key, body)
            refuses = must_refuse and body in _NO_JSON
            faults.extend(_answer_faults(route, answer, must_refuse=refuses))
    return list(dict.fromkeys(faults))  # without duplicates


async def _asked(
    gateway: GatewayHarness, route: RouteUnderTest, key: str | None, body: bytes, query: str = ""
) -> httpx.Response:
    headers = {"Content-Type": route.media_type} if body else {}
    return await gateway.request(route.method, route.path + query, key, body or None, headers)


def _answer_faults(
    route: RouteUnderTest, answer: httpx.Response, *, must_refuse: bool
) -> Iterator[str]:
    if answer.is_server_error:
        yield f"{route.name} answers {answer.status_code} to garbage"
    elif must_refuse and not answer.is_client_error:
        yield f"{route.name} answers {answer.status_code} to what is no JSON"
    if _MARKER in answer.text:
        yield f"{route.name} repeats what was sent"
    if answer.is_client_error and not _has_our_shape(answer):
        yield f"{route.name} refuses in another form than all the others"


def _has_our_shape(answer: httpx.Response) -> bool:
    if answer.headers.get("content-type") != JSON:
        return False
    error = answer.json().get("error")
    return isinstance(error, str) and bool(error)
