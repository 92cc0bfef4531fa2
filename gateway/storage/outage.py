"""The reason why a database is unavailable, in words for the operator.

Driver errors name the cause only by class and code, and their messages may quote data, so
this module maps codes to sentences and never repeats a message.
"""

import socket
from collections.abc import Iterator
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import StorageError

# https://www.sqlite.org/rescode.html; the first that is a prefix of the error's name counts.
_SQLITE: Final = (
    ("SQLITE_CANTOPEN", "its file can't be opened: the folder is missing or not accessible"),
    ("SQLITE_READONLY", "its file or folder is read-only for this user: check owner and mode"),
    ("SQLITE_PERM", "this user has no permission for its file: check owner and mode"),
    ("SQLITE_FULL", "the disk is full: make room"),
    ("SQLITE_BUSY", "another program keeps it locked: close that program"),
    ("SQLITE_LOCKED", "another program keeps it locked: close that program"),
    ("SQLITE_NOTADB", "its file is not a database: check [database] url, or restore a backup"),
    ("SQLITE_CORRUPT", "its file is damaged: restore a backup (gateway restore FILE)"),
    ("SQLITE_ERROR", "a table is missing or damaged; restore a backup"),
    ("SQLITE_IOERR", "the disk reports an error: check it, and that it is still mounted"),
)
# https://www.postgresql.org/docs/current/errcodes-appendix.html
UNPREPARED: Final = (
    "a pooler such as pgbouncer in transaction mode is between, which loses prepared statements: "
    "add ?prepared_statements=false to [database] url, or connect to PostgreSQL itself"
)
_POSTGRESQL: Final = (
    ("42P05", UNPREPARED),
    ("26000", UNPREPARED),
    ("28P01", "the password of [database] url is wrong"),
    ("28", "PostgreSQL refuses this user or machine: see pg_hba.conf and [database] url"),
    ("3D000", "PostgreSQL has no database of this name: create it, or correct [database] url"),
    ("53300", "PostgreSQL has no free connection: raise max_connections, or run fewer processes"),
    ("53100", "PostgreSQL's disk is full: make room"),
    ("53", "PostgreSQL is out of resources: see its log"),
    ("57P03", "PostgreSQL is starting up or shutting down: try again"),
    ("57", "PostgreSQL ended the connection: see its log"),
    ("55P03", "a table is locked by another program: find it in pg_stat_activity"),
    ("25006", "PostgreSQL is read-only: it is a standby, or set so"),
    ("42501", "the user of [database] url lacks a permission: let it own the database"),
    ("42P", "a table is missing or belongs to another program: run gateway migrate"),
    ("08", "the connection to PostgreSQL broke: see that it runs"),
)

_SYSTEM: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (
        socket.gaierror,
        "the host name in [database] url is unknown: check the name and the network",
    ),
    (
        ConnectionRefusedError,
        "nothing listens at the address in [database] url: start PostgreSQL",
    ),
    (TimeoutError, "it doesn't answer in time: see that it runs and that no firewall is between"),
    (PermissionError, "this user has no permission for its files: check owner and mode"),
    (FileNotFoundError, "a folder or file of [database] url is missing"),
    (ConnectionError, "the connection broke: see that PostgreSQL runs"),
)


def cause_of(error: BaseException) -> str:
    """Return the reason why the database failed, and the remedy."""
    for each in _chain(error):
        name = getattr(each, "sqlite_errorname", None)
        if isinstance(name, str) and (found := _first(_SQLITE, name)):
            return found
        state = getattr(each, "sqlstate", None)
        if isinstance(state, str) and (found := _first(_POSTGRESQL, state)):
            return found
    for each in _chain(error):
        if found := _of_system(each):
            return found
    [*_, first] = _chain(error)
    return f"{type(first).__name__}: see that it runs and check [database] url"


def failure_of(error: Exception) -> str:
    """Return an exception's class for the log, and the cause when the database failed."""
    name = type(error).__name__
    if isinstance(error, StorageError):  # its message is a sentence of the gateway
        return f"{name}: {error.message}"
    if isinstance(error, SQLAlchemyError | OSError):
        return f"{name}: {cause_of(error)}"
    return name


def out_of_reach(cause: Exception) -> StorageError:
    """Return the error for a client while the database is unavailable."""
    if isinstance(cause, StorageError):
        return cause  # it already has a sentence for the operator
    error = StorageError("The database can't be reached right now; try again shortly.")
    error.__cause__ = cause
    return error


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        original: BaseException | None = getattr(seen, "orig", None)
        seen = original or seen.__cause__ or seen.__context__


def _first(table: tuple[tuple[str, str], ...], code: str) -> str | None:
    return next((text for prefix, text in table if code.startswith(prefix)), None)


def _of_system(error: BaseException) -> str | None:
    found = next((text for kind, text in _SYSTEM if isinstance(error, kind)), None)
    if found is None and isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return found
