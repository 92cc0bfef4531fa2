"""SQLite's one writer: a thread with a connection of its own that runs transaction functions.

All queued functions share one ``BEGIN IMMEDIATE`` … ``COMMIT``, and so one flush to the disk. If
one of them fails, the transaction is rolled back and each runs alone, so that only that one fails.
Transactions of the event loop (:meth:`SqliteWriter.turn`) take their turn in the same queue:
writers of one process never collide in the file.
"""

import asyncio
import json
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import Context, copy_context
from functools import lru_cache
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, StaticPool, Table, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.storage.transaction import Row, Statement, Transaction, TransactionFunction

# The maximum of functions in one commit, because the first waits for the last.
_MOST_TOGETHER: Final = 64
# So many values go into one statement, and no other numbers of them: SQLite compiles each statement
# once. Some builds of it take 999.
_VALUES_AT_ONCE: Final = (900, 200)
# The same for look-ups, which are filled up with a value that they have already.
_LOOKED_UP_AT_ONCE: Final = (4, 16, 64, 250, 900)


class _Work(NamedTuple):
    function: TransactionFunction[Any]
    answer: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    context: Context
    """The caller's context: its trace and request id belong to the recorded events."""


class _Turn(NamedTuple):
    granted: asyncio.Future[None]
    ended: threading.Event
    loop: asyncio.AbstractEventLoop


class _End(NamedTuple):
    """The last item, at which the thread closes its connection and ends."""


_Item: TypeAlias = _Work | _Turn | _End
_Result: TypeAlias = tuple[_Work, Any, BaseException | None]


class SqliteTransaction(Transaction):
    """Runs statements at once, in the thread that calls it: an ``await`` never suspends."""

    __slots__ = ("_driver", "failed_insert")

    def __init__(
        self, engine: AsyncEngine, connection: Connection, driver: sqlite3.Connection
    ) -> None:
        super().__init__(engine, connection)
        self._driver = driver
        self.failed_insert: Exception | None = None
        """Some of an insert's rows are there: the transaction must not be committed."""

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Run a hot statement and return its rows."""
        return self._rows(statement, [values])

    async def fetch_each(
        self, statement: Statement, name: str, each: Sequence[Any], **values: Any
    ) -> Sequence[Row]:
        """Run a hot statement for each of some values; returns the rows of all.

        A statement with ``listed`` is run once for all of them, one with ``among`` for up to 900 at
        a time: the driver gives the interpreter away for each run, and waits to have it back.
        """
        if statement.listed is not None and len(each) > 1:
            return list(self._run(statement.listed, {**values, name: json.dumps(list(each))}))
        start = 0
        rows: list[Row] = []
        while statement.among is not None and len(each) - start > 1:
            some = each[start : start + _LOOKED_UP_AT_ONCE[-1]]
            size = next(size for size in _LOOKED_UP_AT_ONCE if size >= len(some))
            sql = statement.among.format(",".join("?" * size))
            rows += self._run(sql, [*some, *[some[-1]] * (size - len(some))])
            start += len(some)
        rows += self._rows(statement, ({**values, name: one} for one in each[start:]))
        return rows

    async def finish(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Run the last statement and return its rows."""
        return self._rows(statement, [values])

    def _rows(self, statement: Statement, values: Iterable[Mapping[str, Any]]) -> list[Row]:
        rows: list[Row] = []
        for each in values:
            rows += self._run(statement.sqlite, each)
        return rows

    def _run(self, sql: str, values: Mapping[str, Any] | Sequence[Any]) -> Iterable[Row]:
        try:
            return self._driver.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise wrapped(error, sql) from error

    async def insert(self, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Insert ``rows``, each the values of ``columns`` in their order.

        Many go in one statement: the driver gives the interpreter away for each, and waits to have
        it back. It FAILs where it would ABORT, for which SQLite copies each page that it touches;
        with an error the whole transaction is rolled back, as on PostgreSQL, whether the function
        raises it or not.
        """
        try:
            self._insert(table, columns, rows)
        except Exception as error:
            self.failed_insert = error
            raise

    def check_inserts(self) -> None:
        """Raise the error of an insert that failed, even if the function has caught it."""
        if self.failed_insert is not None:
            raise self.failed_insert

    def _insert(self, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        start = 0
        for values in _VALUES_AT_ONCE:
            together = values // len(columns)
            if 1 < together <= len(rows) - start:
                sql = insertion(table.name, columns, together)
                while len(rows) - start >= together:
                    self._run(sql, tuple(chain.from_iterable(rows[start : start + together])))
                    start += together
        self._run_each(insertion(table.name, columns), rows[start:])

    async def update(
        self, table: Table, columns: tuple[str, ...], key: str, rows: Sequence[Row]
    ) -> None:
        """Write rows one by one."""
        self._run_each(updating(table.name, columns, key), rows)

    def _run_each(self, sql: str, rows: Sequence[Row]) -> None:
        try:
            self._driver.executemany(sql, rows)
        except sqlite3.Error as error:
            raise wrapped(error, sql) from error

    async def execute(self, statement: Any, parameters: Any = None, **options: Any) -> Any:
        """Execute a statement of SQLAlchemy Core."""
        return self._proxied.execute(statement, parameters, **options)

    async def exec_driver_sql(
        self, statement: str, parameters: Any = None, execution_options: Any = None
    ) -> Any:
        """Execute a statement of text."""
        return self._proxied.exec_driver_sql(statement, parameters, execution_options)

    async def scalar(self, statement: Any, parameters: Any = None, **options: Any) -> Any:
        """Execute a statement and return the first value of its first row."""
        return self._proxied.scalar(statement, parameters, **options)

    async def scalars(self, statement: Any, parameters: Any = None, **options: Any) -> Any:
        """Execute a statement and return the first value of each row."""
        return self._proxied.scalars(statement, parameters, **options)


class SqliteWriter:
    """Runs transaction functions one group after the other; the thread starts with the first.

    ``connect`` opens the thread's connection, in autocommit mode, and ``disconnect`` closes it.
    ``look_at`` is called with each error.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        connect: Callable[[], sqlite3.Connection],
        disconnect: Callable[[sqlite3.Connection], None],
        look_at: Callable[[BaseException], None],
    ) -> None:
        self._engine = engine
        self._connect = connect
        self._disconnect = disconnect
        self._look_at = look_at
        self._items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._driver: sqlite3.Connection | None = None
        self._transaction: SqliteTransaction | None = None

    async def run(self, function: TransactionFunction[Any]) -> Any:
        """Run ``function`` in a transaction; returns its answer after the commit."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._put(_Work(function, answer, loop, copy_context()))
        return await answer

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the writer's turn; inside the block the thread doesn't write."""
        loop = asyncio.get_running_loop()
        turn = _Turn(loop.create_future(), threading.Event(), loop)
        self._put(turn)
        try:
            await turn.granted
            yield
        finally:
            turn.ended.set()

    async def close(self) -> None:
        """Finish the queued functions, and close the connection."""
        if self._thread is not None:
            self._items.put(_End())
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    def _put(self, item: _Item) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="sqlite writer", daemon=True)
            self._thread.start()
        self._items.put(item)

    # -- the thread -----------------------------------------------------------------------

    def _serve(self) -> None:
        together: list[_Work] = []
        while True:
            item = self._items.get()
            while isinstance(item, _Work):
                together.append(item)
                if len(together) >= _MOST_TOGETHER or self._items.empty():
                    break
                item = self._items.get()
            if together:
                _hand_over(self._answered(together))
                together = []
            if isinstance(item, _Turn):
                with suppress(RuntimeError):  # the caller's event loop is closed
                    item.loop.call_soon_threadsafe(_grant, item.granted)
                    item.ended.wait()
            elif isinstance(item, _End):
                self._end()
                return

    def _answered(self, together: Sequence[_Work]) -> list[_Result]:
        """Run some functions in one transaction; if that fails, each in its own."""
        try:
            transaction, driver = self._connected()
            transaction.failed_insert = None
            driver.execute("BEGIN IMMEDIATE")
            results: list[_Result] = [
                (each, each.context.run(_complete, each.function(transaction)), None)
                for each in together
            ]
            transaction.check_inserts()
            driver.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - becomes the answer of the one at fault
            self._roll_back()
            found = wrapped(error) if isinstance(error, sqlite3.Error) else error
            self._look_at(found)
            if len(together) == 1:
                return [(together[0], None, found)]
            return [result for each in together for result in self._answered([each])]
        return results

    def _connected(self) -> tuple[SqliteTransaction, sqlite3.Connection]:
        if self._transaction is None or self._driver is None:
            driver = self._connect()
            core = create_engine(
                "sqlite://",
                creator=lambda: driver,
                poolclass=StaticPool,
                isolation_level="AUTOCOMMIT",
                hide_parameters=True,
            )
            self._driver = driver
            self._transaction = SqliteTransaction(self._engine, core.connect(), driver)
        return self._transaction, self._driver

    def _roll_back(self) -> None:
        if self._driver is not None and self._driver.in_transaction:
            with suppress(sqlite3.Error):
                self._driver.execute("ROLLBACK")

    def _end(self) -> None:
        if self._transaction is not None and self._transaction.sync_connection is not None:
            self._transaction.sync_connection.close()
            self._transaction = None
        if self._driver is not None:
            self._disconnect(self._driver)
            self._driver = None


def _complete(running: Awaitable[Any]) -> Any:
    """Run a function to its end, here and now."""
    steps = running.__await__()
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    steps.close()
    fault = "a transaction function awaited something else than its connection"
    raise RuntimeError(fault)


def _grant(granted: asyncio.Future[None]) -> None:
    if not granted.done():  # otherwise its caller was cancelled, and has ended the turn
        granted.set_result(None)


def _hand_over(results: Sequence[_Result]) -> None:
    """Wake the callers: one call for each event loop; usually there is one."""
    loops = {work.loop for work, _, _ in results}
    for loop in loops:
        own = results if len(loops) == 1 else [each for each in results if each[0].loop is loop]
        with suppress(RuntimeError):  # the event loop is closed: no caller waits any more
            loop.call_soon_threadsafe(_answer, own)


def _answer(results: Sequence[_Result]) -> None:
    for work, answer, error in results:
        if work.answer.done():  # the caller was cancelled; its writes are committed
            continue
        if error is None:
            work.answer.set_result(answer)
        else:
            work.answer.set_exception(error)


@lru_cache(maxsize=256)
def insertion(table: str, columns: tuple[str, ...], rows: int = 1) -> str:
    """Return the statement that inserts so many rows."""
    marks = ",".join([f"({','.join('?' * len(columns))})"] * rows)
    return f"INSERT OR FAIL INTO {table} ({','.join(columns)}) VALUES {marks}"  # noqa: S608 - names of our own


@lru_cache(maxsize=64)
def updating(table: str, columns: tuple[str, ...], key: str) -> str:
    """Return the statement that writes columns of one row, and finds it by its key."""
    sets = ",".join(f"{column}=?" for column in columns)
    return f"UPDATE {table} SET {sets} WHERE {key}=?"  # noqa: S608 - names of our own


def wrapped(error: sqlite3.Error, sql: str | None = None) -> Exception:
    """Return a driver's error as SQLAlchemy raises it, without any values."""
    found: Any = DBAPIError.instance(sql, None, error, sqlite3.Error, hide_parameters=True)
    found.__cause__ = error
    return found  # type: ignore[no-any-return]  # it is typed by its overloads
