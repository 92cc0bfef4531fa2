"""The schema is brought up to date by migrations, and these make what the tables' page says."""

import sqlite3
import sys
from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from core.storage.plugin_folders import SECOND, Plugin
from core.storage.rows import LIVE, NOW, new_package, stores
from sqlalchemy import inspect, text

from gateway.errors import StorageError
from gateway.storage.database import Database
from gateway.storage.migrating import Migrated, migrate, pending
from gateway.storage.packages import PackageFilter
from gateway.storage.tables import metadata


@pytest.fixture
async def empty(database_url):
    opened = Database(database_url)
    yield opened
    await opened.close()


async def up(database, tmp_path, *plugins, now=NOW):
    return await migrate(database, [each.tables for each in plugins], tmp_path / "backups", now)


async def tables_of(database):
    async with database.read() as connection:
        return set(await connection.run_sync(lambda plain: inspect(plain).get_table_names()))


async def test_an_empty_database_becomes_what_the_page_of_tables_says(empty, tmp_path):
    done = await up(empty, tmp_path)

    assert done == Migrated(["core_0001"], None)
    async with empty.read() as connection:
        differences = await connection.run_sync(
            lambda plain: compare_metadata(
                MigrationContext.configure(
                    plain, opts={"compare_type": True, "compare_server_default": True}
                ),
                metadata,
            )
        )
    assert differences == []
    assert await tables_of(empty) == {*metadata.tables, "alembic_version"}


async def test_indexes_are_those_of_the_page_of_tables_with_their_conditions(empty, tmp_path):
    await up(empty, tmp_path)
    async with empty.read() as connection:
        migrated = await connection.run_sync(index_definitions)
    async with empty.begin() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)

    async with empty.read() as connection:
        assert await connection.run_sync(index_definitions) == migrated
    assert len(migrated) >= 12


def index_definitions(connection):
    """Return every index as the database itself writes it down."""
    queries = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        "postgresql": "SELECT indexdef FROM pg_indexes WHERE tablename NOT LIKE 'pg_%' "
        "AND tablename <> 'alembic_version'",
    }
    found = connection.execute(text(queries[connection.dialect.name])).scalars()
    return sorted(" ".join(each.split()).replace('"', "") for each in found)


async def test_a_second_run_does_nothing(empty, tmp_path):
    await up(empty, tmp_path)

    assert await up(empty, tmp_path) == Migrated((), None)
    assert not (tmp_path / "backups").exists()


async def test_whether_something_is_pending_is_told_beforehand(empty, tmp_path):
    plugin = Plugin(tmp_path)
    assert await pending(empty, [])

    await up(empty, tmp_path)

    assert not await pending(empty, [])
    assert await pending(empty, [plugin.tables])


async def test_asking_whether_something_is_pending_makes_no_file(tmp_path):
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'not' / 'there.db'}")

    assert await pending(database, [])

    assert not (tmp_path / "not").exists()
    await database.close()


async def test_the_folder_of_the_database_is_made(tmp_path):
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'new' / 'data' / 'gateway.db'}")

    await up(database, tmp_path)

    assert (tmp_path / "new" / "data" / "gateway.db").exists()
    await database.close()


async def test_a_plugins_tables_come_with_the_cores_and_after_them(empty, tmp_path):
    acme, early = Plugin(tmp_path), Plugin(tmp_path, "aaa")

    assert (await up(empty, tmp_path, acme)).revisions == ["acme_0001", "core_0001"]
    assert (await up(empty, tmp_path, acme, early)).revisions == ["aaa_0001"]

    assert {"acme_orders", "aaa_orders", *metadata.tables} <= await tables_of(empty)


async def test_a_plugin_that_is_off_leaves_its_tables_where_they_are(empty, tmp_path):
    plugin = Plugin(tmp_path)
    await up(empty, tmp_path, plugin)

    # When it is turned off, and another one comes meanwhile
    assert await up(empty, tmp_path) == Migrated((), None)
    assert not await pending(empty, [])
    assert (await up(empty, tmp_path, Plugin(tmp_path, "other"))).revisions == ["other_0001"]

    # Then turning it on again finds everything there
    assert (await up(empty, tmp_path, plugin)).revisions == ()
    assert {"acme_orders", "other_orders"} <= await tables_of(empty)


async def test_a_plugin_goes_on_from_where_it_was(empty, tmp_path):
    plugin = Plugin(tmp_path)
    await up(empty, tmp_path, plugin)
    plugin.write("0002", SECOND)

    assert (await up(empty, tmp_path, plugin)).revisions == ["acme_0002"]

    async with empty.begin() as connection:
        await connection.execute(text("INSERT INTO acme_orders VALUES ('1', 'a note')"))


async def test_a_database_of_a_newer_version_is_left_alone(empty, tmp_path):
    await up(empty, tmp_path)
    async with empty.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'core_9999'"))

    with pytest.raises(StorageError, match="brought up to date by a newer version: install that"):
        await up(empty, tmp_path)
    with pytest.raises(StorageError, match="newer version"):
        await pending(empty, [])


async def test_a_migration_that_fails_leaves_nothing_half_done(empty, tmp_path):
    plugin = Plugin(tmp_path)
    await up(empty, tmp_path, plugin)
    plugin.write("0002", SECOND, more='op.execute("INSERT INTO nowhere VALUES (1)")')

    with pytest.raises(StorageError) as refused:
        await up(empty, tmp_path, plugin)

    kept = " The database as it was is in gateway-20260101T120000Z-before-migration.db."
    assert refused.value.message == (
        "The schema could not be brought up to date ("
        + {"sqlite": f"OperationalError).{kept}", "postgresql": "ProgrammingError)."}[empty.dialect]
    )
    async with empty.read() as connection:
        columns = await connection.run_sync(lambda plain: inspect(plain).get_columns("acme_orders"))
    assert [each["name"] for each in columns] == ["id"]
    plugin.write("0002", SECOND)
    assert (await up(empty, tmp_path, plugin)).revisions == ["acme_0002"]


async def test_sqlite_is_copied_before_a_change_and_the_copy_opens(tmp_path):
    # Given a database that holds something, some of it only in the write-ahead log
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}")
    kept = stores()
    await up(database, tmp_path)
    package = new_package(LIVE)
    async with database.begin() as connection:
        await kept.packages.insert(connection, [package])

    # When a change is made
    done = await up(
        database,
        tmp_path,
        Plugin(tmp_path),
        now=datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
    )

    # Then the copy is the database as it was
    assert done.backup == tmp_path / "backups" / "gateway-20260203T040506Z-before-migration.db"
    if sys.platform != "win32":
        assert done.backup.parent.stat().st_mode & 0o777 == 0o700
    copy = Database(f"sqlite+aiosqlite:///{done.backup}")
    async with copy.read() as connection:
        assert (await kept.packages.page(connection, LIVE, PackageFilter(9)))[0].id == package.id
    assert "acme_orders" not in await tables_of(copy)
    assert await up(copy, tmp_path) == Migrated((), None)
    assert sqlite3.connect(done.backup).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    for opened in (database, copy):
        await opened.close()


async def test_a_copy_that_cannot_be_made_stops_the_change(tmp_path):
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}")
    await up(database, tmp_path)
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "gateway-20260101T120000Z-before-migration.db").mkdir()

    with pytest.raises(StorageError, match=r"could not be brought up to date \(OperationalError\)"):
        await up(database, tmp_path, Plugin(tmp_path))

    assert "acme_orders" not in await tables_of(database)
    await database.close()
