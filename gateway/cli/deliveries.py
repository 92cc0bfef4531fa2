"""``gateway deliveries …``: list, show, resend and recover deliveries."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from gateway.cli.opening import caller_of, many_rows, one_row
from gateway.cli.recover import recover
from gateway.errors import Conflict, NotFound
from gateway.model.account import Caller
from gateway.model.audit import AuditEntry
from gateway.model.delivery import Attempt, Delivery, DeliveryState
from gateway.model.wire import timestamp
from gateway.outbound.failures import explanation
from gateway.sdk.cli import Session, command, reveal_option

if TYPE_CHECKING:
    from gateway.runtime import Gateway

_COLUMNS: Final = (
    "id",
    "state",
    "event",
    "endpoint_id",
    "attempt_count",
    "next_attempt_at",
    "reason",
)


@command("list")
@click.option(
    "--state", type=click.Choice(get_args(DeliveryState)), help="Only deliveries in this state."
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@many_rows
async def list_deliveries(
    session: Session,
    *,
    state: DeliveryState | None,
    limit: int,
    site: str | None,
    account: str,
    test_data: bool,
) -> None:
    """List deliveries, newest first. --site selects those to the site's endpoints."""
    caller = caller_of(session, account, test_data=test_data, site=site)
    async with session.gateway() as gateway, gateway.database.read() as connection:
        found = await gateway.delivery_log.page(connection, caller, limit=limit, state=state)
    now = gateway.clock.now()
    session.table(_COLUMNS, [_row(delivery, now) for delivery in found])


@command("show")
@click.argument("delivery_id", metavar="ID")
@one_row
@reveal_option
async def show(
    session: Session, *, delivery_id: str, account: str, test_data: bool, reveal: bool
) -> None:
    """Show a delivery and its attempts: time, duration, with --reveal the response."""
    caller = caller_of(session, account, test_data=test_data, reveal=reveal)
    async with session.gateway() as gateway:
        delivery, attempts = await _found(gateway, caller, delivery_id)
        entry = AuditEntry.by(caller, "view", "delivery.viewed", delivery_id)
        await gateway.audit.note([entry])
    session.record(
        {
            **_row(delivery, gateway.clock.now()),
            "explanation": explanation(delivery.reason),
            "attempts": [_attempt_row(attempt, caller) for attempt in attempts],
        }
    )


@command("resend")
@click.argument("delivery_id", metavar="ID")
@one_row
async def resend(session: Session, *, delivery_id: str, account: str, test_data: bool) -> None:
    """Send a delivery again, with the full retry schedule.

    A running gateway sends it within about a second; otherwise the next start does.
    """
    caller = caller_of(session, account, test_data=test_data)
    async with session.gateway() as gateway:
        delivery, _ = await _found(gateway, caller, delivery_id)
        async with gateway.database.begin() as connection:
            destination = await gateway.destinations.get(
                connection, caller, delivery.destination_id
            )
            if destination is None:
                raise Conflict("The endpoint was removed since: there is nowhere to send this.")
            now = gateway.clock.now()
            await gateway.outbox.resend(connection, account, delivery_id, now)
            entry = AuditEntry.by(caller, "change", "delivery.resent", delivery_id)
            await gateway.audit.record(connection, [entry], now)
        after, _ = await _found(gateway, caller, delivery_id)
    session.record(_row(after, now))
    if destination.state != "active":
        session.say(
            f"Its endpoint is {destination.state}: it goes out once the endpoint is enabled."
        )


async def _found(
    gateway: "Gateway", caller: Caller, delivery_id: str
) -> tuple[Delivery, Sequence[Attempt]]:
    async with gateway.database.read() as connection:
        delivery = await gateway.delivery_log.get(connection, caller, delivery_id)
        if delivery is None:
            raise NotFound(
                "There is no such delivery here: gateway deliveries list shows the ids; "
                "--test and --account look elsewhere."
            )
        return delivery, await gateway.delivery_log.attempts_of(connection, delivery)


def _row(delivery: Delivery, now: datetime) -> Mapping[str, Any]:
    due_at = delivery.due_at
    if delivery.reason is not None and due_at is not None and due_at <= now:
        due_at = None  # it waits for its endpoint, as the reason says
    return {
        "id": delivery.id,
        "endpoint_id": delivery.destination_id,
        "event_id": delivery.event_id,
        "event": delivery.event_type,
        "subject": delivery.subject,
        "state": delivery.state,
        "reason": delivery.reason,
        "attempt_count": delivery.attempts,
        "next_attempt_at": timestamp(due_at),
        "created_at": timestamp(delivery.created_at),
        "finished_at": timestamp(delivery.finished_at),
    }


def _attempt_row(attempt: Attempt, caller: Caller) -> Mapping[str, Any]:
    return {
        "attempt": attempt.number,
        "started_at": timestamp(attempt.started_at),
        "duration_ms": attempt.duration_ms,
        "outcome": "delivered" if attempt.delivered else "failed",
        "status": attempt.status,
        "error": attempt.error,
        "explanation": explanation(attempt.error),
        # A receiver may repeat what it was sent.
        "response": attempt.excerpt if caller.reveals else None,
    }


deliveries: Final = click.Group(
    "deliveries",
    commands=[list_deliveries, show, resend, recover],
    help="Deliveries of events to endpoints: list, show, resend.",
)
