"""A gateway with the webhooks plugin, and what these tests do with it over HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import httpx
import pytest
from waiting import until

from gateway.plugin import ClaimedDelivery, Event
from gateway.testing import GatewayHarness

T = TypeVar("T")
OpenApi = Callable[..., AbstractAsyncContextManager["ApiClient"]]

PLUGINS: Final = """
[plugins.json_api]
[plugins.webhooks]
[limits]
reads_per_minute = 1000000
updates_requests_per_minute = 1000000
"""


class ApiClient:
    """One key's view of a gateway: endpoints are added, orders come in, the log is read."""

    def __init__(self, harness: GatewayHarness, key: str) -> None:
        self.harness = harness
        self.key = key

    async def with_key(self, **reach: Any) -> "ApiClient":
        """Return the same gateway as another key reaches it."""
        return ApiClient(self.harness, await self.harness.issue_key(**reach))

    async def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send a request to ``/api`` + ``path``."""
        return await self.harness.request(method, f"/api{path}", self.key, body)

    async def ask(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """Send a request that must be answered with ``status``; returns the JSON of it."""
        answer = await self.call(method, path, body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def add(self, url: str, **fields: Any) -> dict[str, Any]:
        """Add an endpoint; returns it with its secret."""
        sent = {"url": url, **fields}
        added: dict[str, Any] = await self.ask("POST", "/webhooks/endpoints", sent, 201)
        return added

    async def show(self, endpoint_id: str) -> dict[str, Any]:
        """Look an endpoint up."""
        shown: dict[str, Any] = await self.ask("GET", f"/webhooks/endpoints/{endpoint_id}")
        return shown

    async def change(self, endpoint_id: str, **fields: Any) -> dict[str, Any]:
        """Change an endpoint."""
        path = f"/webhooks/endpoints/{endpoint_id}"
        changed: dict[str, Any] = await self.ask("PATCH", path, fields)
        return changed

    async def order(self, **fields: Any) -> str:
        """Post an order; returns the id of its package."""
        order = {"patient_name": "Ana Silva", "patient_address": "1 Lake Rd", **fields}
        answer = await self.ask("POST", "/webhook/orders", {"orders": [order]})
        [package_id] = answer["package_ids"]
        return str(package_id)

    async def report(self, package_id: str, event: str, **fields: Any) -> str:
        """Report a step of a delivery; returns the id of the event."""
        sent = {"event": event, **fields}
        answer = await self.ask("POST", f"/packages/{package_id}/events", sent)
        return str(answer["event_id"])

    async def log(self, query: str = "") -> list[dict[str, Any]]:
        """Read a page of the log."""
        page = await self.ask("GET", f"/webhooks/logs{query}")
        attempts: list[dict[str, Any]] = page["attempts"]
        return attempts

    async def logged(self, count: int, query: str = "") -> list[dict[str, Any]]:
        """Wait until the log holds ``count`` attempts; returns them, newest first."""

        async def enough() -> list[dict[str, Any]] | None:
            found = await self.log(query)
            return found if len(found) >= count else None

        return await until(enough)

    async def delivery(self, delivery_id: str) -> dict[str, Any]:
        """Look a delivery up."""
        shown: dict[str, Any] = await self.ask("GET", f"/webhooks/deliveries/{delivery_id}")
        return shown

    async def delivery_in(self, state: str, delivery_id: str) -> dict[str, Any]:
        """Wait until a delivery has come to ``state``; returns it."""

        async def there() -> dict[str, Any] | None:
            found = await self.delivery(delivery_id)
            return found if found["state"] == state else None

        return await until(there)

    def later(self, seconds: float, endpoint_id: str) -> None:
        """Move the gateway's clock (a SteppingClock) and wake the engine, as time would."""
        self.harness.gateway.clock.source.step(seconds)
        self.harness.gateway.wake([endpoint_id])

    async def idle(self) -> None:
        """Wait until nothing is on its way: what was due has gone out and is stored."""
        engine = self.harness.gateway.engine
        assert engine is not None

        async def quiet() -> bool:
            due = await self.harness.gateway.dispatcher.destinations_with_work()
            return not due and not engine.lanes

        await until(quiet)


def claimed_delivery(**facts: Any) -> ClaimedDelivery:
    """Make a delivery in our hands; ``facts`` are the event's, and ``attempt``."""
    attempt = facts.pop("attempt", 1)
    event = {
        "id": "evt_1",
        "type": "delivery.completed",
        "account_id": "default",
        "mode": "live",
        "subject": "pkg_1",
        "data": {},
        "occurred_at": datetime(2026, 4, 19, 18, 41, 57, tzinfo=UTC),
        "recorded_at": datetime(2026, 4, 19, 18, 42, 10, 999_000, tzinfo=UTC),
        "actor": "key_1",
    }
    return ClaimedDelivery(
        id="dlv_1",
        account_id="default",
        destination_id="dst_1",
        event=Event(**event | facts),
        attempt=attempt,
        retry_index=attempt - 1,
        lease="lease_1",
        created_at=datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC),
        first_attempt_at=datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC),
    )


@pytest.fixture
def open_api(harness: Callable[..., GatewayHarness]) -> OpenApi:
    """Open gateways: ``async with open_api("[[sites]] …", clock=…) as api``."""

    @asynccontextmanager
    async def opened(toml: str = "", clock: Any = None) -> AsyncIterator[ApiClient]:
        async with harness(PLUGINS + toml, clock) as running:
            yield ApiClient(running, await running.issue_key())

    return opened


@pytest.fixture
async def api(open_api: OpenApi) -> AsyncIterator[ApiClient]:
    """A gateway as it is without further settings, with a live key."""
    async with open_api() as opened:
        yield opened


@pytest.fixture
def claimed() -> Callable[..., ClaimedDelivery]:
    """Make deliveries for what takes them one by one: ``claimed(type=…, data=…, attempt=2)``."""
    return claimed_delivery


@pytest.fixture
def wait_until() -> Callable[..., Awaitable[Any]]:
    """Wait for a condition: ``await wait_until(is_so)``."""
    return until
