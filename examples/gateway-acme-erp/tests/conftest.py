"""A stand-in for the ERP, and a gateway that is connected to it."""

import pytest
from erp import Erp

SETTINGS = """
[plugins.json_api]
[plugins.acme_erp]
bridge_url = "{url}"
token = "t0ken"
poll_seconds = 0.05
postcodes = ["33178"]
[delivery]
retry_schedule_seconds = [0.1, 0.1]
"""


@pytest.fixture
def erp():
    with Erp() as running:
        yield running


@pytest.fixture
def settings(erp):
    return SETTINGS.format(url=erp.url)


@pytest.fixture
async def gateway(harness, settings):
    async with harness(settings) as running:
        yield running


@pytest.fixture
async def key(gateway):
    return await gateway.issue_key()
