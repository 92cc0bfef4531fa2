"""Transaction functions on PostgreSQL: few round trips, on connections that stay open.

A function that only reads and then inserts sends no ``BEGIN``: reading committed rows inside a
transaction guarantees no more than outside, and all of its rows are sent in one statement, which is
its own transaction. Every other function begins a transaction with its first writing or locking
statement.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.clock import SystemClock
from gateway.storage.postgres_connections import IDLE_SECONDS, has_ended
from gateway.storage.postgres_rows import Columns, PostgresRows
from gateway.storage.transaction import Row, Statement, Transaction, TransactionFunction

# The timeout of the check that a connection which was idle still works.
_ALIVE_SECONDS: Final = 5.0


class PostgresTransaction(Transaction):
    """Sends hot statements to the driver directly, and inserted rows at the end, together."""

    __slots__ = (
        "_adapter",
        "_always_begins",
        "_begun",
        "_pending",
        "_rows",
        "driver",
        "rests_since",
    )

    def __init__(
        self,
        engine: AsyncEngine,
        connection: Connection,
        adapter: Any,
        rows: PostgresRows,
        *,
        always_begins: bool = False,
    ) -> None:
        super().__init__(engine, connection)
        self._always_begins = always_begins
        self._adapter = adapter
        self._rows = rows
        self.driver: Any = adapter.driver_connection
        self.rests_since = 0.0
        self._begun = False
        self._pending: dict[Table, tuple[Columns, Sequence[Row]]] = {}

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Run a hot statement and return its rows."""
        if statement.locks or self._pending or self._always_begins:
            await self._begin()
        return await self._sent(statement.postgresql, statement.in_order(values))

    async def fetch_each(
        self, statement: Statement, name: str, each: Sequence[Any], **values: Any
    ) -> Sequence[Row]:
        """Run a hot statement once, with an array of some values; returns the rows of all."""
        return await self.fetch(statement, **values, **{name: list(each)})

    async def finish(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Run the last writing statement of this transaction; a single one needs no BEGIN."""
        if self._pending or self._always_begins:
            await self._begin()
        if statement.of_one is not None and all(len(values[each]) == 1 for each in statement.lists):
            return await self._sent(statement.of_one, statement.in_order_of_one(values))
        return await self._sent(statement.postgresql, statement.in_order(values))

    async def insert(self, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Insert ``rows`` with the next statement, or at the end.

        Those of one table go together, because PostgreSQL promises no order between the parts of a
        statement.
        """
        if not rows:
            return
        before = self._pending.get(table)
        if before is not None and before[0] != columns:
            await self._begin()  # sends the queued rows
            before = None
        self._pending[table] = (columns, rows if before is None else [*before[1], *rows])

    async def update(
        self, table: Table, columns: tuple[str, ...], key: str, rows: Sequence[Row]
    ) -> None:
        """Write rows in one statement."""
        await self._begin()
        sql, values = self._rows.update(table, columns, key, rows)
        await self._sent(sql, values)

    async def execute(self, statement: Any, parameters: Any = None, **options: Any) -> Any:
        """Execute a statement of SQLAlchemy Core."""
        await self._begin()
        return await super().execute(statement, parameters, **options)

    async def exec_driver_sql(
        self, statement: str, parameters: Any = None, execution_options: Any = None
    ) -> Any:
        """Execute a statement of text."""
        await self._begin()
        return await super().exec_driver_sql(statement, parameters, execution_options)

    async def scalar(self, statement: Any, parameters: Any = None, **options: Any) -> Any:
        """Execute a statement and return the first value of its first row."""
        return (await self.execute(statement, parameters, **options)).scalar()

    async def scalars(self, statement: Any, parameters: Any = None, **options: Any) -> Any:
        """Execute a statement and return the first value of each row."""
        return (await self.execute(statement, parameters, **options)).scalars()

    async def commit(self) -> None:
        """Send the queued rows, and commit."""
        if self._pending and self._always_begins:
            await self._begin()
        await self._send_pending()
        if self._begun:
            await self._control("COMMIT")
        self._begun = False

    async def rollback(self) -> None:
        """Undo everything; the connection can be used again."""
        self._pending.clear()
        if self._begun:
            await self._control("ROLLBACK")
        self._begun = False

    async def _begin(self) -> None:
        if not self._begun:
            await self._control("BEGIN")
            self._begun = True
        await self._send_pending()

    async def _send_pending(self) -> None:
        blocks, self._pending = self._pending, {}
        if not blocks:
            return
        sql, values = self._rows.insertion(blocks)
        await self._sent(sql, values)

    async def _sent(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        try:
            found: Sequence[Row] = await self.driver.fetch(sql, *values)
        except Exception as error:
            raise self._wrapped(error, sql) from error
        return found

    async def _control(self, sql: str) -> None:
        try:
            await self.driver.execute(sql)
        except Exception as error:
            raise self._wrapped(error, sql) from error

    def _wrapped(self, error: Exception, sql: str) -> Exception:
        """Return a driver's error as SQLAlchemy raises it, without any values."""
        dbapi = self._adapter.dbapi
        try:
            self._adapter._handle_exception(error)  # noqa: SLF001 - the only place with the mapping
        except Exception as adapted:  # noqa: BLE001 - that is what it returns
            error = adapted
        found: Any = DBAPIError.instance(
            sql,
            None,
            error,
            dbapi.Error,
            hide_parameters=True,
            connection_invalidated=self.driver.is_closed(),
            dialect=self.dialect,
        )
        return found if isinstance(found, Exception) else error


class PostgresWriter:
    """Runs each transaction function on one of a few connections, which stay open.

    ``always_begins``: with a ``BEGIN`` even before a single statement, because a pooler in
    transaction mode may take the connection away between its parsing and its execution.
    """

    def __init__(
        self, engine: AsyncEngine, connections: int, *, always_begins: bool = False
    ) -> None:
        self._engine = engine
        self._always_begins = always_begins
        self._free = asyncio.Semaphore(connections)
        self._clock = SystemClock()
        self._idle: list[PostgresTransaction] = []
        self._rows = PostgresRows()

    async def run(self, function: TransactionFunction[Any]) -> Any:
        """Run ``function`` in a transaction; returns its answer after the commit."""
        async with self._free:
            transaction = await self._connected()
            try:
                answer = await function(transaction)
                await transaction.commit()
            except BaseException:  # also when cancelled: it is rolled back; raised again
                await self._recover(transaction)
                raise
            self._rest(transaction)
            return answer

    async def close(self) -> None:
        """Close the connections."""
        while self._idle:
            await _closed(self._idle.pop())
        await self._engine.dispose()

    async def _connected(self) -> PostgresTransaction:
        while self._idle:
            transaction = self._idle.pop()
            if await self._is_alive(transaction):
                return transaction
            await _closed(transaction)
        connection = await self._engine.connect()
        raw: Any = await connection.get_raw_connection()
        sync_connection = connection.sync_connection
        assert sync_connection is not None  # noqa: S101 - it is connected
        return PostgresTransaction(
            self._engine,
            sync_connection,
            raw.dbapi_connection,
            self._rows,
            always_begins=self._always_begins,
        )

    async def _recover(self, transaction: PostgresTransaction) -> None:
        """Make a connection usable again after its function failed, or drop it."""
        try:
            if transaction.driver.is_closed():
                raise ConnectionError  # noqa: TRY301 - as where it turns out now
            await asyncio.shield(transaction.rollback())
        except BaseException:  # noqa: BLE001 - the caller raises the error that led here
            await _closed(transaction)
        else:
            self._rest(transaction)

    def _rest(self, transaction: PostgresTransaction) -> None:
        transaction.rests_since = self._clock.monotonic_seconds()
        self._idle.append(transaction)

    async def _is_alive(self, transaction: PostgresTransaction) -> bool:
        if has_ended(transaction.driver):
            return False
        if self._clock.monotonic_seconds() - transaction.rests_since > IDLE_SECONDS:
            try:  # a router may have forgotten the connection
                await transaction.driver.fetch("", timeout=_ALIVE_SECONDS)
            except Exception:  # noqa: BLE001 - whatever it is, another connection is opened
                return False
        return True


async def _closed(transaction: PostgresTransaction) -> None:
    with suppress(Exception):
        transaction.driver.terminate()
    with suppress(Exception):
        await transaction.invalidate()
    with suppress(Exception):
        await transaction.close()
