"""``gateway acme-erp …``: connect, list and disconnect ACME's stores."""

from collections.abc import Sequence

import click
import msgspec

from gateway.plugin import (
    DEFAULT_ACCOUNT,
    AuditEntry,
    Caller,
    Conflict,
    Destination,
    Gateway,
    InvalidInput,
    NotFound,
    Session,
    command,
    is_pattern,
    new_id,
)
from gateway_acme_erp.sender import SINK
from gateway_acme_erp.settings import ErpStore

_COLUMNS = ("id", "store", "site", "events", "state", "last_success_at")


async def connect_store(
    gateway: Gateway, caller: Caller, store: str, events: Sequence[str], site: str | None = None
) -> Destination:
    """Tell ``store`` of ``events`` from now on: a destination of our own kind."""
    if not events or not all(is_pattern(each) for each in events):
        raise InvalidInput("Name events such as delivery.*,package.cancelled or * for all.")
    if site is not None and not gateway.sites.known(caller.account_id, site):
        raise InvalidInput("There is no such site in gateway.toml.")
    now = gateway.clock.now()
    destination = Destination(
        id=new_id("dst", now),
        account_id=caller.account_id,
        mode=caller.mode,
        sink=SINK,
        name=f"ACME store {store}",
        events=tuple(events),
        settings=msgspec.to_builtins(ErpStore(store)),
        site=site,
        max_in_flight=1,  # one batch at a time: the bridge is a small machine
        ordered=True,
        created_at=now,
    )
    async with gateway.database.begin() as connection:
        connected = await gateway.destinations.list(connection, caller, SINK)
        if any(each.settings["store"] == store for each in connected):
            raise Conflict("This store is connected already; disconnect it first.")
        await gateway.destinations.add(connection, destination)
    await _note(gateway, caller, "acme_erp.connected", destination.id)
    return destination


@command("connect")
@click.argument("store")
@click.option("--events", default="*", show_default=True, help="Patterns, comma-separated.")
@click.option("--site", help="Only this site's events.  [default: every site's]")
async def connect(session: Session, *, store: str, events: str, site: str | None) -> None:
    """Tell STORE, by ACME's code for it, what happens from now on."""
    patterns = [each.strip() for each in events.split(",") if each.strip()]
    async with session.gateway() as gateway:
        added = await connect_store(gateway, _caller(session), store, patterns, site)
    session.record(_shown(added))


@command("list")
async def list_stores(session: Session) -> None:
    """List the stores that are connected, oldest first."""
    async with session.gateway() as gateway, gateway.database.read() as connection:
        found = await gateway.destinations.list(connection, _caller(session), SINK)
    session.table(_COLUMNS, [_shown(each) for each in found])


@command("disconnect")
@click.argument("destination_id", metavar="ID")
async def disconnect(session: Session, *, destination_id: str) -> None:
    """Send a store no more events; past deliveries stay in the log."""
    caller = _caller(session)
    async with session.gateway() as gateway:
        async with gateway.database.begin() as connection:
            found = await gateway.destinations.get(connection, caller, destination_id)
            if found is None or found.sink != SINK:
                raise NotFound("No such store is connected; gateway acme-erp list shows them.")
            await gateway.destinations.remove(connection, found.id, gateway.clock.now())
        await _note(gateway, caller, "acme_erp.disconnected", found.id)
    session.record({"id": found.id, "disconnected": True})


def commands() -> click.Group:
    """Put the commands together under one name."""
    return click.Group(
        "acme-erp",
        commands=[connect, list_stores, disconnect],
        help="The stores of the ACME ERP that receive events.",
    )


async def _note(gateway: Gateway, caller: Caller, action: str, destination_id: str) -> None:
    await gateway.audit.note([AuditEntry(caller.account_id, caller.actor, action, destination_id)])


def _caller(session: Session) -> Caller:
    return session.caller(DEFAULT_ACCOUNT)


def _shown(destination: Destination) -> dict[str, object]:
    return {
        "id": destination.id,
        "store": destination.settings["store"],
        "site": destination.site,
        "events": destination.events,
        "state": destination.state,
        "last_success_at": destination.last_success_at,
    }
