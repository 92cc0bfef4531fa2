"""Real servers and databases as fixtures, started when a test first asks for them.

``postgres_url`` is a database with every table of the core and the stock plugins and no
row, ``redis_url`` an empty Redis, ``database_url`` first SQLite and then PostgreSQL.
``empty_postgres_url`` and ``empty_database_url`` have no tables: for tests of migrations and
of first starts. Where a server isn't installed, the tests that need it are skipped and a
line at the end says so; with ``REQUIRE_SERVERS=1`` they fail. A test that stops a server
runs one of its own: see ``servers.py``.

The schema is made once and copied, because the migrations take longer than most tests.

What hypothesis makes up is the same in each run, so that a run says something of the
change and not of chance. ``make fuzz`` lets it look for something new.
"""

import asyncio
import gc
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from read_once import read_once
from servers import (
    PostgresServer,
    RedisServer,
    place_in_memory,
    running_postgres,
    running_redis,
)
from servers_asked_for import WITHOUT, skipped_if_missing
from sqlalchemy import MetaData

from gateway.clock import Clock
from gateway.storage.database import Database
from gateway.storage.maintenance.migrate import migrate
from gateway.storage.plugin_tables import PluginTables
from gateway.storage.stores import backlog
from gateway.testing import GatewayHarness
from gateway.testing.harness import MakeHarness
from gateway.testing.schema import migrated_file

# The tables of the stock plugins.
STOCK: Final = [
    PluginTables(MetaData(), folder)
    for folder in sorted(Path(__file__).parents[1].glob("plugins/*/gateway_*/migrations"))
]

MANY_LINES: Final = 400
# The fixtures that start a gateway with its HTTP server.
WHOLE: Final = frozenset({"harness", "running"})
LONG: Final = "takes long: make faults and FAULTS=all make test-all try it"

# A busy machine is no failure.
settings.register_profile(
    "searching", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile(
    "steady", settings.get_profile("searching"), derandomize=True, database=None
)
backlog._DEADLINE_SECONDS = 120.0
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_configure() -> None:
    """Let the tests keep their files in memory: a third of a run was waiting for the disk."""
    gc.disable()  # collecting makes a million objects, and all of them stay
    read_once()
    place = place_in_memory()
    if place is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(place))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """PostgreSQL for the whole run."""
    with skipped_if_missing(), running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a PostgreSQL database with every table, to be copied."""
    name = "with_every_table"
    postgres_server.execute(f"CREATE DATABASE {name}")

    async def fill() -> None:
        database = Database(postgres_server.url(name))
        try:
            await migrate(database, STOCK, Path(), datetime.now(UTC))
        finally:
            await database.close()

    with ThreadPoolExecutor(1) as pool:  # the test's own thread may run an event loop
        pool.submit(asyncio.run, fill()).result()
    return name


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """The address of a PostgreSQL database with every table, dropped after the test."""
    with postgres_server.fresh_database(postgres_template) as url:
        yield url


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of a PostgreSQL database without tables, dropped after the test."""
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Redis for the whole run."""
    with skipped_if_missing(), running_redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of an empty Redis."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with every table: the test runs once on each kind."""
    if request.param == "sqlite":
        path = tmp_path / "gateway.db"
        path.write_bytes(migrated_file(tuple(each.migrations for each in STOCK)))
        return f"sqlite+aiosqlite:///{path}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without tables: the test runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave twins on PostgreSQL and more whole gateways to make check, what takes long to FAULTS.

    A gateway that serves HTTP takes half a second to start, fifty times what most tests take: of
    the tests of a file that start one, ``make test`` tries the first.
    """
    whole: set[Path] = set()
    for item in items:
        if "postgresql" in item.name.partition("[")[2]:
            item.add_marker(pytest.mark.slow)
        if WHOLE.isdisjoint(getattr(item, "fixturenames", ())) or item.get_closest_marker("slow"):
            continue
        if item.path in whole:
            item.add_marker(pytest.mark.slow)
        whole.add(item.path)
    if os.environ.get("FAULTS") != "all":
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason=LONG))


@pytest.fixture
def harness(harness: MakeHarness, request: pytest.FixtureRequest) -> MakeHarness:
    """The kit's fixture; without the mark ``pages`` its gateways serve no dashboard.

    Its two hundred routes take half a second of each start.
    """
    has_pages = request.node.get_closest_marker("pages") is not None

    def make(toml: str, clock: Clock | None = None) -> GatewayHarness:
        without = "" if has_pages or "[dashboard]" in toml else "\n[dashboard]\nenabled = false\n"
        return harness(toml + without, clock)

    return make


def pytest_collection_finish() -> None:
    """Leave what collecting made out of garbage collection: it stays to the end of the run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 50)
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in a line each which part of the gateway this run did not try."""
    if terminalreporter.config.option.markexpr == "not slow":
        terminalreporter.write_line("Slow tests, and most that serve HTTP, are left to make check.")
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())]
    without = [reason for reason in skipped if WITHOUT in reason]
    if without:
        terminalreporter.write_line(
            f"{len(without)} tests did not run for lack of PostgreSQL or Redis.", yellow=True
        )
    for name, lines in long_modules():
        terminalreporter.write_line(f"{name} has {lines} lines: is it one concept?")


def long_modules() -> list[tuple[str, int]]:
    """Return the modules of the product above 400 lines; above 600 a test fails."""
    root = Path(__file__).parents[1]
    found = [path for folder in ("gateway", "plugins") for path in (root / folder).rglob("*.py")]
    counted = [
        (path.relative_to(root).as_posix(), len(path.read_text("utf-8").splitlines()))
        for path in found
    ]
    return sorted((name, lines) for name, lines in counted if lines > MANY_LINES)
