"""Pages in Debian's Chromium: one gateway and one browser for each module of tests.

::

    async def test_keys(sign_in_as):
        visit = await sign_in_as("owner")
        page = await visit.open("/dashboard/keys")
        await page.click("text=New key")
        assert await visit.axe() == []

When a test ends, each visit must have seen no violation of the content security policy and no
error of a script. ``visiting.py`` has what a visit can do.
"""

import os
import shutil

import pytest
import pytest_asyncio
from chromium import FLAGS
from dashboard.visiting import Visit, opened_gateway
from playwright.async_api import async_playwright
from servers_asked_for import WITHOUT


@pytest.fixture(scope="module")
def toml():
    """Return the gateway.toml of this module's gateway; a module may replace it."""
    return ""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory, toml):
    """Return this module's gateway, serving."""
    async with opened_gateway(tmp_path_factory.mktemp("gateway"), toml) as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium():
    """Return this module's browser."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        reason = "Chromium is not installed (apt-get install chromium)"
        if os.environ.get("REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(f"{WITHOUT}{reason}")
    async with async_playwright() as started:
        browser = await started.chromium.launch(executable_path=program, args=FLAGS.split())
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def sign_in_as(running, chromium):
    """Return what signs a person of a role in: ``await sign_in_as("pharmacist", width=390)``."""
    visits = []

    async def sign_in(role="owner", **how):
        visit = await Visit.begin(running, chromium, role, **how)
        visits.append(visit)
        return visit

    yield sign_in
    problems = [each for visit in visits for each in visit.problems]
    for visit in visits:
        await visit.end()
    assert problems == []
