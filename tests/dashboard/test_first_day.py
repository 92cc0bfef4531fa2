"""Journeys 1 and 6: the owner's first day, and a session that ends in the middle of a form.

Each runs ``gateway serve`` in an empty folder and goes by the pages alone.
"""

import asyncio
import socket
from pathlib import Path

import pytest
from chromium import AUTHENTICATOR
from processes import GatewayProcess

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

TOML = """
[gateway]
port = {port}
public_url = "http://localhost:{port}"
[people]
idle_minutes = {idle}
[[sites]]
code = "main"
name = "Lakeside"
[plugins.json_api]
[plugins.webhooks]
"""


class FirstDay:
    """A gateway in an empty folder, and the browser of its owner to be."""

    def __init__(self, folder, chromium, idle):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.home = f"http://localhost:{port}"
        self.folder = folder
        self.process = GatewayProcess(folder, TOML.format(port=port, idle=idle))
        self.chromium = chromium
        self.problems = []

    async def __aenter__(self):
        await self.process.start()
        self.context = await self.chromium.new_context()
        self.page = await self.tab()
        devtools = await self.context.new_cdp_session(self.page)
        await devtools.send("WebAuthn.enable")
        await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        return self

    async def tab(self):
        page = await self.context.new_page()
        page.set_default_timeout(120_000)  # a busy machine is no failure
        page.on("console", lambda message: self.problems.append(message.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        return page

    async def __aexit__(self, *_):
        await self.context.close()
        await self.process.stop()

    async def become_owner(self):
        """By the code that serve wrote down, with a passkey."""
        page = self.page
        code = await asyncio.to_thread((self.folder / "data" / "owner-code").read_text)
        # The other address of this machine leads to the one that passkeys belong to.
        await page.goto(f"{self.process.url}/dashboard")
        assert page.url == f"{self.home}/dashboard/welcome"
        await page.fill("#k", code.strip())
        await page.fill("#n", "Amara Okafor")
        await page.fill("#e", "amara@lakeside.example")
        await page.click("button.primary")
        await page.click("[data-passkey]")
        await page.locator("nav.nav").wait_for()
        log = await asyncio.to_thread(self.process.log.read_text)
        assert code.strip() not in log

    def faults(self):
        return [each for each in self.problems if "Content Security Policy" in each]


async def test_the_owners_first_day(tmp_path: Path, chromium):
    folder = tmp_path / "gateway"
    folder.mkdir()
    async with FirstDay(folder, chromium, idle=15) as day:
        page = day.page
        await day.become_owner()

        # What is to be done stands on the first page: the site is there, a key is next.
        steps = page.locator("#first-steps")
        await steps.locator("[data-done]", has_text="Name your site").wait_for()
        await steps.get_by_role("link", name="Make a key").click()
        dialog = page.locator("#dialog")
        await dialog.locator("[name=name]").fill("Till 2")
        await dialog.get_by_role("button", name="Make the key").click()
        curl = await dialog.locator("#the-curl").text_content()
        await page.click("text=I stored it")

        # The packages are open in another tab when the program sends its first order.
        packages = await day.tab()
        await packages.goto(f"{day.home}/dashboard/packages")
        await packages.evaluate("window.stays = true")
        sent = await asyncio.create_subprocess_shell(
            curl, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        answer, _ = await sent.communicate()
        assert b'"created":1' in answer.replace(b" ", b"")
        await packages.locator("main [data-id^=pkg_]").first.wait_for()
        assert await packages.evaluate("window.stays")
        assert "Rodriguez" not in await packages.locator("main").inner_text()

        # The checklist has heard of both.
        await page.goto(f"{day.home}/dashboard")
        await steps.locator("[data-done]", has_text="Take the first order").wait_for()
        assert await steps.locator("[data-done]").count() == 3
        assert day.faults() == []


async def test_a_session_that_ends_in_mid_form_and_goes_on(tmp_path: Path, chromium):
    folder = tmp_path / "gateway"
    folder.mkdir()
    async with FirstDay(folder, chromium, idle=0.1) as day:
        page = day.page
        await day.become_owner()

        # The page is gone with what it showed, and nothing is in web storage.
        await page.goto(f"{day.home}/dashboard/test/keys/new?site=main")
        await page.fill("[name=name]", "Typed before the lock")
        await page.check("[name=preset][value=webhooks]")
        await page.wait_for_url("**/dashboard/lock**")
        await page.wait_for_load_state()
        assert "Typed before" not in await page.content()
        assert await page.evaluate("() => localStorage.length + sessionStorage.length") == 0

        # The same person finds it again, where it was.
        await page.click("[data-passkey]")
        await page.wait_for_url("**/dashboard/test/keys/new?site=main")
        assert await page.input_value("[name=name]") == "Typed before the lock"
        assert await page.is_checked("[name=preset][value=webhooks]")
        await page.locator("text=What you typed before is back.").wait_for()
        assert day.faults() == []
