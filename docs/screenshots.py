"""Make the pictures of docs/ from the kept demo: ``make screenshots``.

It starts ``gateway demo --keep``, looks around in Chromium (``CHROMIUM=`` names it), and writes
``docs/pictures/*.webp``, each of at most 100 KB. Times of day and ids differ from run to run;
people, orders and the state of the day are the same.
"""

import asyncio
import io
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

FOLDER: Final = Path(__file__).parent / "pictures"
MOST_BYTES: Final = 100 * 1024
_FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--hide-scrollbars")
_QUALITIES: Final = (90, 80, 70, 60)
_PATIENCE_MS: Final = 60_000
_DESK: Final = (1280, 800)
_PHONE: Final = (390, 844)


class Picture(NamedTuple):
    """A picture: its file, whose eyes see it, the address, and what is clicked there first."""

    name: str
    person: str
    address: str
    click: tuple[str, ...] = ()
    size: tuple[int, int] = _DESK
    language: str = "en"
    is_dark: bool = False


PICTURES: Final = (
    Picture("today", "Amara Okafor", "/dashboard"),
    Picture("endpoint", "Sam Cole", "/dashboard/endpoints", ("text=Patient portal",)),
    Picture("packages", "Luis Ortega", "/dashboard/packages"),
    Picture("package", "Priya Raman", "/dashboard/packages", ("tr:has-text('Delivered') a.row",)),
    Picture("import", "Priya Raman", "/dashboard/import", ("text=clinic-tomorrow.csv",)),
    Picture("day", "Daniel Tremblay", "/dashboard/reports?site=queen"),
    Picture("shops", "Priya Raman", "/dashboard/shops"),
    Picture("review", "Priya Raman", "/dashboard/review", ("text=Ravi", "button:has-text('Take')")),
    Picture("scan", "Priya Raman", "/dashboard/scan", ("main table a",)),
    Picture("phone", "Luis Ortega", "/dashboard", (), _PHONE, "es", is_dark=True),
)


async def main() -> int:
    """Write every picture; returns how many are too large."""
    program = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    if program is None:
        print("Chromium is not installed (apt-get install chromium); CHROMIUM= names another.")
        return 1
    FOLDER.mkdir(exist_ok=True)
    too_large = 0
    async with _demo() as (address, code), async_playwright() as started:
        browser = await started.chromium.launch(executable_path=program, args=list(_FLAGS))
        ticket = await _ticket(browser, address, code)
        for picture in PICTURES:
            content = _packed(await _taken(browser, address, ticket, picture))
            (FOLDER / f"{picture.name}.webp").write_bytes(content)
            too_large += len(content) > MOST_BYTES
            print(f"{picture.name}.webp: {len(content) // 1024} KB")
        await browser.close()
    for stale in FOLDER.glob("*.webp"):
        if stale.stem not in {each.name for each in PICTURES}:
            stale.unlink()
    return too_large


@asynccontextmanager
async def _demo() -> AsyncIterator[tuple[str, str]]:
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "demo", "--keep", "--json", stdout=asyncio.subprocess.PIPE
    )
    try:
        line = b"" if demo.stdout is None else await demo.stdout.readline()
        if not line:
            raise SystemExit("The demo did not start.")
        said = json.loads(line)
        yield said["address"], said["code"]
    finally:
        if demo.returncode is None:
            demo.terminate()
        await demo.wait()


async def _ticket(browser: Browser, address: str, code: str) -> str:
    """Use the code; returns the cookie of a browser that is let in."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(address)
    await page.fill("[name=code]", code)
    await page.click("button.primary")
    await page.wait_for_url("**/dashboard")
    found = [each for each in await context.cookies() if each.get("name") == "demo"]
    await context.close()
    return found[0].get("value", "")


async def _taken(browser: Browser, address: str, ticket: str, picture: Picture) -> bytes:
    home = address.removesuffix("/demo")
    width, height = picture.size
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if picture.is_dark else "light",
        reduced_motion="reduce",
        has_touch=picture.size == _PHONE,
        is_mobile=picture.size == _PHONE,
        locale="en-CA",
    )
    await context.add_cookies(
        [
            {"name": "demo", "value": ticket, "url": home},
            {"name": "language", "value": picture.language, "url": home},
        ]
    )
    page = await context.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    await page.goto(address)
    await page.get_by_text(picture.person, exact=True).click()
    await page.click("button.primary")
    await page.wait_for_url("**/dashboard")
    await page.goto(home + picture.address)
    for each in picture.click:
        await page.locator(each).first.click()
        await _settled(page)
    await _settled(page)
    shot = await page.screenshot()
    await context.close()
    return shot


async def _settled(page: Page) -> None:
    """Wait until what a click asked for is shown; the stream of news never ends."""
    await page.wait_for_load_state("load")
    await page.wait_for_function("() => !document.querySelector('[aria-busy=true]')")
    await page.evaluate("() => document.fonts.ready.then(() => true)")


def _packed(png: bytes) -> bytes:
    """Return a picture as WebP, as well as fits."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    packed = b""
    for quality in _QUALITIES:
        made = io.BytesIO()
        image.save(made, "WEBP", quality=quality, method=6)
        packed = made.getvalue()
        if len(packed) <= MOST_BYTES:
            break
    return packed


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
