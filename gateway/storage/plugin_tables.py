"""What a plugin says of its tables, for migrations, re-encryption, retention and clock steps."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Column, MetaData, Row, Table
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of sealed values, so that a new seal key reaches them too.

    ``key`` names the columns that tell the table's rows apart; ``row_id`` returns what a
    row's value was sealed for.
    """

    table: Table
    column: str
    key: tuple[str, ...]
    row_id: Callable[[Row[Any]], str]


@dataclass(frozen=True, slots=True)
class DueColumn:
    """A column of moments (ms since 1970) that something waits for: when it is due, or free.

    When the clock is set back, those that lie ahead are brought forward by as much, to the
    present at most. Where it is when a lease ends, ``lease_seconds`` is the longest one: no
    lease is cut short that may have been taken just now.
    """

    column: Column[Any]
    lease_seconds: float = 0.0


Unresolved = Callable[[AsyncConnection, Collection[str]], Awaitable[Collection[str]]]
"""Of these ids, those of things that are not over yet."""


@dataclass(frozen=True, slots=True)
class PluginTables:
    """A plugin's own tables: their metadata, and the folder of its Alembic migrations.

    The first migration names the plugin as its branch label and has no parent. ``sealed``
    lists every column that holds what ``gateway.sealer`` sealed.

    ``unresolved`` is given ids that events are about, and returns those of your own things
    that are not over yet: as long as they aren't, housekeeping leaves what was told of them
    alone, whatever its age.

    ``due_columns`` lists the columns of moments that something waits for.
    """

    metadata: MetaData
    migrations: Path
    sealed: Sequence[SealedColumn] = ()
    unresolved: Unresolved | None = None
    due_columns: Sequence[DueColumn] = ()
