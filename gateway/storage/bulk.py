"""Many rows at once, written the quickest way that each database has.

SQLAlchemy's own way of inserting many rows looks at every value of every row; that
costs more than SQLite does. And an ``executemany`` on SQLite gives the interpreter
away and waits to get it back after each row, so that it stands still while the
event loop is busy. One statement with many rows gives it away once.

A list of ids in a condition is one parameter, so that the statement is the same however
many there are: both databases then prepare it once.
"""

import json
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from sqlalchemy import ARRAY, ColumnElement, Table, Text, any_, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

# Statements of these many rows and no others, so that SQLite compiles each of them once. The
# largest stays below the 32,766 parameters that it takes.
_ROWS_AT_ONCE: Final = (1024, 512, 256, 128, 64)


async def insert_rows(
    connection: AsyncConnection,
    table: Table,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Insert ``rows``, each the values of ``columns`` in their order, as the driver takes them."""
    start = 0
    if connection.dialect.name == "sqlite":
        for size in _ROWS_AT_ONCE:
            while len(rows) - start >= size:
                some = tuple(chain.from_iterable(rows[start : start + size]))
                await connection.exec_driver_sql(_sqlite(table.name, columns, size), some)
                start += size
        if start < len(rows):
            await connection.exec_driver_sql(_sqlite(table.name, columns, 1), list(rows[start:]))
    elif rows:
        await connection.exec_driver_sql(_postgresql(table.name, columns), list(rows))


def among(
    connection: AsyncConnection, column: ColumnElement[str], values: Collection[str]
) -> ColumnElement[bool]:
    """Match rows whose ``column`` is one of ``values``."""
    if connection.dialect.name == "sqlite":
        # https://www.sqlite.org/json1.html#jeach
        each = func.json_each(bindparam(None, json.dumps(list(values)), Text)).table_valued("value")
        return column.in_(select(each.c.value))
    return column == any_(bindparam(None, list(values), ARRAY(Text)))


@lru_cache(maxsize=256)
def _sqlite(table: str, columns: tuple[str, ...], count: int) -> str:
    row = f"({','.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({','.join(columns)}) VALUES {','.join([row] * count)}"  # noqa: S608 - names of our own


@lru_cache(maxsize=64)
def _postgresql(table: str, columns: tuple[str, ...]) -> str:
    row = ",".join(f"${number}" for number in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({','.join(columns)}) VALUES ({row})"  # noqa: S608 - as above
