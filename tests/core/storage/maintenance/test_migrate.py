"""The schema is brought up to date by migrations, and these make what the tables' page says."""

import re
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from core.storage.plugin_folders import CORE_HEAD, SECOND, Plugin
from core.storage.rows import LIVE, NOW, SEALER, new_package, stores
from sqlalchemy import inspect, text

from gateway.errors import StorageError
from gateway.storage.database import Database
from gateway.storage.maintenance import migrate as migrate_module
from gateway.storage.maintenance.migrate import Migrated, migrate, open_to_others, pending
from gateway.storage.schema import metadata
from gateway.storage.stores.package_lists import PackageFilter


@pytest.fixture
async def empty(empty_database_url):
    opened = Database(empty_database_url)
    yield opened
    await opened.close()


async def up(database, tmp_path, *plugins, now=NOW):
    return await migrate(database, [each.tables for each in plugins], tmp_path / "backups", now)


async def tables_of(database):
    async with database.read() as connection:
        return set(await connection.run_sync(lambda plain: inspect(plain).get_table_names()))


async def differences(database):
    """Return what Alembic would still have to change to get to the page of tables."""
    options = {"compare_type": True, "compare_server_default": True}
    async with database.read() as connection:
        return await connection.run_sync(
            lambda plain: compare_metadata(
                MigrationContext.configure(plain, opts=options), metadata
            )
        )


async def test_an_empty_database_becomes_what_the_page_of_tables_says(empty, tmp_path):
    done = await up(empty, tmp_path)

    assert done == Migrated([CORE_HEAD], None)
    assert await differences(empty) == []
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


def test_no_index_has_a_condition_that_sqlite_makes_a_table_for():
    conditions = [
        str(index.dialect_options["sqlite"]["where"])
        for table in metadata.tables.values()
        for index in table.indexes
    ]

    # With up to two values SQLite compares.
    assert [each for each in conditions if re.search(r"IN \([^)]*,[^)]*,", each)] == []


def index_definitions(connection):
    """Return every index as the database itself writes it down."""
    queries = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        "postgresql": "SELECT indexdef FROM pg_indexes WHERE tablename NOT LIKE 'pg_%' "
        "AND tablename <> 'alembic_version'",
    }
    found = connection.execute(text(queries[connection.dialect.name])).scalars()
    return sorted(" ".join(each.split()).replace('"', "") for each in found)


async def test_a_database_of_the_first_version_becomes_the_same_and_keeps_what_it_holds(
    empty, tmp_path
):
    # Given a database as version 0.1.0 made it, with an event and a destination in it
    await with_first_version(empty)
    async with empty.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO events (id, account_id, mode, type, subject, occurred_at_ms, "
                "recorded_at_ms, actor, late, data) VALUES ('evt_1', 'acme', 'live', "
                "'package.created', 'pkg_1', 1, 2, 'key_1', FALSE, :data)"
            ),
            {"data": SEALER.seal(b"{}", table="events", row_id="evt_1")},
        )
    assert await pending(empty, [])

    # When it is brought up to date
    done = await up(empty, tmp_path)

    # Then it is what an empty one becomes
    assert done.revisions == [CORE_HEAD]
    assert (done.backup is not None) == (empty.dialect == "sqlite")
    assert await differences(empty) == []
    async with empty.read() as connection:
        (event,) = await stores().events.of_subject(connection, LIVE, "pkg_1")
    assert (event.id, event.type, event.data) == ("evt_1", "package.created", {})


async def with_first_version(database, revision="core_0001"):
    def upgrade(plain):
        config = Config(attributes={"connection": plain})
        config.set_main_option(
            "script_location", str(Path(migrate_module.__file__).parents[1] / "migrations")
        )
        command.upgrade(config, revision)

    async with database.begin() as connection:
        await connection.run_sync(upgrade)


async def test_a_probe_in_flight_is_still_known_as_one_after_the_migration(empty, tmp_path):
    # Given a database of before the column: one destination held by its probe, one by a pause
    await with_first_version(empty, "core_0005")
    async with empty.begin() as connection:
        for name, held_until in (("probing", 100), ("paused", 200)):
            await connection.execute(
                text(
                    "INSERT INTO destinations (id, account_id, mode, sink, name, events, state, "
                    "settings, max_in_flight, ordered, created_at_ms, opened_at_ms, held_until_ms) "
                    "VALUES (:name, 'acme', 'live', 'fake', 'Board', '*', 'active', :settings, 1, "
                    "FALSE, 1, 1, :held_until)"
                ),
                {"name": name, "settings": b"", "held_until": held_until},
            )
            await connection.execute(
                text(
                    "INSERT INTO deliveries (id, account_id, destination_id, event_id, event_type, "
                    "subject, in_order, state, attempts, retry_index, due_at_ms, lease, "
                    "created_at_ms) VALUES (:name, 'acme', :name, 'evt_1', 'package.created', "
                    "'pkg_1', FALSE, 'pending', 0, 0, 100, :lease, 1)"
                ),
                {"name": name, "lease": f"lease of {name}"},
            )

    await up(empty, tmp_path)

    async with empty.read() as connection:
        rows = await connection.execute(text("SELECT name, id, probe_lease FROM destinations"))
        found = {row.id: row.probe_lease for row in rows}
    assert found == {"probing": "lease of probing", "paused": None}


async def test_a_second_run_does_nothing(empty, tmp_path):
    await up(empty, tmp_path)

    assert await up(empty, tmp_path) == Migrated((), None)
    assert not (tmp_path / "backups").exists()


async def test_a_pending_migration_is_reported_beforehand(empty, tmp_path):
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

    assert (await up(empty, tmp_path, acme)).revisions == ["acme_0001", CORE_HEAD]
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


# Python 3.13 takes a connection that could not be opened for one that was not closed.
@pytest.mark.filterwarnings("ignore:.*sqlite3.Connection:pytest.PytestUnraisableExceptionWarning")
async def test_a_copy_that_cannot_be_made_stops_the_change(tmp_path):
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}")
    await up(database, tmp_path)
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "gateway-20260101T120000Z-before-migration.db").mkdir()

    with pytest.raises(StorageError, match=r"could not be brought up to date \(OperationalError\)"):
        await up(database, tmp_path, Plugin(tmp_path))

    assert "acme_orders" not in await tables_of(database)
    await database.close()


@pytest.mark.skipif(sys.platform == "win32", reason="modes say nothing on Windows")
async def test_a_new_database_and_its_folder_are_its_owners_alone(tmp_path):
    path = tmp_path / "new" / "gateway.db"
    database = Database(f"sqlite+aiosqlite:///{path}")
    await up(database, tmp_path)
    async with database.begin() as connection:
        await connection.execute(text("SELECT 1"))

    modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.glob("gateway.db*")}
    assert modes == dict.fromkeys(modes, 0o600)
    assert {"gateway.db", "gateway.db-wal"} <= set(modes)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert open_to_others(path) == []

    path.chmod(0o644)
    assert open_to_others(path) == []  # nobody else enters the folder
    path.parent.chmod(0o755)
    assert open_to_others(path) == [path]
    path.parent.chmod(0o770)
    assert open_to_others(path) == [path.parent, path]
    await database.close()
