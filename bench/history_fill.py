"""Years of stored history in seconds: packages, events, deliveries and tries that are over.

Written by the database itself from a row of numbers. Each package has some events, each of
those one delivery, and each delivery one try. What is in them can't be unsealed; nothing
that is measured looks into rows so old.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import text

from gateway.model.account import DEFAULT_ACCOUNT
from gateway.storage.database import Database

EVENTS_EACH: Final = 4
# One in so many was given up; its try failed.
GIVEN_UP: Final = 5_000
DRIVERS: Final = 40
SPREAD_MS: Final = 90 * 86_400_000
"""Over how long the history goes back."""

_CHUNK: Final = 50_000

# What the two databases say differently: a row of numbers, a number of 32 hex digits, bytes.
_WORDS: Final[dict[str, dict[str, str]]] = {
    "sqlite": {
        "numbers": "WITH RECURSIVE numbers(n) AS "
        "(VALUES(:first) UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)",
        "source": "numbers",
        "id": "printf('%012x70008%015x', {ms}, {number})",
        "key": "CAST(printf('%016x', {number}) AS BLOB)",
        "sealed": "zeroblob(200)",
        "day": "date({ms} / 1000, 'unixepoch')",
    },
    "postgresql": {
        "numbers": "",
        "source": "generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS numbers(n)",
        "id": "lpad(to_hex({ms}), 12, '0') || '70008' || lpad(to_hex({number}), 15, '0')",
        "key": "convert_to(lpad(to_hex({number}), 16, '0'), 'UTF8')",
        "sealed": "decode(repeat('00', 200), 'hex')",
        "day": "to_char(to_timestamp({ms} / 1000), 'YYYY-MM-DD')",
    },
}
_MS: Final = "CAST(:begin AS bigint) + {number} * CAST(:step AS bigint)"


async def fill(
    database: Database,
    done: int,
    upto: int,
    most: int,
    until_ms: int,
    *,
    events_each: int = EVENTS_EACH,
) -> None:
    """Write deliveries ``done`` to ``upto`` of ``most``, the oldest first, with all around them.

    The newest of ``most`` is from ``until_ms``. They go, in turn, to every destination that there
    is; ``events_each`` of them belong to one package.
    """
    values = {"begin": until_ms - SPREAD_MS, "step": SPREAD_MS // most}
    async with database.read() as connection:
        found = await connection.execute(text("SELECT id FROM destinations ORDER BY id"))
        destinations = [str(row.id) for row in found]
    statements = _statements(database.dialect, destinations, events_each)
    for first in range(done, upto, _CHUNK):
        last = min(first + _CHUNK, upto) - 1
        async with database.begin() as connection:
            for statement in statements:
                bounds = {"first": first, "last": last}
                if " packages " in statement:
                    bounds = {each: place // events_each for each, place in bounds.items()}
                await connection.execute(text(statement), {**values, **bounds})
    await _settle_down(database)


async def _settle_down(database: Database) -> None:
    """Do what the database does by itself before long: statistics, and its log put away."""
    if database.dialect == "sqlite":
        await database.run_script("PRAGMA wal_checkpoint(TRUNCATE);")
        return
    async with database.begin() as connection:
        await connection.execute(text("ANALYZE"))


def _statements(dialect: str, destinations: Sequence[str], events_each: int) -> list[str]:
    words = _WORDS[dialect]

    def made(prefix: str, number: str) -> str:
        identifier = words["id"].format(ms=_MS.format(number=number), number=number)
        return f"'{prefix}_' || {identifier}"

    package = f"(numbers.n / {events_each})"
    turn = f"CASE numbers.n % {len(destinations)} " + "".join(
        f"WHEN {place} THEN '{each}' " for place, each in enumerate(destinations)
    )
    given_up = f"numbers.n % {GIVEN_UP} = 1"
    ms = _MS.format(number="numbers.n")
    made_ms = _MS.format(number=f"numbers.n * {events_each}")
    subject = made("pkg", package)
    account = f"'{DEFAULT_ACCOUNT}'"
    rows: dict[str, dict[str, Any]] = {
        "packages": {
            "id": made("pkg", "numbers.n"),
            "account_id": account,
            "mode": "'live'",
            "source": "'json_api'",
            "status": f"CASE WHEN {given_up} THEN 'failed' ELSE 'completed' END",
            "status_at_ms": made_ms,
            "created_at_ms": made_ms,
            "delivery_day": words["day"].format(ms=f"({made_ms})"),
            "driver_id": f"'driver ' || (numbers.n % {DRIVERS})",
            **{
                f"{name}_index": words["key"].format(number="numbers.n")
                for name in ("order", "rx", "phone", "patient")
            },
            "payload": words["sealed"],
            "priority": "'routine'",
            "flags": "0",
        },
        "events": {
            "id": made("evt", "numbers.n"),
            "account_id": account,
            "mode": "'live'",
            "type": "'delivery.completed'",
            "subject": subject,
            "occurred_at_ms": ms,
            "recorded_at_ms": ms,
            "actor": "'bench'",
            "status_after": "'completed'",
            "late": "false",
            "data": words["sealed"],
        },
        "deliveries": {
            "id": made("dlv", "numbers.n"),
            "account_id": account,
            "destination_id": f"{turn} END",
            "event_id": made("evt", "numbers.n"),
            "event_type": "'delivery.completed'",
            "subject": subject,
            "in_order": "false",
            "state": f"CASE WHEN {given_up} THEN 'exhausted' ELSE 'delivered' END",
            "attempts": "1",
            "retry_index": "0",
            "due_at_ms": ms,
            "created_at_ms": ms,
            "first_attempt_at_ms": ms,
            "finished_at_ms": ms,
        },
        "attempts": {
            "account_id": account,
            "destination_id": f"{turn} END",
            "delivery_id": made("dlv", "numbers.n"),
            "event_id": made("evt", "numbers.n"),
            "event_type": "'delivery.completed'",
            "number": "1",
            "started_at_ms": ms,
            "duration_ms": "12",
            "delivered": f"NOT ({given_up})",
            "status": "200",
        },
    }
    return [
        f"INSERT INTO {table} ({', '.join(columns)}) {words['numbers']} "  # noqa: S608 - constants
        f"SELECT {', '.join(columns.values())} FROM {words['source']}"
        for table, columns in rows.items()
    ]
