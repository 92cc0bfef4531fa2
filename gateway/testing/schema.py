"""SQLite files that hold every table already: made once a process, copied for each gateway.

Applying the migrations takes longer than most tests. A copy is byte for byte what they
leave behind at a first start, before anything is stored.
"""

import asyncio
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import MetaData, make_url

from gateway.clock import SystemClock
from gateway.runtime import Gateway
from gateway.storage.database import Database
from gateway.storage.maintenance.migrate import migrate
from gateway.storage.plugin_tables import PluginTables


async def lay_schema(gateway: Gateway) -> None:
    """Put a migrated file where ``gateway`` is about to open one, unless there is one.

    Does nothing on PostgreSQL, and nothing where the directory can't be made: opening the
    gateway reports that.
    """
    url = make_url(gateway.settings.database.url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    migrations = tuple(each.migrations for each in gateway.hooks.tables())
    await asyncio.to_thread(_lay, Path(url.database), migrations)


def _lay(path: Path, migrations: tuple[Path, ...]) -> None:
    if path.exists():
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return
    path.touch(mode=0o600)
    path.write_bytes(migrated_file(migrations))


@lru_cache(maxsize=64)
def migrated_file(migrations: tuple[Path, ...]) -> bytes:
    """Return the bytes of a SQLite file with the core's tables and those of ``migrations``.

    ``migrations`` are folders of Alembic scripts, one a plugin. Not for a thread that runs
    an event loop.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.db"
        asyncio.run(_migrated(path, migrations))
        return path.read_bytes()


async def _migrated(path: Path, migrations: tuple[Path, ...]) -> None:
    database = Database(f"sqlite+aiosqlite:///{path}")
    try:
        tables = [PluginTables(MetaData(), each) for each in migrations]
        await migrate(database, tables, path.parent, SystemClock().now())
    finally:
        await database.close()
