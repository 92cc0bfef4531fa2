"""Wake-ups through Redis: to the owner's inbox, or to whichever worker is first."""

import pytest
import redis
from core.delivery.delivery_source import until
from core.gateways import Recorder, add_destination, opened

from gateway.delivery.redis_engine import WakeUps
from gateway.observability.redis_client import key


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
