"""Where an order's processor time goes, beside the spike's: both under Python's own profiler.

The profiler makes each call dearer, some hundred nanoseconds, so that the milliseconds here are
more than those of the part "cost", and small functions look larger than they are. What it shows is
which concerns the time is spent in, and how many calls an order takes; the latter hardly depend on
the machine.
"""

import json
import signal
import sys
import sysconfig
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from part import Part, Plan
from setups import POSTGRESQL, SQLITE, Setup, possible
from stage import HERE, SPIKE, Server, Sink, Stage
from table import Table

RATES: Final = (10, 200)
_ROOT: Final = f"{HERE.parent}/"
_LIBRARIES: Final = f"{sysconfig.get_path('purelib')}/"
_REST: Final = "other Python code: asyncio, queues, threads"
_OUTSIDE: Final = "outside of Python: event loop, kernel, the client's thread"
# The first that a file's path begins with; the project's from its root, a library's by its name.
_CONCERNS: Final[Mapping[str, tuple[str, ...]]] = {
    "HTTP server and framework": ("uvicorn/", "httptools/", "h11/", "litestar/", "anyio/"),
    "routes, connections, the answer": ("gateway/http/",),
    "keys, permissions, limits": ("gateway/auth/",),
    "the order: read, checked, made a package and an event": (
        "gateway/model/",
        "gateway/intake/",
        "gateway/sdk/",
        "plugins/json_api/",
    ),
    "sealing": ("gateway/storage/crypto/", "cryptography/"),
    "transactions, with SQLite's work in them": ("gateway/storage/", "asyncpg/", "sqlalchemy/"),
    "the webhook: written, signed, sent": (
        "gateway/delivery/",
        "gateway/outbound/",
        "plugins/webhooks/",
        "pyreqwest/",
    ),
    "log and metrics": ("gateway/observability/", "logging/"),
    "the spike's own code": ("bench/",),
}


Counted = Mapping[str, tuple[float, int]]
"""Seconds and calls by file, since the start."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Of one side at one rate, an order: milliseconds by concern, and Python's calls."""

    milliseconds: Mapping[str, float]
    calls: float


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Profile ours and the spike, one after the other, at each rate."""
    if not hasattr(signal, "SIGUSR2"):
        print("  left out: it needs signals that this system does not have")
        return []
    seconds = plan.seconds or (4.0 if plan.quick else 10.0)
    found: dict[tuple[str, int], tuple[Spent, Spent]] = {}
    with stage.sink() as sink:
        for setup in possible((SQLITE, POSTGRESQL)):
            print(f"  profile, {setup.name} …", flush=True)
            ours = _of_gateway(stage, sink, setup, seconds)
            theirs = _of_spike(stage, sink, setup, seconds)
            found |= {(setup.name, rate): (ours[rate], theirs[rate]) for rate in RATES}
    return [_table(found)]


def _of_gateway(stage: Stage, sink: Sink, setup: Setup, seconds: float) -> dict[int, Spent]:
    folder, program = _program(stage, f"profile-{setup.name}", "gateway")
    with (
        stage.ground(f"profile-ground-{setup.name}", setup) as made,
        stage.running(made, setup, program=program) as gateway,
    ):
        gateway.add_endpoint(sink.url("/keep"), "active")
        return _at_each_rate(stage, sink, gateway, gateway.keys, folder, seconds)


def _of_spike(stage: Stage, sink: Sink, setup: Setup, seconds: float) -> dict[int, Spent]:
    folder, program = _program(stage, f"profile-spike-{setup.name}", SPIKE)
    name = f"profile-spike-ground-{setup.name}"
    with stage.spike(name, setup, sink.url("/keep"), program=program) as (spike, key):
        return _at_each_rate(stage, sink, spike, [key], folder, seconds)


def _program(stage: Stage, name: str, program: str) -> tuple[Path, Sequence[str]]:
    folder = stage.folder / name
    folder.mkdir()
    return folder, (str(HERE / "profiled.py"), str(folder), program)


def _at_each_rate(
    stage: Stage, sink: Sink, server: Server, keys: Sequence[str], folder: Path, seconds: float
) -> dict[int, Spent]:
    found = {}
    for turn, rate in enumerate(RATES):
        job = {"port": server.port, "keys": list(keys), "rate": rate, "connections": 8}
        first = rate * 100_000
        stage.ask("load.py", {**job, "seconds": 1.0, "first_order": first + 50_000})
        sink.reset()
        before, cpu_before = _written(server, folder, 2 * turn + 1), server.cpu_seconds()
        load = stage.ask("load.py", {**job, "seconds": seconds, "first_order": first})
        count = len(sink.wait_for(load["answers"])["arrived_at"])
        time.sleep(0.2)  # the attempts are stored
        cpu, after = server.cpu_seconds() - cpu_before, _written(server, folder, 2 * turn + 2)
        found[rate] = spent(before, after, cpu, count)
    return found


def _written(server: Server, folder: Path, number: int) -> Counted:
    """Return what the profilers counted so far."""
    file = folder / f"{number}.json"
    server.signal(signal.SIGUSR2)
    deadline = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < deadline, "the profiled process does not answer"
        time.sleep(0.01)
    return {name: tuple(counted) for name, counted in json.loads(file.read_text()).items()}


def spent(before: Counted, after: Counted, cpu_seconds: float, orders: int) -> Spent:
    """Return what one of ``orders`` took between two dumps of :mod:`profiled`.

    ``cpu_seconds`` is what the process used in all meanwhile.
    """
    milliseconds: dict[str, float] = defaultdict(float)
    calls = 0
    for name, (seconds, called) in after.items():
        seconds_before, called_before = before.get(name, (0.0, 0))
        milliseconds[_concern(name)] += (seconds - seconds_before) * 1000 / orders
        calls += called - called_before
    outside = cpu_seconds * 1000 / orders - sum(milliseconds.values())
    return Spent({**milliseconds, _OUTSIDE: max(0.0, outside)}, calls / orders)


def _concern(file: str) -> str:
    name = file.removeprefix(_LIBRARIES).removeprefix(_ROOT)
    if name == file:  # Python's own
        name = name.rpartition(f"/python{sys.version_info[0]}.{sys.version_info[1]}/")[2]
    for concern, begins in _CONCERNS.items():
        if name.startswith(begins):
            return concern
    return _REST


def _table(found: Mapping[tuple[str, int], tuple[Spent, Spent]]) -> Table:
    def row(name: str, of: Callable[[Spent], float], form: str = ".2f") -> list[str]:
        return [name, *(f"{of(one):{form}} ({of(other):{form}})" for one, other in found.values())]

    rows = [
        row(name, lambda spent, name=name: spent.milliseconds.get(name, 0.0))
        for name in (*_CONCERNS, _REST, _OUTSIDE)
    ]
    rows.append(row("all", lambda spent: sum(spent.milliseconds.values())))
    rows.append(row("Python's calls", lambda spent: spent.calls, ",.0f"))
    return Table(
        "profile",
        "CPU of an order under the profiler, milliseconds; the spike's in brackets",
        ("", *(f"{name}, {rate}/s" for name, rate in found)),
        rows,
    )


PART: Final = Part("r", "profile", measure)
