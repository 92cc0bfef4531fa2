"""What experiments share: servers of their own, and where their rows go."""

from collections.abc import Callable, Iterator
from dataclasses import astuple

import pytest
from journeys.faults.experiment import Row
from servers import PostgresServer, RedisServer, running_postgres, running_redis
from servers_asked_for import skipped_if_missing


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
