"""Reads a page of newest packages and nothing else: what the database alone takes for a list.

A process of its own. Reads a job from stdin (``url``, ``turns``), prints the seconds of each turn.
"""

import json
import sys
import time
from typing import Any, Final

from loops import run
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

_NEWEST: Final = (
    "SELECT * FROM packages WHERE account_id = 'default' AND mode = 'live' "
    "ORDER BY id DESC LIMIT 50"
)


async def read(job: dict[str, Any]) -> list[float]:
    """Ask again and again on one connection."""
    engine = create_async_engine(job["url"])
    seconds = []
    async with engine.connect() as connection:
        for _ in range(job["turns"]):
            began = time.perf_counter()
            (await connection.execute(text(_NEWEST))).all()
            seconds.append(time.perf_counter() - began)
    await engine.dispose()
    return seconds


if __name__ == "__main__":
    print(json.dumps(run(read(json.loads(sys.stdin.readline())))))
