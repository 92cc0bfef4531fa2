"""QueueTable: the columns and states of a work queue's table, and the query of its due rows.

:mod:`gateway.storage.work_queue` has the worked example.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    FromClause,
    Index,
    Integer,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.storage.database import Database
from gateway.storage.transaction import Statement

_MAX_COUNT: Final = 10_000
MAX_ATTEMPTS: Final = 2**31 - 1
"""For queues that don't count attempts."""

BACKOFF_SECONDS: Final = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0)
"""Pauses between the attempts at an item: ten attempts in about sixteen hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueTable:
    """A table that holds a :class:`~gateway.storage.work_queue.WorkQueue`, and its columns' roles.

    The names are those that :func:`~gateway.storage.work_queue.queue_columns` makes; name your
    own where the table is older than its queue. Required roles: ``id`` (text, unique), ``order``
    (ascending in the order of arrival), ``state``, ``due_at``, ``lease_until`` (both ms since
    1970; no lease is NULL, or 0 in a column that takes no NULL), ``attempts``.

    ``lease`` holds the token of the claim. ``subject``: items of one subject are never processed at
    the same time. With ``in_order`` an item waits for every earlier one of its subject, also for
    one in backoff; without it, later items pass one in backoff. ``partition`` (for instance the
    account) divides the queue: subjects are compared within it, and claims of different partitions
    don't wait for each other. ``outcome`` takes one word about how an item ended, never patient
    data. ``erase`` names columns that become NULL when an item is done.

    ``waiting``, ``leased``, ``done``, ``dead`` and ``held`` are the states' names; held items wait
    for a person, in a queue that has such a state. ``leased=None``: an
    item in work stays ``waiting``, and only ``lease_until`` shows it. ``done=None``: the row is
    deleted when its item is done.

    ``backoff_seconds`` are the pauses between attempts; one attempt more than there are pauses, and
    the item is a dead letter. ``None``: you count and schedule attempts yourself.
    ``max_lease_seconds`` is the longest lease that is ever claimed. ``held_by_process``: gateway
    processes hold the leases, so that they end with their process; false where a remote agent holds
    them. ``only`` names the partitions that are processed here: items of others, such as those of a
    disabled plugin, wait and don't count as a fault.
    """

    name: str
    table: Table
    id: str = "id"
    order: str = "sequence"
    state: str = "state"
    due_at: str = "due_at_ms"
    lease_until: str = "lease_until_ms"
    attempts: str = "attempts"
    lease: str | None = None
    subject: str | None = None
    partition: str | None = None
    outcome: str | None = None
    erase: tuple[str, ...] = ()
    waiting: str = "waiting"
    leased: str | None = None
    done: str | None = "done"
    dead: str = "dead"
    held: str | None = None
    in_order: bool = True
    backoff_seconds: tuple[float, ...] | None = BACKOFF_SECONDS
    max_lease_seconds: float = 300.0
    held_by_process: bool = True
    only: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a missing column or an invalid name of a state."""
        roles = (self.id, self.order, self.state, self.due_at, self.lease_until, self.attempts)
        optional = (self.lease, self.subject, self.partition, self.outcome)
        for name in (*roles, *(each for each in optional if each is not None), *self.erase):
            if name not in self.table.c:
                raise ValueError(f"queue {self.name}: {self.table.name} has no column {name}")
        for word in (self.waiting, self.leased, self.done, self.dead, self.held):
            if word is not None and not word.isidentifier():
                raise ValueError(f"queue {self.name}: {word!r} is not a state's name")

    @property
    def max_attempts(self) -> int | None:
        """The attempts before an item is a dead letter; ``None`` if the plugin counts."""
        return None if self.backoff_seconds is None else len(self.backoff_seconds) + 1

    @property
    def no_lease(self) -> int | None:
        """The value of ``lease_until`` without a lease."""
        return None if self.table.c[self.lease_until].nullable else 0

    def _columns(self, table: FromClause | None) -> Any:
        return (self.table if table is None else table).c

    def is_state(self, state: str, table: FromClause | None = None) -> ColumnElement[bool]:
        """Match items in ``state``.

        Written as in the index: otherwise SQLite would not use a partial index of that state
        (https://www.sqlite.org/partialindex.html). ``table`` is an alias of the queue's.
        """
        column: ColumnElement[str] = self._columns(table)[self.state]
        return column == literal_column(f"'{state}'")

    def is_open(self, table: FromClause | None = None) -> ColumnElement[bool]:
        """Match items that are neither done nor dead letters."""
        if self.leased is None:
            return self.is_state(self.waiting, table)
        states = f"'{self.waiting}'", f"'{self.leased}'"
        column: ColumnElement[str] = self._columns(table)[self.state]
        return column.in_([literal_column(each) for each in states])

    def is_leased(self, now_ms: Any, table: FromClause | None = None) -> ColumnElement[bool]:
        """Match leased items; where a state shows them, until a sweep changes it."""
        if self.leased is not None:
            return self.is_state(self.leased, table)
        ends = self._columns(table)[self.lease_until]
        return and_(ends.is_not(None), ends > now_ms)

    def is_lost(self, now_ms: int) -> ColumnElement[bool]:
        """Match items whose lease has ended and that a claim would not find.

        They are in the leased state, or have had their last attempt.
        """
        ends = self.table.c[self.lease_until]
        ended = and_(self.is_state(self.leased or self.waiting), ends > 0, ends <= now_ms)
        if self.leased is None and self.max_attempts is not None:
            return and_(ended, self.table.c[self.attempts] >= self.max_attempts)
        return ended

    def within(self, partition: str | BindParameter[str] | None) -> list[ColumnElement[bool]]:
        """Match the items of one partition, or all."""
        if partition is None:
            return []
        if self.partition is None:
            raise ValueError(f"queue {self.name} has no partitions")
        return [self.table.c[self.partition] == partition]

    def claimable(
        self,
        partition: str | BindParameter[str] | None = None,
        where: Sequence[ColumnElement[bool]] = (),
    ) -> Select[Any]:
        """Select the ids of claimable items: due, not leased, and first of their subject.

        Its parameter ``now_ms`` is the present time.
        """
        table = self.table
        now_ms = bindparam("now_ms", type_=BigInteger)
        query = select(table.c[self.id]).where(
            self.is_state(self.waiting),
            table.c[self.due_at] <= now_ms,
            *self.within(partition),
            *where,
        )
        if self.leased is None:
            query = query.where(not_(self.is_leased(now_ms)))
        if self.max_attempts is not None:
            query = query.where(table.c[self.attempts] < self.max_attempts)
        if self.subject is None:
            return query
        other = table.alias("other")
        earlier = other.c[self.order] < table.c[self.order]
        if not self.in_order:
            earlier = and_(
                earlier,
                self.is_state(self.waiting, other),
                other.c[self.due_at] <= now_ms,
            )
        same = [other.c[self.subject] == table.c[self.subject]]
        if self.partition is not None:
            same.append(other.c[self.partition] == table.c[self.partition])
        held_back = exists().where(
            *same, self.is_open(other), or_(earlier, self.is_leased(now_ms, other))
        )
        return query.where(not_(held_back))


def queue_columns(table: str, *, subject: bool = True) -> list[Column[Any] | Index]:
    """Return the columns and indexes of a table made for a queue, for metadata and migration.

    ``sequence`` (the primary key), ``id``, ``subject``, ``state``, ``due_at_ms``, ``lease``,
    ``lease_until_ms``, ``attempts``, ``outcome``, ``created_at_ms``. They never change, because
    released migrations call this function.
    """
    waiting, dead = text("state = 'waiting'"), text("state = 'dead'")
    sequence = BigInteger().with_variant(Integer, "sqlite")
    return [
        Column("sequence", sequence, primary_key=True, autoincrement=True),
        Column("id", Text, nullable=False),
        *([Column("subject", Text)] if subject else []),
        Column("state", Text, nullable=False),
        Column("due_at_ms", BigInteger, nullable=False),
        Column("lease", Text),
        Column("lease_until_ms", BigInteger),
        Column("attempts", Integer, nullable=False),
        Column("outcome", Text),
        Column("created_at_ms", BigInteger, nullable=False),
        Index(f"uq_{table}_id", "id", unique=True),
        *(
            Index(f"ix_{table}_{name}", *names, sqlite_where=rows)
            for name, names, rows in (
                ("due", ("due_at_ms", "sequence"), waiting),
                ("leased", ("lease_until_ms",), waiting),
                *([("subject", ("subject", "sequence"), waiting)] if subject else []),
                ("dead", ("sequence",), dead),
            )
        ),
    ]


def open_items(queue: QueueTable, *, or_dead: bool = False) -> Statement:
    """Return the statement that finds an open item by the indexes of those states."""
    states = [(queue.waiting, queue.due_at)]
    if queue.leased is not None:
        states.append((queue.leased, queue.lease_until))
    if or_dead:
        states.append((queue.dead, queue.order))
    parts = (
        f"SELECT * FROM (SELECT {first} FROM {queue.table.name} "  # noqa: S608 - names of our own
        f"WHERE {queue.state} = '{state}' ORDER BY {first} LIMIT 1) AS first_{state}"
        for state, first in states
    )
    return Statement(" UNION ALL ".join(parts))


@dataclass(frozen=True, slots=True)
class Depth:
    """The number of a queue's items by state; each counts up to 10,000.

    ``due`` are due now (some may wait for an earlier one of their subject), ``waiting`` are due
    later, ``leased`` are being processed, ``dead`` are dead letters. ``claimable_since`` is the
    earliest due time of an item that a claim would find.
    """

    due: int
    waiting: int
    leased: int
    dead: int
    claimable_since: datetime | None


async def depth(connection: AsyncConnection, queue: QueueTable, now: datetime) -> Depth:
    """Return the number of a queue's items by state, in bounded time."""
    now_ms, due_at = to_epoch_ms(now), queue.table.c[queue.due_at]
    waiting, leased = queue.is_state(queue.waiting), queue.is_leased(now_ms)
    kinds = {
        "due": and_(waiting, due_at <= now_ms, not_(leased)),
        "waiting": and_(waiting, due_at > now_ms, not_(leased)),
        "leased": and_(queue.is_open(), leased),
        "dead": queue.is_state(queue.dead),
    }
    counts = [
        select(func.count())
        .select_from(select(due_at).where(rows).limit(_MAX_COUNT).subquery())
        .scalar_subquery()
        for rows in kinds.values()
    ]
    numbers = dict(zip(kinds, (await connection.execute(select(*counts))).one(), strict=True))
    worked = []
    if queue.only is not None and queue.partition is not None:
        worked.append(queue.table.c[queue.partition].in_(queue.only))
    first = queue.claimable(where=worked).with_only_columns(due_at).order_by(due_at).limit(1)
    since = (await connection.execute(first, {"now_ms": now_ms})).scalar()
    return Depth(**numbers, claimable_since=None if since is None else from_epoch_ms(since))


async def take_back(database: Database, queues: Collection[QueueTable], now: datetime) -> None:
    """End the leases of dead processes, at the start of the process that serves a SQLite file.

    One process at a time serves such a file, so a lease that exists at its start belongs to a
    killed process. On PostgreSQL leases expire.
    """
    if database.dialect != "sqlite":
        return
    async with database.begin() as connection:
        for queue in queues:
            if not queue.held_by_process:
                continue
            columns = queue.table.c
            values: dict[Any, Any] = {
                columns[queue.state]: queue.waiting,
                columns[queue.lease_until]: queue.no_lease,
                columns[queue.due_at]: to_epoch_ms(now),
            }
            if queue.lease is not None:
                values[columns[queue.lease]] = None
            held = (
                columns[queue.lease_until] > 0
                if queue.leased is None
                else queue.is_state(queue.leased)
            )
            await connection.execute(
                update(queue.table).where(queue.is_open(), held).values(values)
            )
