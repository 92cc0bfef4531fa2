"""How many deliveries wait, failed and are exhausted, counted up to a limit in indexes of those."""

from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.model.account import Caller
from gateway.storage.schema import EXHAUSTED, deliveries, destinations, events
from gateway.storage.tenancy import of_sites, visible_to

MOST_COUNTED: Final = 999
"""So many pending deliveries, and so many exhausted ones, are counted among."""

# As in the conditions of the partial indexes, word by word.
_PENDING: Final = text("deliveries.state = 'pending'")
_EXHAUSTED: Final = and_(text(f"deliveries.{EXHAUSTED}"), deliveries.c.state == "exhausted")


class StateCount(NamedTuple):
    """How many there are; ``has_more``: counting stopped there."""

    number: int
    has_more: bool


class DeliveryCounts(NamedTuple):
    """How many deliveries failed, wait for an attempt, and are exhausted.

    One that failed and waits for another attempt is among the first two.
    """

    failed: StateCount
    waiting: StateCount
    exhausted: StateCount


async def delivery_counts(
    connection: AsyncConnection, caller: Caller, *, most: int = MOST_COUNTED
) -> DeliveryCounts:
    """Count the deliveries that ``caller`` sees; two lists of up to ``most`` are read for it."""
    own = select(destinations.c.id).where(*visible_to(caller, destinations))
    pending = and_(deliveries.c.destination_id.in_(own), _PENDING)
    exhausted = and_(deliveries.c.account_id == caller.account_id, _EXHAUSTED)
    waiting = (await connection.execute(_counting(caller, pending, own, most))).one()
    over = (await connection.execute(_counting(caller, exhausted, own, most))).one()
    has_more = [each.looked_at > most for each in (waiting, over)]
    return DeliveryCounts(
        StateCount(min(waiting.attempted + over.attempted, most), any(has_more)),
        StateCount(min(waiting.seen, most), has_more[0]),
        StateCount(min(over.seen, most), has_more[1]),
    )


def _counting(
    caller: Caller, which: ColumnElement[bool], own: Select[tuple[str]], most: int
) -> Select[*tuple[Any, ...]]:
    """Count the first of ``which``: all of them, those of the caller's, and those attempted."""
    columns = (deliveries.c.destination_id, deliveries.c.event_id, deliveries.c.attempts)
    rows = select(*columns).where(which).limit(most + 1).subquery()
    seen: list[ColumnElement[bool]] = [rows.c.destination_id.in_(own)]
    if caller.sites is not None:
        seen.append(
            exists().where(events.c.id == rows.c.event_id, of_sites(caller.sites, events.c.site))
        )
    return select(
        func.count().label("looked_at"),
        _number(*seen).label("seen"),
        _number(*seen, rows.c.attempts > 0).label("attempted"),
    ).select_from(rows)


def _number(*conditions: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((and_(*conditions), 1), else_=0)), 0)
