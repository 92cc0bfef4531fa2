"""What the embedded engine lives through: a database that is away, jobs that raise, an end."""

import asyncio
import re
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
import pytest
from core.delivery.delivery_source import NOW, FakeDeliverySource, Holding, until
from core.delivery.dispatching import looked_up, publish
from core.gateways import Recorder, add_destination, opened, sqlite_url
from waiting import PATIENCE_SECONDS

from gateway.clock import SteppingClock, SystemClock
from gateway.delivery.engine import JOBS_APART_SECONDS, LocalEngine
from gateway.errors import StorageError
from gateway.hookspecs import hookimpl
from gateway.sdk.records import Job

# Seconds between two sweeps; the first runs at the start in any case.
NEVER = 3600.0
ALWAYS = 0.005

SET_BACK = "the clock was set back by 3600 seconds"


class FakeDispatcher:
    """A dispatcher over one source in memory; ``rounds`` is what each sweep finds, or meets."""

    def __init__(self, source=None, rounds=(), clock=None):
        self.source = source or FakeDeliverySource()
        self.rounds = list(rounds)
        self.clock = clock or SystemClock()
        self.swept = 0
        self.opened = []
        self.taken_back = 0
        self.on_next_due = None
        self.clock_skew = self
        self.kept = []

    async def check(self, seconds_back):
        self.kept.append(seconds_back)
        if seconds_back and len(list(filter(None, self.kept))) == 1:
            raise StorageError("away")

    def lane(self, destination_id):
        self.opened.append(destination_id)
        return self.source.lane(self.clock)

    async def take_back(self):
        self.taken_back += 1

    async def release_lost(self):
        return ()

    async def stay_alive(self):
        pass

    async def signed_off(self):
        pass

    async def end_leases_of_the_dead(self):
        return ()

    async def destinations_with_work(self):
        self.swept += 1
        found = self.rounds.pop(0) if self.rounds else []
        if isinstance(found, Exception):
            raise found
        return found

    def keep_through_outages(self, *, keep):
        pass

    async def drained(self):
        pass


class Running:
    """An engine over a fake dispatcher, running until the block ends."""

    def __init__(self, dispatcher, jobs=(), clock=None, sweep_seconds=1.0):
        clock = clock or SystemClock()
        self.engine = LocalEngine(dispatcher, jobs, clock, sweep_seconds=sweep_seconds)

    async def __aenter__(self):
        await self.engine.start()
        return self.engine

    async def __aexit__(self, *_):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.engine.stop()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StorageError("The file is away."), "StorageError: The file is away."),
        (
            ConnectionRefusedError(),
            (
                "ConnectionRefusedError: nothing listens at the address in [database] url: "
                "start PostgreSQL"
            ),
        ),
        (RuntimeError("Ana Silva"), "RuntimeError"),
    ],
    ids=["StorageError", "ConnectionRefusedError", "RuntimeError"],
)
async def test_the_sweep_goes_on_whatever_one_round_meets_and_logs_the_cause_once(
    caplog, error, reason
):
    source = FakeDeliverySource()
    source.add(0)
    async with Running(FakeDispatcher(source, [error, error, ["dst_1"]]), sweep_seconds=ALWAYS):
        await until(lambda: len(source.settled) == 1)

    assert caplog.messages == [f"the sweep failed: {reason}"]


@pytest.mark.parametrize("error", [StorageError("away"), RuntimeError("unforeseen")])
async def test_a_lane_that_fails_is_logged_and_opened_anew_by_the_next_sweep(caplog, error):
    source = FakeDeliverySource()
    source.add(0)
    source.failing = error
    dispatcher = FakeDispatcher(source, [["dst_1"]])
    async with Running(dispatcher, sweep_seconds=ALWAYS) as engine:
        await until(lambda: dispatcher.opened and not engine.lanes)
        source.failing = None
        dispatcher.rounds = [["dst_1"]]
        await until(lambda: len(source.settled) == 1)

    assert dispatcher.opened == ["dst_1", "dst_1"]
    assert caplog.messages == [f"the delivery lane of dst_1 stopped: {type(error).__name__}"]


async def test_one_lane_serves_a_destination_however_often_it_is_woken():
    sink = Holding()
    source = FakeDeliverySource(sink.deliver)
    source.add(0)
    dispatcher = FakeDispatcher(source)
    async with Running(dispatcher, sweep_seconds=NEVER) as engine:
        engine.wake(["dst_1"])
        await sink.until(lambda: len(sink.held) == 1)
        for number in range(1, 10):
            source.add(number)
            engine.wake(["dst_1", "dst_1"])
        await sink.until(lambda: len(sink.held) == 10)
        assert len(engine.lanes) == 1
        sink.let_go()
        await until(lambda: len(source.settled) == 10 and not engine.lanes)

    assert dispatcher.opened == ["dst_1"]


async def test_the_earliest_of_several_retries_rings():
    clock = SystemClock()
    dispatcher = FakeDispatcher()
    async with Running(dispatcher, clock=clock, sweep_seconds=NEVER) as engine:
        now = clock.now()
        dispatcher.on_next_due("dst_1", now + timedelta(seconds=50))
        dispatcher.on_next_due("dst_1", now + timedelta(milliseconds=20))
        dispatcher.on_next_due("dst_1", now + timedelta(seconds=40))
        dispatcher.on_next_due("dst_2", now - timedelta(seconds=1))
        await until(lambda: len(dispatcher.opened) == 2)
        assert sorted(dispatcher.opened) == ["dst_1", "dst_2"]
        assert clock.now() - now >= timedelta(milliseconds=20)
        # It has rung; the next one sets an alarm of its own.
        dispatcher.on_next_due("dst_1", clock.now() + timedelta(milliseconds=10))
        await until(lambda: len(dispatcher.opened) == 3)
        assert engine._timers == {}


async def test_retries_of_another_hour_are_left_to_the_sweep():
    clock = SteppingClock(NOW)
    dispatcher = FakeDispatcher()
    async with Running(dispatcher, clock=clock, sweep_seconds=NEVER) as engine:
        dispatcher.on_next_due("dst_1", NOW + timedelta(seconds=61))
        assert engine._timers == {}
        dispatcher.on_next_due("dst_1", NOW + timedelta(seconds=60))
        assert list(engine._timers) == ["dst_1"]
    assert engine._timers == {}
    dispatcher.on_next_due("dst_1", NOW)
    assert engine._timers == {}


class Works:
    """A plugin with jobs."""

    def __init__(self):
        self.rounds = {"quick": 0, "failing": 0, "hanging": 0}
        self.was_cancelled = False

    @hookimpl
    def jobs(self):
        return [
            Job("quick", self.quick, every_seconds=0.002),
            Job("failing", self.failing, every_seconds=0.002),
            Job("hanging", self.hanging, every_seconds=0.002),
        ]

    async def quick(self):
        self.rounds["quick"] += 1

    async def failing(self):
        self.rounds["failing"] += 1
        raise ValueError("patient data may stand here")

    async def hanging(self):
        self.rounds["hanging"] += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


async def test_jobs_are_done_again_and_again_whatever_they_raise(tmp_path, caplog):
    works = Works()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[works]) as gateway:
        assert works.rounds == {"quick": 0, "failing": 0, "hanging": 0}
        async with gateway.running():
            await until(lambda: works.rounds["quick"] >= 5 and works.rounds["failing"] >= 5)
            await until(lambda: works.rounds["hanging"])
        assert not {task.get_name() for task in asyncio.all_tasks()} & works.rounds.keys()

    assert works.rounds["hanging"] == 1
    assert works.was_cancelled
    [message] = set(caplog.messages)
    place = r"[\w/]*test_engine_faults\.py:\d+ in failing"
    assert re.fullmatch(f"job failing of plugin Works failed: ValueError at {place}", message)


async def test_the_jobs_first_runs_begin_one_after_another():
    # At once, each would open a connection to the database, and all of them stay open.
    loop, begun = asyncio.get_running_loop(), []

    async def run():
        begun.append(loop.time())

    jobs = [Job(str(number), run, every_seconds=NEVER) for number in range(4)]
    before = loop.time()
    async with Running(FakeDispatcher(), jobs=jobs, sweep_seconds=NEVER):
        await until(lambda: len(begun) == 4)
    assert begun[-1] - before >= 3 * JOBS_APART_SECONDS


class Held(Recorder):
    def __init__(self):
        super().__init__()
        self.holding = Holding()

    async def deliver(self, batch):
        await self.holding.deliver(batch)
        return await super().deliver(batch)


async def test_stopping_finishes_what_is_in_flight_and_gives_the_rest_back(database_url, tmp_path):
    sink = Held()
    async with opened(database_url, tmp_path, plugins=[sink]) as gateway:
        await add_destination(gateway, max_in_flight=3)

        async def serve():
            async with gateway.running():
                await stopping.wait()

        stopping = asyncio.Event()
        serving = asyncio.create_task(serve())
        await until(lambda: gateway.engine is not None)
        ids = await publish(gateway, *(f"pkg_{number}" for number in range(10)))
        await sink.holding.until(lambda: len(sink.holding.held) == 3)
        stopping.set()
        await until(lambda: gateway.engine is None)
        await publish(gateway, "pkg_late")
        assert not serving.done()
        sink.holding.let_go()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await serving
        found = [(await looked_up(gateway, each))[0] for each in ids]
        due = [each for each in found if each.state == "pending"]

        assert sorted(each.state for each in found) == ["delivered"] * 3 + ["pending"] * 7
        assert all(each.due_at <= gateway.clock.now() for each in due)
        assert [each.attempts for each in due] == [0] * 7
        assert await gateway.dispatcher.destinations_with_work() != []
    assert len(sink.delivered) == 3


class FailsOnce(Recorder):
    """Fails the first time."""

    async def deliver(self, batch):
        outcomes = await super().deliver(batch)
        if len(self.delivered) > 1:
            return outcomes
        return [msgspec.structs.replace(each, delivered=False, status=503) for each in outcomes]


async def test_a_clock_that_is_set_back_makes_nothing_wait(tmp_path, caplog):
    sink, clock = FailsOnce(), SteppingClock(NOW)
    async with (
        opened(sqlite_url(tmp_path), tmp_path, plugins=[sink], clock=clock) as gateway,
        gateway.running(sweep_seconds=ALWAYS),
    ):
        # Given a delivery that is to be tried again five seconds later
        await add_destination(gateway)
        [delivery_id] = await publish(gateway)
        await until(lambda: len(sink.delivered) == 1 and not gateway.engine.lanes)
        # When the clock is set back by an hour, and goes on
        clock.step(-3600)
        await until(lambda: SET_BACK in caplog.messages)
        clock.step(6)

        # Then it is tried again, and not an hour later
        await until(lambda: len(sink.delivered) == 2)
        await until(lambda: not gateway.engine.lanes)
        delivery, _ = await looked_up(gateway, delivery_id)

    assert delivery.state == "delivered"


async def test_a_clock_that_is_set_back_is_minded_also_when_the_database_is_away():
    clock, dispatcher = SteppingClock(NOW), FakeDispatcher()
    async with Running(dispatcher, clock=clock, sweep_seconds=ALWAYS):
        clock.step(-3600)
        await until(lambda: dispatcher.kept.count(3600.0) == 2)
        swept = dispatcher.swept
        await until(lambda: dispatcher.swept > swept + 2)

    assert list(filter(None, dispatcher.kept)) == [3600.0, 3600.0]


class Door:
    """Closes a gateway's database to all writers."""

    def __init__(self, gateway, monkeypatch):
        self.closed = False
        self.knocks = 0
        self._begin = gateway.database.begin
        self._transact = gateway.database.transact
        monkeypatch.setattr(gateway.database, "begin", self.begin)
        monkeypatch.setattr(gateway.database, "transact", self.transact)

    @asynccontextmanager
    async def begin(self):
        if self.closed:
            self.knocks += 1
            raise ConnectionRefusedError
        async with self._begin() as connection:
            yield connection

    async def transact(self, function):
        if self.closed:
            self.knocks += 1
            raise ConnectionRefusedError
        return await self._transact(function)


async def test_what_came_back_while_the_database_was_away_is_stored_when_it_is_back(
    tmp_path, monkeypatch
):
    sink = Held()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        door = Door(gateway, monkeypatch)
        await add_destination(gateway)
        async with gateway.running():
            [delivery_id] = await publish(gateway)
            await sink.holding.until(lambda: len(sink.holding.held) == 1)
            door.closed = True
            sink.holding.let_go()
            await until(lambda: door.knocks > 2)
            door.closed = False
            await until(lambda: not gateway.engine.lanes)

            delivery, tries = await looked_up(gateway, delivery_id)

    assert (delivery.state, len(tries)) == ("delivered", 1)
    assert len(sink.delivered) == 1


async def test_an_engine_that_is_stopped_does_not_wait_for_a_database_that_is_away(
    tmp_path, monkeypatch
):
    sink = Held()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        door = Door(gateway, monkeypatch)
        await add_destination(gateway)
        async with asyncio.timeout(PATIENCE_SECONDS), gateway.running():
            [delivery_id] = await publish(gateway)
            await sink.holding.until(lambda: len(sink.holding.held) == 1)
            door.closed = True
            sink.holding.let_go()
            await until(lambda: door.knocks > 0)
        door.closed = False

        delivery, tries = await looked_up(gateway, delivery_id)

    assert (delivery.state, len(tries)) == ("pending", 0)


async def test_starting_takes_back_what_a_killed_process_held(tmp_path):
    sink = Recorder()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        destination_id = await add_destination(gateway)
        await publish(gateway)
        grant = await gateway.dispatcher.claim(destination_id, 10)
        assert len(grant.deliveries) == 1
        assert await gateway.dispatcher.destinations_with_work() == []
        async with gateway.running():
            await until(lambda: len(sink.delivered) == 1)
