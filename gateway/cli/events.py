"""``gateway events …``: list, show and follow events.

Events name patients by reference, so each event shown is recorded in the audit trail.
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.opening import caller_of, many_rows, one_row
from gateway.errors import NotFound
from gateway.model.account import Caller
from gateway.model.audit import AuditEntry, PatientKeys, groups_of
from gateway.model.event import Event, why_not_sent
from gateway.model.masking import masked
from gateway.model.wire import timestamp
from gateway.sdk.cli import Session, command, reveal_option

if TYPE_CHECKING:
    from gateway.runtime import Gateway

_COLUMNS: Final = ("occurred_at", "event", "site", "subject", "id")
_POLL_SECONDS: Final = 0.5
_PAGE: Final = 500
# An event's id is generated before its transaction commits, so an event may appear with an earlier
# id than others that were already shown. Each poll looks back this far.
_OVERLAP_MS: Final = 5_000

_type_option: Final = click.option(
    "--type", "event_type", help="Only events of this type, such as package.created."
)


@command("list")
@_type_option
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@many_rows
@reveal_option
async def list_events(
    session: Session,
    *,
    event_type: str | None,
    limit: int,
    site: str | None,
    account: str,
    test_data: bool,
    reveal: bool,
) -> None:
    """List events, newest first. --json includes their data."""
    caller = caller_of(session, account, test_data=test_data, site=site, reveal=reveal)
    async with session.gateway() as gateway:
        async with gateway.database.read() as connection:
            found = await gateway.events.page(
                connection, caller, limit=limit, event_type=event_type
            )
        await _note_viewed(gateway, session, found)
    session.table(_COLUMNS, [_row(event, caller, gateway.shown_of(event.type)) for event in found])


@command("show")
@click.argument("event_id", metavar="ID")
@one_row
@reveal_option
async def show(
    session: Session, *, event_id: str, account: str, test_data: bool, reveal: bool
) -> None:
    """Show an event with its data, and why it went to no destination if it didn't."""
    caller = caller_of(session, account, test_data=test_data, reveal=reveal)
    async with session.gateway() as gateway:
        async with gateway.database.read() as connection:
            event = await gateway.events.get(connection, caller, event_id)
        if event is None:
            raise NotFound(
                "There is no such event here: gateway events list shows the ids; "
                "--test and --account look elsewhere."
            )
        await _note_viewed(gateway, session, [event])
    session.record(_row(event, caller, gateway.shown_of(event.type)))


@command("tail")
@_type_option
@click.option("--count", type=click.IntRange(min=1), help="Exit after this many events.")
@many_rows
@reveal_option
async def tail(
    session: Session,
    *,
    event_type: str | None,
    count: int | None,
    site: str | None,
    account: str,
    test_data: bool,
    reveal: bool,
) -> None:
    """Print events as they are recorded, one line each, until Ctrl-C."""
    caller = caller_of(session, account, test_data=test_data, site=site, reveal=reveal)
    async with session.gateway() as gateway:
        follower = Follower(gateway, caller, event_type)
        await follower.start()
        click.echo("Waiting for events; Ctrl-C ends.", err=True)
        with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C is the normal end
            while count is None or count > 0:
                found = (await follower.news())[:count]
                await _note_viewed(gateway, session, found)
                for event in found:
                    shown = gateway.shown_of(event.type)
                    session.line(_row(event, caller, shown), _line(event))
                count = None if count is None else count - len(found)
                if count != 0:
                    await asyncio.sleep(_POLL_SECONDS)


class Follower:
    """Finds the events recorded since :meth:`start`, each once."""

    def __init__(
        self,
        gateway: "Gateway",
        caller: Caller,
        event_type: str | None = None,
        *,
        page: int = _PAGE,
    ) -> None:
        self._page = page
        self._gateway = gateway
        self._caller = caller
        self._type = event_type
        self._seen: set[str] = set()
        self._after_id = ""

    async def start(self) -> None:
        """Mark all present events as seen."""
        async with self._gateway.database.read() as connection:
            newest = await self._gateway.events.page(connection, self._caller, limit=1)
        self._look_back_from(newest)
        await self.news()

    async def news(self) -> list[Event]:
        """Return the events recorded since the last call, oldest first."""
        events, found = self._gateway.events, list[Event]()
        after_id = self._after_id
        async with self._gateway.database.read() as connection:
            newest = await events.page(connection, self._caller, limit=1)
            while page := await events.page(
                connection, self._caller, limit=self._page, after_id=after_id, event_type=self._type
            ):
                found += page
                after_id = page[-1].id
        news = [event for event in found if event.id not in self._seen]
        self._look_back_from(newest)
        self._seen = {event.id for event in found if event.id > self._after_id}
        return news

    def _look_back_from(self, newest: Sequence[Event]) -> None:
        for event in newest:
            self._after_id = max(self._after_id, _id_before(event.id, _OVERLAP_MS))


def _id_before(event_id: str, milliseconds: int) -> str:
    """Return a lower bound of ids that are ``milliseconds`` older: prefix, 12 hex digits of ms."""
    prefix, _, rest = event_id.partition("_")
    return f"{prefix}_{max(int(rest[:12], 16) - milliseconds, 0):012x}"


async def _note_viewed(gateway: "Gateway", session: Session, shown: Sequence[Event]) -> None:
    await gateway.audit.note(
        [
            AuditEntry(
                event.account_id,
                session.actor,
                "event.viewed",
                event.id,
                _patient_keys(gateway, event),
                kind="reveal",
                fields=groups_of(event.data),
                site=event.site,
                via="cli",
            )
            for event in shown
        ]
    )


def _patient_keys(gateway: "Gateway", event: Event) -> PatientKeys:
    """Return the values by which the audit trail finds the event's patient."""
    return gateway.packages.event_keys(event.account_id, event.subject, event.data)


def _row(event: Event, caller: Caller, shown: Collection[str]) -> Mapping[str, Any]:
    return {
        "id": event.id,
        "event": event.type,
        "account": event.account_id,
        "mode": event.mode,
        "site": event.site,
        "subject": event.subject,
        "occurred_at": timestamp(event.occurred_at),
        "recorded_at": timestamp(event.recorded_at),
        "actor": event.actor,
        "late": event.late,
        "not_sent": None if event.not_sent is None else why_not_sent(event.not_sent),
        "data": masked(caller, event.data, shown=shown),
    }


def _line(event: Event) -> str:
    return f"{timestamp(event.occurred_at)}  {event.type:<25}  {event.subject}  {event.id}"


events: Final = click.Group(
    "events",
    commands=[list_events, show, tail],
    help="Events: list, show, follow.",
)
