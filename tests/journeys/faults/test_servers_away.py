"""Redis and PostgreSQL go away and come back, during load."""

import asyncio

import pytest
from journeys.faults.experiment import UNHURRIED_SECONDS, Experiment

pytestmark = pytest.mark.slow


@pytest.fixture
def many(tmp_path, own_postgres, own_redis):
    """A server and two workers, on PostgreSQL and Redis."""
    with own_postgres.fresh_database() as url:
        own_redis.flush()
        yield Experiment(
            tmp_path,
            database_url=url,
            redis_url=own_redis.url,
            timeout_seconds=UNHURRIED_SECONDS,
        )


async def test_without_redis_orders_are_taken_and_delivered_all_the_same(many, own_redis, note):
    async with many as experiment:
        await experiment.under_load()

        await asyncio.to_thread(own_redis.kill)
        await experiment.load.more(100)
        # Nobody can be woken: the sweep finds the work
        await experiment.caught_up()
        experiment.mending()
        await asyncio.to_thread(own_redis.start)

        row = await experiment.verdict("Redis stopped", "kill -9, 100 orders later started again")
    assert (row.exhausted, row.duplicates) == (0, 0)
    assert experiment.load.refusals == {}
    note(row)


@pytest.mark.long
async def test_a_redis_that_hangs_holds_nothing_up(many, own_redis, note):
    async with many as experiment:
        await experiment.under_load()

        own_redis.pause()
        try:
            await experiment.load.more(40)
            await experiment.caught_up()
            experiment.mending()
        finally:
            own_redis.resume()

        row = await experiment.verdict("Redis hangs", "SIGSTOP, 40 orders later SIGCONT")
    assert (row.exhausted, row.duplicates) == (0, 0)
    assert experiment.load.refusals == {}
    note(row)


async def test_a_redis_that_forgets_everything_is_not_missed(many, own_redis, note):
    async with many as experiment:
        await experiment.under_load()

        for _ in range(5):
            await asyncio.to_thread(own_redis.flush)
            await experiment.load.more(20)
        experiment.mending()

        row = await experiment.verdict("Redis flushed", "FLUSHALL five times during load")
    assert (row.exhausted, row.duplicates) == (0, 0)
    assert experiment.load.refusals == {}
    note(row)


async def test_a_postgresql_that_is_killed_is_found_again(many, own_postgres, note):
    async with many as experiment:
        await experiment.under_load()

        await asyncio.to_thread(own_postgres.kill)
        await experiment.load.until(lambda: experiment.load.refusals["503"] > 0)
        experiment.mending()
        await asyncio.to_thread(own_postgres.start)

        row = await experiment.verdict("PostgreSQL killed", "kill -9, then started again")
    # What came back meanwhile was kept until it could be stored
    assert (row.exhausted, row.duplicates) == (0, 0)
    note(row)
