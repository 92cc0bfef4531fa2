"""A database that answers slowly: deliveries go on, and changes still hold once answered."""

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest
from core.delivery.delivery_source import FakeDeliverySource, at_once, carried, until
from core.gateways import Recorder, add_destination, change_destination, draft, opened
from sqlalchemy import make_url

from gateway.clock import SteppingClock
from gateway.delivery.claim_latency import ClaimLatency

# What takes this many claims for 20 deliveries makes no progress.
MOST_CLAIMS = 200


@pytest.mark.parametrize("claim_seconds", [0.12, 1.0, 30.0])
@pytest.mark.parametrize("attempt_seconds", [0.0, 0.2, 2.0])
async def test_a_lane_delivers_however_long_a_claim_takes(claim_seconds, attempt_seconds):
    clock = SteppingClock()

    async def deliver(batch):
        clock.step(attempt_seconds)
        return await at_once(batch)

    source = FakeDeliverySource(deliver, max_in_flight=2, lease_seconds=600.0)
    source.add(*range(20))

    def answer():
        clock.step(claim_seconds)
        assert len(source.limits) < MOST_CLAIMS, f"{len(source.settled)} settled"

    source.answering = answer

    await carried(source.lane(clock))

    assert sorted(source.settled) == sorted(f"dlv_{number}" for number in range(20))


async def test_a_paced_lane_delivers_however_long_a_claim_takes():
    clock = SteppingClock()
    source = FakeDeliverySource(max_in_flight=2, max_per_second=100_000.0, lease_seconds=600.0)
    source.add(*range(20))

    def answer():
        clock.step(1.0)
        assert len(source.limits) < MOST_CLAIMS, f"{len(source.settled)} settled"

    source.answering = answer

    await carried(source.lane(clock))

    assert len(source.settled) == 20


async def test_what_a_claim_read_is_not_used_for_longer_than_a_change_waits():
    clock = SteppingClock()
    ages = []
    read_at = [0.0]

    async def deliver(batch):
        ages.append(clock.monotonic_seconds() - read_at[-1])
        clock.step(0.03)
        return await at_once(batch)

    source = FakeDeliverySource(deliver, max_in_flight=1, lease_seconds=600.0)
    source.add(*range(100))

    def answer():
        read_at.append(clock.monotonic_seconds())
        clock.step(0.4)

    source.answering = answer
    latency = ClaimLatency(clock)
    latency.observe(0.4)

    await carried(source.lane(clock))

    assert len(ages) == 100
    assert max(ages) <= 0.8 < latency.settles_seconds(0.0)


def test_a_change_waits_by_the_slowest_claim_of_the_last_minutes_or_by_the_round_trip():
    clock = SteppingClock()
    latency = ClaimLatency(clock)
    near = latency.settles_seconds(0.001)
    remote = latency.settles_seconds(0.1)
    latency.observe(0.5)
    latency.observe(0.01)
    slow = latency.settles_seconds(0.001)
    clock.step(61)
    remembered = latency.settles_seconds(0.001)
    clock.step(61)
    forgotten = latency.settles_seconds(0.001)
    latency.observe(40.0)

    assert near == forgotten == pytest.approx(0.12)
    assert slow == remembered == pytest.approx(1.2)
    assert remote == pytest.approx(1.44)
    assert latency.settles_seconds(0.001) == pytest.approx(4.8)  # no change waits longer
    assert latency.longest() == 40.0


def test_a_claim_slower_than_changes_wait_for_is_logged_once_a_minute(caplog):
    clock = SteppingClock()
    latency = ClaimLatency(clock)

    with caplog.at_level(logging.WARNING):
        for seconds in (1.9, 2.5, 3.5):
            latency.observe(seconds)
        clock.step(61)
        latency.observe(4.5)

    assert [each.args for each in caplog.records] == [(2.5,), (4.5,)]


@asynccontextmanager
async def delaying_proxy(host, port, delay):
    """Run a TCP proxy before a server; ``delay()`` is the time that data takes each way."""
    loop = asyncio.get_running_loop()
    tasks = set()

    async def pump(reader, writer):
        while data := await reader.read(65536):
            loop.call_later(delay(), writer.write, data)
        writer.close()

    async def connected(reader, writer):
        tasks.add(asyncio.current_task())
        far_reader, far_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Sending(Recorder):
    """A plugin whose sink is a function."""

    def __init__(self, deliver):
        super().__init__()
        self.deliver = deliver


@pytest.mark.slow
async def test_with_postgresql_80_ms_away_all_is_delivered_and_a_change_holds(
    postgres_url, tmp_path
):
    seen = []
    delay = [0.0]
    loop = asyncio.get_running_loop()

    async def deliver(batch):
        seen.extend((batch.destination.name, loop.time()) for _ in batch.deliveries)
        return await at_once(batch)

    server = make_url(postgres_url)
    async with delaying_proxy(server.host, server.port, lambda: delay[0]) as port:
        url = server.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        async with opened(url, tmp_path, plugins=[Sending(deliver)]) as gateway:
            destination_id = await add_destination(gateway, name="before")
            async with gateway.running():
                await gateway.publisher.publish([draft(gateway) for _ in range(64)])
                await until(lambda: len(seen) == 64)  # all statements are prepared
                await until(lambda: not gateway.engine.lanes)
                delay[0] = 0.04
                await gateway.publisher.publish([draft(gateway) for _ in range(5)])
                await until(lambda: len(seen) == 69)
                ending = asyncio.Event()

                async def press():
                    while not ending.is_set():
                        await gateway.publisher.publish([draft(gateway) for _ in range(8)])

                pressing = asyncio.create_task(press())
                await until(lambda: len(seen) > 69)
                await change_destination(gateway, destination_id, name="after")
                await gateway.destinations_changed()
                answered_at = loop.time()
                count = len(seen)
                await until(lambda: len(seen) > count + 8)
                ending.set()
                await pressing
                delay[0] = 0.0
                await until(lambda: not gateway.engine.lanes)

    assert [name for name, at in seen if at > answered_at and name == "before"] == []
    assert {name for name, _ in seen} == {"before", "after"}
