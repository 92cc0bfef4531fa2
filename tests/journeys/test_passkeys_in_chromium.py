"""In Chromium, with its virtual authenticator: the owner's first day at the pages."""

import asyncio
import os
import shutil

import pytest
from playwright.async_api import async_playwright
from processes import GatewayProcess
from servers_asked_for import WITHOUT

pytestmark = pytest.mark.slow

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --disable-background-networking "
    "--disable-component-update --disable-sync"
)
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
TOML = '[gateway]\nport = 0\n[people]\nidle_minutes = 0.1\n[[sites]]\ncode = "main"\nname = "L"\n'


@pytest.fixture
async def chromium(tmp_path):
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        reason = "Chromium is not installed (apt-get install chromium)"
        if os.environ.get("REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(f"{WITHOUT}{reason}")
    async with async_playwright() as started:
        context = await started.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=program, args=FLAGS.split()
        )
        yield context
        await context.close()


async def test_owner_with_a_passkey_locks_signs_in_again_and_finds_what_was_typed(
    chromium, tmp_path
):
    folder = tmp_path / "gateway"
    folder.mkdir()
    async with GatewayProcess(folder, TOML) as gateway:
        home = gateway.url.replace("127.0.0.1", "localhost")
        page = chromium.pages[0]
        problems = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        devtools = await chromium.new_cdp_session(page)
        await devtools.send("WebAuthn.enable")
        await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        code = await asyncio.to_thread((folder / "data" / "owner-code").read_text)

        # The other address of this machine leads to the one that passkeys belong to.
        await page.goto(f"{gateway.url}/dashboard")
        assert page.url == f"{home}/dashboard/welcome"
        await page.fill("#k", code.strip())
        await page.fill("#n", "Amara Okafor")
        await page.fill("#e", "amara@lakeside.example")
        await page.click("button.primary")
        await page.click("[data-passkey]")
        await page.wait_for_url("**/dashboard/me")
        assert code.strip() not in gateway.log.read_text()

        # The session ends in mid-form: the page is gone, nothing is in web storage.
        await page.fill("#n", "Typed before the lock")
        await page.wait_for_url("**/dashboard/lock**")
        await page.wait_for_load_state()
        assert "Typed before" not in await page.content()
        kept = await page.evaluate("() => localStorage.length + sessionStorage.length")
        assert kept == 0

        # The same person finds it again.
        await page.click("[data-passkey]")
        await page.wait_for_url("**/dashboard/me")
        assert await page.input_value("#n") == "Typed before the lock"
        assert [each for each in problems if "Content Security Policy" in each] == []
