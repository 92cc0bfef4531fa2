"""The rows of a claim: due deliveries, leased, of one destination or of several at once.

The statements are safe against any number of processes.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms
from gateway.model.delivery import ClaimedDelivery
from gateway.model.event import Event
from gateway.storage.schema import destinations
from gateway.storage.statements import CLAIM, CLAIM_FOR_SEVERAL, CLAIMED_COLUMNS
from gateway.storage.transaction import Row, Transaction, fetch

# Where the delivery's columns begin in a row of CLAIM_FOR_SEVERAL, and where the event's do.
_OWN: Final = len(destinations.c)
_EVENT: Final = _OWN + len(CLAIMED_COLUMNS)


class Lease(NamedTuple):
    """The lease of a claim: ``token`` proves it, from ``now_ms`` until ``ends_ms``."""

    token: str
    now_ms: int
    ends_ms: int


class ClaimedRow(NamedTuple):
    """A delivery's row as a claim returns it."""

    id: str
    account_id: str
    event_id: str
    event_type: str
    attempts: int
    retry_index: int
    created_at_ms: int
    first_attempt_at_ms: int


class Taken(NamedTuple):
    """The rows leased for one destination: its columns, its deliveries', and those of events."""

    lease: Lease
    destination: Row
    rows: list[ClaimedRow]
    happened: list[Row]


async def claim_rows(
    connection: AsyncConnection, destination_id: str, limit: int, lease: Lease
) -> list[ClaimedRow]:
    """Claim up to ``limit`` due deliveries of one destination, the longest due first.

    Returned in the order of their ids.
    """
    rows = await fetch(
        connection,
        CLAIM,
        destination_id=destination_id,
        now_ms=lease.now_ms,
        until_ms=lease.ends_ms,
        lease=lease.token,
        most=limit,
    )
    return sorted(map(ClaimedRow._make, rows))


async def claim_for_several(
    transaction: Transaction,
    most: Mapping[str, int],
    sinks: Collection[str],
    lease: Lease,
) -> dict[str, Taken]:
    """Claim up to ``most`` of each destination of ``sinks`` in one round trip (PostgreSQL).

    Returns those that take deliveries now, by id; nothing is claimed where the breaker is open.
    """
    rows = await transaction.finish(
        CLAIM_FOR_SEVERAL,
        destination_ids=list(most),
        most=list(most.values()),
        sinks=sorted(sinks),
        now_ms=lease.now_ms,
        until_ms=lease.ends_ms,
        lease=lease.token,
    )
    found: dict[str, Taken] = {}
    for row in rows:
        taken = found.get(row[0])
        if taken is None:
            taken = found[row[0]] = Taken(lease, row[:_OWN], [], [])
        if row[_OWN] is not None:
            taken.rows.append(ClaimedRow._make(row[_OWN:_EVENT]))
            taken.happened.append(row[_EVENT:])
    return found


def as_deliveries(
    destination_id: str, lease: Lease, rows: Sequence[ClaimedRow], happened: Mapping[str, Event]
) -> list[ClaimedDelivery]:
    """Return those of ``rows`` whose event is in ``happened``, as lanes take them."""
    # The rows of a claim share few moments.
    moment_of = cache(from_epoch_ms)
    return [
        ClaimedDelivery(
            id=row.id,
            account_id=row.account_id,
            destination_id=destination_id,
            event=happened[row.event_id],
            attempt=row.attempts + 1,
            retry_index=row.retry_index,
            lease=lease.token,
            created_at=moment_of(row.created_at_ms),
            first_attempt_at=moment_of(row.first_attempt_at_ms),
        )
        for row in rows
        if row.event_id in happened
    ]
