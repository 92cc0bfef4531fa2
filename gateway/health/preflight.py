"""Read-only checks of the database and the master key, without opening the gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import StorageError
from gateway.health.lines import Line, green, red
from gateway.runtime import Gateway
from gateway.storage.crypto import keyring
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database
from gateway.storage.maintenance import migrate
from gateway.storage.maintenance.clear_filler import FillProgress, fill_progress
from gateway.storage.maintenance.lost import refuse_lost_database
from gateway.storage.maintenance.pooler import refuse_lost_statements
from gateway.storage.outage import cause_of
from gateway.storage.stores import installation
from gateway.storage.stores.audit_head import FILE_NAME, AuditState, look_at


class DatabaseState(NamedTuple):
    """The state of a database; ``detail`` describes it in a sentence.

    ``is_ready``: its schema is up to date. ``is_sealed``: it holds values that only its own
    master key can open.
    """

    detail: str
    is_ready: bool = False
    is_sealed: bool = False


async def look_at_database(gateway: Gateway, *, every_page: bool = False) -> DatabaseState:
    """Return the database's state.

    Raises ``StorageError`` when it can't be reached, was lost, lacks columns, or is damaged:
    ``every_page`` reads all of a SQLite file.
    """
    key = None if gateway.settings.security.master_key else gateway.master_key_path
    async with opened_database(gateway) as database:
        await refuse_lost_statements(database)
        await refuse_lost_database(database, key)
        if database.path is not None and not database.path.exists():
            return DatabaseState(f"{database.path} will be created at the first start")
        await database.ping()
        if await migrate.pending(database, gateway.hooks.tables()):
            return DatabaseState(
                "reachable; the next start (or gateway migrate) updates its schema"
            )
        detail = f"{database.dialect}, up to date"
        if every_page and database.path is not None:
            await database.quick_check()
            detail += ", every page is whole"
        async with database.read() as connection:
            is_sealed = await installation.has_keyring(connection)
        await migrate.refuse_missing_columns(database, gateway.hooks.tables())
        async with database.read() as connection:
            detail += _filling(await fill_progress(connection))
        return DatabaseState(detail, is_ready=True, is_sealed=is_sealed)


def _filling(progress: FillProgress) -> str:
    """Return the progress of filling the clear columns, while some packages are unfilled."""
    if not progress.unfilled:
        return ""
    done = progress.packages - progress.unfilled
    return (
        f"; {done} of {progress.packages} packages ({100 * done // progress.packages} %) have the "
        "columns that lists are filtered by, and a server that runs fills the others"
    )


async def look_at_master_key(gateway: Gateway, state: DatabaseState | None) -> str:
    """Return where the master key is kept.

    Raises ``ConfigurationError`` when it can't be read, or isn't the key that sealed the
    database.
    """
    text, path = gateway.settings.security.master_key, gateway.master_key_path
    is_sealed = state is not None and state.is_sealed
    if text is None and not is_sealed and not path.exists():
        return f"{path} will be created at the first start: back it up"
    keys = keyring.load(path) if text is None else keyring.Keyring.parse(text)
    if is_sealed:
        async with opened_database(gateway) as database, database.read() as connection:
            # With a fingerprint in the database this only compares.
            await installation.claim_keyring(connection, keys)
    return str(path) if text is None else "in the settings"


async def look_at_audit(
    gateway: Gateway, state: DatabaseState | None, *, newest: int
) -> Line | None:
    """Verify the ``newest`` rows of the audit trail; ``None`` where nothing is stored yet."""
    if state is None or not (state.is_ready and state.is_sealed):
        return None
    text, path = gateway.settings.security.master_key, gateway.master_key_path
    keys = keyring.load(path) if text is None else keyring.Keyring.parse(text)
    head = gateway.settings.gateway.data_dir / FILE_NAME
    async with opened_database(gateway) as database, database.read() as connection:
        return audit_line(await look_at(connection, Sealer(keys), head, newest=newest))


def audit_line(found: AuditState) -> Line:
    """Return the line of a look at the audit trail."""
    name = "audit trail"
    if not found.is_whole:
        return red(name, "gateway audit verify", "the audit trail: {fault}", fault=found.detail)
    if not found.rows:
        return green(name, "empty")
    text = "{rows} rows verified, the newest is {newest}"
    return green(name, text, rows=found.rows, newest=found.newest)


@asynccontextmanager
async def opened_database(gateway: Gateway) -> AsyncIterator[Database]:
    """Open the database alone; raises ``StorageError`` when it fails."""
    database = Database(gateway.settings.database.url, only_reads=True)
    try:
        yield database
    except (SQLAlchemyError, OSError) as error:
        raise StorageError(f"The database can't be read: {cause_of(error)}.") from error
    finally:
        await database.close()
