"""A delivering process that dies on PostgreSQL: its deliveries move within seconds."""

import asyncio

import pytest
from core.delivery.delivery_source import Holding, at_once, until
from core.gateways import Recorder, add_destination, draft, opened
from sqlalchemy import select, update
from waiting import PATIENCE_SECONDS

from gateway.clock import to_epoch_ms
from gateway.observability.redis_client import connected, key
from gateway.storage.schema import deliveries

SWEEPS_OFTEN = 0.05


class Sending(Recorder):
    """A plugin whose sink is a function."""

    def __init__(self, deliver):
        super().__init__()
        self.deliver = deliver


async def leases(gateway):
    async with gateway.database.read() as connection:
        return list((await connection.execute(select(deliveries.c.lease))).scalars())


async def test_the_leases_of_a_process_that_died_end_before_they_run_out(postgres_url, tmp_path):
    """They would run out after a minute."""
    hanging, seen = Holding(), []

    async def deliver(batch):
        seen.extend(each.id for each in batch.deliveries)
        return await at_once(batch)

    async with opened(postgres_url, tmp_path, plugins=[Sending(hanging.deliver)]) as dying:
        await add_destination(dying, max_in_flight=4)
        async with dying.running(sweep_seconds=3600):
            published = await dying.publisher.publish([draft(dying) for _ in range(3)])
            await hanging.until(lambda: len(hanging.held) == 3)
            async with (
                opened(postgres_url, tmp_path, plugins=[Sending(deliver)]) as other,
                other.running(sweep_seconds=SWEEPS_OFTEN),
            ):
                for _ in range(10):  # while the first lives, its deliveries stay its own
                    await asyncio.sleep(SWEEPS_OFTEN)
                assert seen == []
                await dying.dispatcher._liveness._drop()  # as PostgreSQL sees a kill
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await until(lambda: len(seen) == 3)
                await until(lambda: not other.engine.lanes)
            hanging.let_go()
            await until(lambda: hanging.let_go() or not dying.engine.lanes)

    assert sorted(seen) == sorted(published.delivery_ids)


async def test_wake_ups_do_not_go_to_a_worker_that_died(
    postgres_url, redis_url, redis_server, tmp_path
):
    """Its ownership of the destination would last for 15 seconds; here it never ends."""
    toml = f'[redis]\nurl = "{redis_url}"\n'
    sink = Recorder()
    async with opened(postgres_url, tmp_path, toml=toml, plugins=[sink]) as gateway:
        target = await add_destination(gateway)
        await gateway.publisher.publish([draft(gateway)])
        in_flight = {
            "lease": "1.of-the-dead",
            "due_at_ms": to_epoch_ms(gateway.clock.now()) + 30_000,
        }
        async with gateway.database.begin() as connection:
            await connection.execute(update(deliveries).values(in_flight))
        client = connected(redis_url)
        client.set(key("carrier", target), "of-the-dead")
        client.close()

        async with gateway.running(worker_threads=1, sweep_seconds=SWEEPS_OFTEN):
            await until(lambda: len(sink.delivered) == 1)


async def test_a_lock_that_broke_is_taken_again_and_costs_no_delivery(postgres_url, tmp_path):
    async with opened(postgres_url, tmp_path, plugins=[Recorder()]) as gateway:
        await add_destination(gateway)
        async with gateway.running(sweep_seconds=SWEEPS_OFTEN):
            before = gateway.outbox.lease_prefix
            raw = await gateway.dispatcher._liveness._connection.get_raw_connection()
            raw.driver_connection.terminate()
            await until(lambda: gateway.dispatcher._liveness._connection is not None)
            await gateway.dispatcher.stay_alive()

            assert gateway.outbox.lease_prefix == before
            assert before.endswith(".")


async def test_two_that_take_a_broken_lock_again_at_once_do_not_wait_for_each_other(
    postgres_url, tmp_path
):
    async with opened(postgres_url, tmp_path, plugins=[Recorder()]) as gateway:
        liveness = gateway.dispatcher._liveness
        await liveness.hold()
        raw = await liveness._connection.get_raw_connection()
        raw.driver_connection.terminate()

        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(liveness.hold() for _ in range(4)))

        assert liveness.lease_prefix
        await liveness.release()


@pytest.mark.parametrize("engine_runs", [True, False])
async def test_a_lease_names_its_process_where_that_shows_others_something(
    database_url, tmp_path, engine_runs
):
    hanging = Holding()
    async with opened(database_url, tmp_path, plugins=[Sending(hanging.deliver)]) as gateway:
        await add_destination(gateway)
        if not engine_runs:
            assert gateway.outbox.new_lease().count(".") == 0
            return
        async with gateway.running():
            await gateway.publisher.publish([draft(gateway)])
            [lease] = await leases(gateway)
            assert lease.count(".") == (gateway.database.dialect == "postgresql")
            await hanging.until(lambda: bool(hanging.held))
            hanging.let_go()
            await until(lambda: not gateway.engine.lanes)
