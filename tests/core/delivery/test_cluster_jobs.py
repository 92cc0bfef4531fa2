"""Jobs of the whole installation: one process at a time runs them, however many there are."""

import asyncio

import pytest
from core.delivery.delivery_source import until
from core.gateways import opened, sqlite_url
from core.storage.rows import NOW, with_all_tables
from sqlalchemy import select, update
from waiting import PATIENCE_SECONDS

from gateway.clock import SteppingClock, to_epoch_ms
from gateway.delivery.cluster_jobs import ClusterJobs
from gateway.plugin import Job, hookimpl
from gateway.storage.database import Database
from gateway.storage.schema import job_runs
from gateway.storage.stores.job_runs import take_back

HOUR = 3600.0


@pytest.fixture
async def database(database_url):
    opened_database = Database(database_url)
    yield await with_all_tables(opened_database)
    await opened_database.close()


@pytest.fixture
def clock():
    return SteppingClock(NOW)


class Poll:
    """A job of plugin ``acme`` that counts its runs, which wait while its gate is closed."""

    def __init__(self):
        self.runs = self.at_once = self.most_at_once = 0
        self.fails = False
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self):
        self.runs += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.set()
        try:
            await self.gate.wait()
            if self.fails:
                raise KeyError("Maria")
        finally:
            self.at_once -= 1


@pytest.fixture
def poll():
    return Poll()


def process(database, clock, poll, *, every_seconds=HOUR, **options):
    """Return the job as another process has it."""
    job = Job("poll", poll, every_seconds, once_per_cluster=True, plugin="acme")
    return ClusterJobs(database, clock, **options).shared(job)


async def test_of_several_processes_one_runs_it_and_then_none_for_its_interval(
    database, clock, poll
):
    processes = [process(database, clock, poll) for _ in range(5)]

    await asyncio.gather(*(each.run() for each in processes))
    clock.step(HOUR - 1)
    await asyncio.gather(*(each.run() for each in processes))
    assert poll.runs == 1

    clock.step(1)
    await asyncio.gather(*(each.run() for each in processes))
    assert (poll.runs, poll.most_at_once) == (2, 1)


async def test_each_process_looks_more_often_than_it_is_due(database, clock, poll):
    looks = {
        every: process(database, clock, poll, every_seconds=every).every_seconds
        for every in (0.5, 2.0, 60.0, HOUR)
    }

    assert looks == {0.5: 0.5, 2.0: 1.0, 60.0: 6.0, HOUR: 60.0}


async def test_a_run_that_fails_is_the_callers_and_comes_again_after_the_interval(
    database, clock, poll
):
    poll.fails = True
    one, other = process(database, clock, poll), process(database, clock, poll)

    with pytest.raises(KeyError):
        await one.run()
    await other.run()
    assert poll.runs == 1

    clock.step(HOUR)
    poll.fails = False
    await other.run()
    assert poll.runs == 2


async def test_a_long_run_keeps_its_lease_by_renewing_it(database, clock, poll):
    poll.gate.clear()
    running = asyncio.create_task(process(database, clock, poll, lease_seconds=0.03).run())
    await poll.begun.wait()
    before = await lease_end(database)
    clock.step(0.02)

    async with asyncio.timeout(PATIENCE_SECONDS):
        while await lease_end(database) == before:  # noqa: ASYNC110 - a row tells nobody
            await asyncio.sleep(0.001)
    poll.gate.set()
    await running

    assert poll.runs == 1


async def test_a_killed_processs_job_is_run_by_another_when_its_lease_ends(database, clock, poll):
    await process(database, clock, poll).run()
    await held(database, "of the killed one", until=NOW, seconds=30)

    await process(database, clock, poll).run()
    assert poll.runs == 1
    clock.step(31)
    await process(database, clock, poll).run()

    assert poll.runs == 2


async def test_a_process_that_lost_its_lease_stops_and_leaves_the_other_its_turn(
    database, clock, poll
):
    poll.gate.clear()
    running = asyncio.create_task(process(database, clock, poll, lease_seconds=0.03).run())
    await poll.begun.wait()
    await held(database, "of another", until=NOW, seconds=30)

    async with asyncio.timeout(PATIENCE_SECONDS):
        await running

    assert poll.at_once == 0
    async with database.read() as connection:
        lease = (await connection.execute(select(job_runs.c.lease))).scalar_one()
    assert lease == "of another"


async def test_a_run_that_is_stopped_with_its_process_is_due_for_the_others(database, clock, poll):
    poll.gate.clear()
    running = asyncio.create_task(process(database, clock, poll).run())
    await poll.begun.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    poll.gate.set()

    await process(database, clock, poll).run()

    assert (poll.runs, poll.at_once) == (2, 0)


async def test_a_clock_that_goes_back_leaves_no_job_waiting_for_days(database, clock, poll):
    await process(database, clock, poll).run()
    clock.step(-86_400)

    await process(database, clock, poll).run()

    assert poll.runs == 2


async def test_a_killed_processs_job_is_free_when_sqlite_is_served_again(database, clock, poll):
    await process(database, clock, poll).run()
    await held(database, "of the killed one", until=NOW, seconds=30)

    await take_back(database)
    await process(database, clock, poll).run()

    assert poll.runs == (2 if database.dialect == "sqlite" else 1)


class acme:  # noqa: N801 - it is registered by this name
    def __init__(self, poll):
        self.poll = poll

    @hookimpl
    def jobs(self):
        return [Job("poll", self.poll, 0.05, once_per_cluster=True)]


@pytest.mark.parametrize("engine", ["embedded", "workers"])
async def test_an_engine_runs_it_again_and_again_but_never_twice_at_a_time(
    engine, request, tmp_path, poll
):
    toml, others = "", 0
    if engine == "workers":
        url = request.getfixturevalue("postgres_url")
        toml, others = f'[redis]\nurl = "{request.getfixturevalue("redis_url")}"\n', 1
    else:
        url = sqlite_url(tmp_path)

    async with (
        opened(url, tmp_path, plugins=[acme(poll)], toml=toml) as gateway,
        gateway.running(worker_threads=others, sweep_seconds=0.05),
    ):
        await until(lambda: poll.runs >= 3)

    assert poll.most_at_once == 1


async def test_a_fault_in_it_is_logged_with_the_jobs_own_place(tmp_path, poll, caplog):
    poll.fails = True

    async with (
        opened(sqlite_url(tmp_path), tmp_path, plugins=[acme(poll)]) as gateway,
        gateway.running(),
    ):
        await until(lambda: "job poll of plugin acme failed" in caplog.text)

    assert poll.runs >= 1
    assert "KeyError" in caplog.text
    assert "Maria" not in caplog.text


async def lease_end(database):
    async with database.read() as connection:
        return (await connection.execute(select(job_runs.c.lease_until_ms))).scalar_one()


async def held(database, lease, *, until, seconds):
    """Let another process have the job, which is due."""
    async with database.begin() as connection:
        await connection.execute(
            update(job_runs).values(
                lease=lease,
                due_at_ms=to_epoch_ms(NOW),
                lease_until_ms=to_epoch_ms(until) + int(seconds * 1000),
            )
        )
