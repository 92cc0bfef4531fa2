"""A database of any earlier version is brought up to date, used, and backed up.

``tests/data/schemas`` has the schema of each landed combination of revisions as SQL, for both
databases, named after the commit that made it. When another version has landed, its schema joins
them.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from core.gateways import LIVE, order, submission
from core.storage.saved import restoring
from sqlalchemy import inspect, make_url, text

from gateway.clock import SystemClock
from gateway.runtime import Gateway
from gateway.settings import parse_settings
from gateway.storage.backup.write import write_backup
from gateway.storage.crypto.keyring import load
from gateway.storage.maintenance.migrate import pending
from gateway.testing.schema import lay_schema

SCHEMAS = Path(__file__).parents[3] / "data" / "schemas"
PLUGINS = "".join(
    f"[plugins.{name}]\n" for name in ("csv", "json_api", "rx_queue", "shopify", "webhooks")
)
# A column that no version reads any more; it stays in the databases that have it.
LEFT_OVER = {"last_webhook_at_ms"}
CHOICE = {"account_id": "default", "sender": "clinic", "header": "who", "field": "patient_name"}
CHOICE_SCOPE = {"mode": "live", "site": ""}


def schema(commit: str, dialect: str) -> str:
    return (SCHEMAS / f"{commit}.{dialect}.sql").read_text("utf-8")


def revisions(commit: str) -> str:
    head = schema(commit, "sqlite").splitlines()[0]
    return head.removeprefix("-- ").partition(", as commit")[0]


COMMITS = sorted({each.name.partition(".")[0] for each in SCHEMAS.iterdir()}, key=revisions)
# The first goes through every migration; the others begin later on the same way.
ALWAYS = (COMMITS[0], COMMITS[len(COMMITS) // 2], COMMITS[-1])
UPGRADED = [
    pytest.param(each, marks=() if each in ALWAYS else pytest.mark.long, id=revisions(each))
    for each in COMMITS
]


def choice_of(commit: str) -> str:
    """Return the statement that stores a chosen column, as far as the version had the table."""
    table = next(
        (line for line in schema(commit, "sqlite").splitlines() if "TABLE csv_columns" in line), ""
    )
    row = CHOICE | CHOICE_SCOPE if "mode" in table else CHOICE
    values = ", ".join(f"'{value}'" for value in row.values())
    return f"INSERT INTO csv_columns ({', '.join(row)}) VALUES ({values})" if table else "SELECT 1"


def new_folder(path: Path) -> Path:
    path.mkdir()
    return path


def moved_data(source: Path, target: Path) -> Path:
    (source / "data").rename(target / "data")
    return target


def gateway_of(url: str, folder: Path) -> Gateway:
    toml = f'[database]\nurl = "{url}"\n{PLUGINS}'
    return Gateway(parse_settings(toml, source=None, directory=folder, environ={}))


async def parts(gateway: Gateway) -> dict[str, set[str | None]]:
    """Return the columns and indexes of each table."""

    def look(connection):
        found = inspect(connection)
        return {
            table: {each["name"] for each in found.get_columns(table)}
            | {each["name"] for each in found.get_indexes(table)}
            for table in found.get_table_names()
        }

    async with gateway.database.read() as connection:
        return await connection.run_sync(look)


async def parts_of_a_new_one(folder: Path) -> dict[str, set[str | None]]:
    gateway = gateway_of(f"sqlite+aiosqlite:///{folder / 'gateway.db'}", folder)
    await lay_schema(gateway)
    async with gateway:
        return await parts(gateway)


async def upgraded_used_and_backed_up(url: str, tmp_path: Path, commit: str) -> None:
    expected = await parts_of_a_new_one(new_folder(tmp_path / "new"))
    backup = tmp_path / "kept.backup"
    async with gateway_of(url, tmp_path) as gateway:
        # It is brought up to date, and what it held is there
        assert gateway.migrated.revisions
        found = await parts(gateway)
        assert {name: found[name] - LEFT_OVER for name in expected} == expected
        if "csv" in revisions(commit):
            async with gateway.database.read() as connection:
                rows = (await connection.execute(text("SELECT * FROM csv_columns"))).mappings()
                assert [dict(row) for row in rows] == [CHOICE | CHOICE_SCOPE]
        # It is used
        [result] = (await gateway.intake.accept(submission(order()))).results
        async with gateway.running():
            pass
        # And backed up
        keyring, tables = load(gateway.master_key_path), gateway.hooks.tables()
        await write_backup(gateway.database, tables, keyring, backup, SystemClock().now())

    folder = moved_data(tmp_path, new_folder(tmp_path / "restored"))
    restored = f"sqlite+aiosqlite:///{folder / 'gateway.db'}"
    await restoring(backup, keyring=keyring, plugins=tables).into(restored)
    async with gateway_of(restored, folder) as gateway:
        assert not await pending(gateway.database, gateway.hooks.tables())
        async with gateway.database.read() as connection:
            package = await gateway.packages.get(connection, LIVE, result.package_id)
        assert package.order.patient_name == order().patient_name


@pytest.mark.parametrize("commit", UPGRADED)
async def test_a_sqlite_file_of_an_earlier_version_works(tmp_path, commit):
    path = tmp_path / "gateway.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(schema(commit, "sqlite"))
        connection.execute(choice_of(commit))
        connection.commit()

    await upgraded_used_and_backed_up(f"sqlite+aiosqlite:///{path}", tmp_path, commit)
    assert list((tmp_path / "restored" / "data" / "backups").glob("*-before-migration.db"))


@pytest.mark.slow
@pytest.mark.parametrize("commit", UPGRADED)
async def test_a_postgresql_of_an_earlier_version_works(tmp_path, commit, empty_postgres_url):
    plain = make_url(empty_postgres_url).set(drivername="postgresql")
    connection = await asyncpg.connect(plain.render_as_string(hide_password=False))
    await connection.execute(schema(commit, "postgresql"))
    await connection.execute(choice_of(commit))
    await connection.close()

    await upgraded_used_and_backed_up(empty_postgres_url, tmp_path, commit)


def test_both_databases_have_the_same_versions_and_the_first_is_there():
    assert {each.name for each in SCHEMAS.iterdir()} == {
        f"{commit}.{dialect}.sql" for commit in COMMITS for dialect in ("sqlite", "postgresql")
    }
    stored = {revisions(commit).partition(",")[0] for commit in COMMITS}
    assert stored >= {"core_0002", "core_0016", "core_0017"}


@pytest.mark.parametrize("path", sorted(SCHEMAS.iterdir()), ids=lambda path: path.name)
def test_a_stored_schema_is_plain_text_of_some_kilobytes(path):
    assert path.stat().st_size < 100_000
