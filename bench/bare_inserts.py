"""The yardstick of intake: the gateway's own rows, inserted by a bare sqlite3 loop.

A process of its own: reads a job from stdin, prints what came of it. The rows are read from
the database that a gateway wrote, byte for byte the same, before the clock starts; they go
into a fresh database with the same schema and the same settings.
"""

import json
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

_TABLES: Final = ("packages", "events", "deliveries")
# As the gateway sets them (gateway/storage/database.py).
PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-32768",
    "PRAGMA temp_store=MEMORY",
)

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Which rows, where to, and in what steps: so many orders, so many to a transaction.

    A step ends early after ``seconds``.
    """

    rows_from: str
    into: str
    steps: list[tuple[int, int]]
    seconds: float


def read_rows(path: str, table: str) -> list[Row]:
    """Read a table's rows in the order they were written."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()  # noqa: S608 - a constant


def insert(job: Job) -> list[dict[str, float]]:
    """Insert as the job says; returns orders and seconds of each step."""
    rows = [read_rows(job.rows_from, table) for table in _TABLES]
    orders = len(rows[0])
    assert all(len(each) == orders for each in rows), "an order is one row in each table"
    statements = [
        f"INSERT INTO {table} VALUES ({','.join('?' * len(each[0]))})"  # noqa: S608 - constants
        for table, each in zip(_TABLES, rows, strict=True)
    ]
    taken, measured = 0, []
    with closing(sqlite3.connect(job.into, isolation_level=None)) as connection:
        for pragma in PRAGMAS:
            connection.execute(pragma)
        for count, size in job.steps:
            first, end, began = taken, min(taken + count, orders), time.monotonic()
            while taken < end and time.monotonic() - began < job.seconds:
                upto = min(taken + size, end)
                connection.execute("BEGIN IMMEDIATE")
                for statement, each in zip(statements, rows, strict=True):
                    connection.executemany(statement, each[taken:upto])
                connection.execute("COMMIT")
                taken = upto
            seconds = time.monotonic() - began
            measured.append({"orders": taken - first, "seconds": seconds})
    return measured


if __name__ == "__main__":
    print(json.dumps(insert(Job(**json.loads(sys.stdin.readline())))))
