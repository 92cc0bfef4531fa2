"""The yardstick of the prescription queue: its claim statement in a bare sqlite3 loop.

A process of its own: reads a job from stdin, prints what came of it. It works on a copy of the
database that the gateway filled, with the gateway's settings: takes ten jobs with the queue's
own statement, marks them done, commits, and again. No HTTP, no keys, no unsealing, no history,
no events.
"""

import json
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from bare_inserts import PRAGMAS

_AT_ONCE: Final = 10
_CLAIM: Final = f"""
    UPDATE rx_jobs SET state = 'writing', attempts = attempts + 1, lease = 'x',
        lease_until_ms = 9000000000000
    WHERE id IN (
        SELECT id FROM rx_jobs
        WHERE account_id = 'default' AND mode = 'live' AND state = 'queued'
            AND due_at_ms <= 9000000000000
            AND NOT EXISTS (
                SELECT 1 FROM rx_jobs AS other
                WHERE other.patient_index = rx_jobs.patient_index
                    AND other.state IN ('queued', 'writing')
                    AND (other.sequence < rx_jobs.sequence OR other.state = 'writing'))
        ORDER BY due_at_ms, sequence LIMIT {_AT_ONCE})
    RETURNING *
"""  # noqa: S608 - a number of our own
_SETTLE: Final = "UPDATE rx_jobs SET state = 'completed', lease = NULL WHERE id = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Which database is copied, and where to; the loop ends early after ``seconds``."""

    rows_from: str
    into: str
    seconds: float


def work(job: Job) -> dict[str, float]:
    """Claim and settle everything; returns jobs and seconds."""
    with (
        closing(sqlite3.connect(job.rows_from)) as source,
        closing(sqlite3.connect(job.into)) as copy,
    ):
        source.backup(copy)
    done = 0
    with closing(sqlite3.connect(job.into, isolation_level=None)) as connection:
        for pragma in PRAGMAS:
            connection.execute(pragma)
        identity = [row[1] for row in connection.execute("PRAGMA table_info(rx_jobs)")].index("id")
        began = time.monotonic()
        while time.monotonic() - began < job.seconds:
            connection.execute("BEGIN IMMEDIATE")
            rows = connection.execute(_CLAIM).fetchall()
            connection.executemany(_SETTLE, [(row[identity],) for row in rows])
            connection.execute("COMMIT")
            done += len(rows)
            if not rows:
                break
        seconds = time.monotonic() - began
    return {"jobs": done, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(work(Job(**json.loads(sys.stdin.readline())))))
