"""What the tests of the csv plugin share: a gateway with it, and ways to send a file."""

import pytest
from plugins.csv.files import PLUGINS, Sender


@pytest.fixture
async def gateway(harness):
    async with harness(PLUGINS) as running:
        yield running


@pytest.fixture
async def key(gateway):
    return await gateway.issue_key()


@pytest.fixture
def sender(gateway, key):
    return Sender(gateway, key)
