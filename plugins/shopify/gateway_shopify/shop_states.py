"""The state of each shop (connection, token, backlog) for page, HTTP and commands."""

from typing import Literal

import msgspec

from gateway.plugin import Caller, Destination, Gateway, from_epoch_ms, timestamp
from gateway_shopify.admin_api.tokens import Tokens
from gateway_shopify.inbox import Inbox
from gateway_shopify.orders import OrderStore
from gateway_shopify.settings import ShopSettings
from gateway_shopify.shops import ShopDirectory

State = Literal["connected", "not_connected", "failing", "uninstalled", "no_credentials"]
TokenKind = Literal["permanent", "renewed", "none"]


class ShopState(msgspec.Struct, frozen=True, kw_only=True):
    """A shop of gateway.toml. Times are in ISO 8601.

    ``state``: ``failing`` says that the last reconciliation failed (``last_error``),
      ``no_credentials`` that its Admin API can't be called. ``token`` is ``permanent`` or
      ``renewed`` daily; ``token_expires_at`` is when the present one ends, and a new one is fetched
      before. ``waiting`` and ``failed`` count webhooks, ``held``, ``flagged`` and ``unpaid``
      orders. ``updates_stopped`` says why the shop gets no delivery updates; ``null`` when it does.
    """

    shop: str
    site: str | None
    state: State
    connected_at: str | None
    uninstalled_at: str | None
    last_webhook_at: str | None
    last_order_at: str | None
    reconciled_to: str | None
    last_error: str | None
    token: TokenKind
    token_expires_at: str | None
    waiting: int
    failed: int
    held: int
    flagged: int
    unpaid: int
    destination_id: str | None
    updates_stopped: str | None


class ShopStates:
    """Reads the states of an account's shops."""

    def __init__(
        self,
        gateway: Gateway,
        directory: ShopDirectory,
        inbox: Inbox,
        orders: OrderStore,
        tokens: Tokens,
    ) -> None:
        self._gateway = gateway
        self._directory = directory
        self._inbox = inbox
        self._orders = orders
        self._tokens = tokens

    async def of(self, caller: Caller) -> list[ShopState]:
        """Return the shops whose site ``caller`` may see, by domain."""
        return [
            await self._state(shop, caller)
            for _, shop in sorted(self._directory.configured.items())
            if shop.account == caller.account_id and caller.sees_site(shop.site)
        ]

    async def _state(self, shop: ShopSettings, caller: Caller) -> ShopState:
        row = await self._directory.row(shop.domain)
        messages = await self._inbox.counts(shop.domain)
        orders = await self._orders.needing(shop.domain, caller.mode)
        destination = await self._directory.destination(shop)
        expires_at = None if shop.access_token else await self._tokens.expires_at(shop)
        state: State = "connected"
        if row.uninstalled_at_ms is not None:
            state = "uninstalled"
        elif not shop.can_be_called:
            state = "no_credentials"
        elif row.connected_at_ms is None:
            state = "not_connected"
        elif row.last_error is not None:
            state = "failing"
        return ShopState(
            shop=shop.domain,
            site=shop.site,
            state=state,
            connected_at=moment(row.connected_at_ms),
            uninstalled_at=moment(row.uninstalled_at_ms),
            last_webhook_at=moment(await self._inbox.last_received_at_ms(shop.domain)),
            last_order_at=moment(await self._orders.newest_at_ms(shop.domain)),
            reconciled_to=moment(row.reconciled_to_ms),
            last_error=row.last_error,
            token="permanent" if shop.access_token else "renewed" if shop.client_id else "none",
            token_expires_at=None if expires_at is None else timestamp(expires_at),
            waiting=messages.get("waiting", 0),
            failed=messages.get("failed", 0),
            held=orders["held"],
            flagged=orders["flagged"],
            unpaid=orders["waiting"],
            destination_id=None if destination is None else destination.id,
            updates_stopped=why_stopped(destination),
        )


def why_stopped(destination: Destination | None) -> str | None:
    """Return why a shop gets no delivery updates; ``None`` when it does."""
    if destination is None:
        return "no_destination"
    if destination.state == "active":
        return None
    return destination.state_reason or destination.state


def moment(epoch_ms: int | None) -> str | None:
    """Return a stored time in ISO 8601."""
    return None if epoch_ms is None else timestamp(from_epoch_ms(epoch_ms))
