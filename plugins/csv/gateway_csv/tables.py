"""The plugin's tables. No patient data is in clear in any of them."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, MetaData, Table, Text

from gateway.plugin import (
    AsyncConnection,
    PluginTables,
    QueueTable,
    SealedColumn,
    queue_columns,
)

metadata: Final = MetaData()

known_rows: Final = Table(
    "csv_rows",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("mode", Text, primary_key=True),
    Column("row_index", LargeBinary, primary_key=True),  # blind: the row's identity
    Column("import_id", Text, nullable=False),
    Column("claimed_at_ms", BigInteger, nullable=False),
    Column("content", LargeBinary),  # blind: the row's other content; empty: not compared
    Column("seen_at_ms", BigInteger),  # when an import had it last; empty: when it was claimed
    Column("is_lasting", Boolean),  # identified by an order id, or by prescription and date
    Index("ix_csv_rows_claimed_at_ms", "claimed_at_ms"),
)

chosen_columns: Final = Table(
    "csv_columns",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("mode", Text, primary_key=True),
    Column("site", Text, primary_key=True),  # that of the key; empty: one of all sites
    Column("sender", Text, primary_key=True),
    Column("header", Text, primary_key=True),  # a column's normal name
    Column("field", Text, nullable=False),
)

imports: Final = Table(
    "csv_imports",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("site", Text),  # that of the key, when it reaches one only
    Column("state", Text, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("rows_done", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("outcome", LargeBinary),  # sealed: the report, or the reason for none
    Column("started_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("finished_at_ms", BigInteger),
    Column("origin", Text),  # request, upload, folder or cli; empty: from earlier versions
    Column("details", LargeBinary),  # sealed: the file's name, the options and the findings
    Column("repeated", BigInteger),
    Column("bagged", BigInteger),
    Column("skipped", BigInteger),
    Column("undone", BigInteger),  # packages that an undo cancelled
    Column("stop_asked", Boolean),
    Column("rejected_seen_at_ms", BigInteger),  # when the rejected rows were first downloaded
    Index("ix_csv_imports_updated_at_ms", "updated_at_ms"),
    Index("ix_csv_imports_account_id", "account_id", "mode", "id"),
)

rejected: Final = Table(
    "csv_rejected",
    metadata,
    Column("import_id", Text, primary_key=True),
    Column("part", BigInteger, primary_key=True),
    Column("content", LargeBinary, nullable=False),  # sealed: rows as they were sent
)

files: Final = Table(
    "csv_files",
    metadata,
    Column("import_id", Text, primary_key=True),
    Column("part", BigInteger, primary_key=True),
    Column("content", LargeBinary, nullable=False),  # sealed: the file as it was uploaded
)

made_packages: Final = Table(
    "csv_packages",
    metadata,
    Column("import_id", Text, primary_key=True),
    Column("package_id", Text, primary_key=True),
    Column("row_keys", LargeBinary, nullable=False),  # blind: the identities of its rows, joined
    Column("settled_at_ms", BigInteger),  # when an undo cancelled it, or left it unchanged
)

work: Final = Table(
    "csv_work",
    metadata,
    *queue_columns("csv_work"),  # the subject is the import
    Column("kind", Text, nullable=False),
)

WORK: Final = QueueTable(
    name="csv-imports",
    table=work,
    lease="lease",
    subject="subject",
    outcome="outcome",
    backoff_seconds=(5.0, 30.0, 120.0, 600.0),
    max_lease_seconds=120.0,
)
"""Checks, imports and undos that wait or run; four pauses, then one is failed."""


def _part(row: object) -> str:
    return f"{row.import_id}:{row.part}"  # type: ignore[attr-defined]  # a row has its columns


TABLES: Final = PluginTables(
    metadata,
    Path(__file__).parent / "migrations",
    sealed=(
        SealedColumn(imports, "outcome", ("id",), lambda row: str(row.id)),
        SealedColumn(imports, "details", ("id",), lambda row: str(row.id)),
        SealedColumn(rejected, "content", ("import_id", "part"), _part, rows_at_once=20),
        SealedColumn(files, "content", ("import_id", "part"), _part, rows_at_once=20),
    ),
    queues=(WORK,),
)

# SQLite gives the interpreter away for each statement and compiles each once: many rows go in one,
# and always as many. Some builds of it take 999 values.
_VALUES_AT_ONCE: Final = 900


async def insert_unless_known(
    connection: AsyncConnection,
    table: Table,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> bool:
    """Insert those rows whose key isn't there yet; returns true where these are surely all."""
    if not rows:
        return True
    into = f"{table.name} ({','.join(columns)}) VALUES "
    if connection.dialect.name != "sqlite":  # its driver doesn't say how many rows it inserted
        marks = ",".join(f"${number}" for number in range(1, len(columns) + 1))
        sql = f"INSERT INTO {into}({marks}) ON CONFLICT DO NOTHING"
        await connection.exec_driver_sql(sql, [*rows])
        return False
    marks = f"({','.join('?' * len(columns))})"
    together, start, inserted = _VALUES_AT_ONCE // len(columns), 0, 0
    # Not ON CONFLICT DO NOTHING, for which SQLite copies each page that it touches.
    many = f"INSERT OR IGNORE INTO {into}{','.join([marks] * together)}"
    while len(rows) - start >= together:
        values = tuple(chain.from_iterable(rows[start : start + together]))
        inserted += (await connection.exec_driver_sql(many, values)).rowcount
        start += together
    if start < len(rows):
        one = f"INSERT OR IGNORE INTO {into}{marks}"
        inserted += (await connection.exec_driver_sql(one, [*rows[start:]])).rowcount
    return inserted == len(rows)
