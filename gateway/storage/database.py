"""Connections: one writer at a time on SQLite, a pool on PostgreSQL, the same statements on both.

Hot paths are transaction functions (:mod:`gateway.storage.transaction`), which
:meth:`Database.transact` runs; other code opens a transaction with :meth:`Database.begin`.

SQLite is opened in WAL mode with ``synchronous=FULL``: committed rows survive a power cut
(https://www.sqlite.org/pragma.html#pragma_synchronous). The writers of this process queue here
instead of colliding in the file; SQLite's busy timeout waits for other processes (the command
line).
"""

import asyncio
import json
import sqlite3
import threading
import traceback
import weakref
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, cast

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Table,
    Text,
    any_,
    bindparam,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.errors import SealError, StorageError
from gateway.storage.file_watch import FileWatch
from gateway.storage.outage import cause_of
from gateway.storage.postgres_connections import look_when_taken, plan_each_time
from gateway.storage.postgres_rows import updating_all
from gateway.storage.postgres_writer import PostgresWriter
from gateway.storage.sqlite_reader import Connection, connect_to
from gateway.storage.sqlite_writer import SqliteWriter, updating, wrapped
from gateway.storage.transaction import (
    Answer,
    Row,
    Statement,
    Transaction,
    TransactionFunction,
    is_transaction,
)

Dialect = Literal["sqlite", "postgresql"]

APPLICATION_NAME: Final = "rx-gateway"
"""The name of the gateway's sessions in pg_stat_activity."""

_BUSY_TIMEOUT_MS: Final = 15_000
PREPARED: Final = "prepared_statements"
"""The option of a PostgreSQL URL that switches prepared statements off."""

_BUSY_PAUSE_SECONDS = 0.02
_BEGIN_READING: Final = "BEGIN"
# How long closing waits for connections in use; a cancelled statement runs to its end.
_CLOSING_SECONDS: Final = 15.0
_CLOSING_PAUSE_SECONDS: Final = 0.01
_CACHED_STATEMENTS = 512
# An error's code has more detail in its upper bits (https://www.sqlite.org/rescode.html).
_PRIMARY_CODE: Final = 0xFF
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    # macOS would leave commits in the drive's cache; other systems ignore this.
    # https://www.sqlite.org/pragma.html#pragma_fullfsync
    "PRAGMA fullfsync=ON",
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
)
# A writer keeps so many kilobytes of the file: the upper pages of its indexes, and what a large
# transaction changes, which would go into the -wal twice. The readers have SQLite's own 2 MB: each
# commit makes them drop what they keep. The system's cache is one call away (1 µs a page).
_WRITERS_CACHE: Final = "PRAGMA cache_size=-4096"
# PostgreSQL's error classes that concern the server and not the statement: connection,
# authorization, no such database, resources, operator, system.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_SERVER_STATES: Final = ("08", "28", "3D", "53", "57", "58")


class Database:
    """The only access to the database. ``url`` is an SQLAlchemy URL of aiosqlite or asyncpg.

    ``?prepared_statements=false`` is an option of the gateway, for poolers in transaction mode.
    Statements wait up to ``busy_timeout_ms`` for a locked SQLite file. With ``only_reads`` a
    leftover ``-wal`` stays beside the file; otherwise the last connection to close would write it
    into the file.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 8,
        busy_timeout_ms: int = _BUSY_TIMEOUT_MS,
        only_reads: bool = False,
    ) -> None:
        self.commit_is_due: Callable[[], None] = lambda: None
        """Called before a transaction that is about to come: on SQLite, one that is begun by this
        call shares its commit."""
        self._point_reader: sqlite3.Connection | None = None
        self._busy_timeout_ms = busy_timeout_ms
        self._threads = weakref.WeakSet[threading.Thread]()
        self.url = make_url(url).difference_update_query((PREPARED,))
        self.prepares = make_url(url).query.get(PREPARED) != "false"
        self.dialect: Dialect = (
            "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"
        )
        if self.dialect == "sqlite":
            self.path: Path | None = Path(self.url.database or "")
            self._watch: FileWatch | None = FileWatch(self.path, only_reads=only_reads)
            self._writer = self._sqlite_engine(self._watch, begin="BEGIN IMMEDIATE", pool_size=1)
            self._reader = self._sqlite_engine(
                self._watch, begin=_BEGIN_READING, pool_size=pool_size
            )
            self._functions: SqliteWriter | PostgresWriter = SqliteWriter(
                self._writer, self._open_for_writing, self._closed, self._look_at
            )
        else:
            self.path = None
            self._watch = None
            # Without names, asyncpg's prepared statements last for one transaction.
            unprepared: dict[str, Any] = {
                "statement_cache_size": 0,
                "prepared_statement_cache_size": 0,
                "prepared_statement_name_func": str,
            }
            connect_args = {
                "server_settings": {"application_name": APPLICATION_NAME},
                **({} if self.prepares else unprepared),
            }
            self._writer = self._reader = create_async_engine(
                self.url,
                pool_size=pool_size,
                max_overflow=0,
                hide_parameters=True,
                connect_args=connect_args,
            )
            look_when_taken(self._writer)
            if self.prepares:  # else each statement is planned once for its values
                plan_each_time(self._writer)
            hot = create_async_engine(
                self.url,
                pool_size=pool_size,
                max_overflow=0,
                isolation_level="AUTOCOMMIT",
                hide_parameters=True,
                connect_args=connect_args,
            )
            self._functions = PostgresWriter(hot, pool_size, always_begins=not self.prepares)

    async def transact(self, function: TransactionFunction[Answer]) -> Answer:
        """Run a transaction function; returns its answer after the commit.

        On SQLite it runs in the writer's thread, and may run twice.
        """
        self._refuse_a_lost_file()
        answer: Answer = await self._functions.run(function)
        return answer

    def read_now(self, statement: Statement, **values: Any) -> Sequence[Row] | None:
        """Read a few rows by their key at once, in the event loop's own thread.

        Returns ``None`` on PostgreSQL, and while SQLite's file is locked. It takes some 20 µs, a
        hop to another thread 250 µs. Use it where an index finds few rows.
        """
        if self.path is None:
            return None
        self._refuse_a_lost_file()
        try:
            if self._point_reader is None:
                self._point_reader = self._open_for_point_reads()
            return self._point_reader.execute(statement.sqlite, values).fetchall()
        except sqlite3.OperationalError as error:
            if is_busy(error):
                return None
            raise wrapped(error, statement.sqlite) from error
        except sqlite3.Error as error:
            self._look_at(error)
            raise wrapped(error, statement.sqlite) from error

    async def look(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Read a few rows by an index with one statement; for queries that run every second.

        No hop to another thread on SQLite, one round trip on PostgreSQL.
        """
        found = self.read_now(statement, **values)
        if found is not None:
            return found

        async def read(transaction: Transaction) -> Sequence[Row]:
            return await transaction.fetch(statement, **values)

        return await self.transact(read)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction for writing; commits at the end, rolls back on any error."""
        self._refuse_a_lost_file()
        async with self._turn(), self._writer.begin() as connection:
            yield connection

    def _turn(self) -> AbstractAsyncContextManager[None]:
        """Wait for the writer's turn on SQLite, for a writer that isn't a transaction function."""
        return (
            self._functions.turn() if isinstance(self._functions, SqliteWriter) else nullcontext()
        )

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for reading one consistent state."""
        self._refuse_a_lost_file()
        async with self._reader.connect() as connection:
            yield connection

    async def run_script(self, statements: str) -> None:
        """Run SQLite statements completely and outside of any transaction, as the only writer.

        ``PRAGMA incremental_vacuum`` yields a row without columns for each page; the driver
        would stop at the first (https://www.sqlite.org/pragma.html#pragma_incremental_vacuum).
        """
        async with self._turn(), self._writer.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.executescript(statements)

    async def ping(self) -> None:
        """Raise :class:`StorageError` with a sentence for the operator when it is unavailable."""
        try:
            async with asyncio.timeout(5), self.read() as connection:
                await connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise StorageError(f"The database can't be reached: {cause_of(error)}.") from error

    async def can_write(self) -> bool:
        """Return whether a transaction may write; on SQLite this takes the writer's lock."""
        async with self.begin() as connection:
            await connection.execute(text("SELECT name FROM facts LIMIT 1"))
            if self.dialect == "sqlite":
                return True
            shown = await connection.execute(text("SHOW transaction_read_only"))
            return shown.scalar() != "on"

    async def quick_check(self) -> None:
        """Raise ``StorageError`` when a SQLite file is damaged; PostgreSQL checks its own pages."""
        if self.dialect != "sqlite":
            return
        async with self.read() as connection:
            found = (await connection.execute(text("PRAGMA quick_check(1)"))).scalar()
        if found != "ok" and self._watch is not None:
            self._watch.damaged()
            self._refuse_a_lost_file()

    def _refuse_a_lost_file(self) -> None:
        """Raise ``StorageError`` when the SQLite file was replaced, deleted or found damaged."""
        if self._watch is not None and (fault := self._watch.fault()) is not None:
            raise StorageError(fault)

    def _open_for_writing(self) -> sqlite3.Connection:
        """Open the connection of the writer's thread."""
        driver = self._opened(self._busy_timeout_ms, check_same_thread=False)
        driver.execute(_WRITERS_CACHE)
        return driver

    def _open_for_point_reads(self) -> sqlite3.Connection:
        """Open the connection of :meth:`read_now`; the event loop must not wait for a lock."""
        reader = self._opened(0, check_same_thread=True)
        reader.execute("PRAGMA query_only=ON")
        return reader

    def _opened(self, busy_timeout_ms: int, *, check_same_thread: bool) -> sqlite3.Connection:
        watch = cast("FileWatch", self._watch)  # never None here: this is called on SQLite only
        driver = sqlite3.connect(
            watch.address(),
            uri=True,
            timeout=busy_timeout_ms / 1000,
            isolation_level=None,
            check_same_thread=check_same_thread,
            cached_statements=_CACHED_STATEMENTS,
        )
        try:
            for pragma in _pragmas(busy_timeout_ms):
                driver.execute(pragma)
        except BaseException:  # also after Ctrl-C: no open file is left behind; raised again
            driver.close()
            raise
        watch.connected()
        return driver

    def _closed(self, driver: sqlite3.Connection) -> None:
        driver.close()
        if self._watch is not None:
            self._watch.disconnected()

    def _look_at(self, error: BaseException) -> None:
        if self._watch is not None and (_is_damage(error) or _is_damage(_original(error))):
            self._watch.damaged()

    def _sqlite_engine(self, watch: FileWatch, *, begin: str, pool_size: int) -> AsyncEngine:
        busy_timeout_ms = self._busy_timeout_ms

        async def connect() -> Connection:
            driver = connect_to(watch.address(), timeout=busy_timeout_ms / 1000)
            driver._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy has it
            self._threads.add(driver._thread)  # noqa: SLF001
            await driver
            return driver

        engine = create_async_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=60,
            hide_parameters=True,
            async_creator=connect,
        )

        # The driver's own transactions don't include SELECTs; so BEGIN is explicit.
        # https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#pysqlite-serializable
        @event.listens_for(engine.sync_engine, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            connection.run_async(partial(_set_up_when_free, busy_timeout_ms=busy_timeout_ms))
            if begin != _BEGIN_READING:
                connection.run_async(lambda driver: driver.execute_fetchall(_WRITERS_CACHE))
            watch.connected()

        @event.listens_for(engine.sync_engine, "close")
        def closed(_connection: Any, _record: Any) -> None:
            watch.disconnected()

        @event.listens_for(engine.sync_engine, "handle_error")
        def look_at(context: Any) -> None:
            if _is_damage(context.original_exception):
                watch.damaged()

        @event.listens_for(engine.sync_engine, "begin")
        def open_transaction(connection: Any) -> None:
            if begin == _BEGIN_READING:
                connection.connection.driver_connection.begin_with_next(begin)
            else:  # waits for the file's lock at once
                connection.exec_driver_sql(begin)

        return engine

    async def close(self) -> None:
        """Close all connections, after those in use are returned.

        A driver's thread that answers later would find the event loop closed.
        """
        await self._functions.close()
        if self._point_reader is not None:
            self._closed(self._point_reader)
            self._point_reader = None
        for engine in dict.fromkeys((self._writer, self._reader)):
            await _given_back(engine)
            await engine.dispose()
        for thread in list(self._threads):
            if thread.is_alive():
                await asyncio.to_thread(thread.join, _CLOSING_SECONDS)


async def _given_back(engine: AsyncEngine) -> None:
    """Wait until no connection is in use: a cancelled task returns its connection later."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _CLOSING_SECONDS
    pool: Any = engine.pool
    while pool.checkedout() and loop.time() < deadline:  # noqa: ASYNC110 - a pool has no event
        await asyncio.sleep(_CLOSING_PAUSE_SECONDS)


def is_outage(error: BaseException) -> bool:
    """Return whether an error means that the database is unavailable, not a wrong statement.

    PostgreSQL's driver has the same classes for both, so its error codes decide.
    """
    if isinstance(error, OSError | PoolTimeoutError | OperationalError):
        return True
    if isinstance(error, StorageError):
        return not isinstance(error, SealError)
    if not isinstance(error, DBAPIError):
        return False
    if _is_damage(error.orig):
        return True
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state.startswith(_SERVER_STATES)


def is_server_outage(error: BaseException) -> bool:
    """Return whether the database's server, or its pool of connections, is unavailable.

    SQLite's errors have one class for a lock and for a wrong statement, which must be found.
    """
    if isinstance(error, PoolTimeoutError):
        return True
    if isinstance(error, OSError):  # no connection: asyncpg raises it as it is
        frames = traceback.walk_tb(error.__traceback__)
        return any(frame.f_globals.get("__name__", "").startswith("asyncpg") for frame, _ in frames)
    return (
        isinstance(error, DBAPIError)
        and not isinstance(error.orig, sqlite3.Error)
        and is_outage(error)
    )


def _is_damage(error: BaseException | None) -> bool:
    """Return whether SQLite reports that the file is malformed or isn't a database."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _original(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else None


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Return whether SQLite refused because another connection has the file locked."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE == sqlite3.SQLITE_BUSY


async def _set_up_when_free(driver: Connection, *, busy_timeout_ms: int) -> None:
    """Set up a new connection; waits for a lock on the file as long as a writer would.

    When two connections switch the same file to WAL mode, each holds a shared lock and needs an
    exclusive one: SQLite then refuses one of them at once, in spite of its busy timeout
    (https://www.sqlite.org/c3ref/busy_handler.html).
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + busy_timeout_ms / 1000
    while True:
        try:
            await _set_up(driver, busy_timeout_ms)
        except sqlite3.OperationalError as error:
            if not is_busy(error) or loop.time() > deadline:
                raise
        else:
            return
        await asyncio.sleep(_BUSY_PAUSE_SECONDS)


async def _set_up(driver: Connection, busy_timeout_ms: int) -> None:
    # Only for an empty file, before WAL mode is set: a file with pages keeps its mode until VACUUM,
    # and setting it again would wait for the writer's lock.
    # https://www.sqlite.org/pragma.html#pragma_auto_vacuum
    [(pages,)] = await driver.execute_fetchall("PRAGMA page_count")
    if pages == 0:
        await driver.execute_fetchall("PRAGMA auto_vacuum=INCREMENTAL")
    for pragma in _pragmas(busy_timeout_ms):
        await driver.execute_fetchall(pragma)


def _pragmas(busy_timeout_ms: int) -> tuple[str, ...]:
    return (f"PRAGMA busy_timeout={busy_timeout_ms}", *_PRAGMAS)


# Statements have these numbers of rows only, so that SQLite compiles each of them once. The largest
# stays below SQLite's limit of 32,766 parameters.
_ROWS_AT_ONCE: Final = (1024, 512, 256, 128, 64)


async def insert_rows(
    connection: AsyncConnection,
    table: Table,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Insert ``rows``, each the values of ``columns`` in their order, in the driver's types."""
    if is_transaction(connection):
        await connection.insert(table, columns, rows)
        return
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


async def update_rows(
    connection: AsyncConnection,
    table: Table,
    columns: tuple[str, ...],
    key: str,
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Write ``columns`` of the rows that ``key`` finds; each is its values, then its key."""
    if not rows:
        return
    if is_transaction(connection):
        await connection.update(table, columns, key, rows)
    elif connection.dialect.name == "sqlite":
        await connection.exec_driver_sql(updating(table.name, columns, key), list(rows))
    else:
        arrays = tuple(map(list, zip(*rows, strict=True)))
        await connection.exec_driver_sql(updating_all(table, columns, key), arrays)


def among(
    connection: AsyncConnection, column: ColumnElement[str], values: Collection[str]
) -> ColumnElement[bool]:
    """Match rows whose ``column`` is one of ``values``."""
    if connection.dialect.name == "sqlite":
        # https://www.sqlite.org/json1.html#jeach
        each = func.json_each(bindparam(None, json.dumps(list(values)), Text)).table_valued("value")
        return column.in_(select(each.c.value))
    return column == any_(bindparam(None, list(values), ARRAY(Text)))


def insert_into(connection: AsyncConnection, table: Table) -> Any:
    """Return an INSERT that has ``on_conflict_do_nothing`` and ``on_conflict_do_update``.

    They are each dialect's own; PostgreSQL's is imported where there is PostgreSQL.
    """
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert

        return insert(table)
    return sqlite_insert(table)


@lru_cache(maxsize=256)
def _sqlite(table: str, columns: tuple[str, ...], count: int) -> str:
    row = f"({','.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({','.join(columns)}) VALUES {','.join([row] * count)}"  # noqa: S608 - names of our own


@lru_cache(maxsize=64)
def _postgresql(table: str, columns: tuple[str, ...]) -> str:
    row = ",".join(f"${number}" for number in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({','.join(columns)}) VALUES ({row})"  # noqa: S608 - as above
