"""``gateway shopify …``: connect shops, show their status, list and release orders."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import click
import msgspec

from gateway.plugin import (
    DEFAULT_ACCOUNT,
    Caller,
    InvalidInput,
    NotFound,
    Session,
    TimeOrAgo,
    command,
    masked,
    resolve_time,
    reveal_option,
    timestamp,
)
from gateway_shopify.connecting import connect as connect_shop
from gateway_shopify.held_orders import STATES
from gateway_shopify.schema import Release
from gateway_shopify.service import ShopifyService
from gateway_shopify.settings import ShopifySettings, ShopSettings
from gateway_shopify.shop_states import moment, why_stopped

_HELD_COLUMNS = (
    "id",
    "shop",
    "order",
    "state",
    "why",
    "problems",
    "warnings",
    "package_id",
)
_REQUEST_COLUMNS = ("id", "shop", "topic", "received_at", "finished_at")
# What a report shows without --reveal.
_OF_A_REQUEST = (
    *("shop", "topic", "received_at", "finished_at", "report", "redacted", "emptied_messages"),
    *("kept", "what", "why", "open", "live", "test"),
)
_TEST = click.option(
    "--test", "test_mode", is_flag=True, help="Use test data instead of live data."
)
_SHOP = click.argument("shop", required=False)


def shopify_group(settings: ShopifySettings) -> click.Group:
    """Build the command group for the shops of gateway.toml."""
    return click.Group(
        "shopify",
        commands=[
            _connect(settings),
            _status(settings),
            _reconcile(settings),
            _retry(settings),
            _held(settings),
            _release(settings),
            _dismiss(settings),
            _clear(settings),
            _requests(settings),
        ],
        help="Orders from Shopify shops, and delivery updates back to them.",
    )


def _connect(settings: ShopifySettings) -> click.Command:
    @command("connect")
    @_SHOP
    @click.option("--url", help="The public URL of the gateway.  [default: public_url]")
    async def connect(session: Session, *, shop: str | None, url: str | None) -> None:
        """Register SHOP's webhooks with Shopify.

        SHOP is its domain (lakeside.myshopify.com); optional if there is only one. Repeating it
        changes nothing, or moves the webhooks to another URL.
        """
        async with _opened(session, settings) as service:
            chosen = _chosen(settings, shop)
            done = await connect_shop(
                service.gateway, service.directory, service.admin_api, chosen, url
            )
        session.record(msgspec.to_builtins(done))
        if done.missing_scopes:
            session.say(
                "The app lacks access scopes: add them in a new version of it in the Dev "
                "Dashboard and accept that version in the shop."
            )

    return connect


def _status(settings: ShopifySettings) -> click.Command:
    @command("status")
    async def status(session: Session) -> None:
        """Show each shop: its last webhook, waiting and failed messages, errors."""
        async with _opened(session, settings) as service:
            rows = [await _status_row(service, each) for each in settings.shops]
        session.table(list(rows[0]) if rows else ["shop"], rows)

    return status


def _reconcile(settings: ShopifySettings) -> click.Command:
    @command("reconcile")
    @_SHOP
    @click.option("--since", type=TimeOrAgo(), help="A time (2026-11-20), or how long ago: 7d.")
    async def reconcile(
        session: Session, *, shop: str | None, since: datetime | timedelta | None
    ) -> None:
        """Fetch the changed orders of SHOP and process the new ones.

        The server does this every quarter of an hour. --since looks further back than the last
        run; a record order makes no second package.
        """
        async with session.gateway() as gateway, ShopifyService(settings, gateway) as service:
            start = None if since is None else resolve_time(since, gateway.clock.now())

            def progress(seen: int) -> None:
                click.echo(f"{seen} orders fetched", err=True)

            done = await service.reconciler.reconcile(_chosen(settings, shop), start, progress)
        session.record({**msgspec.to_builtins(done), "since": timestamp(done.since)})

    return reconcile


def _retry(settings: ShopifySettings) -> click.Command:
    @command("retry")
    @_SHOP
    async def retry(session: Session, *, shop: str | None) -> None:
        """Process the failed webhooks again."""
        async with _opened(session, settings) as service:
            chosen = _chosen(settings, shop)
            count = await service.inbox.retry_failed(chosen.domain)
            await service.inbox.worker.drain()
            left = (await service.inbox.counts(chosen.domain)).get("failed", 0)
        session.record({"shop": chosen.domain, "tried_again": count, "failed": left})

    return retry


def _held(settings: ShopifySettings) -> click.Command:
    @command("held")
    @click.option(
        "--state",
        type=click.Choice(STATES),
        multiple=True,
        default=("held", "flagged"),
        show_default=True,
        help="State of the orders; repeatable.",
    )
    @_TEST
    @reveal_option
    async def held(
        session: Session, *, state: tuple[str, ...], test_mode: bool, reveal: bool
    ) -> None:
        """List orders that need a person: held ones, and flagged ones with a package.

        An order is flagged if the shop changed it too late or in a way that the gateway doesn't
        follow by itself, or if its package was made with warnings; see gateway shopify clear.
        """
        async with _opened(session, settings) as service:
            rows: list[dict[str, Any]] = []
            for account in sorted({each.account for each in settings.shops}):
                rows += await service.held.list(
                    _caller(session, account, test_mode, reveal=reveal), state
                )
        session.table(_HELD_COLUMNS, rows)

    return held


def _release(settings: ShopifySettings) -> click.Command:
    @command("release")
    @click.argument("order_id", metavar="ID")
    @click.option(
        "--add", is_flag=True, help="Prompt for the name, address and phone to deliver to."
    )
    @click.option("--dry-run", is_flag=True, help="Only show what would be made.")
    @_TEST
    @reveal_option
    async def release(
        session: Session, *, order_id: str, add: bool, dry_run: bool, test_mode: bool, reveal: bool
    ) -> None:
        """Make a package of a held, skipped or waiting order; --dry-run shows what it would be."""
        added = Release()
        if add:  # prompted for: shells keep command lines in their history
            added = Release(
                patient_name=click.prompt("Name", err=True),
                patient_address=click.prompt("Address", err=True),
                patient_phone=click.prompt("Phone (may be empty)", "", err=True) or None,
            )
        async with _opened(session, settings) as service:
            caller = await _owner(session, service, order_id, test_mode, reveal=reveal)
            if dry_run:
                session.record(await service.held.preview(caller, order_id, added))
            else:
                session.record(await service.held.release(caller, order_id, added))

    return release


def _clear(settings: ShopifySettings) -> click.Command:
    @command("clear")
    @click.argument("order_id", metavar="ID")
    @_TEST
    @reveal_option
    async def clear(session: Session, *, order_id: str, test_mode: bool, reveal: bool) -> None:
        """Clear the flag of an order that you have handled."""
        async with _opened(session, settings) as service:
            caller = await _owner(session, service, order_id, test_mode, reveal=reveal)
            session.record(await service.held.clear(caller, order_id))

    return clear


def _dismiss(settings: ShopifySettings) -> click.Command:
    @command("dismiss")
    @click.argument("order_id", metavar="ID")
    @_TEST
    @reveal_option
    async def dismiss(session: Session, *, order_id: str, test_mode: bool, reveal: bool) -> None:
        """Set a held order aside that is not to be delivered from here.

        The shop's next change of it may hold it again; it can still be released.
        """
        async with _opened(session, settings) as service:
            caller = await _owner(session, service, order_id, test_mode, reveal=reveal)
            session.record(await service.held.dismiss(caller, order_id))

    return dismiss


def _requests(settings: ShopifySettings) -> click.Command:
    @command("requests")
    @click.argument("request_id", metavar="[ID]", required=False)
    @reveal_option
    async def requests(session: Session, *, request_id: str | None, reveal: bool) -> None:
        """List the privacy requests, or show one with its report; --reveal shows what was found."""
        async with _opened(session, settings) as service:
            if request_id is None:
                session.table(_REQUEST_COLUMNS, await service.compliance.reports())
                return
            found = await service.compliance.report(request_id)
        if found is None:
            raise NotFound("There is no such request; see gateway shopify requests.")
        caller = session.caller(DEFAULT_ACCOUNT, reveal=reveal)
        session.record(masked(caller, found, shown=_OF_A_REQUEST))

    return requests


@asynccontextmanager
async def _opened(session: Session, settings: ShopifySettings) -> AsyncIterator[ShopifyService]:
    async with session.gateway() as gateway, ShopifyService(settings, gateway) as service:
        yield service


def _chosen(settings: ShopifySettings, domain: str | None) -> ShopSettings:
    found = [each for each in settings.shops if domain in {None, each.domain}]
    if len(found) != 1:
        names = ", ".join(each.domain for each in settings.shops)
        raise InvalidInput(
            f"Give one of the shops in gateway.toml: {names}."
            if names
            else "There is no shop in gateway.toml; add [[plugins.shopify.shops]]."
        )
    return found[0]


def _caller(session: Session, account: str, test_mode: bool, *, reveal: bool = False) -> Caller:
    return session.caller(account, "test" if test_mode else "live", reveal=reveal)


async def _owner(
    session: Session, service: ShopifyService, order_id: str, test_mode: bool, *, reveal: bool
) -> Caller:
    record = await service.orders.by_id(order_id)
    shop = service.directory.configured.get(record.shop) if record else None
    if shop is None:
        raise NotFound("There is no such order; see gateway shopify held.")
    return _caller(session, shop.account, test_mode, reveal=reveal)


async def _status_row(service: ShopifyService, shop: ShopSettings) -> dict[str, Any]:
    row = await service.directory.row(shop.domain)
    inbox, orders = (
        await service.inbox.counts(shop.domain),
        await service.orders.counts(shop.domain),
    )
    destination = await service.directory.destination(shop)
    stopped = why_stopped(destination)
    no = "no" if destination is None else f"no: {stopped}"
    return {
        "shop": shop.domain,
        "site": shop.site,
        "destination_id": None if destination is None else destination.id,
        "told": "yes" if stopped is None else no,
        "connected_at": moment(row.connected_at_ms),
        "last_webhook_at": moment(await service.inbox.last_received_at_ms(shop.domain)),
        "reconciled_to": moment(row.reconciled_to_ms),
        "uninstalled_at": moment(row.uninstalled_at_ms),
        "last_error": row.last_error,
        "waiting": inbox.get("waiting", 0),
        "failed": inbox.get("failed", 0),
        "packages": orders.get("made", 0),
        "held": orders.get("held", 0),
        "flagged": orders["flagged"],
    }
