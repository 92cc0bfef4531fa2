"""Every page without parameters: accessible, in two languages, at all widths, by keyboard alone.

Pages that plugins and later versions bring are tried without a line here.
"""

import math
import re

import pytest
import pytest_asyncio
from dashboard.addresses import addresses_of
from dashboard.visiting import TOML, Visit, opened_gateway

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

# What is shown as it is: data, names of the product, and what people type into settings.
DATA = "code, kbd, pre, time, [data-id], .brand, .me, option, .av, .only .clip, [data-raw]"
LETTERS = re.compile(r"[A-Za-z]{2,}")
MARK = "⟦"
TEXTS = """(skipped) => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement.closest(skipped)) continue;
    found.push((node.parentElement.closest("[data-text]") ?? node).textContent.trim());
  }
  for (const each of document.querySelectorAll("[aria-label], [title], [placeholder]")) {
    if (each.closest(skipped)) continue;
    found.push(each.getAttribute("aria-label") ?? "", each.title ?? "", each.placeholder ?? "");
  }
  return found.filter(Boolean);
}"""
FOCUS = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  const box = at.getBoundingClientRect();
  const x = Math.min(innerWidth - 1, Math.max(0, box.left + box.width / 2));
  const y = Math.min(innerHeight - 1, Math.max(0, box.top + box.height / 2));
  const top = document.elementFromPoint(x, y);
  const seen = at.contains(top) || top?.contains(at) || at.labels?.[0]?.contains(top);
  const style = getComputedStyle(at);
  return {
    what: at.outerHTML.slice(0, 120),
    seen: Boolean(seen) && box.width > 0,
    ring: style.outlineStyle !== "none" || at.matches(".search input, .vh, main, [type=radio]"),
  };
}"""


async def test_every_page_has_no_fault_that_axe_finds_and_fits_each_width(running, sign_in_as):
    visit = await sign_in_as("owner")
    faults = []
    for address in addresses_of(running.gateway):
        page = await visit.open(address)
        await visit.shot(f"{name_of(address)}-1440")
        faults += [(address, *each) for each in await visit.axe()]
        if await page.locator("h1").count() != 1:
            faults.append((address, "not one h1"))
        for width in (320, 390, 768):
            await page.set_viewport_size({"width": width, "height": 844})
            if await visit.overflow() > 0:
                faults.append((address, f"too wide for {width} px"))
            await visit.shot(f"{name_of(address)}-{width}")
        await page.set_viewport_size({"width": 1440, "height": 900})

    assert not faults, "\n".join(map(str, faults))


async def test_every_page_is_accessible_on_a_phone_in_the_dark_in_french_and_for_test_data(
    running, sign_in_as
):
    # So high that no bar lies over anything.
    visit = await sign_in_as("owner", width=390, height=6000, touch=True, dark=True, language="fr")
    faults = []
    for address in addresses_of(running.gateway):
        await visit.open(address.replace("/dashboard", "/dashboard/test", 1))
        await visit.shot(f"{name_of(address)}-fr-dark-390")
        faults += [(address, *each) for each in await visit.axe()]
        if await visit.overflow() > 0:
            faults.append((address, "too wide"))

    assert not faults, "\n".join(map(str, faults))


async def test_every_page_works_without_script(running, sign_in_as):
    visit = await sign_in_as("owner", script=False)
    for address in addresses_of(running.gateway):
        page = await visit.open(address)
        assert await page.locator("main h1").count() == 1, address
        assert await page.locator("[data-scripted]:visible").count() == 0, address


async def test_focus_goes_through_every_page_and_is_never_hidden(running, sign_in_as):
    visit = await sign_in_as("owner", width=1024, height=700)
    faults = []
    for address in addresses_of(running.gateway):
        page = await visit.open(address)
        for _ in range(45):
            await page.keyboard.press("Tab")
            at = await page.evaluate(FOCUS)
            if at is None:
                break
            if not at["seen"] or not at["ring"]:
                faults.append((address, at["what"]))

    assert not faults, "\n".join(map(str, faults))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pseudo(tmp_path_factory):
    """Return a gateway whose French is English in brackets, a third longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.dashboard.rendering.catalog", lambda *_: Pseudo())
        async with opened_gateway(tmp_path_factory.mktemp("pseudo"), TOML) as gateway:
            yield gateway


class Pseudo:
    """A catalog of a language of tests: what lacks the brackets isn't translated."""

    def gettext(self, text):
        longer = math.ceil(len(text) * 0.35)
        return f"{MARK}{text}{(' ~~~~~' * longer)[:longer]}⟧"

    def ngettext(self, one, many, n):
        return self.gettext(one if n == 1 else many)


async def test_every_text_is_translated_and_fits_when_it_is_a_third_longer(pseudo, chromium):
    visit = await Visit.begin(pseudo, chromium, "owner", language="fr", width=320)
    faults = []
    for address in addresses_of(pseudo.gateway):
        page = await visit.open(address)
        said = await page.evaluate(TEXTS, DATA)
        faults += [
            (address, each)
            for each in said
            if MARK not in each and LETTERS.search(each) and each not in KNOWN
        ]
        if await visit.overflow() > 0:
            faults.append((address, "too wide"))
    await visit.end()

    assert not faults, "\n".join(map(str, faults))


KNOWN = {"Amara Okafor", "Lakeside", "Queen Street", "English", "Français", "Español", "rx-gateway"}


def name_of(address):
    return address.removeprefix("/dashboard").strip("/").replace("/", "-") or "today"
