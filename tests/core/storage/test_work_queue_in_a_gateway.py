"""A plugin with a queue in a whole gateway: migrated, processed by the engine, and checked."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from core.delivery.delivery_source import until
from core.gateways import opened, sqlite_url
from scraping import Scraped
from sqlalchemy import Column, MetaData, Table, Text, select

from gateway.clock import SteppingClock
from gateway.health.readiness import Readiness
from gateway.http.metrics_page import MetricsPage
from gateway.plugin import (
    Job,
    PluginTables,
    QueueTable,
    QueueWorker,
    WorkQueue,
    hookimpl,
    new_id,
    queue_columns,
)

METADATA = MetaData()
LABELS = QueueTable(
    name="labels",
    table=Table("acme_labels", METADATA, *queue_columns("acme_labels"), Column("payload", Text)),
    subject="subject",
    lease="lease",
    outcome="outcome",
)
MIGRATION = """
import sqlalchemy as sa
from alembic import op

from gateway.plugin import queue_columns

revision = "acme_0001"
down_revision = None
branch_labels = ("acme",)
depends_on = None


def upgrade():
    op.create_table("acme_labels", *queue_columns("acme_labels"), sa.Column("payload", sa.Text))
"""


class Labels:
    """A plugin that prints labels, as the docstring of ``work_queue`` has it."""

    def __init__(self, folder):
        self.migrations = folder / "migrations"
        self.migrations.mkdir(exist_ok=True)
        (self.migrations / "0001.py").write_text(MIGRATION)
        self.printed = []
        self.queue = self.worker = self.gateway = None

    def of(self, gateway):
        self.gateway = gateway
        self.queue = WorkQueue(LABELS, gateway)
        self.worker = QueueWorker.of(self.queue, self.print, max_in_flight=4)
        return self

    async def put(self, *payloads, subject=None):
        async with self.gateway.database.begin() as connection:
            now = self.gateway.clock.now()
            rows = [
                {"id": new_id("lbl", now), "subject": subject, "payload": each} for each in payloads
            ]
            await self.queue.put(connection, rows)

    async def print(self, item):
        self.printed.append(item.row.payload)
        return "printed"

    @hookimpl
    def tables(self):
        return PluginTables(METADATA, self.migrations, queues=[LABELS])

    @hookimpl
    def jobs(self):
        return [Job("acme-labels", self.worker.run, every_seconds=0.05)]


Labels.__name__ = "acme"  # it is registered by this name, with which its tables begin


@asynccontextmanager
async def gateway_with_labels(url, folder, clock=None, toml=""):
    plugin = Labels(folder)
    async with (
        opened(url, folder, clock=clock, plugins=[plugin], toml=toml) as gateway,
        plugin.of(gateway).worker,
    ):
        yield plugin, gateway


@pytest.mark.parametrize("engine", ["embedded", "workers"])
async def test_an_engine_works_a_queue_off_once_and_in_order(engine, request, tmp_path):
    toml, workers = "", 0
    if engine == "workers":
        url = request.getfixturevalue("postgres_url")
        toml, workers = f'[redis]\nurl = "{request.getfixturevalue("redis_url")}"\n', 2
    else:
        url = sqlite_url(tmp_path)
    async with AsyncExitStack() as open_until_the_end:
        front, gateway = await open_until_the_end.enter_async_context(
            gateway_with_labels(url, tmp_path, toml=toml)
        )
        others = [
            await open_until_the_end.enter_async_context(
                gateway_with_labels(url, tmp_path, toml=toml)
            )
            for _ in range(workers)
        ]
        await front.put(*map(str, range(20)), subject="pkg_1")
        await open_until_the_end.enter_async_context(gateway.running())
        for _, each in others:
            await open_until_the_end.enter_async_context(each.running(worker_threads=1))
        plugins = [front, *(plugin for plugin, _ in others)]
        await until(lambda: sum(len(each.printed) for each in plugins) >= 20)
        await asyncio.sleep(0.1)

    assert sorted((text for each in plugins for text in each.printed), key=int) == [
        str(number) for number in range(20)
    ]
    for each in plugins:
        assert each.printed == sorted(each.printed, key=int)
    if workers:
        assert front.printed == []  # a serving process only wakes the workers


async def test_a_start_on_sqlite_takes_back_what_a_killed_process_had(tmp_path):
    url = sqlite_url(tmp_path)
    async with gateway_with_labels(url, tmp_path) as (plugin, _):
        await plugin.put("a")
        assert len(await plugin.queue.claim(1, 250)) == 1

    async with gateway_with_labels(url, tmp_path) as (plugin, gateway), gateway.running():
        await until(lambda: plugin.printed)

    assert plugin.printed == ["a"]


async def test_what_a_queue_holds_is_in_the_metrics_and_its_health(database_url, tmp_path):
    clock = SteppingClock()
    async with gateway_with_labels(database_url, tmp_path, clock) as (plugin, gateway):
        ready = Readiness(gateway)
        page = MetricsPage(gateway)
        await plugin.put("a", "b", "c", "d", subject="pkg_1")
        await plugin.put("e", "f")
        [first, bad, _] = await plugin.queue.claim(3, 30)
        await plugin.queue.finish(bad.bury("unreadable"))
        clock.step(10)
        numbers = Scraped((await page.text()).decode())
        working = (await ready.reports())["queue:labels"]
        clock.step(20)
        assert len(await plugin.queue.claim(1, 1)) == 1  # of pkg_1
        await plugin.queue.finish(first.done())
        clock.step(301)
        left_alone = (await ready.reports())["queue:labels"]

    items = "gateway_work_queue_items"
    assert {
        state: numbers.number(items, queue="labels", state=state)
        for state in ("due", "waiting", "leased", "dead")
    } == {"due": 3, "waiting": 0, "leased": 2, "dead": 1}
    assert numbers.number("gateway_work_queue_age_seconds", queue="labels") == 0
    assert (working.healthy, working.detail) == (True, "3 due, 2 in work, 1 dead letters")
    assert not left_alone.healthy
    assert "no due item was claimed for five minutes" in left_alone.detail


async def test_a_queue_says_how_long_its_oldest_item_has_been_due(database_url, tmp_path):
    clock = SteppingClock()
    async with gateway_with_labels(database_url, tmp_path, clock) as (plugin, gateway):
        ready = Readiness(gateway)
        await plugin.put("a", "b")
        clock.step(125)
        waiting = (await ready.reports())["queue:labels"]

    assert waiting.healthy
    assert waiting.detail == "2 due, the oldest for 2 min, 0 in work, 0 dead letters"


async def test_the_migration_and_the_metadata_make_the_same_table(database_url, tmp_path):
    async with gateway_with_labels(database_url, tmp_path) as (plugin, gateway):
        await plugin.put("a")
        async with gateway.database.read() as connection:
            row = (await connection.execute(select(LABELS.table))).one()

    assert (row.sequence, row.state, row.attempts, row.payload) == (1, "waiting", 0, "a")
