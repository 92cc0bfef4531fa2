"""A journey in a browser: an endpoint is added, fails, is looked at, mended, and catches up."""

import re

import pytest
from dashboard.visiting import TOML, until

from gateway.testing import Receiver

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def toml():
    trusted = 'allow_networks = ["127.0.0.0/8"]\ntrusted_accounts = ["default"]'
    return TOML.replace('allow_networks = ["127.0.0.0/8"]', trusted)


async def seen(page, text):
    await page.get_by_text(text).first.wait_for(timeout=PATIENCE_MS)


async def test_from_a_new_endpoint_over_a_502_to_everything_recovered(running, sign_in_as):
    async with Receiver([502, 502]) as receiver:
        visit = await sign_in_as("owner")
        page = await visit.open("/dashboard/endpoints")
        await page.get_by_role("link", name="Add the first endpoint").click()

        # Added: its secret is shown this once.
        await page.get_by_label("URL").fill(f"{receiver.url}/scriptrun")
        await page.get_by_label("Name", exact=True).fill("Courier dispatch")
        await page.get_by_role("button", name="Add endpoint").click()
        first = await page.locator("#the-secret").inner_text()
        assert re.fullmatch(r"whsec_[A-Za-z0-9+/=]{40,}", first)
        await page.get_by_role("link", name="They have stored it").click()

        # A test fails with 502, and is shown with request and response.
        await page.get_by_role("button", name="Send test").click()
        await seen(page, re.compile(r"The test: 502 Bad Gateway after"))
        inspector = page.locator("#insp")
        words = await inspector.inner_text()
        assert "webhook.test, attempt 1" in words
        assert "HTTP/1.1 502 Bad Gateway" in words
        assert "x-scriptrun-signature: t=" in words
        assert '"message": "It works."' in words
        assert await visit.axe() == []

        # The receiver is mended; sent again, it arrives, and the open page shows it by itself.
        receiver.answers = []
        await inspector.get_by_role("button", name="Resend").click()
        row = page.locator("#attempts tr", has_text="200 OK")
        await row.first.wait_for(timeout=PATIENCE_MS)
        sent = [each for each in receiver.received if each.json()["event"] == "webhook.test"]
        assert len(sent) >= 2

        # While it is disabled it misses two orders; they are counted, then recovered.
        await page.get_by_role("button", name="Disable…").click()
        await page.get_by_role("heading", name="Disable it?", exact=True).wait_for()
        await page.get_by_role("button", name="Disable", exact=True).click()
        await seen(page, "Disabled by a person")
        key = await running.issue_key()
        order = {"patient_name": "Ana Silva", "patient_address": "1 Lake Rd", "site": "lakeside"}
        taken = await running.post("/api/webhook/orders", key, {"orders": [order, order]})
        assert taken.status_code == 200, taken.text
        await page.get_by_role("button", name="Enable").click()
        await page.get_by_role("link", name="Recover missed…").click()
        await page.get_by_role("link", name="Last 24 hours").click()
        await page.get_by_role("button", name=re.compile(r"Send \d events again")).click()
        await seen(page, re.compile(r"Recovery done: of \d events, \d are sent again"))
        created = page.locator("#attempts tr", has_text="package.created")
        await created.nth(1).wait_for(timeout=PATIENCE_MS)

        # Rotated with an overlap: both secrets sign.
        await page.get_by_role("link", name="Rotate secret…").click()
        await page.get_by_text("3 days").click()
        await page.get_by_role("button", name="Make a new secret").click()
        second = await page.locator("#the-secret").inner_text()
        assert second != first
        await page.get_by_role("link", name="They have stored it").click()
        await page.get_by_role("button", name="Send test").click()
        await seen(page, re.compile(r"The test: 200 OK after"))
        assert receiver.received[-1].headers["x-scriptrun-signature"].count("v1=") == 2


async def test_a_new_attempt_waits_behind_a_button_while_the_pointer_is_in_the_list(
    running, sign_in_as
):
    async with Receiver() as receiver:
        receiver.answers, before = [], len(receiver.received)
        key = await running.issue_key()
        made = await running.post("/api/webhooks/endpoints", key, {"url": receiver.url})
        endpoint = made.json()["id"]
        order = {"patient_name": "Ana Silva", "patient_address": "1 Lake Rd", "site": "lakeside"}
        await running.post("/api/webhook/orders", key, {"orders": [order]})
        await receiver.wait_for(before + 1)
        visit = await sign_in_as("owner")
        page = await visit.open(f"/dashboard/endpoints/{endpoint}")
        rows = page.locator("#attempts tbody tr")
        await rows.first.hover()

        await running.post("/api/webhook/orders", key, {"orders": [order]})
        waiting = page.locator("[data-live-new=attempts]")
        await waiting.wait_for(state="visible", timeout=PATIENCE_MS)
        assert await waiting.inner_text() == "1 new"
        assert await rows.count() == 1
        await waiting.click()
        await page.locator("#attempts tbody tr").nth(1).wait_for(timeout=PATIENCE_MS)
        assert not await waiting.is_visible()


async def test_two_tabs_share_one_stream_and_a_lock_ends_both(running, sign_in_as):
    visit = await sign_in_as("owner")
    page = await visit.open("/dashboard/deliveries")
    await until(page, "document.querySelector('[data-fresh]')?.hidden === false")
    other = await visit.new_page()
    streams = []  # from here on: that of the first load has begun
    for each in (page, other):
        each.on("request", lambda sent: "/dashboard/stream" in sent.url and streams.append(sent))
    await page.reload()
    await until(page, "document.querySelector('[data-fresh]')?.hidden === false")
    await other.goto(visit.home + "/dashboard/test/deliveries")
    await until(other, "document.querySelector('[data-fresh]')?.hidden === false")
    await other.wait_for_timeout(300)
    assert len(streams) == 1

    await other.evaluate(
        """() => fetch("/api/session/lock", {method: "POST", headers: {"Content-Type":
        "application/json"}, body: JSON.stringify({path: "/dashboard/me", fields: {}})})"""
    )
    for each in (page, other):
        await each.wait_for_url("**/dashboard/lock**", timeout=PATIENCE_MS)
