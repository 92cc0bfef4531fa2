"""``gateway destinations …``: add, list, show, enable, pause, disable and remove, of every sink.

Settings of a destination may hold secrets, so they are not shown. The plugin that provides the
sink may have commands of its own for them; ``add`` works for every sink, from its settings struct.
"""

import difflib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from gateway.cli.opening import caller_of, one_row
from gateway.errors import InvalidInput, NotFound, Problem, SettingsError
from gateway.model.audit import AuditEntry
from gateway.model.circuit_breaker import CLOSED
from gateway.model.delivery import Destination, DestinationState
from gateway.model.event import is_pattern, matches
from gateway.model.ids import new_id
from gateway.model.wire import timestamp
from gateway.runtime import Gateway
from gateway.sdk.cli import Session, command
from gateway.sdk.records import Sink
from gateway.settings import read_table
from gateway.settings.values import OutsideText

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


@command("add")
@click.option("--sink", required=True, help="The sink, such as webhooks.")
@click.option("--name", default="", help="A name for people.")
@click.option("--events", default="*", show_default=True, help="Event types, commas between them.")
@click.option("--site", help="Only events of this site.  [default: all sites]")
@click.option("--ordered", is_flag=True, help="One after another for each package.")
@click.option("--dry-run", is_flag=True, help="Only check the settings.")
@click.argument("settings", metavar="KEY=VALUE…", nargs=-1)
@one_row
async def add(  # noqa: PLR0913 - an argument for each option
    session: Session,
    *,
    sink: str,
    name: str,
    events: str,
    site: str | None,
    ordered: bool,
    dry_run: bool,
    settings: Sequence[str],
    account: str,
    test_data: bool,
) -> None:
    """Add a destination of any sink, with the settings that the sink takes.

    KEY=@FILE reads the value from a file, because other users can see a command's arguments.
    headers.KEY=VALUE sets a key inside a table.
    """
    caller = caller_of(session, account, test_data=test_data)
    async with session.gateway() as gateway:
        found = _sink_of(gateway, sink)
        patterns = tuple(each.strip() for each in events.split(",") if each.strip())
        _check_events(gateway, patterns)
        if site is not None and not gateway.sites.known(account, site):
            raise InvalidInput("There is no such site: use the code of one of [[sites]].")
        read = _settings_of(found, settings)
        now = gateway.clock.now()
        made = Destination(
            id=new_id("dst", now),
            account_id=account,
            mode=caller.mode,
            sink=sink,
            name=name or sink,
            events=patterns,
            settings=msgspec.to_builtins(read),
            site=site,
            ordered=ordered,
            created_at=now,
        )
        if dry_run:
            session.say("These settings are accepted; nothing was added.")
            return
        async with gateway.database.begin() as connection:
            if not await gateway.accounts.exists(connection, account):
                raise NotFound("There is no such account: create a key for it first.")
            if caller.mode == "live":
                await gateway.plans.take(connection, account, "endpoints")
            await gateway.destinations.add(connection, made)
        await _note(session, gateway, made, "destination.added")
    session.record(_row(made))


def _sink_of(gateway: Gateway, kind: str) -> Sink:
    sinks = gateway.hooks.sinks()
    if kind not in sinks:
        nearest = difflib.get_close_matches(kind, sinks, 1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"there are: {', '.join(sinks)}."
        raise NotFound(f"No enabled plugin brings a sink of this name; {hint}")
    return sinks[kind]


def _check_events(gateway: Gateway, patterns: Sequence[str]) -> None:
    """Refuse a pattern that no event type matches."""
    types = [each.type for each in gateway.catalog()]
    problems = []
    for number, pattern in enumerate(patterns):
        if is_pattern(pattern) and any(matches((pattern,), each) for each in types):
            continue
        nearest = difflib.get_close_matches(pattern, types, 1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        problems.append(Problem(f"no event type matches it{hint}", index=number, field="--events"))
    if problems or not patterns:
        raise InvalidInput(
            "Name event types such as delivery.completed, delivery.* or *; GET "
            "/api/event-types lists them.",
            problems,
        )


def _settings_of(sink: Sink, words: Sequence[str]) -> msgspec.Struct:
    """Read ``key=value`` words into the sink's settings; raises with every fault."""
    table: dict[str, Any] = {}
    for word in words:
        key, found, value = word.partition("=")
        if not found or not all(key.split(".")):
            raise InvalidInput(
                "Write each setting as key=value, as in url=https://erp.example.com."
            )
        *outer, last = key.split(".")
        inner = table
        for part in outer:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise InvalidInput("A setting is given as a value and as a table; keep one.")
        inner[last] = OutsideText(_value(value), is_toml=True)
    try:
        return read_table(table, sink.settings, where=sink.kind, file="these settings")
    except SettingsError as error:
        problems = [
            Problem(each.message.removeprefix("these settings: "), field=each.field)
            for each in error.details
        ]
        raise InvalidInput(f"The sink {sink.kind} doesn't take these settings.", problems) from None


def _value(text: str) -> str:
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"A file after @ can't be read ({type(error).__name__}).") from None


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
    """Return the destination with a new state; enabling closes its breaker."""
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
        add,
        _state_command("enable", "active", "Enable a destination, and close its circuit breaker."),
        _state_command(
            "pause", "paused", "Pause a destination; its deliveries wait until it is enabled."
        ),
        _state_command("disable", "disabled", "Disable a destination; it receives no events."),
        remove,
    ],
    help="Destinations of events, of every sink.",
)
