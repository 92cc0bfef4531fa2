"""Which endpoints heard of events and what they answered, and the names of who reported them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms
from gateway.model.account import Caller
from gateway.storage.database import among
from gateway.storage.schema import api_keys, attempts, deliveries, destinations, memberships, people
from gateway.storage.stores.delivery_log import ids_of_events
from gateway.storage.tenancy import of_account


class Heard(NamedTuple):
    """One event's way to one endpoint, with its last attempt.

    ``state`` is the delivery's. ``status`` (an HTTP status) or ``error`` is what the last attempt
    met with, ``duration_ms`` how long it took; ``due_at`` is the next attempt of a pending one.
    """

    delivery_id: str
    endpoint_id: str
    name: str
    state: str
    attempts: int
    status: int | None
    error: str | None
    duration_ms: int | None
    due_at: datetime | None
    finished_at: datetime | None


async def heard_of(
    connection: AsyncConnection, caller: Caller, event_ids: Collection[str]
) -> Mapping[str, list[Heard]]:
    """Return the endpoints that each event goes to, by event id; endpoints in order of name.

    ``event_ids`` are events that ``caller`` sees: who receives one may be seen with it.
    """
    rows = await connection.execute(
        select(deliveries, destinations.c.name)
        .join(destinations, destinations.c.id == deliveries.c.destination_id)
        .where(
            deliveries.c.id.in_(ids_of_events(among(connection, deliveries.c.event_id, event_ids))),
            deliveries.c.account_id == caller.account_id,
            *of_account(caller, destinations),
        )
        .order_by(destinations.c.name, deliveries.c.id)
    )
    found = rows.all()
    last = await _last_attempts(connection, [row.id for row in found])
    heard: dict[str, list[Heard]] = {}
    for row in found:
        status, error, duration_ms = last.get(row.id, (None, None, None))
        pending = row.state == "pending"
        heard.setdefault(row.event_id, []).append(
            Heard(
                delivery_id=row.id,
                endpoint_id=row.destination_id,
                name=row.name,
                state=row.state,
                attempts=row.attempts,
                status=status,
                error=error,
                duration_ms=duration_ms,
                due_at=from_epoch_ms(row.due_at_ms) if pending else None,
                finished_at=None
                if row.finished_at_ms is None
                else from_epoch_ms(row.finished_at_ms),
            )
        )
    return heard


_Last = tuple[int | None, str | None, int | None]


async def _last_attempts(
    connection: AsyncConnection, delivery_ids: Collection[str]
) -> Mapping[str, _Last]:
    """Return status, error and duration of the last attempt of each delivery that had one."""
    rows = await connection.execute(
        select(attempts.c.delivery_id, attempts.c.status, attempts.c.error, attempts.c.duration_ms)
        .where(among(connection, attempts.c.delivery_id, delivery_ids))
        .order_by(attempts.c.sequence)
    )
    return {row.delivery_id: (row.status, row.error, row.duration_ms) for row in rows}


async def names_of(
    connection: AsyncConnection, caller: Caller, actors: Collection[str]
) -> Mapping[str, str]:
    """Return the names of people and keys among ``actors``: ids as events and audit have them."""
    own = select(people.c.id, people.c.name).join(
        memberships, memberships.c.person_id == people.c.id
    )
    of_people = own.where(
        among(connection, people.c.id, actors), memberships.c.account_id == caller.account_id
    )
    of_keys = select(api_keys.c.id, api_keys.c.name).where(
        among(connection, api_keys.c.id, actors), api_keys.c.account_id == caller.account_id
    )
    found = await connection.execute(of_people.union_all(of_keys))
    return {row[0]: row[1] for row in found}


async def actors_of(
    connection: AsyncConnection, caller: Caller, *, limit: int = 500
) -> Sequence[tuple[str, str]]:
    """Return the ids and names of the account's people and keys, by name."""
    of_people = (
        select(people.c.id, people.c.name)
        .join(memberships, memberships.c.person_id == people.c.id)
        .where(memberships.c.account_id == caller.account_id)
    )
    of_keys = select(api_keys.c.id, api_keys.c.name).where(
        api_keys.c.account_id == caller.account_id
    )
    both = of_people.union(of_keys).subquery()
    rows = await connection.execute(select(both).order_by(both.c.name, both.c.id).limit(limit))
    return [(row[0], row[1]) for row in rows]


def _moment(epoch_ms: int | None) -> datetime | None:
    return None if epoch_ms is None else from_epoch_ms(epoch_ms)
