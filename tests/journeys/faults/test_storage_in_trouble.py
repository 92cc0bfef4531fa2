"""SQLite's file is locked by somebody else; its disk is full."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from journeys.faults.experiment import UNHURRIED_SECONDS, Experiment

pytestmark = pytest.mark.slow

LOCKED_SECONDS = 2
DISK_BYTES = 12 * 1024 * 1024


def _hold(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(LOCKED_SECONDS)  # not to wait for anything: so long it is locked
        other.execute("ROLLBACK")


async def test_a_sqlite_file_that_somebody_else_locks_is_waited_for(tmp_path, note):
    async with Experiment(tmp_path, timeout_seconds=UNHURRIED_SECONDS) as experiment:
        await experiment.under_load()

        await asyncio.to_thread(_hold, tmp_path / "data" / "gateway.db")
        experiment.mending()

        row = await experiment.verdict(
            "SQLite locked by another program", f"BEGIN IMMEDIATE for {LOCKED_SECONDS} s"
        )
    assert (row.exhausted, row.duplicates) == (0, 0)
    assert experiment.load.refusals == {}
    note(row)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of its own for the data, small enough to be filled."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a small disk to fill needs Linux and root, to mount a tmpfs")
    data = tmp_path / "data"
    data.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "gateway-faults", str(data)]
    mounted = subprocess.run(words, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk to fill can't be mounted here: {mounted.stderr.strip()}")
    try:
        yield data
    finally:
        subprocess.run(["umount", "--lazy", str(data)], check=True)


def _fill(path: Path) -> None:
    """Write until there is no room for one more byte."""
    for piece in (bytes(64 * 1024), b"\0"):
        with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(piece):
                pass


async def test_a_full_disk_refuses_orders_and_loses_none(tmp_path, small_disk, note):
    async with Experiment(tmp_path, timeout_seconds=UNHURRIED_SECONDS) as experiment:
        await experiment.under_load()

        await asyncio.to_thread(_fill, small_disk / "ballast")
        await experiment.load.until(lambda: experiment.load.refusals["503"] > 10)
        experiment.mending()
        (small_disk / "ballast").unlink()

        row = await experiment.verdict("disk full", "a small file system filled, then emptied")
    assert (row.exhausted, row.duplicates) == (0, 0)
    note(row)
