"""``gateway shopify …``: connecting shops, seeing how they are, and what was held."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import click
import msgspec
from sqlalchemy import func, select

from gateway.plugin import (
    Caller,
    Destination,
    InvalidInput,
    NotFound,
    Session,
    TimeOrAgo,
    command,
    from_epoch_ms,
    resolve_time,
    timestamp,
)
from gateway_shopify.connecting import connect as connect_shop
from gateway_shopify.held_orders import STATES
from gateway_shopify.schema import Release
from gateway_shopify.service import Desk
from gateway_shopify.settings import ShopifySettings, ShopSettings
from gateway_shopify.tables import messages

_HELD_COLUMNS = ("id", "shop", "order", "state", "why", "problems", "package_id")
_REQUEST_COLUMNS = ("id", "shop", "topic", "received_at", "finished_at")
_TEST = click.option("--test", "test_mode", is_flag=True, help="Look at test data, not live.")
_SHOP = click.argument("shop", required=False)


def shopify_group(settings: ShopifySettings) -> click.Group:
    """Make the group over the shops of gateway.toml."""
    return click.Group(
        "shopify",
        commands=[
            _connect(settings),
            _status(settings),
            _reconcile(settings),
            _retry(settings),
            _held(settings),
            _release(settings),
            _requests(settings),
        ],
        help="Orders from Shopify shops, and what became of them back.",
    )


def _connect(settings: ShopifySettings) -> click.Command:
    @command("connect")
    @_SHOP
    @click.option("--url", help="How the gateway is reached from outside.  [default: public_url]")
    async def connect(session: Session, *, shop: str | None, url: str | None) -> None:
        """Have Shopify send SHOP's webhooks to this gateway.

        SHOP is its domain (lakeside.myshopify.com), and may be left out when there is only one.
        Doing it again changes nothing, or moves the webhooks to another address.
        """
        async with _opened(session, settings) as desk:
            chosen = _chosen(settings, shop)
            done = await connect_shop(desk.gateway, desk.directory, desk.calls, chosen, url)
        session.record(msgspec.to_builtins(done))
        if done.missing_scopes:
            session.say(
                "The app lacks access scopes: add them to a new version of it in the Dev "
                "Dashboard and accept that in the shop."
            )

    return connect


def _status(settings: ShopifySettings) -> click.Command:
    @command("status")
    async def status(session: Session) -> None:
        """Say how each shop is: when it was last heard of, what waits, what failed."""
        async with _opened(session, settings) as desk:
            rows = [await _standing(desk, each) for each in settings.shops]
        session.table(list(rows[0]) if rows else ["shop"], rows)

    return status


def _reconcile(settings: ShopifySettings) -> click.Command:
    @command("reconcile")
    @_SHOP
    @click.option("--since", type=TimeOrAgo(), help="A time (2026-11-20), or how long ago: 7d.")
    async def reconcile(
        session: Session, *, shop: str | None, since: datetime | timedelta | None
    ) -> None:
        """Fetch the orders of SHOP that changed, and work off what we did not know.

        The gateway does this by itself every quarter of an hour. With --since it looks further
        back than the last time; an order that is known makes no second package.
        """
        async with session.gateway() as gateway, Desk(settings, gateway) as desk:
            start = None if since is None else resolve_time(since, gateway.clock.now())

            def progress(seen: int) -> None:
                click.echo(f"{seen} orders looked at", err=True)

            done = await desk.reconciler.ask(_chosen(settings, shop), start, progress)
        session.record({**msgspec.to_builtins(done), "since": timestamp(done.since)})

    return reconcile


def _retry(settings: ShopifySettings) -> click.Command:
    @command("retry")
    @_SHOP
    async def retry(session: Session, *, shop: str | None) -> None:
        """Work off once more what was put aside because it failed too often."""
        async with _opened(session, settings) as desk:
            chosen = _chosen(settings, shop)
            count = await desk.inbox.try_again(chosen.domain)
            await desk.worker.drain()
            left = (await desk.inbox.counts(chosen.domain)).get("failed", 0)
        session.record({"shop": chosen.domain, "tried_again": count, "failed": left})

    return retry


def _held(settings: ShopifySettings) -> click.Command:
    @command("held")
    @click.option(
        "--state",
        type=click.Choice(STATES),
        multiple=True,
        default=("held",),
        show_default=True,
        help="Which orders; may be given more than once.",
    )
    @_TEST
    async def held(session: Session, *, state: tuple[str, ...], test_mode: bool) -> None:
        """List orders that made no package, with the reason."""
        async with _opened(session, settings) as desk:
            rows: list[dict[str, Any]] = []
            for account in sorted({each.account for each in settings.shops}):
                rows += await desk.held.list(_caller(session, account, test_mode), state)
        session.table(_HELD_COLUMNS, rows)

    return held


def _release(settings: ShopifySettings) -> click.Command:
    @command("release")
    @click.argument("order_id", metavar="ID")
    @click.option("--add", is_flag=True, help="Ask for the name, address and phone to deliver to.")
    @_TEST
    async def release(session: Session, *, order_id: str, add: bool, test_mode: bool) -> None:
        """Make a package of a held or skipped order all the same."""
        added = Release()
        if add:  # asked for, not named: what stands on a command line is kept by shells
            added = Release(
                patient_name=click.prompt("Name", err=True),
                patient_address=click.prompt("Address", err=True),
                patient_phone=click.prompt("Phone (may be empty)", "", err=True) or None,
            )
        async with _opened(session, settings) as desk:
            known = await desk.book.by_id(order_id)
            shop = desk.directory.configured.get(known.shop) if known else None
            if shop is None:
                raise NotFound("There is no such order; gateway shopify held lists them.")
            caller = _caller(session, shop.account, test_mode)
            session.record(await desk.held.release(caller, order_id, added))

    return release


def _requests(settings: ShopifySettings) -> click.Command:
    @command("requests")
    @click.argument("request_id", metavar="[ID]", required=False)
    async def requests(session: Session, *, request_id: str | None) -> None:
        """List the requests under privacy law that came in, or show one with its report."""
        async with _opened(session, settings) as desk:
            if request_id is None:
                session.table(_REQUEST_COLUMNS, await desk.compliance.reports())
                return
            found = await desk.compliance.report(request_id)
        if found is None:
            raise NotFound("There is no such request; gateway shopify requests lists them.")
        session.record(found)

    return requests


@asynccontextmanager
async def _opened(session: Session, settings: ShopifySettings) -> AsyncIterator[Desk]:
    async with session.gateway() as gateway, Desk(settings, gateway) as desk:
        yield desk


def _chosen(settings: ShopifySettings, domain: str | None) -> ShopSettings:
    found = [each for each in settings.shops if domain in {None, each.domain}]
    if len(found) != 1:
        names = ", ".join(each.domain for each in settings.shops)
        raise InvalidInput(
            f"Name one of the shops of gateway.toml: {names}."
            if names
            else "There is no shop in gateway.toml; add [[plugins.shopify.shops]]."
        )
    return found[0]


def _caller(session: Session, account: str, test_mode: bool) -> Caller:
    return Caller(account, "test" if test_mode else "live", session.actor)


async def _standing(desk: Desk, shop: ShopSettings) -> dict[str, Any]:
    row = await desk.directory.row(shop.domain)
    inbox, orders = await desk.inbox.counts(shop.domain), await desk.book.counts(shop.domain)
    newest = select(func.max(messages.c.received_at_ms)).where(messages.c.shop == shop.domain)
    async with desk.gateway.database.read() as connection:
        last_ms = (await connection.execute(newest)).scalar()
    destination = await desk.directory.destination(shop)
    return {
        "shop": shop.domain,
        "site": shop.site,
        "destination_id": None if destination is None else destination.id,
        "told": "no" if destination is None else _told(destination),
        "connected_at": _at(row.connected_at_ms),
        "last_webhook_at": _at(last_ms),
        "reconciled_to": _at(row.reconciled_to_ms),
        "uninstalled_at": _at(row.uninstalled_at_ms),
        "last_error": row.last_error,
        "waiting": inbox.get("waiting", 0),
        "failed": inbox.get("failed", 0),
        "packages": orders.get("made", 0),
        "held": orders.get("held", 0),
    }


def _told(destination: Destination) -> str:
    """Say whether the shop is told what happens, and why not."""
    if destination.state == "active":
        return "yes"
    return f"no: {destination.state_reason or destination.state}"


def _at(epoch_ms: int | None) -> str | None:
    return None if epoch_ms is None else timestamp(from_epoch_ms(epoch_ms))
