"""``gateway deliveries recover``: resend the events an endpoint missed."""

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from gateway.cli.opening import account_option, caller_of, test_option
from gateway.errors import NotFound
from gateway.model.audit import AuditEntry
from gateway.model.recovery import Recovery
from gateway.model.wire import timestamp
from gateway.sdk.cli import Session, TimeOrAgo, command, resolve_time

if TYPE_CHECKING:
    from gateway.runtime import Gateway

_LOOK_SECONDS: Final = 0.5


@command("recover")
@click.option("--endpoint", "endpoint_id", required=True, metavar="ID")
@click.option("--since", type=TimeOrAgo(), required=True, help="A time, or how long ago: 24h.")
@click.option("--until", type=TimeOrAgo(), help="The same.  [default: now]")
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
    """Resend the events that an endpoint subscribed to and never received.

    Deliveries that wait for a retry are sent at once, too: use it when an endpoint works again
    after hours. The running gateway sends a few at a time, and resumes after a restart.
    """
    caller = caller_of(session, account, test_data=test_data)
    async with session.gateway() as gateway:
        async with gateway.database.read() as connection:
            destination = await gateway.destinations.get(connection, caller, endpoint_id)
        if destination is None:
            raise NotFound("There is no such endpoint; gateway endpoints list shows the ids.")
        now = gateway.clock.now()
        start = resolve_time(since, now)
        end = None if until is None else resolve_time(until, now)
        recovery = await gateway.recovery.start(destination, start, end)
        entry = AuditEntry.by(caller, "change", "endpoint.recovery_started", destination.id)
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
