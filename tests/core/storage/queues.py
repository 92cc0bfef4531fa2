"""Tables that hold a work queue, one of each shape. Nothing here knows pytest."""

from itertools import count
from types import SimpleNamespace
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    select,
    text,
)

from gateway.clock import Clock
from gateway.storage.database import Database
from gateway.storage.queue_table import QueueTable, queue_columns
from gateway.storage.work_queue import Claimed, WorkQueue

BACKOFF: Final = (5.0, 60.0)
METADATA: Final = MetaData()


def _own() -> QueueTable:
    """A table made for its queue."""
    columns = queue_columns("own_items")
    table = Table("own_items", METADATA, *columns, Column("payload", Text))
    return QueueTable(
        name="own",
        table=table,
        subject="subject",
        lease="lease",
        outcome="outcome",
        erase=("payload",),
        backoff_seconds=BACKOFF,
    )


def _column_only() -> QueueTable:
    """A table whose leased items stay in the waiting state, without a token."""
    waiting = text("state = 'waiting'")
    table = Table(
        "inbox_items",
        METADATA,
        Column("id", Text, primary_key=True),
        Column("about", LargeBinary),
        Column("state", Text, nullable=False),
        Column("due_at_ms", BigInteger, nullable=False),
        Column("lease_until_ms", BigInteger, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("became", Text),
        Column("payload", Text),
        Index("ix_inbox_waiting", "id", sqlite_where=waiting, postgresql_where=waiting),
    )
    return QueueTable(
        name="inbox",
        table=table,
        order="id",
        subject="about",
        outcome="became",
        erase=("payload",),
        dead="failed",
        backoff_seconds=BACKOFF,
    )


def _own_states() -> QueueTable:
    """A table with a state for leased items, and an account that divides it."""
    open_jobs = text("state IN ('queued', 'writing')")
    table = Table(
        "job_items",
        METADATA,
        Column(
            "number",
            BigInteger().with_variant(Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        Column("id", Text, nullable=False, unique=True),
        Column("account_id", Text, nullable=False),
        Column("patient", Text),
        Column("state", Text, nullable=False),
        Column("due_ms", BigInteger, nullable=False),
        Column("token", Text),
        Column("lease_ends_ms", BigInteger),
        Column("tries", Integer, nullable=False),
        Column("payload", Text),
        Index(
            "ix_job_open",
            "patient",
            "number",
            sqlite_where=open_jobs,
            postgresql_where=open_jobs,
        ),
    )
    return QueueTable(
        name="jobs",
        table=table,
        order="number",
        due_at="due_ms",
        lease_until="lease_ends_ms",
        attempts="tries",
        lease="token",
        subject="patient",
        partition="account_id",
        waiting="queued",
        leased="writing",
        done=None,
        dead="failed",
        backoff_seconds=BACKOFF,
    )


QUEUES: Final = {"own": _own(), "inbox": _column_only(), "jobs": _own_states()}
SHAPES: Final = tuple(QUEUES)


class Bench:
    """A queue of one shape in an open database."""

    def __init__(self, shape: str, database: Database, clock: Clock) -> None:
        self.table = QUEUES[shape]
        self.clock = clock
        self.database = database
        self.numbers = count()
        self.woken: list[str] = []
        gateway = SimpleNamespace(database=database, clock=clock)
        self.queue = WorkQueue(self.table, gateway, wake=self.woken.append)

    async def make(self) -> None:
        """Make the tables."""
        async with self.database.begin() as connection:
            await connection.run_sync(METADATA.create_all)

    async def put(self, *payloads: str, subject: str | None = None, account: str = "acme") -> None:
        """Put one item for each payload, in their order."""
        rows = [self.row(payload, subject, account) for payload in payloads]
        async with self.database.begin() as connection:
            await self.queue.put(connection, rows)

    def row(
        self, payload: str, subject: str | None = None, account: str = "acme"
    ) -> dict[str, Any]:
        about: Any = subject
        if subject is not None and self.table.name == "inbox":
            about = subject.encode()
        # Ascending: where a table orders by id, ids of one millisecond say nothing of the order.
        row = {"id": f"itm_{next(self.numbers):06}", "payload": payload, self.table.subject: about}
        return row | ({"account_id": account} if self.table.partition else {})

    async def claim(self, limit: int = 10, lease_seconds: float = 30.0) -> list[Claimed]:
        return await self.queue.claim(limit, lease_seconds)

    async def claimed(self, limit: int = 10) -> list[str]:
        """Claim and return the payloads."""
        return [item.row.payload for item in await self.claim(limit)]

    async def states(self) -> list[str]:
        """Return every item's state, in their order."""
        table = self.table.table
        query = select(table.c[self.table.state]).order_by(table.c[self.table.order])
        async with self.database.read() as connection:
            return list((await connection.execute(query)).scalars())

    async def column(self, name: str) -> list[Any]:
        table = self.table.table
        query = select(table.c[name]).order_by(table.c[self.table.order])
        async with self.database.read() as connection:
            return list((await connection.execute(query)).scalars())

    async def dead(self, **options: Any) -> list[str]:
        async with self.database.read() as connection:
            rows = await self.queue.dead_letters(connection, **({"limit": 10} | options))
        return [row.payload for row in rows]
