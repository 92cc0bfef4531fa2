"""Several processes that start at once bring the schema up to date once."""

import asyncio
import sys
from subprocess import PIPE

import pytest
from core.storage.plugin_folders import CORE_HEAD, Plugin
from sqlalchemy import inspect

from gateway.storage.database import Database
from gateway.storage.schema import metadata

MIGRATING = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import MetaData

from gateway.storage.plugin_tables import PluginTables
from gateway.storage.database import Database
from gateway.storage.maintenance.migrate import migrate


async def main():
    url, backups = sys.argv[1:]
    print("ready", flush=True)
    for line in sys.stdin:
        database = Database(url)
        tables = [PluginTables(MetaData(), Path(folder)) for folder in line.split()]
        done = await migrate(database, tables, Path(backups), datetime(2026, 1, 1, tzinfo=UTC))
        print(*done.revisions, flush=True)
        await database.close()


asyncio.run(main())
"""


async def all_told(children, line=b"\n"):
    """Let all go in the same moment; returns what they answer."""
    for child in children:
        child.stdin.write(line)
    return sorted([(await child.stdout.readline()).decode().strip() for child in children])


@pytest.mark.slow
async def test_processes_that_start_at_once_migrate_once(empty_database_url, tmp_path):
    # Given two processes that are ready to start
    plugin = Plugin(tmp_path)
    program = (sys.executable, "-c", MIGRATING, empty_database_url, str(tmp_path / "backups"))
    children = [
        await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE) for _ in range(2)
    ]
    assert [await child.stdout.readline() for child in children] == [b"ready\n"] * 2

    # When both meet an empty database, and then one with something to copy aside
    first = await all_told(children)
    second = await all_told(children, f"{plugin.folder}\n".encode())

    # Then one of them did it, the other one waited, and there is one copy
    assert first == ["", CORE_HEAD]
    assert second == ["", "acme_0001"]
    database = Database(empty_database_url)
    async with database.read() as connection:
        names = await connection.run_sync(lambda plain: inspect(plain).get_table_names())
    assert {"acme_orders", *metadata.tables} <= set(names)
    backups = list((tmp_path / "backups").glob("*.db"))
    assert len(backups) == (1 if database.dialect == "sqlite" else 0)
    await database.close()
    for child in children:
        child.stdin.close()
        assert await child.wait() == 0
