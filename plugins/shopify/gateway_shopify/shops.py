"""The shops as the database knows them, and the destinations that stand for them.

Each shop has two destinations of our own kind, one for live data and one for test data. They
are made when the gateway opens, whichever process is the first, and follow gateway.toml: a
shop that isn't named there any more gets nothing, and gets it again when it is back.
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
    """The shops of gateway.toml by domain, and their rows."""

    def __init__(self, gateway: Gateway, settings: Iterable[ShopSettings]) -> None:
        self._gateway = gateway
        self.configured: Mapping[str, ShopSettings] = {each.domain: each for each in settings}
        for each in self.configured.values():
            _require_site(gateway, each)
        self.destination_ids: frozenset[str] = frozenset()

    async def open(self) -> None:
        """See to it that every shop has its rows, and that they are as gateway.toml has them."""
        for shop in self.configured.values():
            await self._ensure(shop)
        async with self._gateway.database.read() as connection:
            rows = list(await connection.execute(select(shops)))
        for row in rows:
            await self._follow(row)
        self.destination_ids = frozenset(
            each for row in rows for each in (row.live_destination_id, row.test_destination_id)
        )

    async def row(self, shop: str) -> Row[Any]:
        """Return what the database knows of a shop of gateway.toml."""
        async with self._gateway.database.read() as connection:
            found = await connection.execute(select(shops).where(shops.c.shop == shop))
            return found.one()

    async def note(self, shop: str, **values: Any) -> None:
        """Write something down about a shop."""
        async with self._gateway.database.begin() as connection:
            await connection.execute(update(shops).where(shops.c.shop == shop).values(**values))

    async def uninstalled(self, shop: ShopSettings, at: datetime) -> None:
        """Stop telling a shop that took the app away; its token is worth nothing any more."""
        await self.note(
            shop.domain,
            uninstalled_at_ms=to_epoch_ms(at),
            token=None,
            token_expires_at_ms=None,
        )
        await self._follow(await self.row(shop.domain))

    async def connected(self, shop: ShopSettings, at: datetime) -> None:
        """Tell a shop what happens, from now on or again, whyever it was switched off."""
        await self.note(shop.domain, uninstalled_at_ms=None, connected_at_ms=to_epoch_ms(at))
        row = await self.row(shop.domain)
        ids = (row.live_destination_id, row.test_destination_id)
        for destination_id, mode in zip(ids, _MODES, strict=True):
            await self._switch(destination_id, mode, shop.account, shop, None, anew=True)

    async def destination(self, shop: ShopSettings) -> Destination | None:
        """Return the destination that stands for a shop's live orders."""
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
            return  # another process was quicker: its rows are there now

    async def _add(self, connection: AsyncConnection, shop: ShopSettings) -> None:
        now = self._gateway.clock.now()
        live, test = (new_id("dst", now) for _ in _MODES)
        # First, so that of two processes one stops here.
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
                    name=f"Shopify: {shop.domain}",
                    events=EVENTS,
                    settings=msgspec.to_builtins(ShopDestination(shop.domain)),
                    site=shop.site,
                    max_in_flight=4,
                    ordered=True,  # a package's steps go out one after the other
                    created_at=now,
                ),
            )

    async def _follow(self, row: Row[Any]) -> None:
        """Switch a shop's destinations as gateway.toml and the shop itself have it."""
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
        anew: bool = False,
    ) -> None:
        async with self._gateway.database.begin() as connection:
            # Locked until it is written back: what others change meanwhile would be lost.
            found = await self._found(connection, destination_id, mode, account, for_update=True)
            if found is None:
                return
            after = self._switched(found, reason, anew=anew)
            if shop is not None:
                after = msgspec.structs.replace(after, site=shop.site, events=EVENTS)
            if after != found:
                await self._gateway.destinations.change(connection, after)

    def _switched(self, found: Destination, reason: str | None, *, anew: bool) -> Destination:
        """Return a destination switched off for ``reason``, or on where there is none."""
        ours = {NOT_CONFIGURED, UNINSTALLED, NO_CREDENTIALS}
        may_change = found.state != "disabled" or found.state_reason in ours
        if reason is not None and may_change:
            since = found.disabled_at or self._gateway.clock.now()
            return msgspec.structs.replace(
                found, state="disabled", state_reason=reason, disabled_at=since
            )
        if reason is None and found.state == "disabled" and (anew or found.state_reason in ours):
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
        if account is None:  # its shop is not in gateway.toml, which would say whose it is
            every = await destinations.of_sink(connection, SINK, after_id="", limit=1000)
            account = next((each.account_id for each in every if each.id == destination_id), None)
        if account is None:
            return None
        caller = Caller(account, mode, "shopify")
        return await destinations.get(connection, caller, destination_id, for_update=for_update)


def _require_site(gateway: Gateway, shop: ShopSettings) -> None:
    """Refuse a shop whose orders could belong to no site."""
    codes = sorted(each.code for each in gateway.settings.sites if each.account == shop.account)
    if shop.site is None and len(codes) <= 1:
        return
    if shop.site is not None and shop.site in codes:
        return
    names = ", ".join(codes) or "there are none; add [[sites]]"
    where = f"[[plugins.shopify.shops]] {shop.domain}"
    raise SettingsError(f"{where}: site: expected one of the account's sites ({names})")
