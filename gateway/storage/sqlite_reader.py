"""SQLite's driver with one hop to its thread for a statement and its rows, in place of four.

The driver makes its cursor, executes, fetches and closes with a hop each, which costs more than
most statements do. Here a statement's first rows come back with it, and a cursor that has no more
is closed there and then; ``BEGIN`` goes along with the first statement that follows it.
"""

import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final, ParamSpec, Self, TypeVar

import aiosqlite

ROWS_AT_ONCE: Final = 1000
"""So many rows come back with a statement; of a longer answer the rest is fetched as before."""

BYTES_AT_ONCE: Final = 1_000_000
"""Once about so many bytes of texts and blobs came back, no further rows do."""

_FIRST_ROWS: Final = 16
_MEASURED: Final = 8  # one row of so many: to measure each takes a quarter of the time to read it
_ITERATED: Final = 64
_Parameters = ParamSpec("_Parameters")
_Answer = TypeVar("_Answer")
_Values = Sequence[Any]


class Cursor:
    """A cursor as SQLAlchemy uses one: https://peps.python.org/pep-0249/, awaited."""

    def __init__(self, connection: "Connection") -> None:
        self.arraysize = 1
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self._connection = connection
        self._open: sqlite3.Cursor | None = None
        self._rows: deque[Any] = deque()

    async def __aenter__(self) -> Self:
        """Return the cursor: SQLite's own is made by the first statement."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close it."""
        await self.close()

    async def execute(self, sql: str, parameters: _Values = ()) -> "Cursor":
        """Execute a statement and fetch its first rows."""
        begin = self._connection.taken_begin()
        await self._connection.run(self._execute, begin, sql, parameters)
        return self

    async def executemany(self, sql: str, parameters: Iterable[_Values]) -> "Cursor":
        """Execute a statement for each of ``parameters``."""
        begin = self._connection.taken_begin()
        await self._connection.run(self._execute_many, begin, sql, parameters)
        return self

    async def fetchone(self) -> Any:
        """Return the next row, ``None`` after the last."""
        found = await self.fetchmany(1)
        return found[0] if found else None

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return up to ``size`` rows, ``arraysize`` by default."""
        size = self.arraysize if size is None else size
        if self._open is not None and len(self._rows) < size:
            self._rows += await self._connection.run(self._more, size - len(self._rows))
        return [self._rows.popleft() for _ in range(min(size, len(self._rows)))]

    async def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        found, self._rows = list(self._rows), deque()
        if self._open is not None:
            found += await self._connection.run(self._more, None)
        return found

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Yield the rows that are left."""
        while found := await self.fetchmany(_ITERATED):
            for each in found:
                yield each

    async def close(self) -> None:
        """Close it, which needs a hop only where rows are left."""
        self._rows.clear()
        if self._open is not None:
            await self._connection.run(self._close)

    # -- in the connection's thread ---------------------------------------------------------

    def _execute(self, begin: str, sql: str, parameters: _Values) -> None:
        driver = self._started(begin)
        driver.execute(sql, parameters)
        self._open = driver
        self.description = driver.description
        if driver.description is None:
            self._close()
        else:
            self._rows += self._first_rows()

    def _execute_many(self, begin: str, sql: str, parameters: Iterable[_Values]) -> None:
        self._open = self._started(begin).executemany(sql, parameters)
        self._close()

    def _started(self, begin: str) -> sqlite3.Cursor:
        driver = self._connection.driver
        if begin:
            driver.execute(begin).close()
        return driver.cursor()

    def _first_rows(self) -> list[Any]:
        """Fetch up to ``ROWS_AT_ONCE`` rows, of large ones fewer: a stream keeps few in memory."""
        part = self._more(_FIRST_ROWS)
        found, size = list(part), 0
        while self._open is not None and len(found) < ROWS_AT_ONCE:
            size += _bytes_of(part)
            if size >= BYTES_AT_ONCE:
                break
            part = self._more(min(len(found), ROWS_AT_ONCE - len(found)))
            found += part
        return found

    def _more(self, size: int | None) -> list[Any]:
        driver = self._open
        if driver is None:  # a cancelled statement's cursor
            return []
        found = driver.fetchall() if size is None else driver.fetchmany(size)
        if size is None or len(found) < size:
            self._close()
        return found

    def _close(self) -> None:
        driver, self._open = self._open, None
        if driver is not None:
            self.rowcount, self.lastrowid = driver.rowcount, driver.lastrowid
            driver.close()


def _bytes_of(rows: list[Any]) -> int:
    """Estimate the size of rows."""
    some = (value for row in rows[::_MEASURED] for value in row)
    return _MEASURED * sum(len(each) for each in some if isinstance(each, str | bytes))


class Connection(aiosqlite.Connection):
    """A connection whose cursors are those above."""

    _begin = ""

    @property
    def driver(self) -> sqlite3.Connection:
        """The driver's connection, for its own thread; raises ``ValueError`` once it is closed."""
        return self._conn

    def cursor(self) -> Any:
        """Return a cursor, which has made no hop yet."""
        return Cursor(self)

    def begin_with_next(self, begin: str) -> None:
        """Let the next statement be preceded by ``begin``, in its own hop."""
        self._begin = begin

    def taken_begin(self) -> str:
        """Return what begins the transaction, once."""
        begin, self._begin = self._begin, ""
        return begin

    async def run(
        self,
        function: Callable[_Parameters, _Answer],
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> _Answer:
        """Run a function in the connection's thread."""
        answer: _Answer = await self._execute(function, *args, **kwargs)  # type: ignore[no-untyped-call]
        return answer

    async def commit(self) -> None:
        """Commit the transaction, if one began."""
        if not self.taken_begin():
            await super().commit()

    async def rollback(self) -> None:
        """Roll the transaction back, if one began."""
        if not self.taken_begin():
            await super().rollback()


def connect_to(address: str, *, timeout: float) -> Connection:
    """Return a connection to a SQLite URI, opened when it is awaited.

    ``timeout`` is how long a lock is waited for, in seconds.
    """

    def opened() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=True, timeout=timeout)

    return Connection(opened, _ITERATED)
