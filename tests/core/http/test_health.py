"""``/health/ready`` is green while orders can be stored and deliveries move, and only then."""

import asyncio
import sqlite3

import pytest
from core.delivery.dispatching import Scripted, carried, publish
from core.gateways import Recorder, add_destination, change_destination, opened, sqlite_url
from servers import running_postgres
from sqlalchemy import text
from waiting import PATIENCE_SECONDS

from gateway.clock import SteppingClock
from gateway.delivery.engine import LocalEngine
from gateway.errors import StorageError
from gateway.health.readiness import Readiness, readiness
from gateway.hookspecs import hookimpl
from gateway.sdk.records import HealthCheck, HealthReport

NOTHING_TRIED = "no due delivery was attempted for five minutes; see the log"


def swept(gateway) -> LocalEngine:
    """Give a gateway an engine that sweeps, as far as one can see, and carries nothing."""
    engine = LocalEngine(gateway.dispatcher, (), gateway.clock)
    gateway.engine = engine
    engine.last_sweep_at = gateway.clock.now()
    return engine


async def engine_report(gateway, ready: Readiness) -> HealthReport:
    if gateway.engine is not None:
        gateway.engine.last_sweep_at = gateway.clock.now()
    return (await ready.reports())["engine"]


async def until_green(gateway) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await gateway.get("/health/ready")).status_code != 200:  # noqa: ASYNC110 - as asked
            await asyncio.sleep(0.01)


# The database


async def test_a_database_that_takes_writes_is_well(database_url, tmp_path):
    async with opened(database_url, tmp_path) as gateway:
        report = (await readiness(gateway))["database"]

    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[gateway.database.dialect]
    assert report == HealthReport(healthy=True, detail=f"{name} answers")


@pytest.mark.slow
async def test_ready_turns_red_when_postgresql_is_gone_and_green_when_it_is_back(tmp_path):
    with running_postgres(durable=True) as server, server.fresh_database() as url:
        async with opened(url, tmp_path) as gateway:
            ready = Readiness(gateway)
            before = (await ready.reports())["database"]
            server.kill()
            gone = (await ready.reports())["database"]
            server.start()
            back = (await ready.reports())["database"]

    assert (before.healthy, gone.healthy, back.healthy) == (True, False, True)
    assert gone.detail.startswith("The database can't be reached: ")


async def test_ready_turns_red_when_postgresql_takes_no_writes(postgres_url, tmp_path):
    async with opened(postgres_url, tmp_path) as gateway:
        async with gateway.database.begin() as connection:
            name = gateway.database.url.database
            statement = f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'
            await connection.execute(text(statement))
        await gateway.database.close()  # the setting holds for new connections
        report = (await readiness(gateway))["database"]

    detail = "the database is read-only: it is a standby, or set read-only"
    assert report == HealthReport(healthy=False, detail=detail)


async def test_ready_is_red_while_another_process_locks_the_sqlite_file(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        ready = Readiness(gateway, deadline_seconds=0.2)
        holder = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        held = (await ready.reports())["database"]
        asked_again = (await ready.reports())["database"]
        holder.execute("ROLLBACK")
        holder.close()
        patient = Readiness(gateway, deadline_seconds=PATIENCE_SECONDS)
        free = (await patient.reports())["database"]

    late = HealthReport(healthy=False, detail="did not answer within 0.2 seconds")
    assert held == asked_again == late
    assert free.healthy


async def test_however_many_ask_the_database_is_probed_once_at_a_time(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        begun = 0
        begin = gateway.database.begin

        def counted():
            nonlocal begun
            begun += 1
            return begin()

        gateway.database.begin = counted
        ready = Readiness(gateway)
        many = await asyncio.gather(*(ready.reports() for _ in range(50)))
        at_once = begun
        await ready.reports()

    assert {each["database"].healthy for each in many} == {True}
    assert (at_once, begun) == (1, 2)


async def test_ready_turns_red_when_the_schema_is_gone(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        async with gateway.database.begin() as connection:
            await connection.execute(text("DROP TABLE facts"))
        report = (await readiness(gateway))["database"]

    assert not report.healthy
    assert report.detail.startswith("the database can't be written (OperationalError): ")


async def test_ready_turns_red_when_the_disk_is_full(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        room = (await Readiness(gateway, least_free_bytes=1).reports())["database"]
        full = (await Readiness(gateway, least_free_bytes=10**18).reports())["database"]

    assert room.healthy
    detail = "the disk of the database is full: free some space"
    assert full == HealthReport(healthy=False, detail=detail)


# The engine


async def test_where_no_engine_runs_none_can_stand_still(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        report = (await readiness(gateway))["engine"]

    assert report == HealthReport(healthy=True, detail="no engine runs in this process")


async def test_ready_turns_red_when_the_sweep_was_heard_of_half_a_minute_ago(harness):
    clock = SteppingClock()
    async with harness("[plugins.json_api]\n", clock) as gateway:
        await until_green(gateway)
        # Given a database in which the sweep finds its tables no more
        async with gateway.gateway.database.begin() as connection:
            await connection.execute(text("ALTER TABLE deliveries RENAME TO lost"))
        clock.step(31)
        red = await gateway.get("/health/ready")
        async with gateway.gateway.database.begin() as connection:
            await connection.execute(text("ALTER TABLE lost RENAME TO deliveries"))
        await until_green(gateway)

    assert red.status_code == 503
    assert red.json()["status"] == "failing"
    assert red.json()["checks"]["engine"] == {
        "ok": False,
        "detail": "deliveries are not moving; see the log",
    }


async def test_ready_turns_red_when_nothing_that_is_due_is_tried(database_url, tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock)
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        ready = Readiness(gateway)
        swept(gateway)
        destination = await add_destination(gateway)
        await publish(gateway)
        clock.step(300)
        five_minutes = await engine_report(gateway, ready)
        clock.step(1)
        more = await engine_report(gateway, ready)
        # A try that fails is movement too: the fault is the other side's.
        await carried(gateway, destination)
        clock.step(1)
        tried = await engine_report(gateway, ready)

    assert five_minutes == HealthReport(healthy=True, detail="deliveries are moving")
    assert more == HealthReport(healthy=False, detail=NOTHING_TRIED)
    assert tried.healthy


async def test_ready_stays_green_while_others_are_tried(tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock, delivered=True)
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock, plugins=[sink]) as gateway:
        ready = Readiness(gateway)
        swept(gateway)
        await add_destination(gateway)
        quick = await add_destination(gateway)
        await publish(gateway)
        clock.step(400)
        await carried(gateway, quick)
        report = await engine_report(gateway, ready)

    assert report.healthy


async def test_deliveries_due_before_the_start_have_five_minutes_from_it(tmp_path):
    clock, sink = SteppingClock(), Recorder()
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock, plugins=[sink]) as gateway:
        await add_destination(gateway)
        await publish(gateway)
        clock.step(86_400)
        ready = Readiness(gateway)
        swept(gateway)
        started = await engine_report(gateway, ready)
        clock.step(301)
        later = await engine_report(gateway, ready)

    assert (started.healthy, later.healthy) == (True, False)


async def test_deliveries_held_on_purpose_keep_ready_green(tmp_path):
    clock, sink = SteppingClock(), Recorder()
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock, plugins=[sink]) as gateway:
        ready = Readiness(gateway)
        swept(gateway)
        paused = await add_destination(gateway)
        await publish(gateway)
        await change_destination(gateway, paused, state="paused")
        clock.step(3600)
        report = await engine_report(gateway, ready)

    assert report.healthy


async def test_an_endpoint_that_is_left_alone_turns_nothing_red(tmp_path):
    clock = SteppingClock()
    rules = "[delivery]\nbreaker_failures = 1\nbreaker_pauses_seconds = [900]\n"
    options = {"toml": rules, "clock": clock, "plugins": [Scripted(clock)]}
    async with opened(sqlite_url(tmp_path), tmp_path, **options) as gateway:
        ready = Readiness(gateway)
        swept(gateway)
        failing = await add_destination(gateway)
        await publish(gateway)
        await carried(gateway, failing)
        clock.step(899)
        held = await engine_report(gateway, ready)
        clock.step(301)
        free = await engine_report(gateway, ready)
        clock.step(1)
        nobody_tries = await engine_report(gateway, ready)

    assert (held.healthy, free.healthy, nobody_tries.healthy) == (True, True, False)


# The rest


class Moody:
    """A plugin with a health check that does what it is told."""

    def __init__(self, check):
        self.check = check

    @hookimpl
    def health_checks(self):
        return [HealthCheck("moody", self.check)]


async def never() -> HealthReport:
    await asyncio.Event().wait()


async def broken() -> HealthReport:
    raise ValueError("Maria Rodriguez")


async def without_database() -> HealthReport:
    raise StorageError("The database file was deleted.")


@pytest.mark.parametrize(
    ("check", "deadline_seconds", "detail"),
    [
        (never, 0.05, "did not answer within 0.05 seconds"),
        (broken, PATIENCE_SECONDS, "the check failed: ValueError"),
        (without_database, PATIENCE_SECONDS, "not known while the database can't be used"),
    ],
)
async def test_a_check_that_hangs_or_raises_counts_as_ill(
    tmp_path, check, deadline_seconds, detail
):
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[Moody(check)]) as gateway:
        reports = await Readiness(gateway, deadline_seconds=deadline_seconds).reports()

    assert reports["moody"] == HealthReport(healthy=False, detail=detail)


async def test_ready_answers_503_as_long_as_one_part_is_ill(harness):
    async def ill() -> HealthReport:
        return HealthReport(healthy=False, detail="the bridge is away")

    made = harness("")
    made.gateway.hooks.register(Moody(ill), "moody")
    async with made as gateway:
        answer = await gateway.get("/health/ready")
        live = await gateway.get("/health/live")

    assert answer.status_code == 503
    assert answer.json()["checks"]["moody"] == {"ok": False, "detail": "the bridge is away"}
    assert (live.status_code, live.json()) == (200, {"status": "ok"})


# The key file, and what is no matter of readiness


async def test_ready_turns_red_when_the_master_key_is_gone(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        before = (await readiness(gateway))["key file"]
        gateway.master_key_path.unlink()
        gone = (await readiness(gateway))["key file"]

    assert before == HealthReport(healthy=True, detail="the key file is as in memory")
    assert (gone.healthy, gone.command) == (False, "gateway seal write-back")


class Clerk:
    @hookimpl
    def health_checks(self):
        return [HealthCheck("last file", self.check, decides_readiness=False)]

    async def check(self):
        return HealthReport(healthy=False, detail="march.csv failed")


async def test_an_advisory_check_is_for_people_and_not_for_load_balancers(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[Clerk()]) as gateway:
        public = await Readiness(gateway).reports()
        all_of_it = await readiness(gateway)

    assert "last file" not in public
    assert all_of_it["last file"].detail == "march.csv failed"
