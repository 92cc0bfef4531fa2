"""A whole gateway in a temporary folder: SQLite in a file, HTTP on 127.0.0.1, the engine."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import pytest

from gateway.clock import Clock
from gateway.http.app import create_app
from gateway.http.server import HttpServer
from gateway.model.account import DEFAULT_ACCOUNT, Caller, Mode
from gateway.model.permission import Role
from gateway.model.wire import encode
from gateway.runtime import Gateway
from gateway.settings import Settings, parse_settings
from gateway.testing.people import PageBrowser, begin_session
from gateway.testing.schema import lay_schema

# Generous, because a busy machine isn't a failure.
_TIMEOUT_SECONDS: Final = 120.0
_LOOPBACK: Final = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
trusted_accounts = ["default"]
"""
# On a busy machine a page may take longer.
_PATIENT: Final = """
[dashboard]
page_ms = 60000
"""


class GatewayHarness:
    """A whole gateway, serving HTTP on a free port of 127.0.0.1 and delivering events.

    ``gateway`` is the gateway object, for access without HTTP.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.gateway = Gateway(settings, clock)
        self.url = ""
        self._open = AsyncExitStack()
        # Plain HTTP only; reading the system's certificates takes longer than most tests.
        self._client = httpx.AsyncClient(
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), timeout=_TIMEOUT_SECONDS
        )

    async def issue_key(
        self,
        *,
        mode: Mode = "live",
        site: str | None = None,
        account_id: str = DEFAULT_ACCOUNT,
        scopes: Sequence[str] = ("all",),
    ) -> str:
        """Create an API key and return it; without ``scopes`` it may do everything."""
        issued = await self.gateway.keys.issue(
            "test", account_id=account_id, actor="test", mode=mode, site=site, scopes=scopes
        )
        return issued.key

    def caller(self, *, mode: Mode = "live", site: str | None = None) -> Caller:
        """Return a caller of the default account with every permission, for calls without HTTP."""
        sites = None if site is None else frozenset({site})
        return Caller(DEFAULT_ACCOUNT, mode, "test", sites, self.gateway.permissions.names)

    async def sign_in(
        self,
        role: Role = "owner",
        *,
        name: str = "Amara Okafor",
        sites: Sequence[str] | None = None,
        language: str | None = None,
        account_id: str = DEFAULT_ACCOUNT,
    ) -> PageBrowser:
        """Make a person of a role and return their browser, signed in with a passkey just now."""
        cookie = await begin_session(
            self.gateway,
            role,
            name=name,
            sites=sites,
            language=language,
            account_id=account_id,
        )
        return PageBrowser(self._client, self.url, cookie)

    async def request(
        self,
        method: str,
        path: str,
        key: str | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request; ``body`` is sent as JSON, or as it is when it is bytes."""
        sent = dict(headers or {})
        if key is not None:
            sent["X-API-Key"] = key
        content = body if body is None or isinstance(body, bytes) else encode(body)
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        return await self._client.request(method, self.url + path, content=content, headers=sent)

    async def get(self, path: str, key: str | None = None) -> httpx.Response:
        """Send a GET request."""
        return await self.request("GET", path, key)

    async def post(
        self,
        path: str,
        key: str | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a POST request with a JSON body."""
        return await self.request("POST", path, key, body, headers)

    async def __aenter__(self) -> Self:
        """Open the gateway, start deliveries, serve HTTP."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._client)
            await lay_schema(self.gateway)
            await stack.enter_async_context(self.gateway)
            await stack.enter_async_context(self.gateway.running())
            self.url = await stack.enter_async_context(_serving(self.gateway))
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving, finish the attempts in flight, close."""
        await self._open.aclose()


@asynccontextmanager
async def _serving(gateway: Gateway) -> AsyncIterator[str]:
    server = HttpServer(create_app(gateway), gateway.settings.http, gateway.metrics, gateway.clock)
    listener = socket.create_server(("127.0.0.1", 0))
    # Accepted connections inherit it; asyncio sets it only on listeners that it created.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if task.done():
                await task
            await asyncio.sleep(0.001)
        yield "http://{}:{}".format(*listener.getsockname())
    finally:
        gateway.stopping.set()
        server.stop()
        await task


MakeHarness = Callable[..., GatewayHarness]


@pytest.fixture
def harness(tmp_path: Path) -> MakeHarness:
    """Return a factory of gateways in this test's folder: ``harness("[plugins.mine]", clock=…)``.

    The text is a gateway.toml; without a ``[delivery]`` table, webhooks to 127.0.0.1 are
    allowed.
    """

    def make(toml: str, clock: Clock | None = None) -> GatewayHarness:
        text = toml if "[delivery]" in toml else toml + _LOOPBACK
        text = text if "[dashboard]" in text else text + _PATIENT
        settings = parse_settings(text, source=None, directory=tmp_path, environ={})
        return GatewayHarness(settings, clock)

    return make
