"""Processes that the system suspends: a virtual machine is moved, a laptop sleeps."""

import asyncio

import pytest
from journeys.faults.experiment import Experiment

pytestmark = pytest.mark.slow

TIMEOUT_SECONDS = 1
LEASE_MARGIN_SECONDS = 6
# Longer than an attempt may take, so that each attempt in flight is late when it goes on.
SUSPENDED_SECONDS = 2
# Longer than a lease, so that another worker has delivered what the suspended one had claimed.
PAST_THE_LEASE_SECONDS = TIMEOUT_SECONDS + LEASE_MARGIN_SECONDS + 4


async def test_a_server_that_is_suspended_goes_on_and_loses_nothing(tmp_path, note):
    async with Experiment(tmp_path, timeout_seconds=TIMEOUT_SECONDS) as experiment:
        await experiment.under_load()

        experiment.gateway.pause()
        await asyncio.sleep(SUSPENDED_SECONDS)
        experiment.mending()
        experiment.gateway.resume()

        row = await experiment.verdict(
            "server suspended, on SQLite", f"SIGSTOP, SIGCONT {SUSPENDED_SECONDS} s later"
        )
    assert row.exhausted == 0
    note(row)


@pytest.mark.long
async def test_a_worker_that_is_suspended_past_its_leases_spoils_nothing(
    tmp_path, own_postgres, own_redis, note
):
    """What it claimed belongs to the other worker by the time it goes on."""
    with own_postgres.fresh_database() as url:
        own_redis.flush()
        async with Experiment(
            tmp_path,
            database_url=url,
            redis_url=own_redis.url,
            timeout_seconds=TIMEOUT_SECONDS,
            lease_margin_seconds=LEASE_MARGIN_SECONDS,
        ) as experiment:
            await experiment.under_load()

            # Which worker carries the endpoints can't be seen from outside: each is suspended
            for worker in experiment.workers:
                worker.pause()
                await asyncio.sleep(PAST_THE_LEASE_SECONDS)
                await experiment.load.more(20)
                experiment.mending()
                worker.resume()
                await experiment.caught_up()

            row = await experiment.verdict(
                "each of two workers suspended",
                f"SIGSTOP, SIGCONT {PAST_THE_LEASE_SECONDS} s later, one after the other",
            )
    assert row.exhausted == 0
    note(row)
