"""Promises 1 and 2 across kill -9, of whichever process, during load."""

import asyncio

import pytest
from journeys.faults.experiment import PATIENCE_SECONDS, Experiment

pytestmark = pytest.mark.slow

# What a killed worker had taken waits for so long; as short as it may be on a busy machine.
LEASE_MARGIN_SECONDS = 8


@pytest.fixture
def many(tmp_path, own_postgres, own_redis):
    """A server and two workers, on PostgreSQL and Redis."""
    with own_postgres.fresh_database() as url:
        own_redis.flush()
        yield Experiment(
            tmp_path,
            database_url=url,
            redis_url=own_redis.url,
            lease_margin_seconds=LEASE_MARGIN_SECONDS,
        )


async def test_a_server_that_is_killed_on_sqlite_loses_nothing(tmp_path, note):
    async with Experiment(tmp_path) as experiment:
        await experiment.under_load()

        await experiment.gateway.kill()
        await experiment.load.until(lambda: experiment.load.refusals["connection"] > 0)
        experiment.mending()
        await experiment.gateway.start()

        row = await experiment.verdict("server killed, on SQLite", "kill -9, then started again")
    assert row.exhausted == 0
    note(row)


async def test_a_server_that_is_killed_beside_its_workers_loses_nothing(many, note):
    async with many as experiment:
        await experiment.under_load()

        await experiment.gateway.kill()
        await experiment.load.until(lambda: experiment.load.refusals["connection"] > 0)
        experiment.mending()
        await experiment.gateway.start()

        row = await experiment.verdict(
            "server killed, beside two workers", "kill -9, then started again"
        )
    assert (row.exhausted, row.duplicates) == (0, 0)  # those who deliver were not touched
    note(row)


async def test_a_server_of_several_processes_that_is_killed_leaves_none_of_them_behind(
    tmp_path, own_postgres, own_redis, note
):
    with own_postgres.fresh_database() as url:
        own_redis.flush()
        words = ("serve", "--workers", "2")
        async with Experiment(
            tmp_path, database_url=url, redis_url=own_redis.url, workers=1, words=words
        ) as experiment:
            await experiment.under_load()

            # What it prints to is closed when the last of its processes has ended
            async with asyncio.timeout(PATIENCE_SECONDS):
                await experiment.gateway.kill()
            await experiment.load.until(lambda: experiment.load.refusals["connection"] > 0)
            experiment.mending()
            await experiment.gateway.start()

            row = await experiment.verdict(
                "server of two processes killed", "kill -9 of the one that supervises them"
            )
    assert (row.exhausted, row.duplicates) == (0, 0)
    note(row)


@pytest.mark.long
async def test_a_worker_that_is_killed_leaves_its_work_to_the_other(many, note):
    async with many as experiment:
        await experiment.under_load()

        # The one that carries the endpoint cannot be told from outside: each in turn is it
        await experiment.workers[0].kill()
        await experiment.load.more(20)
        await experiment.workers[0].start()
        await experiment.caught_up()
        await experiment.workers[1].kill()
        await experiment.load.more(20)
        experiment.mending()

        row = await experiment.verdict("each of two workers killed", "kill -9, one after the other")
    assert row.exhausted == 0
    note(row)


@pytest.mark.long
async def test_server_and_worker_killed_in_turn_lose_nothing(many, note):
    async with many as experiment:
        await experiment.under_load()

        for process in (experiment.gateway, *experiment.workers, experiment.gateway):
            await process.kill()
            experiment.mending()
            await process.start()
            await experiment.load.more(20)

        row = await experiment.verdict(
            "server, both workers and server killed", "kill -9 in turn, each started again"
        )
    assert row.exhausted == 0
    note(row)
