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
from itertools import islice
from typing import Any, Final

_TABLES: Final = ("packages", "events", "deliveries")
# As the gateway sets them (gateway/storage/database.py).
_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-32768",
    "PRAGMA temp_store=MEMORY",
)

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Which rows, where to, how many orders to a transaction, and for how long at most."""

    rows_from: str
    into: str
    orders_per_transaction: int
    most_orders: int
    seconds: float


def read_rows(path: str, table: str, most: int) -> list[Row]:
    """Read up to ``most`` rows in the order they were written."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return list(islice(connection.execute(f"SELECT * FROM {table} ORDER BY rowid"), most))  # noqa: S608 - a constant


def insert(job: Job) -> dict[str, float]:
    """Insert for as long as the job says; returns orders and seconds."""
    rows = [read_rows(job.rows_from, table, job.most_orders) for table in _TABLES]
    orders = len(rows[0])
    assert all(len(each) == orders for each in rows), "an order is one row in each table"
    with closing(sqlite3.connect(job.into, isolation_level=None)) as connection:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        statements = [
            f"INSERT INTO {table} VALUES ({','.join('?' * len(each[0]))})"  # noqa: S608 - constants
            for table, each in zip(_TABLES, rows, strict=True)
        ]
        done, began = 0, time.monotonic()
        while done < orders and time.monotonic() - began < job.seconds:
            upto = min(done + job.orders_per_transaction, orders)
            connection.execute("BEGIN IMMEDIATE")
            for statement, each in zip(statements, rows, strict=True):
                connection.executemany(statement, each[done:upto])
            connection.execute("COMMIT")
            done = upto
        return {"orders": done, "seconds": time.monotonic() - began}


if __name__ == "__main__":
    print(json.dumps(insert(Job(**json.loads(sys.stdin.readline())))))
