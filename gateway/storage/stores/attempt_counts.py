"""How many attempts delivered and failed, by hour and by destination, counted in two indexes.

No row of the log is read for it. The log is in the order of its sequence, and so, but for the
seconds that attempts take, are their starts: the place of a moment is found by halving the
sequence, in one statement for all moments. What lies between two places is then counted in the
indexes of a destination's attempts. The newest rows of the log are looked at, up to a limit.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    Integer,
    Select,
    Text,
    any_,
    bindparam,
    case,
    func,
    literal,
    select,
    text,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import to_epoch_ms
from gateway.storage.database import among
from gateway.storage.schema import FAILED, MS, attempts

MOST_COUNTED: Final = 100_000
"""So many of the log's newest rows, of all destinations, are counted among."""

_KEPT_STATEMENTS: Final = 16
_Rows = Select[*tuple[Any, ...]]

# SQLite uses the partial index for the same words only, and seeks by the column beside them.
_FAILED: Final = (text(FAILED), attempts.c.delivered.is_(False))


class AttemptCount(NamedTuple):
    """How many attempts delivered, and how many failed."""

    delivered: int
    failed: int

    @property
    def success(self) -> float | None:
        """The share of attempts that delivered; ``None`` without any."""
        total = self.delivered + self.failed
        return self.delivered / total if total else None


async def attempts_between(
    connection: AsyncConnection,
    destination_ids: Collection[str],
    moments: Sequence[datetime],
    *,
    most: int = MOST_COUNTED,
) -> tuple[list[AttemptCount], bool]:
    """Count the attempts at some destinations from each moment to the next; ``moments`` rise.

    Also returns whether these are all, or only those among the ``most`` newest rows. An attempt
    counts where it is in the log: one that ends after its hour counts in the next.
    """
    places, is_whole = await _places(connection, moments, most)
    values = {
        f"{name}{number}": place
        for number, (first, last) in enumerate(pairwise(places))
        for name, place in (("first", first), ("last", last))
    }
    ids = sorted(destination_ids)
    is_json = connection.dialect.name == "sqlite"
    rows = await connection.execute(
        _counting(len(places) - 1, is_json=is_json),
        {**values, "ids": json.dumps(ids) if is_json else ids},
    )
    return [AttemptCount(total - failed, failed) for total, failed in rows], is_whole


@lru_cache(maxsize=_KEPT_STATEMENTS)
def _counting(spans_of: int, *, is_json: bool) -> _Rows:
    """Return the statement that counts in so many spans.

    It is kept: putting it together takes longer than its answer.
    """
    spans = union_all(
        *(
            select(
                literal(number, Integer).label("number"),
                bindparam(f"first{number}", type_=MS).label("first"),
                bindparam(f"last{number}", type_=MS).label("last"),
            )
            for number in range(spans_of)
        )
    ).cte("spans")
    count = (
        select(func.count())
        .select_from(attempts)
        .where(
            attempts.c.destination_id.in_(
                select(func.json_each(bindparam("ids", type_=Text)).table_valued("value").c.value)
            )
            if is_json
            else attempts.c.destination_id == any_(bindparam("ids", type_=ARRAY(Text))),
            attempts.c.sequence >= spans.c.first,
            attempts.c.sequence < spans.c.last,
        )
        .correlate(spans)
    )
    return (
        select(count.scalar_subquery(), count.where(*_FAILED).scalar_subquery())
        .select_from(spans)
        .order_by(spans.c.number)
    )


async def attempts_of_each(
    connection: AsyncConnection,
    destination_ids: Collection[str],
    since: datetime,
    *,
    most: int = MOST_COUNTED,
) -> dict[str, AttemptCount]:
    """Count the attempts at each destination since then, among the ``most`` newest rows."""
    [place], _is_whole = await _places(connection, [since], most)
    count = (
        select(attempts.c.destination_id, func.count())
        .where(
            among(connection, attempts.c.destination_id, destination_ids),
            attempts.c.sequence >= place,
        )
        .group_by(attempts.c.destination_id)
    )
    totals = {row[0]: int(row[1]) for row in await connection.execute(count)}
    failed = {row[0]: int(row[1]) for row in await connection.execute(count.where(*_FAILED))}
    return {
        each: AttemptCount(total - failed.get(each, 0), failed.get(each, 0))
        for each, total in totals.items()
    }


async def _places(
    connection: AsyncConnection, moments: Sequence[datetime], most: int
) -> tuple[list[int], bool]:
    """Return the sequence of each moment's first attempt, none before the ``most`` newest rows.

    Of a moment after the last attempt it is the next sequence. Also returns whether the first
    moment is among those rows.
    """
    values = {f"at{number}": to_epoch_ms(at) for number, at in enumerate(moments)}
    found = await connection.execute(_halving(len(moments)), values)
    rows = [(int(low), int(after)) for low, after in found]
    least = rows[0][1] - most
    return [max(low, least) for low, _ in rows], rows[0][0] >= least


@lru_cache(maxsize=_KEPT_STATEMENTS)
def _halving(moments: int) -> _Rows:
    """Return the statement that finds the places of so many moments; it is kept as well."""
    moment = union_all(
        *(
            select(
                literal(number, Integer).label("number"),
                bindparam(f"at{number}", type_=MS).label("at"),
            )
            for number in range(moments)
        )
    ).cte("moment")
    first = select(func.coalesce(func.min(attempts.c.sequence), 0)).scalar_subquery()
    after = select(func.coalesce(func.max(attempts.c.sequence) + 1, 0)).scalar_subquery()
    halved: Any = select(moment, first.label("low"), after.label("high"), after.label("after")).cte(
        "halved", recursive=True
    )
    middle = (halved.c.low + halved.c.high) // 2
    started = (
        select(attempts.c.started_at_ms)
        .where(attempts.c.sequence >= middle)
        .order_by(attempts.c.sequence)
        .limit(1)
        .correlate(halved)
        .scalar_subquery()
    )
    is_before = started < halved.c.at
    halved = halved.union_all(
        select(
            halved.c.number,
            halved.c.at,
            case((is_before, middle + 1), else_=halved.c.low),
            case((is_before, halved.c.high), else_=middle),
            halved.c.after,
        ).where(halved.c.low < halved.c.high)
    )
    return (
        select(halved.c.low, halved.c.after)
        .where(halved.c.low >= halved.c.high)
        .order_by(halved.c.number)
    )
