"""A machine as small as a Raspberry Pi: one core at half speed, 512 MB, a slow disk.

The kernel holds ``gateway serve`` to it (control groups, of either version), and a small library
makes each flush to disk wait. It needs root, a C compiler and Linux; elsewhere the part says so.
Load and sink are outside: they are other machines there.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from latency import Latencies, measured
from part import Part, Plan
from setups import SQLITE
from stage import GatewayServer, Sink, Stage
from table import Aim, Table

RATE: Final = 50
FLUSH_MS: Final = 10
MEMORY_MB: Final = 512
START_AIM_SECONDS: Final = 10.0
LATENCY_AIM_MS: Final = 250
_CORES: Final = 0.5
_PERIOD_US: Final = 100_000
_ROOT: Final = Path("/sys/fs/cgroup")
_NAME: Final = "gateway-bench"
_SHIM: Final = Path(__file__).with_name("fsync_delay.c")
_PLUGINS: Final = "".join(f"[plugins.{each}]\n" for each in ("rx_queue", "shopify", "reports"))


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Start it twice, then let orders come."""
    lacking = _lacking()
    if lacking:
        print(f"  small machine: left out, {lacking}")
        return []
    seconds = plan.seconds or (5.0 if plan.quick else 30.0)
    shim = stage.folder / "fsync_delay.so"
    compiler = shutil.which("cc") or "cc"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(shim), str(_SHIM), "-ldl"]
    subprocess.run(command, check=True)  # noqa: S603 - our own command
    with stage.sink() as sink, _cage() as cage, SQLITE.configuration(1) as usual:
        made = stage.prepare("small", f"{usual}\n{_PLUGINS}")
        began = time.monotonic()
        with stage.running(made, SQLITE, inside=cage, environment=_slow(shim)):
            starts = [time.monotonic() - began]
        began = time.monotonic()
        with stage.running(made, SQLITE, inside=cage, environment=_slow(shim)) as gateway:
            starts.append(time.monotonic() - began)
            found = _orders(stage, gateway, sink, seconds)
            memory = _peak_mb(cage)
    return [_table(starts, found, memory)]


def _orders(stage: Stage, gateway: GatewayServer, sink: Sink, seconds: float) -> Latencies:
    gateway.add_endpoint(sink.url("/keep"), "active")
    job = {"port": gateway.port, "keys": gateway.keys, "rate": RATE}
    stage.ask("load.py", {**job, "seconds": 2.0, "first_order": 1_000_000})
    sink.reset()
    load = stage.ask("load.py", {**job, "seconds": seconds, "first_order": 0})
    assert not load["statuses"], f"refused: {load['statuses']}"
    arrived = sink.wait_for(load["answers"])["arrived_at"]
    return measured(SQLITE, RATE, load, arrived)


def _table(starts: Sequence[float], found: Latencies, memory_mb: float) -> Table:
    start, to_delivered = max(starts), found.from_sent[1]
    aims = (
        Aim(
            f"a small machine: serve is ready within {START_AIM_SECONDS:.0f} s",
            f"{start:.1f} s",
            start <= START_AIM_SECONDS,
        ),
        Aim(
            f"a small machine, {RATE} orders/s: sent to delivered, p95 ≤ {LATENCY_AIM_MS} ms",
            f"{to_delivered:.0f} ms",
            to_delivered <= LATENCY_AIM_MS,
        ),
    )
    rows = [
        (
            "serve is ready after, twice",
            " / ".join(f"{each:.1f} s" for each in starts),
            f"≤ {START_AIM_SECONDS:.0f} s: {aims[0].verdict}",
        ),
        (
            f"{RATE} orders/s: sent to accepted, p50 / p95",
            f"{found.answer[0]:.0f} / {found.answer[1]:.0f} ms",
            "",
        ),
        (
            f"{RATE} orders/s: sent to delivered, p50 / p95",
            f"{found.from_sent[0]:.0f} / {to_delivered:.0f} ms",
            f"p95 ≤ {LATENCY_AIM_MS} ms: {aims[1].verdict}",
        ),
        ("memory at its highest, files of the cache too", f"{memory_mb:.0f} of {MEMORY_MB} MB", ""),
    ]
    heading = f"One core at half speed, {MEMORY_MB} MB, {FLUSH_MS} ms a flush"
    return Table("small", heading, ("", "gateway, SQLite", "aim"), rows, aims)


def _lacking() -> str:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "it needs root on Linux"
    if shutil.which("cc") is None:
        return "no C compiler is installed"
    if not (_ROOT / "cpu").is_dir() and not (_ROOT / "cgroup.controllers").is_file():
        return "there are no control groups"
    return ""


def _slow(shim: Path) -> dict[str, str]:
    return {"LD_PRELOAD": str(shim), "FSYNC_DELAY_MS": str(FLUSH_MS)}


@contextlib.contextmanager
def _cage() -> Iterator[list[Path]]:
    """Make the control groups; yields their folders."""
    quota, memory = round(_CORES * _PERIOD_US), MEMORY_MB * 1_000_000
    if (_ROOT / "cpu").is_dir():
        limits: dict[Path, dict[str, int | str]] = {
            _ROOT / "cpu" / _NAME: {"cpu.cfs_period_us": _PERIOD_US, "cpu.cfs_quota_us": quota},
            _ROOT / "memory" / _NAME: {"memory.limit_in_bytes": memory},
        }
    else:
        (_ROOT / "cgroup.subtree_control").write_text("+cpu +memory")
        limits = {_ROOT / _NAME: {"cpu.max": f"{quota} {_PERIOD_US}", "memory.max": memory}}
    made = []
    try:
        for folder, values in limits.items():
            folder.mkdir(exist_ok=True)
            made.append(folder)
            for name, value in values.items():
                (folder / name).write_text(str(value))
        yield made
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # a process in it has not ended yet
                folder.rmdir()


def _peak_mb(cage: Sequence[Path]) -> float:
    for folder in cage:
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            if (folder / name).is_file():
                return int((folder / name).read_text()) / 1e6
    return float("nan")


PART: Final = Part("o", "small machine", measure)
