"""Transaction functions: a whole transaction as one function of its connection.

::

    async def store(transaction: Transaction) -> Answer:
        known = await transaction.fetch(ORDER_BY_INDEX, order_index=index)
        ...
        await insert_rows(transaction, packages, columns, rows)
        return answer

    answer = await database.transact(store)     # committed

The function is written once. On SQLite it runs from its first line to its last in the writer's
own thread, so that a transaction costs one hop between threads and not one for each statement,
and all functions that wait share one commit. On PostgreSQL it runs on the event loop; rows that
it inserts go out together at the end, so that a function that reads and then inserts makes one
writing round trip.

So such a function awaits nothing but its connection, touches only what it was given and what
never changes, and may be run again: its effects outside of the database belong after the commit.
Everything that takes an ``AsyncConnection`` takes a ``Transaction``.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeGuard, TypeVar

from sqlalchemy import BigInteger, Boolean, Float, Integer, LargeBinary, Table
from sqlalchemy.ext.asyncio import AsyncConnection

Answer = TypeVar("Answer")
_LIST: Final = re.compile(r"\$(\d+) ?::(\w+)\[\]")
_NAME: Final = re.compile(r"(?<![:\w]):([a-z_]+)")

Row = Sequence[Any]
"""The values of a row, by position."""


class Statement:
    """A hot statement: SQL with ``:name`` for each value, which the driver runs as it is.

    ``postgresql`` is its text there where the two differ. ``among``, of a statement that reads by
    one value alone, is SQLite's text for many values, with ``{}`` for their marks. ``listed`` is
    SQLite's text for many texts, as one JSON list in the place of one. ``locks`` says that it
    writes or locks rows, so that PostgreSQL begins a transaction before it. Executing the same as a
    statement of SQLAlchemy Core takes 60 to 150 µs more, on either database.
    """

    def __init__(
        self,
        text: str,
        postgresql: str | None = None,
        *,
        among: str | None = None,
        listed: str | None = None,
        locks: bool = False,
    ) -> None:
        self.sqlite = text
        self.among = among
        self.listed = listed
        self.postgresql, self.names = _numbered(text if postgresql is None else postgresql)
        self.lists = frozenset(
            self.names[int(each) - 1] for each, _ in _LIST.findall(self.postgresql)
        )
        """The names of the values that are cast to an array."""
        self.of_one = _LIST.sub(r"ARRAY[$\1::\2]", self.postgresql) if self.lists else None
        """The text on PostgreSQL where each of these has one element, which is sent by itself."""
        self.locks = locks

    def in_order(self, values: Mapping[str, Any]) -> list[Any]:
        """Return ``values`` in the order of PostgreSQL's numbers."""
        return [values[name] for name in self.names]

    def in_order_of_one(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the values of ``of_one``."""
        lists = self.lists
        return [values[name][0] if name in lists else values[name] for name in self.names]


def _numbered(text: str) -> tuple[str, Sequence[str]]:
    """Return ``text`` with ``$1``, ``$2``, … for its names, and the names in that order."""
    names: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        return f"${names.setdefault(found[1], len(names) + 1)}"

    return _NAME.sub(number, text), tuple(names)


def column_list(table: Table) -> str:
    """Return all columns of ``table``, as :func:`row_type` reads them."""
    return ", ".join(f"{table.name}.{column}" for column in table.c.keys())  # noqa: SIM118 - not a dict


def row_type(table: Table, *more: str) -> Callable[[Row], Any]:
    """Return what makes a row of :func:`column_list`, and of ``more`` after it, one with names."""
    fields = [(column, Any) for column in (*table.c.keys(), *more)]
    made: Any = NamedTuple(f"{table.name}_row", fields)  # type: ignore[misc]  # its fields are the table's
    make: Callable[[Row], Any] = made._make
    return make


class Transaction(AsyncConnection):
    """The connection of a transaction function; the writer of each database implements it."""

    __slots__ = ()

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Run a hot statement and return its rows."""
        raise NotImplementedError  # each database's writer has its own

    async def fetch_each(
        self, statement: Statement, name: str, each: Sequence[Any], **values: Any
    ) -> Sequence[Row]:
        """Run a hot statement for each of some values; returns the rows of all.

        On SQLite it runs again and again, or for many at a time; on PostgreSQL once, with an array.
        """
        raise NotImplementedError  # each database's writer has its own

    async def finish(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Run the last writing statement of this transaction and return its rows.

        On PostgreSQL it is its own transaction, if nothing was written before: one round trip. It
        may be followed by others only where it wrote nothing.
        """
        raise NotImplementedError  # each database's writer has its own

    async def insert(self, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Insert ``rows``, each the values of ``columns`` in their order.

        They are there for every later statement of this transaction.
        """
        raise NotImplementedError  # each database's writer has its own

    async def update(
        self, table: Table, columns: tuple[str, ...], key: str, rows: Sequence[Row]
    ) -> None:
        """Write ``columns`` of the rows that ``key`` finds; each is its values, then its key."""
        raise NotImplementedError  # each database's writer has its own


def is_transaction(connection: AsyncConnection) -> TypeGuard[Transaction]:
    """Return whether ``connection`` is that of a transaction function.

    ``isinstance`` calls a Python function for an abstract class, ten times an order.
    """
    return Transaction in type(connection).__mro__


TransactionFunction = Callable[[Transaction], Awaitable[Answer]]
"""Returns its answer after its last statement; the commit follows."""


async def fetch(connection: AsyncConnection, statement: Statement, **values: Any) -> Sequence[Row]:
    """Run a hot statement on any connection and return its rows."""
    if is_transaction(connection):
        return await connection.fetch(statement, **values)
    is_sqlite = connection.dialect.name == "sqlite"
    sql = statement.sqlite if is_sqlite else statement.postgresql
    parameters = values if is_sqlite else tuple(statement.in_order(values))
    found = await connection.exec_driver_sql(sql, parameters)
    return [tuple(row) for row in found] if found.returns_rows else []


async def fetch_each(
    connection: AsyncConnection, statement: Statement, name: str, each: Sequence[Any], **values: Any
) -> Sequence[Row]:
    """Run a hot statement for each of some values on any connection."""
    if is_transaction(connection):
        return await connection.fetch_each(statement, name, each, **values)
    runs = each if connection.dialect.name == "sqlite" else [list(each)]
    rows: list[Row] = []
    for one in runs:
        rows += await fetch(connection, statement, **{**values, name: one})
    return rows


_POSTGRES_TYPES: Final = (
    (Boolean, "bool"),
    (BigInteger, "int8"),
    (Integer, "int4"),
    (Float, "float8"),
    (LargeBinary, "bytea"),
)


def postgres_type(table: Table, column: str) -> str:
    """Return PostgreSQL's type for the values of a column."""
    kind = table.c[column].type
    return next((name for of, name in _POSTGRES_TYPES if isinstance(kind, of)), "text")
