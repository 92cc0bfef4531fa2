"""``gateway destinations …``: list and show destinations of every sink.

Settings of a destination may hold secrets, so they are not shown; the plugin that provides the
sink has commands of its own for them.
"""

from collections.abc import Mapping
from typing import Any, Final

import click

from gateway.cli.opening import caller_of, one_row
from gateway.errors import NotFound
from gateway.model.delivery import Destination
from gateway.model.wire import timestamp
from gateway.sdk.cli import Session, command

_COLUMNS: Final = ("id", "sink", "name", "state", "site", "events", "failing_since")


@command("list")
@click.option("--sink", help="Only destinations of this sink, such as webhooks.")
@one_row
async def list_destinations(
    session: Session, *, sink: str | None, account: str, test_data: bool
) -> None:
    """List destinations, oldest first."""
    caller = caller_of(session, account, test_data=test_data)
    async with session.gateway() as gateway, gateway.database.read() as connection:
        found = await gateway.destinations.list(connection, caller, sink)
    session.table(_COLUMNS, [_row(destination) for destination in found])


@command("show")
@click.argument("destination_id", metavar="ID")
@one_row
async def show(session: Session, *, destination_id: str, account: str, test_data: bool) -> None:
    """Show a destination: its state, limits and circuit breaker."""
    caller = caller_of(session, account, test_data=test_data)
    async with session.gateway() as gateway, gateway.database.read() as connection:
        destination = await gateway.destinations.get(connection, caller, destination_id)
    if destination is None:
        raise NotFound(
            "There is no such destination here: gateway destinations list shows the ids; "
            "--test and --account look elsewhere."
        )
    session.record(_row(destination))


def _row(destination: Destination) -> Mapping[str, Any]:
    return {
        "id": destination.id,
        "account": destination.account_id,
        "mode": destination.mode,
        "site": destination.site,
        "sink": destination.sink,
        "name": destination.name,
        "events": list(destination.events),
        "state": destination.state,
        "state_reason": destination.state_reason,
        "max_in_flight": destination.max_in_flight,
        "max_per_second": destination.max_per_second,
        "ordered": destination.ordered,
        "created_at": timestamp(destination.created_at),
        "last_success_at": timestamp(destination.last_success_at),
        "failing_since": timestamp(destination.failing_since),
        "breaker": destination.breaker.state,
    }


destinations: Final = click.Group(
    "destinations",
    commands=[list_destinations, show],
    help="Destinations of events, of every sink: list, show.",
)
