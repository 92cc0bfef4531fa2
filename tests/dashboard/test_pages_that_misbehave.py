"""Show 5 of the dashboard: a plugin's page raises, hangs, sends a script; the rest works on."""

import pytest
import pytest_asyncio
from core.dashboard.mischief import MARK, mischief_in
from dashboard.visiting import TOML
from playwright.async_api import expect

from gateway.settings import parse_settings
from gateway.testing import GatewayHarness

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    """Return a gateway with a plugin whose pages go wrong in every way."""
    folder = tmp_path_factory.mktemp("gateway")
    text = TOML.replace("page_ms = 60000", "page_ms = 2000")
    settings = parse_settings(text, source=None, directory=folder, environ={})
    made = GatewayHarness(settings)
    with pytest.MonkeyPatch.context() as patch:
        made.gateway.hooks.register(mischief_in(folder, patch), "mischief")
        async with made as opened:
            yield opened


@pytest.mark.parametrize("path", ["raises", "hangs", "huge"])
async def test_a_page_that_goes_wrong_is_named_and_the_way_on_works(sign_in_as, path):
    visit = await sign_in_as()
    page = await visit.open(f"/dashboard/{path}")
    await expect(page.get_by_text("The plugin mischief could not make it")).to_be_visible()
    assert await visit.axe() == []
    await page.get_by_role("link", name="Packages").first.click()
    await expect(page.get_by_role("heading", name="Packages", level=1)).to_be_visible()


async def test_no_script_or_style_of_a_page_runs_and_the_note_names_the_plugin(sign_in_as):
    visit = await sign_in_as()
    page = await visit.open("/dashboard/scripted")
    await expect(page.get_by_text("The plugin mischief put a script")).to_be_visible()
    await page.click("#pressed")
    title = await page.title()
    await page.get_by_role("link", name="sound").click()
    await expect(page.get_by_role("heading", name="Sound", exact=True)).to_be_visible()
    refused, visit.problems = visit.problems, []

    assert MARK not in title
    assert any("script-src" in each for each in refused)
    assert any("style-src" in each for each in refused)


async def test_a_page_of_its_own_making_runs_no_script_either(sign_in_as):
    visit = await sign_in_as()
    page = await visit.open("/dashboard/loose")
    title = await page.title()
    refused, visit.problems = visit.problems, []

    assert MARK not in title
    assert any("script-src" in each for each in refused)


async def test_panels_that_go_wrong_leave_today_as_it_is(sign_in_as):
    visit = await sign_in_as()
    page = await visit.open("/dashboard")
    notes = page.get_by_text("The panel of the plugin mischief could not be shown.")
    await expect(notes).to_have_count(2)
    await expect(page.get_by_role("heading", name="Needs a person", exact=True)).to_be_visible()
    assert await visit.axe() == []
