"""People in a database of each kind, with a clock that the test moves."""

import pytest
from core.auth.door import Door, opened_door


@pytest.fixture
async def door(database_url, tmp_path) -> Door:
    async with opened_door(database_url, tmp_path) as made:
        yield made


@pytest.fixture
async def quick_door(tmp_path) -> Door:
    """On SQLite alone: for what no database decides."""
    async with opened_door(None, tmp_path) as made:
        yield made
