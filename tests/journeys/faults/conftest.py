"""What experiments share: servers of their own, and where their rows go."""

from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Final

import pytest
from journeys.faults.experiment import Row
from servers import PostgresServer, RedisServer, running_postgres, running_redis
from servers_asked_for import skipped_if_missing

# What CI tries of them; make faults tries all.
ALWAYS: Final = (
    "test_a_server_that_is_killed_on_sqlite_loses_nothing",
    "test_a_server_that_is_killed_beside_its_workers_loses_nothing",
    "test_without_redis_orders_are_taken_and_delivered_all_the_same",
    "test_endpoints_that_misbehave_get_everything_once_they_are_mended",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave most experiments to ``make faults``: together they take a quarter of an hour."""
    for item in items:
        here = Path(__file__).parent in item.path.parents
        if here and item.name.partition("[")[0] not in ALWAYS:
            item.add_marker(pytest.mark.long)


@pytest.fixture
def note(record_property) -> Callable[[Row], None]:
    """Keep a row for the table that ``make faults`` writes."""

    def keep(row: Row) -> None:
        record_property("row", astuple(row))

    return keep


@pytest.fixture(scope="package")
def own_postgres() -> Iterator[PostgresServer]:
    """PostgreSQL that may be killed: what it committed is on disk."""
    with skipped_if_missing(), running_postgres(durable=True) as server:
        yield server


@pytest.fixture(scope="package")
def own_redis() -> Iterator[RedisServer]:
    """Redis that may be stopped."""
    with skipped_if_missing(), running_redis() as server:
        yield server
