"""The hot statements agree with the schema, on both databases."""

import pytest
from sqlalchemy import text

from gateway.storage import statements
from gateway.storage.database import Database
from gateway.storage.transaction import Statement

ALL = {name: each for name, each in vars(statements).items() if isinstance(each, Statement)}
# By what an index finds; a whole table must never be read for an order. Destinations are few.
_NO_TABLES = {"SCAN due", "SCAN each VIRTUAL TABLE INDEX 1:"}
BY_INDEX = sorted(name for name, each in ALL.items() if each.sqlite and name != "WITH_WORK")


@pytest.fixture
async def database(database_url):
    opened = Database(database_url)
    yield opened
    await opened.close()


@pytest.mark.parametrize("name", sorted(ALL))
async def test_a_hot_statement_can_be_prepared_on_a_migrated_database(database, name):
    statement = ALL[name]
    if database.dialect == "sqlite":
        if not statement.sqlite:
            pytest.skip("only PostgreSQL runs it")
        async with database.read() as connection:
            values = dict.fromkeys(_names(statement.sqlite), 0)
            await connection.exec_driver_sql(f"EXPLAIN {statement.sqlite}", values)
        return
    async with database.read() as connection:
        raw = await connection.get_raw_connection()
        prepared = await raw.driver_connection.prepare(statement.postgresql)
        assert len(prepared.get_parameters()) == len(statement.names)


@pytest.mark.parametrize(
    "sql",
    [pytest.param(ALL[name].sqlite, id=name) for name in BY_INDEX]
    + [
        pytest.param(ALL[name].listed, id=f"{name} of a list")
        for name in BY_INDEX
        if ALL[name].listed
    ],
)
async def test_a_hot_statement_finds_its_rows_by_an_index(tmp_path, sql, request):
    database = Database(request.getfixturevalue("sqlite_with_tables"))
    try:
        async with database.read() as connection:
            plan = await connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {sql}", dict.fromkeys(_names(sql), 0)
            )
            steps = [row[3] for row in plan]
    finally:
        await database.close()

    scans = [
        step
        for step in steps
        if step.startswith("SCAN") and " INDEX " not in step and step not in _NO_TABLES
    ]
    assert scans == [], steps


@pytest.fixture
def sqlite_with_tables(tmp_path):
    from conftest import STOCK

    from gateway.testing.schema import migrated_file

    path = tmp_path / "plans.db"
    path.write_bytes(migrated_file(tuple(each.migrations for each in STOCK)))
    return f"sqlite+aiosqlite:///{path}"


def _names(sql: str) -> set[str]:
    return set(text(sql).compile().params)


def test_what_is_cast_to_an_array_may_be_sent_as_its_one_element():
    statement = Statement(
        "", "SELECT each FROM unnest(:ids::text[], :counts ::int4[]) AS each WHERE at = :now_ms"
    )

    assert statement.lists == {"ids", "counts"}
    assert statement.of_one == (
        "SELECT each FROM unnest(ARRAY[$1::text], ARRAY[$2::int4]) AS each WHERE at = $3"
    )
    values = {"ids": ["a"], "counts": [None], "now_ms": 5}
    assert statement.in_order_of_one(values) == ["a", None, 5]


@pytest.mark.parametrize("name", sorted(name for name, each in ALL.items() if each.of_one))
async def test_a_statement_for_one_element_takes_the_same_values(database, name):
    statement = ALL[name]
    if database.dialect == "sqlite":
        pytest.skip("only PostgreSQL has it")
    async with database.read() as connection:
        raw = await connection.get_raw_connection()
        prepared = await raw.driver_connection.prepare(statement.of_one)
        whole = await raw.driver_connection.prepare(statement.postgresql)
    expected = [
        each.name.removesuffix("[]") if given in statement.lists else each.name
        for given, each in zip(statement.names, whole.get_parameters(), strict=True)
    ]
    assert [each.name for each in prepared.get_parameters()] == expected
