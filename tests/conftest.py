"""Real servers and databases as fixtures, started when a test first asks for them.

``postgres_url`` is an empty database, ``redis_url`` an empty Redis, ``database_url``
first SQLite and then PostgreSQL. Where a server isn't installed, the tests that need
it are skipped and a line at the end says so; with ``REQUIRE_SERVERS=1`` they fail.
A test that stops a server runs one of its own: see ``servers.py``.

What hypothesis makes up is the same in each run, so that a run says something of the
change and not of chance. ``make fuzz`` lets it look for something new.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from servers import PostgresServer, RedisServer, running_postgres, running_redis
from servers_asked_for import WITHOUT, skipped_if_missing

# A busy machine is no failure.
settings.register_profile(
    "searching", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile(
    "steady", settings.get_profile("searching"), derandomize=True, database=None
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """PostgreSQL for the whole run."""
    with skipped_if_missing(), running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of an empty PostgreSQL database, dropped after the test."""
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
    """The address of an empty database: the test runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line which part of the gateway this run did not try."""
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())]
    without = [reason for reason in skipped if WITHOUT in reason]
    if without:
        terminalreporter.write_line(
            f"{len(without)} tests did not run for lack of PostgreSQL or Redis.", yellow=True
        )
