"""Show 4 of the dashboard: a shop's held order says why in words, is released, arrives live."""

import pytest
from playwright.async_api import expect
from shopify_orders import SHOP, shopify_toml, webhook, without_protected_data
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def toml():
    return (
        shopify_toml()
        + """
[gateway]
public_url = "http://localhost:8080"
[dashboard]
page_ms = 60000
[limits]
people_reads_per_minute = 100000
"""
    )


async def send(running, number):
    sent = without_protected_data(
        id=number, admin_graphql_api_id=f"gid://shopify/Order/{number}", name=f"#{number}"
    )
    body, headers = webhook("orders/create", sent)
    answer = await running.request("POST", "/api/shopify/webhooks", body=body, headers=headers)
    assert answer.status_code == 200


async def test_a_held_order_arrives_live_says_why_is_released_and_its_package_arrives_live(
    running, sign_in_as
):
    pharmacist, watcher = await sign_in_as("pharmacist"), await sign_in_as("manager")
    page = await pharmacist.open("/dashboard/shops")
    packages = await watcher.open("/dashboard/packages")
    await expect(page.get_by_text("No order needs a person")).to_be_visible()

    await send(running, 1001)  # nobody reloads
    link = page.get_by_role("link", name="Held: no package")
    await expect(link).to_be_visible(timeout=60_000)
    await expect(page.get_by_text("Shopify left out the customer's name")).to_be_visible()
    await pharmacist.shot("shops-held")
    assert await pharmacist.axe() == []

    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Why", exact=True)).to_be_visible()
    assert await pharmacist.axe() == []
    await page.get_by_label("Name").fill("Avery Stone")
    await page.get_by_label("Address").fill("9 Elm St, Ottawa, ON K1A 0B1, Canada")
    await page.get_by_role("button", name="Show what is made").click()
    await expect(page.get_by_text("One package, for delivery")).to_be_visible()
    await expect(page.get_by_text("Avery S.", exact=True)).to_be_visible()
    await pharmacist.shot("shops-release")
    assert await pharmacist.axe() == []
    await page.get_by_role("button", name="Release: make this package").click()
    await expect(page.get_by_text("Released: its package is made.")).to_be_visible()

    waiting = packages.get_by_role("button", name="1 new")
    await expect(waiting.or_(packages.get_by_text("Avery S")).first).to_be_visible(timeout=60_000)


async def test_every_state_of_an_order_is_accessible_and_fits_in_the_dark_on_a_phone(
    running, sign_in_as
):
    await send(running, 1002)
    caller = running.caller()
    service = await until(lambda: held_ids(running, caller))
    visit = await sign_in_as("owner", width=390, height=4000, dark=True, language="fr", touch=True)
    for path in ("", "?view=waiting", "?view=aside", f"/orders/{service[0]}"):
        await visit.open(f"/dashboard/shops{path}")
        assert await visit.axe() == [], path
        assert await visit.overflow() <= 0, path
    assert await visit.page.get_by_text(SHOP).first.is_visible()


async def test_an_order_is_released_without_a_script(running, sign_in_as):
    await send(running, 1003)
    found = await until(lambda: held_ids(running, running.caller()))
    visit = await sign_in_as("pharmacist", script=False, width=768)
    page = await visit.open(f"/dashboard/shops/orders/{found[0]}")
    await page.get_by_label("Name").fill("Robin Reed")
    await page.get_by_label("Address").fill("10 Elm St, Ottawa, ON K1A 0B1, Canada")
    await page.get_by_role("button", name="Show what is made").click()
    assert await visit.overflow() <= 0
    await page.get_by_role("button", name="Release: make this package").click()

    assert "/dashboard/packages/pkg_" in page.url


async def held_ids(running, caller):
    key = await running.issue_key()
    answer = await running.request("GET", "/api/shopify/orders?state=held", key=key)
    return [each["id"] for each in answer.json()["orders"]]
