"""A person at a page of a running gateway, in Chromium. Nothing here knows pytest."""

import asyncio
import os
from contextlib import asynccontextmanager

from axe_playwright_python.async_playwright import Axe

from gateway.settings import parse_settings
from gateway.testing import GatewayHarness
from gateway.testing.people import begin_session

TOML = """
[gateway]
public_url = "http://localhost:8080"
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
[dashboard]
page_ms = 60000
[limits]
reads_per_minute = 100000
updates_requests_per_minute = 100000
people_reads_per_minute = 100000
[[sites]]
code = "lakeside"
name = "Lakeside"
timezone = "America/Toronto"
country = "CA"
[[sites]]
code = "queen"
name = "Queen Street"
timezone = "America/Toronto"
country = "CA"
[plugins.json_api]
[plugins.csv]
[plugins.labels]
[plugins.webhooks]
[plugins.rx_queue]
[plugins.reports]
"""
# What the browser must never see; the listener runs before any script of the page.
WATCH = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`Content Security Policy: ${event.violatedDirective} ${event.blockedURI}`);
});
"""
PATIENCE_SECONDS = 120  # for a machine under load
# 320 px is WCAG's reflow; the others are a phone, a tablet and a desk.
WIDTHS = (320, 390, 768, 1440)
SHOTS = os.environ.get("SCREENSHOTS")  # a folder: CI keeps it


@asynccontextmanager
async def opened_gateway(folder, toml):
    text = toml or TOML
    settings = parse_settings(text, source=None, directory=folder, environ={})
    async with GatewayHarness(settings) as gateway:
        yield gateway


async def until(page, expression):
    """Wait until a JavaScript expression is true of the page.

    Playwright's own wait evaluates inside the page, which our content security policy forbids:
    it fails unless the expression is true at once.
    """
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await page.evaluate(expression):  # noqa: ASYNC110 - a browser has no event
            await asyncio.sleep(0.05)


class Visit:
    """A signed-in person's browser window."""

    def __init__(self, gateway, context):
        self.gateway = gateway
        self.context = context
        self.page = None
        self.problems = []
        self.home = "http://localhost:" + gateway.url.rpartition(":")[2]

    @classmethod
    async def begin(
        cls, gateway, browser, role="owner", *, width=1440, height=900, script=True, touch=False,
        language="en", sites=None, dark=False,
    ):  # fmt: skip
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            java_script_enabled=script,
            has_touch=touch,
            is_mobile=touch,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            locale="en-CA",
        )
        visit = cls(gateway, context)
        if role is not None:
            cookie = await begin_session(gateway.gateway, role, sites=sites, language=language)
            await context.add_cookies([{"name": "session", "value": cookie, "url": visit.home}])
        visit.page = await visit.new_page()
        return visit

    async def new_page(self):
        page = await self.context.new_page()
        page.set_default_timeout(120_000)  # a busy machine is no failure
        await page.add_init_script(WATCH)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        return page

    def _said(self, message):
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(message.text)

    async def open(self, path):
        await self.page.goto(self.home + path)
        return self.page

    async def axe(self):
        """Return what axe-core finds wrong with WCAG 2.2 AA: rule and elements."""
        options = {
            "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        }
        size = self.page.viewport_size
        # The phone's bottom bar lies over what is behind it, wherever the page is scrolled to.
        await self.page.set_viewport_size({"width": size["width"], "height": 6000})
        found = await Axe().run(self.page, options=options)
        await self.page.set_viewport_size(size)
        return [
            (each["id"], [node["html"][:200] for node in each["nodes"]])
            for each in found.response["violations"]
        ]

    async def overflow(self):
        """Return by how many pixels the page is wider than its window."""
        return await self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    async def shot(self, name, *, full=False):
        """Keep a screenshot where SCREENSHOTS names a folder."""
        if SHOTS:
            await self.page.screenshot(path=f"{SHOTS}/{name}.png", full_page=full)

    async def end(self):
        await self.context.close()
