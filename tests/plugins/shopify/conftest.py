"""A gateway with the shopify plugin, and what these tests do with it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import httpx
import pytest
from shopify_orders import shopify_toml, webhook
from sqlalchemy import text
from waiting import until

from gateway.plugin import Event, Package, PackageFilter
from gateway.testing import GatewayHarness

TOML: Final = shopify_toml()


class ShopifyGateway:
    """One gateway as a shop and a pharmacist see it."""

    def __init__(self, harness: GatewayHarness, key: str) -> None:
        self.harness = harness
        self.gateway = harness.gateway
        self.key = key

    async def post(self, topic: str, sent: Any, **more: Any) -> httpx.Response:
        """Send a webhook as Shopify would."""
        body, headers = webhook(topic, sent, **more)
        return await self.harness.request(
            "POST", "/api/shopify/webhooks", body=body, headers=headers
        )

    async def deliver(self, topic: str, sent: Any, **more: Any) -> None:
        """Send a webhook and wait until it is processed."""
        answer = await self.post(topic, sent, **more)
        assert answer.status_code == 200, answer.text
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing in the inbox waits."""

        async def over() -> bool:
            return not (await self.messages("waiting"))

        await until(over)

    async def messages(self, state: str) -> list[tuple[str, str | None]]:
        """Return topic and outcome of the messages in ``state``, the oldest first."""
        state = "dead" if state == "failed" else state
        query = "SELECT kind, outcome FROM plugin_inbox WHERE state = :state ORDER BY sequence"
        return await self.rows(query, state=state)

    async def rows(self, query: str, **values: Any) -> list[Any]:
        """Ask the database."""
        async with self.gateway.database.read() as connection:
            return [tuple(row) for row in await connection.execute(text(query), values)]

    async def packages(self, mode: str = "live") -> list[Package]:
        """Return all packages, the newest first."""
        caller = self.harness.caller(mode=mode)
        async with self.gateway.database.read() as connection:
            return list(await self.gateway.packages.page(connection, caller, PackageFilter(100)))

    async def package(self) -> Package:
        """Return the only package there is."""
        [found] = await self.packages()
        return found

    async def events(self, package_id: str, mode: str = "live") -> list[Event]:
        """Return a package's timeline."""
        caller = self.harness.caller(mode=mode)
        async with self.gateway.database.read() as connection:
            return await self.gateway.events.of_subject(connection, caller, package_id)

    async def types(self, package_id: str) -> list[str]:
        """Return the types of what happened to a package."""
        return [each.type for each in await self.events(package_id)]

    async def report(self, package_id: str, event: str, **fields: Any) -> None:
        """Report a step of a delivery, as a driver's app would."""
        path = f"/api/packages/{package_id}/events"
        answer = await self.harness.post(path, self.key, {"event": event, **fields})
        assert answer.status_code == 200, answer.text

    async def listed(self, state: str = "held", key: str | None = None) -> list[dict[str, Any]]:
        """Return the orders in ``state``, as a person sees them."""
        answer = await self.harness.get(f"/api/shopify/orders?state={state}", key or self.key)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["orders"]
        return found


OpenShopify = Callable[..., AbstractAsyncContextManager[ShopifyGateway]]


@pytest.fixture
def open_shopify(harness: Callable[..., GatewayHarness]) -> OpenShopify:
    """Open gateways: ``async with open_shopify('create_on = "orders/paid"') as shopify``.

    What is handed in is added to the shop's settings.
    """

    @asynccontextmanager
    async def opened(
        shop: str = "", clock: Any = None, toml: str = TOML
    ) -> AsyncIterator[ShopifyGateway]:
        async with harness(toml + shop, clock) as running:
            yield ShopifyGateway(running, await running.issue_key())

    return opened


@pytest.fixture
async def shopify(open_shopify: OpenShopify) -> AsyncIterator[ShopifyGateway]:
    """A gateway with one shop."""
    async with open_shopify() as opened:
        yield opened


@pytest.fixture
def wait_until() -> Callable[..., Awaitable[Any]]:
    """Wait for a condition: ``await wait_until(is_so)``."""
    return until
