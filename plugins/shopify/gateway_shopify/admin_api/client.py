"""Calls to a shop's Admin API (GraphQL) and their errors.

https://shopify.dev/docs/api/admin-graphql/2026-10 ; HTTP 200 with ``errors`` or ``userErrors``
is a failure, and ``THROTTLED`` gives the time to wait by its ``throttleStatus``
(https://shopify.dev/docs/api/usage/limits).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.plugin import Clock, OutboundClient, OutboundRequest, OutboundResponse, problem_of
from gateway_shopify.admin_api import queries
from gateway_shopify.admin_api.graphql_orders import order_from
from gateway_shopify.admin_api.tokens import Tokens
from gateway_shopify.errors import ShopUnreachable
from gateway_shopify.schema import API_VERSION, ShopifyOrder
from gateway_shopify.settings import ShopSettings

_log = logging.getLogger(__name__)

_MAX_RESPONSE_BYTES: Final = 4_000_000
_UNAUTHORIZED: Final = 401
_CALL_SECONDS: Final = 15.0
_PAGE_SIZE: Final = 25


class _Throttle(msgspec.Struct):
    currently_available: float = msgspec.field(name="currentlyAvailable", default=0.0)
    restore_rate: float = msgspec.field(name="restoreRate", default=50.0)


class _Cost(msgspec.Struct):
    requested: float | None = msgspec.field(name="requestedQueryCost", default=None)
    throttle: _Throttle | None = msgspec.field(name="throttleStatus", default=None)


class _Extensions(msgspec.Struct):
    cost: _Cost | None = None
    code: str | None = None


class _Error(msgspec.Struct):
    message: str = ""
    extensions: _Extensions | None = None


class _Response(msgspec.Struct):
    data: dict[str, Any] | None = None
    errors: list[_Error] | None = None
    extensions: _Extensions | None = None


class AdminApi:
    """Runs queries and mutations."""

    def __init__(self, client: OutboundClient, tokens: Tokens, clock: Clock) -> None:
        self._client = client
        self._tokens = tokens
        self._clock = clock

    async def order(self, shop: ShopSettings, order_id: str) -> ShopifyOrder | None:
        """Read an order's current state; ``None`` if the shop doesn't have it."""
        data = await self.ask(shop, queries.ORDER, {"id": order_id})
        node = data.get("order")
        return None if node is None else order_from(node)

    async def order_of(self, shop: ShopSettings, fulfillment_order_id: str) -> ShopifyOrder | None:
        """Read the order of a fulfillment order; ``None`` if the shop doesn't have it."""
        variables = {"id": fulfillment_order_id}
        data = await self.ask(shop, queries.ORDER_OF_FULFILLMENT_ORDER, variables)
        found = data.get("fulfillmentOrder")
        return None if found is None else order_from(found["order"])

    async def updated_orders(
        self, shop: ShopSettings, since: str, after: str | None = None
    ) -> tuple[Sequence[ShopifyOrder], str | None]:
        """Read a page of the orders that changed at ``since`` or later, the oldest change first.

        Returns them with the cursor of the next page, ``None`` at the end.
        """
        wanted = {"query": f"updated_at:>='{since}'", "after": after, "first": _PAGE_SIZE}
        page = (await self.ask(shop, queries.UPDATED_ORDERS, wanted))["orders"]
        info = page["pageInfo"]
        return list(_read_orders(shop, page["nodes"])), (
            info["endCursor"] if info["hasNextPage"] else None
        )

    async def ask(
        self,
        shop: ShopSettings,
        query: str,
        variables: Mapping[str, Any],
        timeout_seconds: float = _CALL_SECONDS,
    ) -> dict[str, Any]:
        """Run a query or mutation and return its ``data``; raises :class:`ShopUnreachable`.

        A rejected token is replaced once.
        """
        started = self._clock.monotonic_seconds()
        token = await self._tokens.get(shop, timeout_seconds)
        response = await self._post(shop, token, query, variables, timeout_seconds)
        if response.status == _UNAUTHORIZED and shop.access_token is None:
            remaining = timeout_seconds - (self._clock.monotonic_seconds() - started)
            token = await self._tokens.get(shop, remaining, instead_of=token)
            remaining = timeout_seconds - (self._clock.monotonic_seconds() - started)
            response = await self._post(shop, token, query, variables, remaining)
        return self._data(response)

    async def mutate(
        self,
        shop: ShopSettings,
        mutation: str,
        variables: Mapping[str, Any],
        timeout_seconds: float = _CALL_SECONDS,
    ) -> dict[str, Any]:
        """Run a mutation of one field and return that field; ``userErrors`` are a failure."""
        [payload] = (await self.ask(shop, mutation, variables, timeout_seconds)).values()
        if payload is None:
            raise ShopUnreachable("no_payload", status=200)
        if faults := payload.get("userErrors"):
            # Shopify's sentences may repeat the input: ids and states, never a name.
            text = "; ".join(str(each.get("message", "")) for each in faults)
            raise ShopUnreachable("user_errors", status=200, excerpt=text.encode()[:500])
        found: dict[str, Any] = payload
        return found

    async def _post(
        self,
        shop: ShopSettings,
        token: str,
        query: str,
        variables: Mapping[str, Any],
        timeout_seconds: float,
    ) -> OutboundResponse:
        return await self._client.send(
            OutboundRequest(
                url=f"{shop.base_url}/admin/api/{API_VERSION}/graphql.json",
                headers={
                    "Content-Type": "application/json",
                    "Accept": "application/json",
                    "X-Shopify-Access-Token": token,
                },
                body=msgspec.json.encode({"query": query, "variables": variables}),
                timeout_seconds=timeout_seconds,
                keep_bytes=_MAX_RESPONSE_BYTES,
            )
        )

    def _data(self, response: OutboundResponse) -> dict[str, Any]:
        if response.error is not None:
            raise ShopUnreachable(response.error)
        if not response.is_success:
            raise ShopUnreachable(
                _WORDS.get(response.status or 0, "http_status"),
                status=response.status,
                retry_after_seconds=response.retry_after_seconds(self._clock.now()),
            )
        try:
            read = msgspec.json.decode(response.body, type=_Response)
        except msgspec.MsgspecError:
            raise ShopUnreachable("bad_response", status=response.status) from None
        if read.errors:
            raise _refused(read, response.status)
        if read.data is None:
            raise ShopUnreachable("bad_response", status=response.status)
        return read.data


_WORDS: Final = {
    401: "access_denied",
    402: "shop_frozen",
    403: "access_denied",
    404: "no_such_shop",
    423: "shop_locked",
    429: "throttled",
}


def _read_orders(shop: ShopSettings, nodes: Sequence[Mapping[str, Any]]) -> Iterator[ShopifyOrder]:
    """Yield the orders that can be read; log the others."""
    for node in nodes:
        try:
            yield order_from(node)
        except msgspec.ValidationError as error:
            fault = problem_of(error)
            _log.error(
                "an order of a shop can't be read: %s",
                fault.message,
                extra={"shop": shop.domain, "field": fault.field},
            )


def _refused(read: _Response, status: int | None) -> ShopUnreachable:
    codes = [each.extensions.code for each in read.errors or () if each.extensions]
    if "THROTTLED" in codes:
        cost = read.extensions.cost if read.extensions else None
        return ShopUnreachable("throttled", status=status, retry_after_seconds=_pause_seconds(cost))
    word = "access_denied" if "ACCESS_DENIED" in codes else "graphql_errors"
    text = "; ".join(each.message for each in read.errors or ())
    return ShopUnreachable(word, status=status, excerpt=text.encode()[:500])


def _pause_seconds(cost: _Cost | None) -> float:
    """Return the time until the bucket holds enough for the same query; at least a second."""
    if cost is None or cost.throttle is None or cost.throttle.restore_rate <= 0:
        return 1.0
    missing = (cost.requested or 0.0) - cost.throttle.currently_available
    return max(1.0, missing / cost.throttle.restore_rate)
