"""A plugin's declaration of its tables, for migrations, re-encryption, retention, clock steps."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Column, MetaData, Row, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage.queue_table import QueueTable


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of sealed values, which a rotation has to seal again.

    ``key`` names the columns that identify a row; ``row_id`` returns the id that a row's value
    was sealed for. ``rows_at_once`` are read into memory together.
    """

    table: Table
    column: str
    key: tuple[str, ...]
    row_id: Callable[[Row[Any]], str]
    rows_at_once: int = 500


@dataclass(frozen=True, slots=True)
class DueColumn:
    """A column of due times or lease ends (ms since 1970).

    When the clock is set back, times in the future are moved back by as much, to the present at
    most. For a column of lease ends, ``lease_seconds`` is the longest lease: a lease that may have
    begun just now isn't shortened.
    """

    column: Column[Any]
    lease_seconds: float = 0.0


Unresolved = Callable[[AsyncConnection, Collection[str]], Awaitable[Collection[str]]]
"""Of these ids, those whose things are unfinished."""


@dataclass(frozen=True, slots=True)
class PluginTables:
    """A plugin's own tables: their metadata, and the folder of its Alembic migrations.

    Revisions and tables begin with the plugin's name (``acme_0001``, ``acme_orders``); the first
    migration names the plugin as its branch label and has no parent. ``prefix`` is the beginning of
    the tables' names where the plugin's name is too long. ``sealed`` lists every column of values
    that ``gateway.sealer`` sealed.

    ``unresolved`` gets ids that events are about, and returns those of your plugin that are
    unfinished: until they are finished, retention keeps the events about them at any age.

    ``due_columns`` lists columns of due times and lease ends. ``queues`` lists the tables that
    hold a work queue: their due times and leases need no entry in ``due_columns``, their depth is
    in ``/metrics`` and ``/health/ready``, and on SQLite the leases of a process that was killed
    end when the next one starts.
    """

    metadata: MetaData
    migrations: Path
    sealed: Sequence[SealedColumn] = ()
    unresolved: Unresolved | None = None
    due_columns: Sequence[DueColumn] = ()
    queues: Sequence[QueueTable] = ()
    prefix: str = ""

    @property
    def all_due_columns(self) -> tuple[DueColumn, ...]:
        """Every column of due times and lease ends, those of queues included."""
        found = list(self.due_columns)
        for queue in self.queues:
            found.extend(queue_waits(queue))
        return tuple(found)


def queue_waits(queue: QueueTable) -> tuple[DueColumn, DueColumn]:
    """Return a queue's columns of due times and lease ends."""
    columns = queue.table.c
    ends = DueColumn(columns[queue.lease_until], lease_seconds=queue.max_lease_seconds)
    return DueColumn(columns[queue.due_at]), ends
