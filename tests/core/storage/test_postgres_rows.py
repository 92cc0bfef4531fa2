"""The statements that many rows go to PostgreSQL with: few of them, and values once."""

import itertools

from gateway.storage.postgres_rows import PostgresRows
from gateway.storage.schema import changes

COLUMNS = ("topic", "account_id", "mode", "site", "count", "ids", "at_ms")


def news(differ):
    """Return six rows that differ in these columns."""
    return [
        tuple(f"{name} {number}" if name in differ else name for name in COLUMNS)
        for number in range(6)
    ]


def test_a_value_that_all_rows_have_goes_once():
    sql, values = PostgresRows().insertion({changes: (COLUMNS, news({"topic", "ids"}))})

    topics, account, mode, site, count, ids, at_ms = values
    assert topics == tuple(f"topic {number}" for number in range(6))
    assert ids == tuple(f"ids {number}" for number in range(6))
    assert [account, mode, site, count, at_ms] == ["account_id", "mode", "site", "count", "at_ms"]
    assert "FROM unnest($1::text[],$6::text[]) AS new (topic,ids)" in sql


def test_where_all_rows_are_the_same_an_array_says_how_many_there_are():
    _, values = PostgresRows().insertion({changes: (COLUMNS, news(()))})

    assert values == [("topic",) * 6, *COLUMNS[1:]]


def test_few_rows_are_written_out():
    sql, values = PostgresRows().insertion({changes: (COLUMNS, news(())[:4])})

    assert values == [*COLUMNS] * 4
    assert "unnest" not in sql


def test_a_table_has_few_statements_whatever_its_rows_have_in_common():
    rows = PostgresRows()
    statements = {
        rows.insertion({changes: (COLUMNS, news(differ))})[0]
        for size in range(1, 8)
        for differ in itertools.combinations(COLUMNS, size)
    }
    updates = {
        rows.update(changes, COLUMNS[:-1], "at_ms", news({*differ, "at_ms"}))[0]
        for size in range(7)
        for differ in itertools.combinations(COLUMNS[:-1], size)
    }

    assert len(statements) <= 5
    assert len(updates) <= 5


def test_rows_that_differ_in_more_go_with_a_statement_that_is_there():
    rows = PostgresRows()
    for differ in ({"topic"}, {"ids"}, {"topic", "ids"}, {"topic", "mode"}):
        rows.insertion({changes: (COLUMNS, news(differ))})

    sql, values = rows.insertion({changes: (COLUMNS, news({"site", "mode"}))})

    assert sql.count("[]") == len(COLUMNS)
    assert values[1] == ("account_id",) * 6
    _, values = rows.insertion({changes: (COLUMNS, news({"ids"}))})
    assert values[1] == "account_id"
