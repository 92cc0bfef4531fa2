"""Reconciliation: fetch the orders of which no webhook arrived.

Shopify stops retrying a webhook after four hours and removes subscriptions that keep failing.
Fetched orders go through the inbox like webhooks, so each is processed once and a crash loses
none.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from gateway.plugin import Gateway, from_epoch_ms, isoformat, to_epoch_ms
from gateway_shopify.admin_api.client import AdminApi
from gateway_shopify.errors import ShopUnreachable
from gateway_shopify.inbox import Arrival, Inbox
from gateway_shopify.mapping import decide, digest_of
from gateway_shopify.order_sync import is_stale
from gateway_shopify.orders import OrderStore
from gateway_shopify.schema import RECONCILED, ShopifyOrder
from gateway_shopify.settings import ShopSettings
from gateway_shopify.shops import ShopDirectory

# An order may become visible to a search a little later than its ``updated_at``.
_OVERLAP: Final = timedelta(minutes=5)
# The first time, without gateway shopify connect: don't import years of orders.
_FIRST_LOOK_BACK: Final = timedelta(hours=4)

_log = logging.getLogger(__name__)


class Reconciled(msgspec.Struct, frozen=True):
    """The result of a reconciliation: orders that changed, and those that were new."""

    shop: str
    since: datetime
    seen: int
    news: int


class Reconciler:
    """Fetches changed orders from shops."""

    def __init__(
        self,
        gateway: Gateway,
        directory: ShopDirectory,
        inbox: Inbox,
        orders: OrderStore,
        admin_api: AdminApi,
    ) -> None:
        self._gateway = gateway
        self._directory = directory
        self._inbox = inbox
        self._orders = orders
        self._admin_api = admin_api

    async def run(self) -> None:
        """Reconcile every shop with credentials; record the error of one that fails."""
        for shop in self._directory.configured.values():
            row = await self._directory.row(shop.domain)
            if not shop.can_be_called or row.uninstalled_at_ms is not None:
                continue
            try:
                await self.reconcile(shop)
            except ShopUnreachable as error:
                _log.warning("reconciliation of shop %s failed: %s", shop.domain, error.word)
                await self._directory.update(shop.domain, last_error=error.word)

    async def reconcile(
        self,
        shop: ShopSettings,
        since: datetime | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Reconciled:
        """Fetch and process the orders that changed since ``since``, or since the last run.

        Raises :class:`ShopUnreachable`; the orders fetched before that are kept.
        """
        started_at = self._gateway.clock.now()
        start = since or await self._since(shop, started_at)
        seen = new = 0
        cursor: str | None = None
        while True:
            page, cursor = await self._admin_api.updated_orders(shop, isoformat(start), cursor)
            for sent in page:
                new += await self._enqueue(shop, sent)
            seen += len(page)
            progress(seen)
            await self._inbox.worker.drain()
            if cursor is None:
                break
        reached_ms = to_epoch_ms(started_at)
        await self._directory.update(shop.domain, reconciled_to_ms=reached_ms, last_error=None)
        return Reconciled(shop.domain, start, seen, new)

    async def _since(self, shop: ShopSettings, now: datetime) -> datetime:
        row = await self._directory.row(shop.domain)
        # A time in the future was stored while the clock was ahead; its true value is unknown.
        if row.reconciled_to_ms is None or row.reconciled_to_ms > to_epoch_ms(now):
            return now - _FIRST_LOOK_BACK
        return from_epoch_ms(row.reconciled_to_ms) - _OVERLAP

    async def _enqueue(self, shop: ShopSettings, sent: ShopifyOrder) -> bool:
        """Put an order into the inbox unless its stored state is as recent.

        Within one second, it is as recent if its read data are the same.
        """
        record = await self._orders.find(shop.domain, sent.gid)
        digest = ""
        if record is not None:
            if is_stale(record, sent, is_current=True):
                return False
            if record.updated_at_ms == to_epoch_ms(sent.updated_at):
                decision = decide(sent, shop, record.facts.release, self._directory.country(shop))
                digest = f":{digest_of(decision)}"
                if record.facts.digest in {None, digest[1:]}:
                    return False
        index = self._orders.index(shop.domain, sent.gid)
        arrival = Arrival(
            shop.domain,
            f"reconciled:{index.hex()}:{to_epoch_ms(sent.updated_at)}{digest}",
            RECONCILED,
            msgspec.json.encode(sent),
            index,
        )
        return await self._inbox.put(arrival)
