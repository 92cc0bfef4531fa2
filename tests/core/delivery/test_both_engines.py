"""What holds whoever carries: the serving process itself, or workers woken through Redis."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest
from core.delivery.delivery_source import Holding, until
from core.delivery.dispatching import Scripted, looked_up, publish
from core.gateways import (
    Recorder,
    add_destination,
    change_destination,
    destination,
    opened,
    sqlite_url,
)

from gateway.clock import SystemClock

pytestmark = pytest.mark.slow


class Embedded:
    """One gateway that serves and carries, on SQLite."""

    def __init__(self, request):
        self.directory = request.getfixturevalue("tmp_path")
        self.url = sqlite_url(self.directory)
        self.workers = 0
        self.toml = ""


class OneWorker:
    """A serving gateway and a worker, on PostgreSQL and Redis."""

    def __init__(self, request):
        self.directory = request.getfixturevalue("tmp_path")
        self.url = request.getfixturevalue("postgres_url")
        self.workers = 1
        self.toml = f'[redis]\nurl = "{request.getfixturevalue("redis_url")}"\n'


class TwoWorkers(OneWorker):
    """The same with a second worker beside the first."""

    def __init__(self, request):
        super().__init__(request)
        self.workers = 2


class Site:
    """A gateway of one kind: what is published through ``front`` is carried while it runs."""

    def __init__(self, front, workers):
        self.front = front
        self._workers = workers

    @asynccontextmanager
    async def running(self):
        async with self.front.running():
            if not self._workers:
                yield
                return
            beginnings = [each.running(worker_threads=2) for each in self._workers]
            for each in beginnings:
                await each.__aenter__()
            try:
                yield
            finally:
                for each in beginnings:
                    await each.__aexit__(None, None, None)


@pytest.fixture(params=[Embedded, OneWorker, TwoWorkers], ids=lambda kind: kind.__name__)
def site(request):
    """Open gateways of each kind: ``async with site(sink) as here``."""
    kind = request.param(request)

    @asynccontextmanager
    async def made(sink, toml=""):
        async with opened(kind.url, kind.directory, toml=kind.toml + toml, plugins=[sink]) as front:
            others = [
                opened(kind.url, kind.directory, toml=kind.toml + toml, plugins=[sink])
                for _ in range(kind.workers)
            ]
            workers = [await each.__aenter__() for each in others]
            try:
                yield Site(front, workers)
            finally:
                for each in others:
                    await each.__aexit__(None, None, None)

    return made


async def test_what_is_published_is_delivered_once_to_each(site):
    sink = Recorder()
    async with site(sink) as here:
        targets = [await add_destination(here.front) for _ in range(3)]
        async with here.running():
            for number in range(20):
                await publish(here.front, f"pkg_{number}")
            await until(lambda: len(sink.delivered) == 60)

    got = sorted((to, event.subject) for to, event in sink.delivered)
    assert got == sorted((to, f"pkg_{n}") for to in targets for n in range(20))


async def test_what_was_due_before_the_start_goes_out_at_the_start(site):
    sink = Recorder()
    async with site(sink) as here:
        await add_destination(here.front)
        await publish(here.front, "pkg_1", "pkg_2")
        async with here.running():
            await until(lambda: len(sink.delivered) == 2)


async def test_what_fails_is_tried_again_until_it_is_given_up(site):
    sink = Scripted(SystemClock())
    toml = "[delivery]\nretry_schedule_seconds = [0.05, 0.05]\ngive_up_after_seconds = 2.0\n"
    async with site(sink, toml) as here:
        await add_destination(here.front)
        async with here.running():
            [delivery_id] = await publish(here.front)
            await until(lambda: len(sink.delivered) == 4)
        delivery, attempts = await looked_up(here.front, delivery_id)

    assert (delivery.state, delivery.attempts) == ("exhausted", 4)
    assert [each.number for each in attempts] == [1, 2, 3, 4]


class Held(Recorder):
    """A sink that holds the deliveries of one destination until it is let go."""

    def __init__(self):
        super().__init__()
        self.holding = Holding()
        self.hold = ""

    async def deliver(self, batch):
        if batch.destination.id == self.hold:
            await self.holding.deliver(batch)
        return await super().deliver(batch)


async def test_a_hanging_destination_holds_back_no_other_and_no_more_than_it_may(site):
    sink = Held()
    async with site(sink) as here:
        hanging = await add_destination(here.front, max_in_flight=2)
        working = await add_destination(here.front)
        sink.hold = hanging
        async with here.running():
            await publish(here.front, *(f"pkg_{number}" for number in range(50)))
            await until(lambda: len(sink.types_for(working)) == 50)
            await sink.holding.until(lambda: len(sink.holding.held) == 2)
            assert sink.types_for(hanging) == []
            sink.hold = ""
            sink.holding.let_go()
            await until(lambda: len(sink.types_for(hanging)) == 50)


async def test_an_ordered_destination_gets_a_subjects_events_one_after_the_other(site):
    sink = Recorder()
    async with site(sink) as here:
        await add_destination(here.front, ordered=True)
        async with here.running():
            for number in range(10):
                await publish(here.front, data={"number": number})
            await until(lambda: len(sink.delivered) == 10)

    assert [event.data["number"] for _, event in sink.delivered] == list(range(10))


async def test_one_that_is_gone_is_disabled_and_those_who_watch_hear_of_it(site):
    sink = Scripted(SystemClock(), gone=True)
    async with site(sink) as here:
        gone = await add_destination(here.front, events=("delivery.*",))
        watching = await add_destination(here.front, events=("endpoint.*",))
        async with here.running():
            await publish(here.front)
            await until(lambda: sink.types_for(watching) == ["endpoint.disabled"])
        assert (await destination(here.front, gone)).state == "disabled"


async def test_a_breaker_holds_for_whoever_carries(site):
    sink = Scripted(SystemClock())
    toml = (
        "[delivery]\nbreaker_failures = 3\nbreaker_pauses_seconds = [3600]\n"
        "retry_schedule_seconds = [0.05]\n"
    )
    async with site(sink, toml) as here:
        target = await add_destination(here.front, max_in_flight=1)
        async with here.running():
            await publish(here.front, *(f"pkg_{number}" for number in range(10)))
            await until(lambda: len(sink.delivered) >= 3)
        after = await destination(here.front, target)
        assert (after.breaker.state, after.breaker.failures) == ("open", 3)
        assert len(sink.delivered) == 3


async def test_what_is_paused_waits_and_goes_when_it_is_resumed(site):
    sink = Recorder()
    async with site(sink) as here:
        paused = await add_destination(here.front, state="paused")
        other = await add_destination(here.front)
        async with here.running():
            await publish(here.front, "pkg_1")
            await until(lambda: sink.types_for(other))
            assert sink.types_for(paused) == []
            await change_destination(here.front, paused, state="active")
            await until(lambda: sink.types_for(paused))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_lost_however_commits_and_lanes_interleave(site, seed):
    chance = random.Random(seed)
    sink = Recorder(max_batch=chance.choice([1, 4]))
    async with site(sink) as here:
        for _ in range(4):
            await add_destination(here.front, max_in_flight=chance.choice([1, 2, 32]))

        async def report(start: int) -> None:
            for number in range(start, start + 30):
                await publish(here.front, f"pkg_{number}")
                await asyncio.sleep(chance.choice([0, 0, 0.001, 0.003]))

        async with here.running():
            await asyncio.gather(*(report(start) for start in range(0, 150, 30)))
            await until(lambda: len(sink.delivered) >= 600)

    assert len({(to, event.id) for to, event in sink.delivered}) == 600
