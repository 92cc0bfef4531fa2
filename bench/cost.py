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
from table import Aim, Table, milliseconds_at

RATES: Final = (10, 50, 200)
CPU_AIM: Final = 1.7
LATENCY_AIM: Final = 1.8
LATENCY_SLACK_MS: Final = 0.2
IDLE_AIM: Final = 0.02
MEMORY_AIM_MB: Final = 85
HELP_AIM_SECONDS: Final = 0.35
_IDLE_SECONDS: Final = 10.0
_SETTLED_SECONDS: Final = 2.0
_PERCENT: Final = (50, 95)
_AIMED_RATE: Final = 50
_REDIS: Final = "redis-server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one side at one rate: milliseconds, at p50 and p95 where there are two."""

    accepting: tuple[float, ...]
    delivering: tuple[float, ...]
    cpu_ms: float
    database_cpu_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Cores that the processes of a setup use while nothing happens, and their memory.

    ``worker_cores`` are those of a worker alone, ``None`` where there is none. Memory by process:
    as they started, and after the orders.
    """

    setup: str
    cores: float
    worker_cores: float | None
    database_cores: float
    redis_cores: float
    started_mb: Mapping[str, float]
    after_mb: Mapping[str, float]


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
            time.sleep(_SETTLED_SECONDS)
            started_mb = gateway.memory_mb()
            gateway.add_endpoint(sink.url("/keep"), "active")
            ours = {
                each: measure_cost(stage, sink, gateway, gateway.keys, each, seconds)
                for each in RATES
            }
            idle.append(_idling(setup, gateway, started_mb))
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
    return _seconds_of("postgres")


def _seconds_of(name: str) -> float:
    """Return what the processes of that name that run here used since they began."""
    used = 0.0
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == name:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used += times.user + times.system
    return used


def _idling(setup: Setup, gateway: Any, started_mb: Mapping[str, float]) -> Idle:
    time.sleep(_SETTLED_SECONDS)
    before, database, redis = gateway.cpu_by_process(), _database_seconds(), _seconds_of(_REDIS)
    time.sleep(_IDLE_SECONDS)
    after = gateway.cpu_by_process()
    used = {name: (after[name] - before[name]) / _IDLE_SECONDS for name in before}
    return Idle(
        setup=setup.name,
        cores=sum(used.values()),
        worker_cores=used.get("worker 1"),
        database_cores=(_database_seconds() - database) / _IDLE_SECONDS,
        redis_cores=(_seconds_of(_REDIS) - redis) / _IDLE_SECONDS,
        started_mb=started_mb,
        after_mb=gateway.memory_mb(),
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


def _orders(rounds: Sequence[Round]) -> Table:
    rows, aims = [], []
    for key in rounds[0].orders:
        name, rate = key
        pairs = [each.orders[key] for each in rounds]
        ours, theirs = [each for each, _ in pairs], [each for _, each in pairs]
        cpu = median(one.cpu_ms / other.cpu_ms for one, other in pairs)
        mine = [
            Aim(
                f"CPU an order ≤ {CPU_AIM} times the spike's: {name}, {rate}/s",
                f"{cpu:.2f} times",
                cpu <= CPU_AIM,
            )
        ]
        if rate == _AIMED_RATE:
            mine += _latency_aims(f"{name}, {rate}/s", ours, theirs)
        aims += mine
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
                f"CPU ≤ {CPU_AIM} times: {mine[0].verdict}",
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
            "aim",
        ),
        rows,
        aims,
    )


def _latency_aims(name: str, ours: Sequence[Cost], theirs: Sequence[Cost]) -> list[Aim]:
    """Return the aims for the way of an order, beside the spike's."""
    aims = []
    times = f"≤ {LATENCY_AIM} times the spike's"
    for step, goal, slack, places in (
        ("delivering", f"accepted to delivered, {{}} {times} + 0.2 ms", LATENCY_SLACK_MS, (0, 1)),
        ("accepting", f"sent to accepted, {{}} {times}", 0.0, (0,)),
    ):
        for place in places:
            most = LATENCY_AIM * _median(theirs, step, place) + slack
            got = _median(ours, step, place)
            said = f"{goal.format(f'p{_PERCENT[place]}')}: {name}"
            aims.append(Aim(said, f"{got:.1f} of {most:.1f} ms", got <= most))
    return aims


def _median(costs: Sequence[Cost], name: str, place: int) -> float:
    return median(getattr(each, name)[place] for each in costs)


def _both(costs: Sequence[Cost], name: str) -> str:
    return f"{_median(costs, name, 0):.1f} / {_median(costs, name, 1):.1f}"


def _cpu(costs: Sequence[Cost]) -> float:
    return median(each.cpu_ms for each in costs)


def _idle(rounds: Sequence[Round]) -> Table:
    rows, aims = [], []
    for place, first in enumerate(rounds[0].idle):
        each = [one.idle[place] for one in rounds]
        cores = median(one.cores for one in each)
        database = median(one.database_cores for one in each)
        redis = median(one.redis_cores for one in each)
        started, after = _memory(each, "serve")
        workers = [one.worker_cores for one in each if one.worker_cores is not None]
        if workers:
            used = median(workers) + database + redis
            goal = f"an idle worker, PostgreSQL and Redis ≤ {IDLE_AIM} cores"
            aims.append(Aim(goal, f"{used:.3f} cores", used <= IDLE_AIM))
        aims += [
            Aim(
                f"idle memory of serve ≤ {MEMORY_AIM_MB} MB: {first.setup}, {when}",
                f"{found:.0f} MB",
                found <= MEMORY_AIM_MB,
            )
            for when, found in (("as started", started), ("after orders", after))
        ]
        rows.append(
            (
                first.setup,
                f"{cores:.3f} cores",
                f"{median(workers):.3f} cores" if workers else "",
                f"{database:.3f} cores",
                f"{redis:.3f} cores" if workers else "",
                f"{started:.0f} / {after:.0f} MB",
                "{:.0f} / {:.0f} MB".format(*_memory(each, "worker 1")) if workers else "",
                f"≤ {MEMORY_AIM_MB} MB: {aims[-2].verdict} / {aims[-1].verdict}",
            )
        )
    used = median(each.help_seconds for each in rounds)
    goal = f"gateway --help ≤ {HELP_AIM_SECONDS} s of CPU"
    aims.append(Aim(goal, f"{used:.2f} s", used <= HELP_AIM_SECONDS))
    rows.append(("gateway --help", f"{used:.2f} s of CPU", "", "", "", "", "", aims[-1].verdict))
    return Table(
        "idle",
        "Idle after the orders above; memory as started / after them",
        (
            "",
            "gateway",
            "its worker",
            "PostgreSQL",
            "Redis",
            "memory of serve",
            "of the worker",
            "aim",
        ),
        rows,
        aims,
    )


def _memory(each: Sequence[Idle], process: str) -> tuple[float, float]:
    """Return the megabytes of a process as it started, and after the orders."""
    return (
        median(one.started_mb[process] for one in each),
        median(one.after_mb[process] for one in each),
    )


PART: Final = Part("j", "cost", measure, rounds=3)
