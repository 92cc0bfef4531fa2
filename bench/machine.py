"""What the figures were measured on: facts that matter to them, and no date."""

import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

LOAD: Final = "others' load at the start"
_FLUSHES: Final = 100
_FLUSHED_BYTES: Final = 4096


def facts(folder: Path) -> dict[str, str]:
    """Return the facts, in the order they are shown."""
    return {
        "processor": f"{_cores()} cores, {_model()}",
        "system": platform.system(),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "gateway": version("rx-gateway"),
        "pyreqwest": version("pyreqwest"),
        "one flush to this disk": f"{_flush_ms(folder):.2f} ms (median of {_FLUSHES})",
        LOAD: f"{_load():.1f} of {_cores()} cores",
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # only Linux has it
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _flush_ms(folder: Path) -> float:
    """Measure what every durable commit has to wait for."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_FLUSHES):
            began = time.perf_counter()
            file.write(bytes(_FLUSHED_BYTES))
            file.flush()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000
