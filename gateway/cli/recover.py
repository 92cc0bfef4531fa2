"""``gateway deliveries recover``: send again what an endpoint missed."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.reach import account_option, caller_of, test_option
from gateway.console import Session, command
from gateway.errors import NotFound
from gateway.model.recovery import Recovery
from gateway.model.wire import timestamp

if TYPE_CHECKING:
    from gateway.runtime import Gateway

_AGO: Final = re.compile(r"(\d{1,5})\s*([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_LOOK_SECONDS: Final = 0.5


class Moment(click.ParamType[datetime | timedelta]):
    """A time as ISO 8601 has it, or how long ago: 90m, 24h, 7d."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        """Return a moment in UTC, or the time that has passed since."""
        if isinstance(value, (datetime, timedelta)):
            return value
        ago = _AGO.fullmatch(value.strip())
        if ago:
            return timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail("write 2026-04-19T18:00:00Z, or how long ago: 90m, 24h, 7d", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@command("recover")
@click.option("--endpoint", "endpoint_id", required=True, metavar="ID")
@click.option("--since", type=Moment(), required=True, help="A time, or how long ago: 24h.")
@click.option("--until", type=Moment(), help="The same.  [default: now]")
@click.option("--wait", is_flag=True, help="Show the progress until it is done.")
@account_option
@test_option
async def recover(
    session: Session,
    *,
    endpoint_id: str,
    since: datetime | timedelta,
    until: datetime | timedelta | None,
    wait: bool,
    account: str,
    test_data: bool,
) -> None:
    """Send again the events that an endpoint wanted and never had.

    The running gateway does it, a few at a time, and goes on after a restart.
    """
    from gateway.storage import audit

    caller = caller_of(session, account, test_data=test_data)
    async with session.gateway() as gateway:
        async with gateway.database.read() as connection:
            destination = await gateway.destinations.get(connection, caller, endpoint_id)
        if destination is None:
            raise NotFound("There is no such endpoint; gateway endpoints list shows the ids.")
        now = gateway.clock.now()
        start = now - since if isinstance(since, timedelta) else since
        end = now - until if isinstance(until, timedelta) else until
        recovery = await gateway.recovery.start(destination, start, end)
        entry = audit.AuditEntry(
            account, session.actor, "endpoint.recovery_started", destination.id
        )
        await gateway.audit.note([entry])
        if wait:
            recovery = await _watched(gateway, recovery)
    session.record(
        {
            "id": recovery.id,
            "endpoint_id": recovery.destination_id,
            "since": timestamp(recovery.since),
            "until": timestamp(recovery.until),
            "state": recovery.state,
            "looked_at": recovery.looked_at,
            "queued": recovery.queued,
        }
    )


async def _watched(gateway: "Gateway", recovery: Recovery) -> Recovery:
    seen = -1
    while recovery.state == "running":
        if recovery.looked_at != seen:
            seen = recovery.looked_at
            click.echo(f"{seen} events looked at, {recovery.queued} sent again", err=True)
        await asyncio.sleep(_LOOK_SECONDS)
        found = await gateway.recovery.get(recovery.account_id, recovery.id)
        recovery = found or recovery
    return recovery
