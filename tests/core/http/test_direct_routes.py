"""Routes that are answered without Litestar: the same answers, and only where nothing is missed."""

import json
from contextlib import contextmanager
from typing import Annotated

import pytest
from core.gateways import opened, sqlite_url
from litestar import Litestar, Request, Response, Router, get, post
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency, Provide
from litestar.enums import MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromHeader, FromPath, FromQuery, HeaderParameter, RawBody
from msgspec import Meta

from gateway.http.app import create_litestar
from gateway.http.auth import provide_caller
from gateway.http.direct_routes import DirectRoutes, direct_routes
from gateway.model.account import Caller
from gateway.sdk.http import JSON, IdempotencyKey, json_response, provided

ORDERS = "/api/webhook/orders"
ORDER = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "1 Ocean Dr",
    "external_order_id": "TK-1",
}
GOOD = json.dumps({"orders": [ORDER]}).encode()
TYPE = (b"content-type", b"application/json")


async def ask(app, headers, body=GOOD, *, chunks=1, query=b"", path=ORDERS, method="POST"):
    """Return status, headers and body of an answer."""
    size = max(1, -(-len(body) // chunks))
    parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    sent = []

    async def receive():
        if not parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": query, "headers": [(b"host", b"localhost:8080"), *headers],
        "client": ("127.0.0.1", 50_000), "server": ("127.0.0.1", 8080), "scheme": "http",
        "http_version": "1.1", "root_path": "", "state": {}, "extensions": {},
    }  # fmt: skip
    await app(scope, receive, send)
    start, *rest = sent
    found = b"".join(each["body"] for each in rest)
    return start["status"], sorted(start["headers"]), found, scope["path_template"]


async def test_a_direct_route_answers_as_litestar_does(tmp_path, monkeypatch):
    async with opened(sqlite_url(tmp_path), tmp_path, toml="[plugins.json_api]\n") as gateway:
        app = create_litestar(gateway)
        direct = DirectRoutes(app, app.state["authentication"])
        issued = await gateway.keys.issue("x", account_id="default", actor="test")
        reader = await gateway.keys.issue(
            "y", account_id="default", actor="t", scopes=["packages.read"]
        )
        key = (b"x-api-key", issued.key.encode())
        stored, *_ = await ask(direct, [key, TYPE, (b"idempotency-key", b"abc")])
        asked = {
            "a known order": ([key, TYPE], GOOD, {}),
            "in chunks": ([key, TYPE], GOOD, {"chunks": 7}),
            "the same again": ([key, TYPE, (b"idempotency-key", b"abc")], GOOD, {}),
            "a bad key": ([key, TYPE, (b"idempotency-key", b"a b")], GOOD, {}),
            "no caller": ([TYPE], GOOD, {}),
            "not permitted": ([(b"x-api-key", reader.key.encode()), TYPE], GOOD, {}),
            "no JSON": ([key, TYPE], b"{", {}),
            "another type": ([key, (b"content-type", b"a/b"), (b"content-length", b"9")], GOOD, {}),
            "announced too large": ([key, TYPE, (b"content-length", b"1000001")], GOOD, {}),
            "too large": ([key, TYPE], b" " * 1_000_001, {"chunks": 3}),
            "cut off": ([key, TYPE], b"", {"chunks": 1}),
            "an unknown parameter": ([key, TYPE], GOOD, {"query": b"dry=1"}),
            "a bad host": ([key, TYPE, (b"host", b"a/b")], GOOD, {}),
            "another method": ([key], b"", {"method": "OPTIONS"}),
            "a slash more": ([key, TYPE], GOOD, {"path": f"{ORDERS}/"}),
        }
        for name, (headers, body, options) in asked.items():
            own = await ask(direct, headers, body, **options)
            assert own == await ask(app, headers, body, **options), name

        def fail(_answer):
            raise LookupError

        monkeypatch.setattr("gateway_json_api.order_routes.orders_answer", fail)
        own = await ask(direct, [key, TYPE])
        assert own == await ask(app, [key, TYPE])
        assert (stored, own[0]) == (200, 500)


def routed(*handlers, **options):
    """Return the addresses of an application's direct routes."""
    given = {"caller": Provide(provide_caller, sync_to_thread=False), "it": provided(object())}
    app = Litestar(list(handlers), dependencies=given, openapi_config=None, **options)
    return sorted(address for address, _ in direct_routes(app))


def test_a_route_is_direct_that_takes_its_body_the_caller_provided_objects_and_headers():
    @post("/all")
    async def everything(
        body: RawBody,
        caller: NamedDependency[Caller],
        it: NamedDependency[object],
        key: IdempotencyKey = None,
    ) -> Response[bytes]:
        return json_response((body, caller, it, key))

    @get("/none")
    async def nothing() -> Response[bytes]:
        return json_response({})

    assert routed(everything, nothing) == [("GET", "/none"), ("POST", "/all")]


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        (Annotated[str | None, HeaderParameter(name="Tool", max_length=3)], None),
        (Annotated[str, HeaderParameter(name="Tool", pattern="^[a-z]+$")], "saw"),
        (Annotated[str | None, HeaderParameter(name="Tool", required=True)], None),
        (FromHeader[Annotated[str, Meta(max_length=3)]], "saw"),
        (FromHeader[Annotated[str, Meta(max_length=3)] | None], None),
        (FromHeader[str | None], ...),
        (FromHeader[str], ...),
        (FromHeader[str], 7),
        (FromHeader[int | None], None),
    ],
)
def test_a_header_with_constraints_or_without_a_default_is_litestars(kind, default):
    async def some(tool) -> Response[bytes]:
        return json_response(tool)

    some.__annotations__["tool"] = kind
    some.__defaults__ = None if default is ... else (default,)
    assert routed(get("/some")(some)) == []


def test_a_route_whose_body_has_no_limit_is_litestars():
    @post("/some", request_max_body_size=None)
    async def some(body: RawBody) -> Response[bytes]:
        return json_response(len(body))

    assert routed(some) == []


class _Everyone:
    """Authentication that admits every request."""

    async def admit(self, scope, receive, opt):
        pass


@pytest.mark.parametrize(
    "given",
    [
        {"content": b"a,b", "media_type": "text/csv"},
        {"content": b"a", "media_type": "text/plain; charset=latin-1"},
        {"content": b"a", "media_type": "application/pdf"},
        {"content": b"", "media_type": JSON, "status_code": 204},
        {"content": b"", "media_type": JSON, "status_code": 304},
        {"content": b"{}", "media_type": MediaType.JSON},
        {"content": b"{}", "media_type": JSON, "headers": {"X-Own": "1"}},
        {"content": b"{}", "media_type": JSON, "headers": {"Content-Type": "a/b"}},
        {"content": b"{}", "media_type": JSON, "headers": {"content-length": "2"}},
    ],
)
async def test_any_answer_of_a_direct_route_is_sent_as_litestar_sends_it(given):
    @get("/some")
    async def some() -> Response[bytes]:
        return Response(**{"status_code": 200, **given})

    app = Litestar([some], openapi_config=None)
    own = await ask(DirectRoutes(app, _Everyone()), [], path="/some", method="GET")

    assert [address for address, _ in direct_routes(app)] == [("GET", "/some")]
    assert own == await ask(app, [], path="/some", method="GET")


async def test_a_json_answer_of_a_direct_route_is_sent_without_litestar(monkeypatch):
    @get("/some")
    async def some() -> Response[bytes]:
        return json_response({"a": 1}, headers={"x-own": "1"})

    def fail(*_, **__):
        raise AssertionError

    app = Litestar([some], openapi_config=None)
    usual = await ask(app, [], path="/some", method="GET")
    monkeypatch.setattr(HTTPRouteHandler, "to_response", fail)

    assert await ask(DirectRoutes(app, _Everyone()), [], path="/some", method="GET") == usual


async def _hook(*_):
    pass


def _middleware(app):
    return app


@pytest.mark.parametrize(
    "options",
    [
        {"guards": [_hook]},
        {"before_request": _hook},
        {"after_request": _hook},
        {"after_response": _hook},
        {"middleware": [_middleware]},
        {"exception_handlers": {ValueError: _hook}},
        {"response_headers": {"x-own": "1"}},
        {"response_cookies": {"own": "1"}},
        {"background": BackgroundTask(_hook)},
        {"cache": True},
        {"opt": {"public": True}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_route_with_anything_before_or_after_its_handler_is_litestars(options):
    @get("/some", **options)
    async def some() -> Response[bytes]:
        return json_response({})

    assert routed(some) == []


def test_a_route_with_other_parameters_is_litestars():
    @get("/query")
    async def query(status: FromQuery[str]) -> Response[bytes]:
        return json_response(status)

    @get("/path/{name:str}")
    async def path(name: FromPath[str]) -> Response[bytes]:
        return json_response(name)

    @get("/request")
    async def whole(request: Request) -> Response[bytes]:
        return json_response(str(request))

    assert routed(query, path, whole) == []


async def test_a_direct_route_that_waits_counts_as_waiting_and_sees_that_its_client_has_gone():
    counted = []

    class Counting(_Everyone):
        async def admit(self, scope, receive, opt):
            await super().admit(scope, receive, opt)
            return "the caller"

        @contextmanager
        def waiting(self, caller):
            counted.append(caller)
            yield
            counted.append("over")

    @post("/news", opt={"waits": True})
    async def news(body: RawBody, request: Request) -> Response[bytes]:
        message = await request.receive()
        return json_response([body.decode(), message["type"], request.headers["host"], *counted])

    app = Litestar([news], openapi_config=None)
    own = await ask(DirectRoutes(app, Counting()), [], b"ab", path="/news", chunks=2)

    assert routed(news) == [("POST", "/news")]
    assert json.loads(own[2]) == ["ab", "http.disconnect", "localhost:8080", "the caller"]
    assert counted == ["the caller", "over"]


@pytest.mark.parametrize("name", ["middleware", "exception_handlers", "after_request"])
def test_a_route_of_a_router_with_a_hook_is_litestars(name):
    @get("/some")
    async def some() -> Response[bytes]:
        return json_response({})

    hooks = {
        "middleware": [_middleware],
        "exception_handlers": {ValueError: _hook},
        "after_request": _hook,
    }
    assert routed(Router("/own", route_handlers=[some], **{name: hooks[name]})) == []
