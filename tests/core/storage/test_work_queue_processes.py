"""Processes that share a queue: one is killed in the middle, several claim at a time."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from core.storage.queues import SHAPES, Bench
from waiting import PATIENCE_SECONDS

from gateway.clock import SystemClock
from gateway.storage.database import Database
from gateway.storage.queue_table import take_back

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[2]
PROCESS = Path(__file__).with_name("queue_process.py")


@pytest.fixture(params=SHAPES)
async def bench(request, database_url):
    database = Database(database_url)
    bench = Bench(request.param, database, SystemClock())
    await bench.make()
    yield bench
    await database.close()


@asynccontextmanager
async def process(url, shape, lease_seconds, mode):
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROCESS),
        str(TESTS),
        url,
        shape,
        str(lease_seconds),
        mode,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def killed_between_claim_and_done(bench, url, lease_seconds):
    """Let a real process claim what there is, and kill it (SIGKILL)."""
    async with process(url, bench.table.name, lease_seconds, "hold") as child:
        line = await asyncio.wait_for(child.stdout.readline(), PATIENCE_SECONDS)
        child.kill()
    return json.loads(line)


async def test_what_a_killed_process_had_comes_back_after_its_lease(bench, database_url):
    await bench.put("a", "b")
    began = asyncio.get_running_loop().time()
    assert await killed_between_claim_and_done(bench, database_url, 2.0) == ["a", "b"]

    items = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not items:
            await bench.queue.sweep()
            items = await bench.claim()
            await asyncio.sleep(0.02)

    assert [(item.row.payload, item.attempts) for item in items] == [("a", 2), ("b", 2)]
    assert asyncio.get_running_loop().time() - began >= 2.0


@pytest.mark.parametrize("shape", SHAPES)
async def test_what_a_killed_process_had_is_due_at_once_when_sqlite_is_served_again(
    shape, tmp_path
):
    url = f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}"
    bench = Bench(shape, Database(url), SystemClock())
    await bench.make()
    await bench.put("a", "b")
    assert await killed_between_claim_and_done(bench, url, 250.0) == ["a", "b"]
    assert await bench.claim() == []

    await take_back(bench.database, [bench.table], bench.clock.now())

    assert await bench.claimed() == ["a", "b"]
    await bench.database.close()


@pytest.mark.parametrize("among", [12, None], ids=["with subjects", "without"])
async def test_processes_that_claim_at_a_time_never_get_the_same_item(bench, database_url, among):
    """And each process gets a subject's items in their order."""
    subjects = [f"s{number % among}" if among else "none" for number in range(96)]
    for number, subject in enumerate(subjects):
        await bench.put(f"{subject}:{number}", subject=subject if among else None)

    async def drained():
        async with process(database_url, bench.table.name, 200.0, "drain") as child:
            out, _ = await asyncio.wait_for(child.communicate(), PATIENCE_SECONDS)
        got = [payload for line in out.splitlines() for payload in json.loads(line)]
        for subject in set(subjects):
            numbers = [int(each.split(":")[1]) for each in got if each.startswith(f"{subject}:")]
            assert numbers == sorted(numbers)
        return got

    # A process that finds nothing claimable ends, though another one's items free more: so again
    claimed = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(claimed) < len(subjects):
            for each in await asyncio.gather(drained(), drained()):
                claimed += each

    assert sorted(claimed) == sorted(set(claimed))
    assert len(claimed) == len(subjects)
