"""Wake-ups through Redis: to the owner's inbox, or to whichever worker is first."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import redis
from core.delivery.delivery_source import until
from core.delivery.dispatching import publish
from core.gateways import Recorder, add_destination, opened
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.delivery.wake_ups import WakeUps
from gateway.observability.redis_client import key
from gateway.storage.maintenance.locks import DELIVERING_LOCK


@pytest.fixture
def server(redis_url):
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    yield client
    client.close()


@pytest.fixture
async def wake_ups(redis_url, server):
    made = WakeUps(redis_url)
    yield made
    await made.close()


def shared(server):
    """Return how many messages wait for any worker."""
    return server.llen("rx-gateway:wake")


async def test_a_wake_up_for_an_owner_is_once_in_its_inbox_and_nowhere_else(wake_ups, server):
    server.set(key("carrier", "dst_1"), "w1")
    await wake_ups.send(["dst_1"])
    await wake_ups.send(["dst_1"])

    assert server.zrange(key("inbox", "w1"), 0, -1) == ["dst_1"]
    assert server.pttl(key("inbox", "w1")) > 0
    assert shared(server) == 0


async def test_of_an_inbox_the_longest_waiting_is_first_however_often_others_come(wake_ups, server):
    for each in ("dst_1", "dst_2"):
        server.set(key("carrier", each), "w1")
    await wake_ups.send(["dst_2"])
    await wake_ups.send(["dst_1"])
    await wake_ups.send(["dst_2"])

    assert server.zrange(key("inbox", "w1"), 0, -1) == ["dst_2", "dst_1"]


async def test_a_wake_up_without_an_owner_is_one_message_for_any_worker(wake_ups, server):
    await wake_ups.send(["dst_1", "dst_2"])
    await wake_ups.send(["dst_1"])

    assert shared(server) == 2


def owner(server, destination_id):
    """Return the worker that owns a destination."""
    return server.get(key("carrier", destination_id))


async def test_a_message_that_reaches_its_owner_leaves_the_next_one_free(worker, server):
    gateway, _ = worker
    target = await add_destination(gateway)
    await gateway.engine._wakeups.send([target])
    await until(lambda: owner(server, target) == gateway.engine.id)
    # Given a second message, which was sent before that
    server.set(key("woken", target), 1)
    gateway.engine._on_wake_up(target)
    await until(lambda: not server.exists(key("woken", target)))


@pytest.fixture
async def worker(postgres_url, redis_url, tmp_path):
    sink, toml = Recorder(), f'[redis]\nurl = "{redis_url}"\n'
    async with (
        opened(postgres_url, tmp_path, toml=toml, plugins=[sink]) as gateway,
        gateway.running(worker_threads=1),
    ):
        yield gateway, sink


async def test_a_worker_passes_on_what_another_owns(worker, server):
    gateway, sink = worker
    target = await add_destination(gateway)
    server.set(key("carrier", target), "another")
    server.zadd(key("inbox", gateway.engine.id), {target: 0})
    await until(lambda: server.zrange(key("inbox", "another"), 0, -1) == [target])

    assert sink.delivered == []
    assert server.get(key("carrier", target)) == "another"


async def test_the_worker_that_gets_the_first_wake_up_becomes_the_owner(worker, wake_ups, server):
    gateway, sink = worker
    target = await add_destination(gateway)
    await wake_ups.send([target])
    await until(lambda: server.get(key("carrier", target)) == gateway.engine.id)
    await until(lambda: shared(server) == 0)
    await wake_ups.send([target])
    await until(lambda: not server.exists(key("inbox", gateway.engine.id)))

    assert shared(server) == 0
    assert server.pttl(key("carrier", target)) > 0
    assert sink.delivered == []


async def test_a_worker_that_ends_leaves_no_inbox_and_owns_nothing(
    postgres_url, redis_url, tmp_path, wake_ups, server
):
    toml = f'[redis]\nurl = "{redis_url}"\n'
    async with opened(postgres_url, tmp_path, toml=toml, plugins=[Recorder()]) as gateway:
        target = await add_destination(gateway)
        async with gateway.running(worker_threads=1):
            await wake_ups.send([target])
            await until(lambda: server.get(key("carrier", target)) == gateway.engine.id)

    assert server.keys(key("inbox", "*")) + server.keys(key("carrier", "*")) == []


async def test_what_a_dead_worker_owned_goes_to_another_once_its_inbox_is_unread(
    worker, serving, wake_ups, server
):
    gateway, sink = worker
    target = await add_destination(gateway)
    # Given a worker that was killed: it owns an idle endpoint, and no session holds its lock
    server.set(key("carrier", target), "4711")
    server.set(key("workers", "4711"), 1)
    await publish(serving)
    await wake_ups.send([target])
    await until(lambda: len(sink.delivered) == 1)

    assert owner(server, target) == gateway.engine.id
    assert not server.exists(key("inbox", "4711"), key("workers", "4711"))


async def test_a_worker_that_is_busy_for_seconds_keeps_what_it_owns(
    worker, serving, wake_ups, server, postgres_url
):
    gateway, sink = worker
    target = await add_destination(gateway)
    server.set(key("carrier", target), "4711")
    async with another_process(postgres_url, 4711):
        await publish(serving)
        await wake_ups.send([target])
        unread = key("inbox", "4711")
        server.zadd(unread, {target: 0})  # for a very long time
        swept = gateway.engine.last_sweep_at
        await until(lambda: gateway.engine.last_sweep_at > swept + timedelta(seconds=3))

        assert (sink.delivered, owner(server, target)) == ([], "4711")
        assert server.zrange(unread, 0, -1) == [target]


@pytest.fixture
async def serving(worker, postgres_url, redis_url, tmp_path):
    """A process that takes orders and delivers nothing itself."""
    toml = f'[redis]\nurl = "{redis_url}"\n'
    async with opened(postgres_url, tmp_path, toml=toml, plugins=[Recorder()]) as gateway:
        yield gateway


@asynccontextmanager
async def another_process(postgres_url, number):
    """Hold the lock of a delivering process."""
    engine = create_async_engine(postgres_url)
    async with engine.connect() as connection:
        values = {"lock": DELIVERING_LOCK, "number": number}
        await connection.execute(text("SELECT pg_advisory_lock(:lock, :number)"), values)
        yield
    await engine.dispose()


class HoldsOne(Recorder):
    """A sink that is busy with one destination until it is let go."""

    def __init__(self):
        super().__init__()
        self.held, self.let_go = "", asyncio.Event()

    async def deliver(self, batch):
        found = await super().deliver(batch)
        if batch.destination.id == self.held:
            await self.let_go.wait()
        return found


async def test_a_worker_that_ends_keeps_only_what_is_in_flight_and_loses_no_wake_up(
    postgres_url, redis_url, tmp_path, wake_ups, server
):
    sink, toml = HoldsOne(), f'[redis]\nurl = "{redis_url}"\n'
    seen = {}

    async def watch(busy, idle):
        await until(lambda: owner(server, idle) is None)
        seen["busy"] = owner(server, busy)
        await wake_ups.send([busy, idle])
        seen["shared"] = shared(server)
        sink.let_go.set()

    async with opened(postgres_url, tmp_path, toml=toml, plugins=[sink]) as gateway:
        idle, busy = [await add_destination(gateway) for _ in range(2)]
        sink.held = busy
        async with gateway.running(worker_threads=1):
            worker = gateway.engine.id
            await wake_ups.send([busy, idle])
            await until(lambda: {owner(server, each) for each in (busy, idle)} == {worker})
            await publish(gateway)
            await until(lambda: {each for each, _ in sink.delivered} == {busy, idle})
            await until(lambda: not server.exists(key("inbox", worker)))
            watching = asyncio.create_task(watch(busy, idle))
        await watching

    assert seen == {"busy": worker, "shared": 1}
    assert shared(server) == 2
    assert server.keys(key("inbox", "*")) + server.keys(key("carrier", "*")) == []
    assert not server.exists(key("sweeper", "now"))


async def test_a_worker_ends_even_where_the_client_keeps_a_cancellation_to_itself(
    postgres_url, redis_url, tmp_path, monkeypatch
):
    waiting = asyncio.Event()

    async def kept(*_given, **_more):
        waiting.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise redis.ConnectionError from None

    toml = f'[redis]\nurl = "{redis_url}"\n'
    monkeypatch.setattr("redis.asyncio.Redis.bzpopmin", kept)
    async with (
        asyncio.timeout(20),
        opened(postgres_url, tmp_path, toml=toml, plugins=[Recorder()]) as gateway,
        gateway.running(worker_threads=1),
    ):
        await waiting.wait()
