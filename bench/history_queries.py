"""Times what a gateway asks its database, while the history in it grows. A process of its own.

Reads a job from stdin, prints how long each question took (milliseconds, the median of many
times) with each amount of history. It uses the gateway's own storage, with no HTTP around it.
"""

import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from history_fill import fill
from loops import run
from sqlalchemy import text

from gateway.clock import to_epoch_ms
from gateway.model.account import DEFAULT_ACCOUNT, Caller
from gateway.model.delivery import Outcome
from gateway.runtime import Gateway
from gateway.settings import load_settings
from gateway.storage.stores.backlog import BacklogReader
from gateway.storage.stores.delivery_log import AttemptFilter
from gateway.storage.stores.outbox import NewDelivery, Settled
from gateway.storage.stores.package_lists import PackageFilter

PAGE: Final = 50
TAKEN: Final = 100
_FAILED: Final = 40
_BEFORE_MS: Final = 3_600_000
_CALLER: Final = Caller(DEFAULT_ACCOUNT, "live", "bench")

Question = Callable[[Gateway], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The gateway's configuration, the amounts of history, how often each question is asked."""

    config: str
    sizes: list[int]
    turns: int


async def ask(job: Job) -> list[dict[str, float]]:
    """Return milliseconds by question, for each amount of history."""
    measured, done = [], 0
    async with Gateway(load_settings(Path(job.config), {})) as gateway:
        await _let_some_fail(gateway)
        for size in job.sizes:
            # What the gateway has delivered itself stays the newest: it can be unsealed.
            until_ms = to_epoch_ms(gateway.clock.now()) - _BEFORE_MS
            await fill(gateway.database, done, size, max(job.sizes), until_ms)
            await _make_failed_readable(gateway)
            done = size
            times = {"take and settle 100 deliveries": await _carried(gateway, job.turns)}
            for name, question in QUESTIONS.items():
                await question(gateway)
                times[name] = statistics.median(
                    [await _timed(question, gateway) for _ in range(job.turns)]
                )
            measured.append(times)
    return measured


async def _let_some_fail(gateway: Gateway) -> None:
    """Let nearly a page of what was there before have failed, to be found with any history."""
    async with gateway.database.begin() as connection:
        for table, change, place in (
            ("packages", "status = 'failed'", 0),
            ("deliveries", "state = 'exhausted'", 0),
            ("deliveries", "state = 'pending'", _FAILED),
        ):
            some = f"SELECT id FROM {table} ORDER BY id LIMIT {_FAILED} OFFSET {place}"  # noqa: S608 - constants
            await connection.execute(
                text(f"UPDATE {table} SET {change} WHERE id IN ({some})")  # noqa: S608 - constants
            )
        one_in_five = "UPDATE attempts SET delivered = false WHERE sequence % 5 = 0"
        await connection.execute(text(one_in_five))


async def _make_failed_readable(gateway: Gateway) -> None:
    """Give those that a list of what failed will show an order that can be unsealed."""
    failed = text("SELECT id FROM packages WHERE status = 'failed'")
    change = text("UPDATE packages SET payload = :payload WHERE account_id = :account AND id = :id")
    async with gateway.database.begin() as connection:
        [recent] = await gateway.packages.page(connection, _CALLER, PackageFilter(1))
        order = msgspec.json.encode(recent.order)
        for row in (await connection.execute(failed)).all():
            payload = gateway.sealer.seal(order, table="packages", row_id=row.id)
            values = {"payload": payload, "account": DEFAULT_ACCOUNT, "id": row.id}
            await connection.execute(change, values)


async def _timed(question: Question, gateway: Gateway) -> float:
    began = time.perf_counter()
    await question(gateway)
    return (time.perf_counter() - began) * 1000


async def _carried(gateway: Gateway, turns: int) -> float:
    """Take a hundred deliveries of a paused endpoint and settle them, as a lane does."""
    destination_id = await _paused(gateway)
    await _queue(gateway, destination_id, TAKEN * (turns + 1))
    times = []
    for _ in range(turns + 1):
        began = time.perf_counter()
        await _carry(gateway, destination_id)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times[1:])


async def _carry(gateway: Gateway, destination_id: str) -> None:
    now = gateway.clock.now()
    async with gateway.database.begin() as connection:
        claimed = await gateway.outbox.claim(
            connection, destination_id, limit=TAKEN, now=now, lease_seconds=60
        )
    assert len(claimed) == TAKEN
    settled = [
        Settled(
            each,
            Outcome(
                delivery_id=each.id,
                delivered=True,
                started_at=now,
                duration_ms=12,
                status=200,
                excerpt=b"ok",
            ),
            None,
        )
        for each in claimed
    ]
    async with gateway.database.begin() as connection:
        await gateway.outbox.settle(connection, settled, now)


async def _paused(gateway: Gateway) -> str:
    async with gateway.database.read() as connection:
        known = await gateway.destinations.list(connection, _CALLER)
    return next(each.id for each in known if each.state == "paused")


async def _queue(gateway: Gateway, destination_id: str, count: int) -> None:
    async with gateway.database.read() as connection:
        recent = await gateway.events.page(connection, _CALLER, limit=TAKEN)
    now = gateway.clock.now()
    async with gateway.database.begin() as connection:
        for start in range(0, count, TAKEN):
            new = [
                NewDelivery(
                    DEFAULT_ACCOUNT,
                    destination_id,
                    each.id,
                    each.type,
                    each.subject,
                    in_order=False,
                )
                for each in recent[: min(TAKEN, count - start)]
            ]
            await gateway.outbox.queue(connection, new, now)


def _deliveries(state: str | None) -> Question:
    async def question(gateway: Gateway) -> Any:
        async with gateway.database.read() as connection:
            return await gateway.delivery_log.page(connection, _CALLER, limit=PAGE, state=state)

    return question


def _attempts(delivered: bool | None) -> Question:
    async def question(gateway: Gateway) -> Any:
        wanted = AttemptFilter(PAGE, delivered=delivered)
        async with gateway.database.read() as connection:
            return await gateway.delivery_log.attempts_page(connection, _CALLER, wanted)

    return question


def _packages(**wanted: Any) -> Question:
    async def question(gateway: Gateway) -> Any:
        async with gateway.database.read() as connection:
            return await gateway.packages.page(connection, _CALLER, PackageFilter(PAGE, **wanted))

    return question


def _events(event_type: str | None) -> Question:
    async def question(gateway: Gateway) -> Any:
        async with gateway.database.read() as connection:
            return await gateway.events.page(connection, _CALLER, limit=PAGE, event_type=event_type)

    return question


async def _backlog(gateway: Gateway) -> object:
    # A reader of its own, as one keeps what it read for a second.
    return await BacklogReader(gateway.database, gateway.clock, ["webhook"]).read()


async def _sweep(gateway: Gateway) -> object:
    return await gateway.dispatcher.destinations_with_work()


QUESTIONS: Final[dict[str, Question]] = {
    "sweep: who has something due": _sweep,
    "backlog, for metrics and health": _backlog,
    "newest deliveries": _deliveries(None),
    "deliveries that were given up": _deliveries("exhausted"),
    "deliveries that wait": _deliveries("pending"),
    "webhook log": _attempts(None),
    "webhook log, what failed": _attempts(delivered=False),
    "newest packages": _packages(),
    "packages that failed": _packages(status="failed"),
    "newest events": _events(None),
}


if __name__ == "__main__":
    print(json.dumps(run(ask(Job(**json.loads(sys.stdin.readline()))))))
