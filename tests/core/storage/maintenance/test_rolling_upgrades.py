"""While a newer version has updated the schema, processes of this one go on until they end.

What docs/how-to/upgrade.md promises between a version and the next. The next version is played by
its migration: columns and tables that this version doesn't know, and a revision that it doesn't
have.
"""

import ast
from pathlib import Path

import pytest
from core.delivery.dispatching import Scripted, carried, publish
from core.gateways import LIVE, add_destination, opened, order, submission
from sqlalchemy import select, text

from gateway.clock import SteppingClock
from gateway.errors import StorageError
from gateway.storage.schema import deliveries, metadata

ROOT = Path(__file__).parents[4]
FOLDERS = (
    ROOT / "gateway/storage/migrations/versions",
    *sorted(ROOT.glob("plugins/*/gateway_*/migrations")),
)
# Landed before this was promised.
BEFORE = {
    *(f"core_000{number}" for number in range(1, 7)),
    *("csv_0001", "csv_0002", "rx_queue_0001", "rx_queue_0002", "rx_queue_0003"),
    *("shopify_0001", "shopify_0002"),
}
# Why a migration may do more than add.
MORE_THAN_ADDS = {
    "csv_0003": "only to databases that no version after csv_0001's change could use",
}
ADDING = {"add_column", "create_index", "create_table", "drop_index", "f", "get_bind"}


def calls_of_op(source: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "op"
    ]


def fills(call: ast.Call) -> bool:
    """Return whether a statement only writes rows."""
    texts = [each.value for each in ast.walk(call) if isinstance(each, ast.Constant)]
    return call.func.attr == "execute" and str(texts[0]).startswith(("UPDATE ", "INSERT "))


def more_than_adds(source: str) -> list[str]:
    """Return the operations that a process of the version before might not survive."""
    calls = calls_of_op(source)
    of_new_tables = {
        node for call in calls if call.func.attr == "create_table" for node in ast.walk(call)
    }
    return [
        *(call.func.attr for call in calls if call.func.attr not in ADDING and not fills(call)),
        *(
            "a column without a default"
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "sa.Column"
            if ast.unparse(node) not in set(map(ast.unparse, of_new_tables))
            if "nullable=False" in ast.unparse(node) and "server_default" not in ast.unparse(node)
        ),
    ]


@pytest.mark.parametrize(
    "path",
    [each for folder in FOLDERS for each in sorted(folder.glob("*.py")) if each.stem not in BEFORE],
    ids=lambda path: path.stem,
)
def test_a_migration_only_adds_what_the_version_before_need_not_fill(path):
    found = more_than_adds(path.read_text("utf-8"))

    assert found == [] or path.stem in MORE_THAN_ADDS


@pytest.mark.parametrize(
    "operation",
    [
        'op.drop_column("packages", "status")',
        'op.alter_column("packages", "status", new_column_name="state")',
        'op.add_column("packages", sa.Column("x", sa.Text(), nullable=False))',
        'op.execute("ALTER TABLE packages DROP COLUMN status")',
    ],
)
def test_a_migration_that_takes_away_or_demands_is_found(operation):
    assert more_than_adds(f"def upgrade():\n    {operation}\n")


async def updated_by_the_next_version(gateway) -> None:
    async with gateway.database.begin() as connection:
        for table in metadata.sorted_tables:
            await connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN of_the_next TEXT"))
        await connection.execute(text("CREATE TABLE next_things (id TEXT PRIMARY KEY)"))
        await connection.execute(
            text(
                "UPDATE alembic_version SET version_num = 'core_9999' "
                "WHERE version_num LIKE 'core_%'"
            )
        )


async def test_a_running_process_takes_orders_and_delivers_after_the_next_versions_migration(
    database_url, tmp_path
):
    clock = SteppingClock()
    sink = Scripted(clock, delivered=True)
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        destination = await add_destination(gateway)
        await publish(gateway)
        await updated_by_the_next_version(gateway)

        await carried(gateway, destination)
        [result] = (await gateway.intake.accept(submission(order()))).results
        async with gateway.database.read() as connection:
            package = await gateway.packages.get(connection, LIVE, result.package_id)
            states = (await connection.execute(select(deliveries.c.state))).scalars().all()

    assert package.order.patient_name == order().patient_name
    assert "delivered" in states


async def test_a_process_of_the_older_version_is_not_started_again(database_url, tmp_path):
    async with opened(database_url, tmp_path) as gateway:
        await updated_by_the_next_version(gateway)

    with pytest.raises(StorageError, match="brought up to date by a newer version"):
        await opened(database_url, tmp_path).__aenter__()
