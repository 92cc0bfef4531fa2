"""Asking shops for what we missed: orders updated since the last one that we were told of.

Shopify gives a webhook up after four hours, and takes a subscription away that keeps failing.
What is found goes through the inbox like everything else, so that it counts once and a
process that is killed in the middle leaves nothing out.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from gateway.plugin import Gateway, from_epoch_ms, isoformat, to_epoch_ms
from gateway_shopify.admin_api.client import ShopCalls
from gateway_shopify.errors import ShopUnreachable
from gateway_shopify.inbox import Arrival, Inbox
from gateway_shopify.inbox_worker import Worker
from gateway_shopify.orders import OrderBook
from gateway_shopify.schema import RECONCILED, ShopifyOrder
from gateway_shopify.settings import ShopSettings
from gateway_shopify.shops import ShopDirectory

# An order may become visible to a search a little later than it says it changed.
_OVERLAP: Final = timedelta(minutes=5)
# The first time, without a connect, nobody wants years of orders as new packages.
_FIRST_LOOK_BACK: Final = timedelta(hours=4)

_log = logging.getLogger(__name__)


class Reconciled(msgspec.Struct, frozen=True):
    """What asking a shop found: orders that changed, and those of them that were news."""

    shop: str
    since: datetime
    seen: int
    news: int


class Reconciler:
    """Asks the shops."""

    def __init__(
        self,
        gateway: Gateway,
        directory: ShopDirectory,
        inbox: Inbox,
        book: OrderBook,
        calls: ShopCalls,
        worker: Worker,
    ) -> None:
        self._gateway = gateway
        self._directory = directory
        self._inbox = inbox
        self._book = book
        self._calls = calls
        self._worker = worker

    async def run(self) -> None:
        """Ask every shop that can be asked; one that fails is noted, and asked next time."""
        for shop in self._directory.configured.values():
            row = await self._directory.row(shop.domain)
            if not shop.can_be_called or row.uninstalled_at_ms is not None:
                continue
            try:
                await self.ask(shop)
            except ShopUnreachable as error:
                _log.warning("shop %s can't be asked: %s", shop.domain, error.word)
                await self._directory.note(shop.domain, last_error=error.word)

    async def ask(
        self,
        shop: ShopSettings,
        since: datetime | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Reconciled:
        """Fetch what changed since ``since``, or since the last time, and work it off.

        Raises :class:`ShopUnreachable`; what was fetched until then is kept and worked off.
        """
        began_at = self._gateway.clock.now()
        start = since or await self._since(shop, began_at)
        seen = news = 0
        cursor: str | None = None
        while True:
            page, cursor = await self._calls.updated_orders(shop, isoformat(start), cursor)
            for sent in page:
                news += await self._take(shop, sent)
            seen += len(page)
            progress(seen)
            await self._worker.drain()
            if cursor is None:
                break
        reached_ms = to_epoch_ms(began_at)
        await self._directory.note(shop.domain, reconciled_to_ms=reached_ms, last_error=None)
        return Reconciled(shop.domain, start, seen, news)

    async def _since(self, shop: ShopSettings, now: datetime) -> datetime:
        row = await self._directory.row(shop.domain)
        # A clock that was ahead wrote down a time that is still to come: nobody knows which it was.
        if row.reconciled_to_ms is None or row.reconciled_to_ms > to_epoch_ms(now):
            return now - _FIRST_LOOK_BACK
        return from_epoch_ms(row.reconciled_to_ms) - _OVERLAP

    async def _take(self, shop: ShopSettings, sent: ShopifyOrder) -> bool:
        """Put an order into the inbox, unless we know it as it is."""
        known = await self._book.find(shop.domain, sent.gid)
        if known is not None and known.updated_at_ms >= to_epoch_ms(sent.updated_at):
            return False
        index = self._book.index(shop.domain, sent.gid)
        arrival = Arrival(
            shop.domain,
            f"reconciled:{index.hex()}:{to_epoch_ms(sent.updated_at)}",
            RECONCILED,
            msgspec.json.encode(sent),
            index,
        )
        return await self._inbox.put(arrival)
