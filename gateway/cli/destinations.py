"""``gateway destinations …``: list, show, enable, pause, disable and remove, of every sink.

Settings of a destination may hold secrets, so they are not shown; the plugin that provides the
sink has commands of its own for them, and for adding one.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import click
import msgspec

from gateway.cli.opening import caller_of, one_row
from gateway.errors import NotFound
from gateway.model.audit import AuditEntry
from gateway.model.circuit_breaker import CLOSED
from gateway.model.delivery import Destination, DestinationState
from gateway.model.wire import timestamp
from gateway.runtime import Gateway
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
        raise _not_found()
    session.record(_row(destination))


def _state_command(name: str, state: DestinationState, help_text: str) -> click.Command:
    @command(name, help=help_text)
    @click.argument("destination_id", metavar="ID")
    @one_row
    async def change(
        session: Session, *, destination_id: str, account: str, test_data: bool
    ) -> None:
        caller = caller_of(session, account, test_data=test_data)
        async with session.gateway() as gateway:
            now = gateway.clock.now()
            async with gateway.database.begin() as connection:
                before = await gateway.destinations.get(connection, caller, destination_id)
                if before is None:
                    raise _not_found()
                after = _moved(before, state, now)
                await gateway.destinations.change(connection, after)
            await _note(session, gateway, after, "destination.changed")
        session.record(_row(after))

    return change


def _moved(before: Destination, state: DestinationState, now: datetime) -> Destination:
    """Return the destination in another state; enabling it closes its breaker."""
    if state == "active":
        return msgspec.structs.replace(
            before,
            state=state,
            state_reason=None,
            disabled_at=None,
            failing_since=None,
            breaker=CLOSED,
        )
    disabled_at = now if state == "disabled" else None
    return msgspec.structs.replace(before, state=state, state_reason=None, disabled_at=disabled_at)


@command("remove")
@click.argument("destination_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Don't ask.")
@one_row
async def remove(
    session: Session, *, destination_id: str, yes: bool, account: str, test_data: bool
) -> None:
    """Remove a destination and its settings. Its pending deliveries end; its log stays.

    This can't be undone: pause it instead to keep what is due.
    """
    caller = caller_of(session, account, test_data=test_data)
    async with session.gateway() as gateway:
        async with gateway.database.read() as connection:
            found = await gateway.destinations.get(connection, caller, destination_id)
        if found is None:
            raise _not_found()
        if not yes:
            click.confirm(f"Remove {found.name or found.id} ({found.sink})?", abort=True, err=True)
        async with gateway.database.begin() as connection:
            await gateway.destinations.remove(connection, found.id, gateway.clock.now())
        await _note(session, gateway, found, "destination.removed")
    session.record({"id": found.id, "sink": found.sink, "name": found.name, "removed": True})


def _not_found() -> NotFound:
    return NotFound(
        "There is no such destination here: gateway destinations list shows the ids; "
        "--test and --account look elsewhere."
    )


async def _note(session: Session, gateway: Gateway, destination: Destination, action: str) -> None:
    entry = AuditEntry(destination.account_id, session.actor, action, destination.id, via="cli")
    await gateway.audit.note([entry])


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
    commands=[
        list_destinations,
        show,
        _state_command("enable", "active", "Enable a destination, and close its circuit breaker."),
        _state_command(
            "pause", "paused", "Pause a destination; its deliveries wait until it is enabled."
        ),
        _state_command("disable", "disabled", "Disable a destination; it receives no events."),
        remove,
    ],
    help="Destinations of events, of every sink.",
)
