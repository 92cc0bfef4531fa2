"""What experiments share: servers of their own, and where their rows go."""

import os
from collections.abc import Callable, Iterator
from dataclasses import astuple
from typing import Final

import pytest
from journeys.faults.experiment import Row
from servers import PostgresServer, RedisServer, running_postgres, running_redis
from servers_asked_for import skipped_if_missing

LONG: Final = "takes half a minute: make faults and .ci/run try it (or FAULTS=all)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless everything is asked for."""
    if os.environ.get("FAULTS") != "all":
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason=LONG))


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
