"""``gateway acme-erp …``: connect, list and disconnect ACME's stores."""

import click

from gateway.plugin import DEFAULT_ACCOUNT, Caller, Destination, Session, command
from gateway_acme_erp.sender import SINK
from gateway_acme_erp.stores import connect_store, disconnect_store

_COLUMNS = ("id", "store", "site", "events", "state", "last_success_at")


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
        found = await disconnect_store(gateway, caller, destination_id)
    session.record({"id": found.id, "disconnected": True})


def commands() -> click.Group:
    """Put the commands together under one name."""
    return click.Group(
        "acme-erp",
        commands=[connect, list_stores, disconnect],
        help="The stores of the ACME ERP that receive events.",
    )


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
