"""What one order costs, accepted and delivered, beside the least that does the same (spike.py).

Both take the same orders at the same steady rates, one after the other in each round, so that they
share the machine's minutes. Processor time is that of all processes of the side that is measured,
but for the load and the sink; PostgreSQL's is a column of its own.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import psutil
from part import Part, Plan
from setups import ONE_WORKER, POSTGRESQL, SQLITE, Setup, possible
from stage import Server, Sink, Stage
from table import Table, milliseconds_at

RATES: Final = (10, 50, 200)
CPU_AIM: Final = 1.7
LATENCY_AIM: Final = 1.8
LATENCY_SLACK_MS: Final = 0.2
IDLE_AIM: Final = 0.02
MEMORY_AIM_MB: Final = 85
HELP_AIM_SECONDS: Final = 0.35
_IDLE_SECONDS: Final = 10.0
_PERCENT: Final = (50, 95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one side at one rate: milliseconds, at p50 and p95 where there are two."""

    accepting: tuple[float, ...]
    delivering: tuple[float, ...]
    cpu_ms: float
    database_cpu_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Cores that the processes of a setup use while nothing happens, and the server's memory."""

    setup: str
    cores: float
    database_cores: float
    serve_mb: float


@dataclass(frozen=True, slots=True)
class Round:
    """One round: the costs by setup and rate, ours first, and what idling costs."""

    orders: dict[tuple[str, int], tuple[Cost, Cost]]
    idle: list[Idle]
    help_seconds: float


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Measure round by round."""
    seconds = plan.seconds or (4.0 if plan.quick else 10.0)
    with stage.sink() as sink:
        rounds = plan.each_round(lambda name: _round(stage, sink, name, seconds), PART.name)
    return [_orders(rounds), _idle(rounds)]


def _round(stage: Stage, sink: Sink, name: str, seconds: float) -> Round:
    orders: dict[tuple[str, int], tuple[Cost, Cost]] = {}
    idle = []
    for setup in possible((SQLITE, POSTGRESQL, ONE_WORKER)):
        with stage.gateway(f"{name}-{setup.name}", setup) as gateway:
            gateway.add_endpoint(sink.url("/keep"), "active")
            ours = {
                each: measure_cost(stage, sink, gateway, gateway.keys, each, seconds)
                for each in RATES
            }
            idle.append(_idling(setup, gateway))
        if setup.workers:
            continue
        with stage.spike(f"{name}-spike-{setup.name}", setup, sink.url("/keep")) as (spike, key):
            for each in RATES:
                theirs = measure_cost(stage, sink, spike, [key], each, seconds)
                orders[setup.name, each] = (ours[each], theirs)
    return Round(orders, idle, _help_seconds())


def measure_cost(
    stage: Stage,
    sink: Sink,
    server: Server,
    keys: Sequence[str],
    rate: int,
    seconds: float,
    *,
    call: Mapping[str, Any] | None = None,
) -> Cost:
    """Measure one side at one rate, warmed up for a second; ``call`` is a peer's create call."""
    job = {"port": server.port, "keys": list(keys), "rate": rate, "connections": 8, "call": call}
    first = rate * 100_000
    stage.ask("load.py", {**job, "seconds": 1.0, "first_order": first + 50_000})
    sink.reset()
    before, database_before = server.cpu_seconds(), _database_seconds()
    load: dict[str, Any] = stage.ask("load.py", {**job, "seconds": seconds, "first_order": first})
    assert not load["statuses"], f"refused: {load['statuses']}"
    arrived = sink.wait_for(load["answers"])["arrived_at"]
    time.sleep(0.2)  # the attempts are stored
    cpu, database = server.cpu_seconds() - before, _database_seconds() - database_before
    begun, answered = load["begun"], load["answered"]
    count = len(arrived)
    return Cost(
        accepting=milliseconds_at(
            _PERCENT, [answered[each] - begun[each] for each in arrived if each in begun]
        ),
        delivering=milliseconds_at(
            _PERCENT, [arrived[each] - answered[each] for each in arrived if each in begun]
        ),
        cpu_ms=cpu / count * 1000,
        database_cpu_ms=database / count * 1000,
    )


def _database_seconds() -> float:
    """Return what the PostgreSQL processes that run here used since they began."""
    used = 0.0
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "postgres":
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used += times.user + times.system
    return used


def _idling(setup: Setup, gateway: Any) -> Idle:
    time.sleep(2)
    before, database = gateway.cpu_seconds(), _database_seconds()
    time.sleep(_IDLE_SECONDS)
    return Idle(
        setup=setup.name,
        cores=(gateway.cpu_seconds() - before) / _IDLE_SECONDS,
        database_cores=(_database_seconds() - database) / _IDLE_SECONDS,
        serve_mb=gateway.memory_mb()["serve"],
    )


def _help_seconds() -> float:
    """Return the processor time of ``gateway --help``."""
    command = [sys.executable, "-m", "gateway", "--help"]
    with _children() as used:
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - our own
    return used[0]


@contextmanager
def _children() -> Iterator[list[float]]:
    """Yield a list that gets the processor time of the children that end inside."""
    found = [0.0]
    before = psutil.Process().cpu_times()
    yield found
    after = psutil.Process().cpu_times()
    found[0] = float(
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def _reached(found: float, aim: float) -> str:
    return "reached" if found <= aim else "not reached"


def _orders(rounds: Sequence[Round]) -> Table:
    rows = []
    for key in rounds[0].orders:
        name, rate = key
        pairs = [each.orders[key] for each in rounds]
        ours, theirs = [each for each, _ in pairs], [each for _, each in pairs]
        cpu = median(one.cpu_ms / other.cpu_ms for one, other in pairs)
        aim = [f"CPU ≤ {CPU_AIM} times: {_reached(cpu, CPU_AIM)}"]
        if rate == 50:
            wanted = LATENCY_AIM * _median(theirs, "delivering", 0) + LATENCY_SLACK_MS
            got = _median(ours, "delivering", 0)
            aim.append(f"to delivered ≤ {wanted:.1f} ms: {_reached(got, wanted)}")
            wanted = LATENCY_AIM * _median(theirs, "accepting", 0)
            got = _median(ours, "accepting", 0)
            aim.append(f"to accepted ≤ {wanted:.1f} ms: {_reached(got, wanted)}")
        rows.append(
            (
                f"{name}, {rate}/s",
                f"{_both(ours, 'accepting')} ({_both(theirs, 'accepting')})",
                f"{_both(ours, 'delivering')} ({_both(theirs, 'delivering')})",
                f"{_cpu(ours):.2f} ({_cpu(theirs):.2f})",
                f"{cpu:.2f}",
                (
                    f"{median(each.database_cpu_ms for each in ours):.2f}"
                    f" ({median(each.database_cpu_ms for each in theirs):.2f})"
                ),
                "; ".join(aim),
            )
        )
    return Table(
        "cost",
        "One order beside the spike, which is in brackets; milliseconds at p50 / p95",
        (
            "",
            "sent to accepted",
            "accepted to delivered",
            "CPU ms an order",
            "ratio of CPU",
            "CPU ms in PostgreSQL",
            "aims",
        ),
        rows,
    )


def _median(costs: Sequence[Cost], name: str, place: int) -> float:
    return median(getattr(each, name)[place] for each in costs)


def _both(costs: Sequence[Cost], name: str) -> str:
    return f"{_median(costs, name, 0):.1f} / {_median(costs, name, 1):.1f}"


def _cpu(costs: Sequence[Cost]) -> float:
    return median(each.cpu_ms for each in costs)


def _idle(rounds: Sequence[Round]) -> Table:
    rows = []
    for place, first in enumerate(rounds[0].idle):
        each = [one.idle[place] for one in rounds]
        cores = median(one.cores for one in each)
        database = median(one.database_cores for one in each)
        memory = median(one.serve_mb for one in each)
        rows.append(
            (
                first.setup,
                f"{cores:.3f} cores",
                f"{database:.3f} cores",
                f"{memory:.0f} MB",
                (
                    f"≤ {IDLE_AIM} cores together: {_reached(cores + database, IDLE_AIM)};"
                    f" ≤ {MEMORY_AIM_MB} MB: {_reached(memory, MEMORY_AIM_MB)}"
                ),
            )
        )
    used = median(each.help_seconds for each in rounds)
    aim = f"≤ {HELP_AIM_SECONDS} s: {_reached(used, HELP_AIM_SECONDS)}"
    rows.append(("gateway --help", f"{used:.2f} s of CPU", "", "", aim))
    return Table(
        "idle",
        "Idle, after the orders above",
        ("", "gateway", "PostgreSQL", "memory of serve", "aims"),
        rows,
    )


PART: Final = Part("j", "cost", measure, rounds=3)
