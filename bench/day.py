"""A busy pharmacy's day in minutes, and a quiet hour as it is: processor seconds and memory.

Two thousand orders come over a day, a fifth of them within the half hour after 9 and another within
the one after 16; each is assigned, picked up and delivered later. The day is played so much faster
that what idles between orders is left out: it is measured beside it and added for a whole day.
"""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from part import Part, Plan
from stage import GatewayServer, Sink, Stage
from table import Table

ORDERS: Final = 2_000
DAY_SECONDS: Final = 86_400
_PLAYED_SECONDS: Final = 180.0
_SLICES: Final = 48
_BURSTS: Final = (18, 32)  # the half hours that begin at 9 and at 16
_BURST_PART: Final = 0.2
_OPEN: Final = range(16, 42)  # 8 to 21
_IDLE_SECONDS: Final = 20.0
_STEPS: Final = (
    {"event": "delivery.assigned", "driver_id": "Marc"},
    {"event": "delivery.picked_up"},
    {"event": "delivery.completed", "proof": {"signed_by": "Ana Silva"}},
)
_EVENTS_EACH: Final = 1 + len(_STEPS)
_SETTLED_SECONDS: Final = 2.0
_FIFTHS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of it.

    ``memory_mb`` at the start and after each fifth: all of it, and what of it is no file's.
    """

    orders: int
    seconds: float
    cpu_seconds: float
    memory_mb: Sequence[tuple[float, float]]
    file_kb_an_order: float


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Play the day, then look at what idling costs."""
    seconds = plan.seconds or (40.0 if plan.quick else _PLAYED_SECONDS)
    orders = plan.events or (400 if plan.quick else ORDERS)
    with stage.sink() as sink, stage.gateway("day") as gateway:
        gateway.add_endpoint(sink.url("/count"), "active")
        parts = list(slices(orders))
        played = _play(stage, gateway, sink, parts, seconds / _SLICES)
        before = gateway.cpu_seconds()
        time.sleep(_IDLE_SECONDS)
        idle = (gateway.cpu_seconds() - before) / _IDLE_SECONDS
    return [_table("day", "A busy pharmacy's day", played, idle * DAY_SECONDS)]


def measure_hour(stage: Stage, plan: Plan) -> list[Table]:
    """Let an hour pass with an order a minute."""
    minutes = round((plan.seconds or (120.0 if plan.quick else 3600.0)) / 60)
    with stage.sink() as sink, stage.gateway("hour") as gateway:
        gateway.add_endpoint(sink.url("/count"), "active")
        played = _play(stage, gateway, sink, [1] * minutes, 60.0)
    return [_table("hour", f"An order a minute, {minutes} minutes long", played, None)]


def slices(orders: int) -> Iterator[int]:
    """Yield the orders of each half hour: the two bursts, the rest spread over the open hours."""
    burst = round(orders * _BURST_PART)
    calm = [each for each in _OPEN if each not in _BURSTS]
    left = orders - len(_BURSTS) * burst
    shares = {
        each: left // len(calm) + (place < left % len(calm)) for place, each in enumerate(calm)
    }
    for each in range(_SLICES):
        yield burst if each in _BURSTS else shares.get(each, 0)


def _play(
    stage: Stage, gateway: GatewayServer, sink: Sink, parts: Sequence[int], seconds: float
) -> Played:
    """Send each part's orders evenly over ``seconds``; a thread reports their later steps."""
    sink.reset()
    created: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    reports = threading.Thread(target=_report, args=(gateway, created))
    reports.start()
    before, size = gateway.cpu_seconds(), gateway.database.stat().st_size
    looks = {round(len(parts) * fifth / _FIFTHS) for fifth in range(1, _FIFTHS)}
    memory = [_memory(gateway)]
    began, first = time.monotonic(), 0
    for place, count in enumerate(parts):
        if count:
            job = {"port": gateway.port, "keys": gateway.keys, "connections": 8}
            pressed = {"rate": count / seconds, "seconds": seconds, "first_order": first}
            load: dict[str, Any] = stage.ask("load.py", {**job, **pressed})
            assert not load["statuses"], f"refused: {load['statuses']}"
            for each in load["begun"]:
                created.put(each)
            first += count
        time.sleep(max(0.0, began + (place + 1) * seconds - time.monotonic()))
        if place + 1 in looks:
            memory.append(_memory(gateway))
    created.put(None)
    reports.join()
    sink.wait_for(first * _EVENTS_EACH)
    time.sleep(_SETTLED_SECONDS)
    memory.append(_memory(gateway))
    grown = gateway.database.stat().st_size - size
    return Played(
        orders=first,
        seconds=time.monotonic() - began,
        cpu_seconds=gateway.cpu_seconds() - before,
        memory_mb=memory,
        file_kb_an_order=grown / first / 1000,
    )


def _memory(gateway: GatewayServer) -> tuple[float, float]:
    return gateway.memory_mb()["serve"], gateway.own_memory_mb()


def _report(gateway: GatewayServer, created: "queue.SimpleQueue[str | None]") -> None:
    key = {"X-API-Key": gateway.keys[-1]}
    for package in iter(created.get, None):
        for step in _STEPS:
            gateway.call("POST", f"/api/packages/{package}/events", step, key)


def _table(key: str, heading: str, played: Played, idle_a_day: float | None) -> Table:
    each = 1000 * played.cpu_seconds / played.orders
    rows = [
        ["orders, each with three later steps and four webhooks", f"{played.orders:,}"],
        ["played in", f"{played.seconds:,.0f} s"],
        ["CPU of serve meanwhile", f"{played.cpu_seconds:.1f} s ({each:.1f} ms an order)"],
    ]
    if idle_a_day is not None:
        share = idle_a_day + played.cpu_seconds
        rows += [
            ["idle CPU, for a whole day", f"{idle_a_day:,.0f} s"],
            ["both, of a core's day", f"{share / DAY_SECONDS:.2%}"],
        ]
    rows += [
        [
            "memory at the start and after each fifth",
            " / ".join(f"{mb:.0f}" for mb, _ in played.memory_mb) + " MB",
        ],
        [
            "of which it has allocated itself",
            " / ".join(f"{mb:.0f}" for _, mb in played.memory_mb) + " MB",
        ],
        ["the database file grew by", f"{played.file_kb_an_order:.1f} KB an order"],
    ]
    return Table(key, heading, ("", "gateway, SQLite"), rows)


PART: Final = Part("m", "day", measure)
HOUR: Final = Part("n", "hour", measure_hour, only_asked=True)
