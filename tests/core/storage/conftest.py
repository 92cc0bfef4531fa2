"""A database with every table, open for the test, first SQLite and then PostgreSQL."""

import pytest
from core.storage.rows import stores, with_all_tables

from gateway.storage.database import Database


@pytest.fixture
async def database(database_url):
    """A database with every table."""
    opened = Database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def connection(database):
    """A transaction for writing that lasts as long as the test."""
    async with database.begin() as opened:
        yield opened


@pytest.fixture
def kept():
    """The stores."""
    return stores()


@pytest.fixture
async def sqlite_database(tmp_path):
    opened = Database(f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}")
    yield await with_all_tables(opened)
    await opened.close()
