"""The stored state of shops, and their destinations.

Each shop has two destinations of the sink ``shopify``, one for live data and one for test
data. The first process creates them when the gateway opens. They follow gateway.toml: a
removed shop's destinations are disabled, and enabled again when the shop is back.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.plugin import (
    CLOSED,
    Caller,
    Destination,
    Gateway,
    Mode,
    SettingsError,
    new_id,
    to_epoch_ms,
)
from gateway_shopify.settings import ShopDestination, ShopSettings
from gateway_shopify.tables import shops

SINK: Final = "shopify"
EVENTS: Final = (
    "delivery.picked_up",
    "delivery.out_for_delivery",
    "delivery.attempted",
    "delivery.rescheduled",
    "delivery.completed",
    "delivery.failed",
    "delivery.returned",
    "package.cancelled",
)
_MODES: Final[tuple[Mode, Mode]] = ("live", "test")
NOT_CONFIGURED: Final = "shop_not_configured"
UNINSTALLED: Final = "app_uninstalled"
NO_CREDENTIALS: Final = "no_credentials"


class ShopDirectory:
    """The shops of gateway.toml by domain, and their stored state."""

    def __init__(self, gateway: Gateway, settings: Iterable[ShopSettings]) -> None:
        self._gateway = gateway
        self.configured: Mapping[str, ShopSettings] = {each.domain: each for each in settings}
        for each in self.configured.values():
            _require_site(gateway, each)
        self.destination_ids: frozenset[str] = frozenset()

    async def open(self) -> None:
        """Create missing shops and bring their destinations in line with gateway.toml."""
        for shop in self.configured.values():
            await self._ensure(shop)
        async with self._gateway.database.read() as connection:
            rows = list(await connection.execute(select(shops)))
        for row in rows:
            await self._apply_settings(row)
        self.destination_ids = frozenset(
            each for row in rows for each in (row.live_destination_id, row.test_destination_id)
        )

    def country(self, shop: ShopSettings) -> str:
        """Return the ISO 3166 code of the country of a shop's site."""
        sites = [each for each in self._gateway.settings.sites if each.account == shop.account]
        return next((each.country for each in sites if shop.site in {None, each.code}), "US")

    async def row(self, shop: str) -> Row[Any]:
        """Return the stored state of a shop of gateway.toml."""
        async with self._gateway.database.read() as connection:
            found = await connection.execute(select(shops).where(shops.c.shop == shop))
            return found.one()

    async def update(self, shop: str, **values: Any) -> None:
        """Update columns of a shop."""
        async with self._gateway.database.begin() as connection:
            await connection.execute(update(shops).where(shops.c.shop == shop).values(**values))

    async def uninstalled(self, shop: ShopSettings, at: datetime) -> None:
        """Disable the destinations of a shop that removed the app; delete its token."""
        await self.update(
            shop.domain,
            uninstalled_at_ms=to_epoch_ms(at),
            token=None,
            token_expires_at_ms=None,
        )
        await self._apply_settings(await self.row(shop.domain))

    async def connected(self, shop: ShopSettings, at: datetime) -> None:
        """Enable a shop's destinations, whatever the reason they were disabled for."""
        await self.update(shop.domain, uninstalled_at_ms=None, connected_at_ms=to_epoch_ms(at))
        row = await self.row(shop.domain)
        ids = (row.live_destination_id, row.test_destination_id)
        for destination_id, mode in zip(ids, _MODES, strict=True):
            await self._switch(destination_id, mode, shop.account, shop, None, force=True)

    async def destination(self, shop: ShopSettings) -> Destination | None:
        """Return the destination of a shop's live orders."""
        row = await self.row(shop.domain)
        async with self._gateway.database.read() as connection:
            return await self._found(connection, row.live_destination_id, "live", shop.account)

    async def _ensure(self, shop: ShopSettings) -> None:
        query = select(shops.c.shop).where(shops.c.shop == shop.domain)
        async with self._gateway.database.read() as connection:
            if (await connection.execute(query)).first() is not None:
                return
        try:
            async with self._gateway.database.begin() as connection:
                await self._add(connection, shop)
        except IntegrityError:
            return  # another process has just inserted it

    async def _add(self, connection: AsyncConnection, shop: ShopSettings) -> None:
        now = self._gateway.clock.now()
        live, test = (new_id("dst", now) for _ in _MODES)
        # First: of two processes, one fails here.
        await connection.execute(
            insert(shops).values(
                shop=shop.domain, live_destination_id=live, test_destination_id=test
            )
        )
        for destination_id, mode in zip((live, test), _MODES, strict=True):
            await self._gateway.destinations.add(
                connection,
                Destination(
                    id=destination_id,
                    account_id=shop.account,
                    mode=mode,
                    sink=SINK,
                    name=f"Shopify {shop.domain}",
                    events=EVENTS,
                    settings=msgspec.to_builtins(ShopDestination(shop.domain)),
                    site=shop.site,
                    max_in_flight=4,
                    ordered=True,  # a package's events are sent one after the other
                    created_at=now,
                ),
            )

    async def _apply_settings(self, row: Row[Any]) -> None:
        """Enable or disable a shop's destinations by gateway.toml and the shop's own state."""
        shop = self.configured.get(row.shop)
        reason = NOT_CONFIGURED if shop is None else None
        if row.uninstalled_at_ms is not None:
            reason = UNINSTALLED
        elif shop is not None and not shop.can_be_called:
            reason = NO_CREDENTIALS
        account = shop.account if shop else None
        ids = (row.live_destination_id, row.test_destination_id)
        for destination_id, mode in zip(ids, _MODES, strict=True):
            await self._switch(destination_id, mode, account, shop, reason)

    async def _switch(
        self,
        destination_id: str,
        mode: Mode,
        account: str | None,
        shop: ShopSettings | None,
        reason: str | None,
        *,
        force: bool = False,
    ) -> None:
        async with self._gateway.database.begin() as connection:
            # Locked until written back, so that no concurrent change is lost.
            found = await self._found(connection, destination_id, mode, account, for_update=True)
            if found is None:
                return
            after = self._switched(found, reason, force=force)
            if shop is not None:
                after = msgspec.structs.replace(after, site=shop.site, events=EVENTS)
            if after != found:
                await self._gateway.destinations.change(connection, after)

    def _switched(self, found: Destination, reason: str | None, *, force: bool) -> Destination:
        """Return the destination disabled for ``reason``, or enabled if there is none."""
        own_reasons = {NOT_CONFIGURED, UNINSTALLED, NO_CREDENTIALS}
        may_change = found.state != "disabled" or found.state_reason in own_reasons
        if reason is not None and may_change:
            since = found.disabled_at or self._gateway.clock.now()
            return msgspec.structs.replace(
                found, state="disabled", state_reason=reason, disabled_at=since
            )
        if (
            reason is None
            and found.state == "disabled"
            and (force or found.state_reason in own_reasons)
        ):
            return msgspec.structs.replace(
                found,
                state="active",
                state_reason=None,
                disabled_at=None,
                failing_since=None,
                breaker=CLOSED,
            )
        return found

    async def _found(
        self,
        connection: AsyncConnection,
        destination_id: str,
        mode: Mode,
        account: str | None,
        *,
        for_update: bool = False,
    ) -> Destination | None:
        destinations = self._gateway.destinations
        if account is None:  # its shop, which names the account, is not in gateway.toml
            every = await destinations.of_sink(connection, SINK, after_id="", limit=1000)
            account = next((each.account_id for each in every if each.id == destination_id), None)
        if account is None:
            return None
        caller = Caller(account, mode, "shopify")
        return await destinations.get(connection, caller, destination_id, for_update=for_update)


def _require_site(gateway: Gateway, shop: ShopSettings) -> None:
    """Raise ``SettingsError`` for a shop without a valid site."""
    codes = sorted(each.code for each in gateway.settings.sites if each.account == shop.account)
    if shop.site is None and len(codes) <= 1:
        return
    if shop.site is not None and shop.site in codes:
        return
    names = ", ".join(codes) or "there are none; add [[sites]]"
    where = f"[[plugins.shopify.shops]] {shop.domain}"
    raise SettingsError(f"{where}: site: expected one of the account's sites ({names})")
