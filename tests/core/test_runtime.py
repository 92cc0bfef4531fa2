"""The gateway as a whole: built without touching anything, opened, closed, and refused in words."""

import asyncio
import stat
import sys
import threading
from contextlib import asynccontextmanager

import pytest
from core.delivery.delivery_source import until
from core.delivery.dispatching import publish
from core.gateways import (
    LIVE,
    TWO_SITES,
    Recorder,
    add_destination,
    opened,
    order,
    packages,
    sqlite_url,
    submission,
)
from sqlalchemy import text

from gateway.clock import SteppingClock
from gateway.delivery.engine import LocalEngine
from gateway.delivery.redis_engine import WakingEngine, WorkerEngine
from gateway.errors import ConfigurationError, PluginError, StorageError
from gateway.hookspecs import hookimpl
from gateway.model.catalog import core_event_types
from gateway.model.event import EventType
from gateway.runtime import Gateway
from gateway.sdk.records import HealthCheck
from gateway.settings import parse_settings


def configured(directory, toml=""):
    return parse_settings(toml, source=None, directory=directory, environ={})


def database_threads() -> int:
    """Count the threads that are not the event loop's own, which stay until it ends."""
    return sum(not each.name.startswith("asyncio_") for each in threading.enumerate())


async def rows(gateway, query):
    async with gateway.database.read() as connection:
        return [tuple(row) for row in await connection.execute(text(query))]


def test_building_a_gateway_touches_nothing(tmp_path):
    gateway = Gateway(configured(tmp_path))

    assert list(tmp_path.iterdir()) == []
    assert gateway.engine is None
    gateway.wake(["dst_1"])  # nobody is there to be woken


async def test_opening_makes_the_schema_the_master_key_the_account_and_the_sites(
    empty_database_url, tmp_path
):
    async with opened(empty_database_url, tmp_path, toml=TWO_SITES, migrating=True) as gateway:
        accounts = await rows(gateway, "SELECT id FROM accounts")
        sites = await rows(gateway, "SELECT account_id, code, name, country FROM sites ORDER BY 2")
        migrated = gateway.migrated
    async with opened(empty_database_url, tmp_path, toml=TWO_SITES, migrating=True) as gateway:
        again = gateway.migrated

    assert accounts == [("default",)]
    assert sites == [
        ("default", "main", "Lakeside", "CA"),
        ("default", "north", "Northside", "US"),
    ]
    assert migrated.revisions
    assert (list(again.revisions), again.backup) == ([], None)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
async def test_the_master_key_is_for_its_owner_alone(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        mode = gateway.master_key_path.stat().st_mode

    assert gateway.master_key_path == tmp_path / "data" / "master.key"
    assert stat.S_IMODE(mode) == 0o600


async def test_what_one_run_sealed_the_next_one_opens(database_url, tmp_path):
    async with opened(database_url, tmp_path) as gateway:
        answer = await gateway.intake.accept(submission(order(notes="ring twice")))
    async with opened(database_url, tmp_path) as gateway, gateway.database.read() as connection:
        kept = await gateway.packages.get(connection, LIVE, answer.results[0].package_id)

    assert kept.order.notes == "ring twice"


async def test_a_database_whose_master_key_is_lost_is_not_opened_with_a_new_one(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        key = gateway.master_key_path
    key.unlink()

    with pytest.raises(ConfigurationError):
        async with opened(sqlite_url(tmp_path), tmp_path):
            pass
    assert not key.exists()


async def test_another_databases_master_key_is_refused(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with opened(sqlite_url(tmp_path), tmp_path / "one"):
        pass
    async with opened(sqlite_url(tmp_path / "two"), tmp_path / "two"):
        pass

    with pytest.raises(ConfigurationError, match="is not the one this database was sealed with"):
        async with opened(sqlite_url(tmp_path), tmp_path / "two"):
            pass


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite:///{folder}/file/gateway.db",
        "sqlite+aiosqlite:///{folder}",
        "postgresql+asyncpg://gateway@127.0.0.1:1/gateway",
    ],
    ids=["below a file", "a folder", "nobody listens"],
)
async def test_a_database_that_cannot_be_opened_is_reported_in_words(tmp_path, url):
    (tmp_path / "file").write_text("")
    threads = database_threads()

    with pytest.raises(StorageError, match=r"The database can't be opened: \w+ \w+"):
        async with opened(url.format(folder=tmp_path), tmp_path):
            pass
    await until(lambda: database_threads() <= threads)


async def test_a_database_that_is_not_there_is_reported_in_words(postgres_url, tmp_path):
    nowhere = postgres_url.rpartition("/")[0] + "/nowhere"

    with pytest.raises(StorageError, match=r"The database can't be opened: \w+ \w+"):
        async with opened(nowhere, tmp_path):
            pass


async def test_processes_that_start_at_the_same_moment_all_open(empty_postgres_url, tmp_path):
    async def start(number: int) -> int:
        async with opened(empty_postgres_url, tmp_path, toml=TWO_SITES) as gateway:
            await gateway.intake.accept(submission(order(site="main")))
        return number

    for _ in range(3):
        assert await asyncio.gather(*(start(number) for number in range(4))) == [0, 1, 2, 3]


async def test_sites_are_what_gateway_toml_says_now(tmp_path):
    url = sqlite_url(tmp_path)
    both = [("main",), ("north",)]
    for toml, codes in ((TWO_SITES, both), ("", []), (TWO_SITES, both)):
        async with opened(url, tmp_path, toml=toml) as gateway:
            assert await rows(gateway, "SELECT code FROM sites ORDER BY 1") == codes


async def test_closing_finishes_what_is_being_stored(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        accepting = asyncio.create_task(gateway.intake.accept(submission(order())))
        await asyncio.sleep(0)
    answer = await accepting

    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        assert await packages(gateway) == [answer.results[0].package_id]


async def test_a_gateway_that_is_closed_leaves_no_thread_behind(tmp_path):
    threads = database_threads()
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        await gateway.intake.accept(submission(order()))
        async with gateway.running():
            pass

    await until(lambda: database_threads() <= threads)


class Brings:
    """A plugin that brings event types and health checks, or fails to."""

    def __init__(self, *types, error=None):
        self.types = types
        self.error = error

    @hookimpl
    def event_types(self):
        return [EventType(type=each, meaning="…", sample={}, schema={}) for each in self.types]

    @hookimpl
    def health_checks(self) -> list[HealthCheck]:
        if self.error is not None:
            raise self.error
        return []


async def test_the_catalog_is_the_cores_and_then_the_plugins(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[Brings("erp.synced")]) as gateway:
        types = [entry.type for entry in gateway.catalog()]

    assert types == [*(entry.type for entry in core_event_types()), "erp.synced"]


@pytest.mark.parametrize(
    "plugins",
    [
        [Brings("package.created")],
        [Brings("erp.synced", "erp.synced")],
        [Brings(error=ValueError("no licence"))],
        [Recorder(), type("Twin", (Recorder,), {})()],
    ],
    ids=["a type of the core's", "a type twice", "a health check that raises", "a sink twice"],
)
async def test_what_a_plugin_brings_wrongly_stops_the_start(tmp_path, plugins):
    threads = database_threads()

    with pytest.raises(PluginError, match=r"plugin (Brings|Twin) "):
        async with opened(sqlite_url(tmp_path), tmp_path, plugins=plugins):
            pass
    await until(lambda: database_threads() <= threads)


class Opens:
    """A plugin that takes an order when it is opened, and another when it is closed."""

    def __init__(self, gateway=None):
        self.gateway = gateway
        self.taken = []

    @hookimpl
    def lifespan(self):
        return [self.opened()]

    @asynccontextmanager
    async def opened(self):
        if self.gateway is None:
            raise OSError("no such port")
        self.taken.append(await self.gateway.intake.accept(submission(order())))
        yield
        self.taken.append(await self.gateway.intake.accept(submission(order())))


async def test_what_a_plugin_opens_and_closes_finds_everything_connected(tmp_path):
    gateway = Gateway(configured(tmp_path))
    plugin = Opens(gateway)
    gateway.hooks.register(plugin, "opens")
    async with gateway:
        assert len(plugin.taken) == 1
    assert len(plugin.taken) == 2

    async with Gateway(configured(tmp_path)) as again:
        ids = {answer.results[0].package_id for answer in plugin.taken}
        assert set(await packages(again)) == ids


async def test_a_plugin_that_cannot_open_stops_the_start(tmp_path):
    threads = database_threads()

    with pytest.raises(PluginError, match="plugin Opens failed to open: no such port"):
        async with opened(sqlite_url(tmp_path), tmp_path, plugins=[Opens()]):
            pass
    await until(lambda: database_threads() <= threads)


async def test_an_engine_runs_only_while_it_is_asked_to(tmp_path):
    sink = Recorder()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[sink]) as gateway:
        await add_destination(gateway)

        async def serve_and_fail():
            async with gateway.running():
                assert isinstance(gateway.engine, LocalEngine)
                await publish(gateway)
                await until(lambda: len(sink.delivered) == 1)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await serve_and_fail()
        assert gateway.engine is None
        await publish(gateway)
        async with gateway.running():  # a second time
            await until(lambda: len(sink.delivered) == 2)


async def test_redis_and_postgresql_make_workers_of_an_engine(postgres_url, redis_url, tmp_path):
    toml = f'[redis]\nurl = "{redis_url}"'
    async with opened(postgres_url, tmp_path, toml=toml) as gateway:
        async with gateway.running():
            assert isinstance(gateway.engine, WakingEngine)
        async with gateway.running(worker_threads=1):
            assert isinstance(gateway.engine, WorkerEngine)
    async with opened(sqlite_url(tmp_path), tmp_path, toml=toml) as gateway, gateway.running():
        assert type(gateway.engine) is LocalEngine


async def test_everything_goes_by_the_clock_that_was_handed_in(tmp_path):
    clock = SteppingClock()
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock) as gateway:
        clock.step(90)
        answer = await gateway.intake.accept(submission(order()))
        async with gateway.database.read() as connection:
            kept = await gateway.packages.get(connection, LIVE, answer.results[0].package_id)

    assert kept.created_at == kept.status_at == clock.now()


async def test_the_schedule_is_the_settings(tmp_path):
    toml = "[delivery]\nretry_schedule_seconds = [1, 2]\ngive_up_after_seconds = 60"
    async with opened(sqlite_url(tmp_path), tmp_path, toml=toml) as gateway:
        rules = gateway.dispatcher._rules

    assert rules.schedule.waits_seconds == (1, 2)
    assert rules.schedule.expires_after.total_seconds() == 60
    assert (rules.timeout_seconds, rules.lease_seconds) == (15.0, 60.0)
