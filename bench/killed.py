"""What a worker that is killed holds up on PostgreSQL, and what is sent twice.

Of two workers one carries the endpoint; each is killed in a round of its own (SIGKILL, in the
middle of a steady load), since it can't be seen from outside which one that is.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from part import Part, Plan
from setups import TWO_WORKERS, possible
from stage import GatewayServer, Sink, Stage
from table import Aim, Table

RATE: Final = 100
MOST_SECONDS: Final = 5.0
ANSWERED_SECONDS: Final = 0.05
IN_FLIGHT: Final = 32
_BEFORE_SECONDS: Final = 2.0
_PATIENCE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What came of one: ``seconds`` is the longest from acceptance to delivery.

    ``answered`` were delivered in the last moment before the kill.
    """

    process: str
    orders: int
    seconds: float
    twice: int
    answered: int


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Kill each worker, on a fresh gateway each time."""
    seconds = plan.seconds or (4.0 if plan.quick else 8.0)
    found = []
    for setup in possible((TWO_WORKERS,)):
        with stage.sink() as sink:
            for number in (1, 2):
                with stage.gateway(f"killed-{number}", setup) as gateway:
                    found.append(_killed(stage, sink, gateway, f"worker {number}", seconds))
    return [_table(found)] if found else []


def _killed(
    stage: Stage, sink: Sink, gateway: GatewayServer, process: str, seconds: float
) -> Killed:
    gateway.add_endpoint(sink.url("/keep"), "active", max_in_flight=IN_FLIGHT)
    job = {"port": gateway.port, "keys": gateway.keys, "rate": RATE, "connections": 8}
    sink.reset()
    warm_up = stage.ask("load.py", {**job, "seconds": 1.0, "first_order": 1_000_000})
    sink.wait_for(warm_up["answers"])
    time.sleep(ANSWERED_SECONDS)
    sink.reset()
    killed_at: list[float] = []

    def kill() -> None:
        gateway.kill(process)
        killed_at.append(time.monotonic())

    timer = threading.Timer(_BEFORE_SECONDS, kill)
    timer.start()
    load: dict[str, Any] = stage.ask("load.py", {**job, "seconds": seconds, "first_order": 0})
    timer.join()
    assert not load["statuses"], f"refused: {load['statuses']}"
    report = _all_arrived(sink, load["answers"])
    arrived, accepted = report["arrived_at"], load["answered"]
    [at] = killed_at
    return Killed(
        process=process,
        orders=len(arrived),
        seconds=max(arrived[each] - accepted[each] for each in accepted),
        twice=report["count"] - len(arrived),
        answered=sum(at - ANSWERED_SECONDS <= each <= at for each in arrived.values()),
    )


def _all_arrived(sink: Sink, orders: int) -> dict[str, Any]:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        report = sink.report()
        if len(report["arrived_at"]) >= orders:
            time.sleep(1.0)  # what comes a second time comes by then
            return sink.report()
        assert time.monotonic() < deadline, f"{len(report['arrived_at'])} of {orders} arrived"
        time.sleep(0.1)


def _table(found: Sequence[Killed]) -> Table:
    slowest = max(each.seconds for each in found)
    twice = max(found, key=lambda each: each.twice - each.answered)
    bound = IN_FLIGHT + twice.answered
    return Table(
        "killed",
        f"A worker of two killed at {RATE} orders/s",
        ("killed", "orders", "longest to delivered, s", "sent twice", "in its last 50 ms"),
        [
            (
                each.process,
                f"{each.orders:,}",
                f"{each.seconds:.2f}",
                f"{each.twice}",
                f"{each.answered}",
            )
            for each in found
        ],
        (
            Aim(
                f"a worker killed on PostgreSQL: its deliveries move within {MOST_SECONDS:.0f} s",
                f"{slowest:.2f} s",
                slowest <= MOST_SECONDS,
            ),
            Aim(
                "a worker killed on PostgreSQL: sent twice ≤ in flight + answered in 50 ms",
                f"{twice.twice} of {bound}",
                twice.twice <= bound,
            ),
        ),
    )


PART: Final = Part("q", "killed worker", measure)
