"""Packages in a real browser: from order to door, on a phone, by keyboard, without script."""

import asyncio
import re

import pytest
import pytest_asyncio
from dashboard.visiting import until
from pictures import photo
from sqlalchemy import select

from gateway.storage.schema import audit

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ORDER = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St, Toronto",
    "patient_phone": "+14165550123",
    "notes": "key under the mat",
    "rx_number": "RX-8872341",
    "copay_amount": 12.5,
    "requires_signature": True,
    "site": "lakeside",
}
DELIVERED = "event=delivery.completed"
HIDDEN = ("Rodriguez", "123 Main", "4165550123", "under the mat", "8872341")
PICTURE = {"name": "door.jpg", "mimeType": "image/jpeg", "buffer": photo(size=(800, 600))}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def key(running):
    return await running.issue_key()


async def ordered(running, key, **more):
    answer = await running.post("/api/webhook/orders", key, {"orders": [ORDER | more]})
    return answer.json()["package_ids"][0]


async def reveals(running, package_id):
    await running.gateway.audit.drained()
    async with running.gateway.database.read() as connection:
        rows = await connection.execute(
            select(audit.c.fields, audit.c.purpose)
            .where(audit.c.subject == package_id, audit.c.kind == "reveal")
            .order_by(audit.c.sequence)
        )
        return [tuple(row) for row in rows]


async def masked(page):
    text = await page.content()
    return all(each not in text for each in HIDDEN)


async def press(page, name, *, then):
    """Press a step's button; the next one follows."""
    await page.locator(".head .btn.primary", has_text=name).click()
    await page.locator(".head .btn.primary", has_text=then).wait_for()


class HeldRefresh:
    """The page's own refresh, held between the gateway's answer and the page."""

    def __init__(self, page):
        self.page = page
        self.came = asyncio.Event()
        self.goes = asyncio.Event()
        self.put = asyncio.Event()

    async def __call__(self, route):
        if "x-gateway-quiet" not in route.request.headers:
            await route.continue_()
            return
        answer = await route.fetch()
        self.came.set()
        await self.goes.wait()
        await route.fulfill(response=answer)
        self.put.set()

    async def let_go(self):
        """Let the page have the answer, and two frames to draw it."""
        self.goes.set()
        await self.put.wait()
        await self.page.evaluate(
            "() => new Promise((done) => setTimeout(() => requestAnimationFrame(done), 50))"
        )


async def flagged(running, key, package_id, *, needs_person):
    answer = await running.request(
        "PATCH", f"/api/packages/{package_id}", key, {"needs_person": needs_person}
    )
    assert answer.status_code == 200, answer.text


async def test_a_package_from_created_to_delivered_and_a_dispatcher_sees_no_drug(
    running, key, sign_in_as
):
    package_id = await ordered(running, key)
    pharmacist, dispatcher = await sign_in_as("pharmacist"), await sign_in_as("dispatcher")
    page = await pharmacist.open(f"/dashboard/packages/{package_id}")
    assert await masked(page)
    await press(page, "Mark ready", then="Assign a driver…")
    await page.goto(f"{page.url.partition('?')[0]}/report?event=delivery.assigned")
    await page.get_by_label("Driver").fill("Marc Tremblay")
    await page.get_by_role("button", name="Assign the driver").click()
    await page.get_by_text("Assigned to Marc Tremblay").first.wait_for()
    await press(page, "Mark picked up", then="On the road")
    await page.locator(".toast", has_text="Now: Picked up").wait_for()
    await press(page, "On the road", then="Delivered…")

    away = await dispatcher.open(f"/dashboard/packages/{package_id}")
    assert await masked(away)
    for _ in range(2):
        await away.get_by_role("button", name="Reveal").click()
        await away.get_by_role("button", name="Delivery", exact=True).click()
        await away.get_by_text("123 Main St, Toronto").wait_for()
        assert "8872341" not in await away.content()
        await dispatcher.open(f"/dashboard/packages/{package_id}")
    assert await reveals(running, package_id) == [("contact,identity", "delivery")]

    await page.goto(f"{pharmacist.home}/dashboard/packages/{package_id}/report?{DELIVERED}")
    await page.get_by_label("Picture", exact=True).set_input_files(PICTURE)
    await page.get_by_label(re.compile("^Signature")).set_input_files(PICTURE)
    await page.get_by_label("Who took it").fill("Ana Silva")
    await page.get_by_label("Copay collected").fill("12.50")
    await page.get_by_label("Paid by").select_option("card")
    await page.get_by_role("button", name="Report it delivered").click()
    await page.get_by_role("heading", name="Delivered", exact=True).wait_for()
    assert await page.locator("img").count() == 0
    refresh = HeldRefresh(page)
    await page.route("**/dashboard/packages/*", refresh)
    await flagged(running, key, package_id, needs_person=True)
    await refresh.came.wait()
    await page.get_by_role("button", name="Show the pictures").click()
    await page.locator("img").nth(1).wait_for()
    await refresh.let_go()  # made before the pictures were shown: it doesn't take them away
    assert await page.locator("img").count() == 2
    loaded = "each => [...document.images].every((i) => i.complete && i.naturalWidth > 0)"
    await until(page, loaded)
    assert await masked(page)


async def test_news_does_not_take_a_button_away_while_it_is_pressed(running, key, sign_in_as):
    package_id = await ordered(running, key)
    visit = await sign_in_as("pharmacist")
    page = await visit.open(f"/dashboard/packages/{package_id}")
    refresh = HeldRefresh(page)
    await page.route("**/dashboard/packages/*", refresh)
    await flagged(running, key, package_id, needs_person=True)
    await refresh.came.wait()
    await page.locator(".head .btn.primary", has_text="Mark ready").hover()
    await page.mouse.down()
    await refresh.let_go()
    await page.mouse.up()
    await page.locator(".head .btn.primary", has_text="Assign a driver…").wait_for()


async def test_news_leaves_what_is_open_and_where_the_focus_is(running, key, sign_in_as):
    package_id = await ordered(running, key)
    visit = await sign_in_as("pharmacist")
    page = await visit.open(f"/dashboard/packages/{package_id}")
    await page.get_by_role("link", name="Assign a driver").focus()
    await flagged(running, key, package_id, needs_person=True)
    await page.get_by_role("button", name="Seen to").wait_for()
    focused = await page.evaluate("document.activeElement.textContent.trim()")

    await page.get_by_role("button", name="Reveal").click()
    await page.get_by_role("button", name="Care", exact=True).wait_for()
    await flagged(running, key, package_id, needs_person=False)
    await page.get_by_role("button", name="Seen to").wait_for(state="detached")

    assert focused == "Assign a driver…"
    assert await page.get_by_role("button", name="Care", exact=True).is_visible()


async def test_a_phone_looks_up_reveals_and_marks_delivered_with_a_picture(
    running, key, sign_in_as
):
    package_id = await ordered(running, key, rx_number="RX-7001234", priority="stat")
    visit = await sign_in_as("pharmacist", width=390, height=844, touch=True)
    page = await visit.open("/dashboard/packages")
    card = page.locator(f"[data-id={package_id}]")
    assert await card.locator(".tag:visible", has_text="Stat").count() == 1
    await page.get_by_role("searchbox", name=re.compile("exact")).fill("rx-7001234")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/packages/{package_id}")
    assert await visit.overflow() <= 0
    await page.get_by_role("button", name="Reveal").tap()
    await page.get_by_role("button", name="Care", exact=True).tap()
    await page.get_by_text("123 Main St, Toronto").wait_for()
    await page.get_by_role("link", name="Assign a driver…").wait_for()
    await page.get_by_role("button", name="More actions").tap()
    await page.get_by_role("link", name="Delivered…").tap()
    await page.get_by_label("Picture", exact=True).set_input_files(PICTURE)
    await page.get_by_label("Who took it").fill("Ana Silva")
    assert await visit.overflow() <= 0
    await page.get_by_role("button", name="Report it delivered").tap()
    await page.get_by_role("heading", name="Delivered", exact=True).wait_for()
    await visit.shot("package-390-delivered", full=True)
    assert await reveals(running, package_id) == [("contact,identity,rx", "care")]


async def test_the_list_works_by_keyboard_alone_and_a_row_is_revealed_in_place(
    running, key, sign_in_as
):
    for number in range(3):
        await ordered(running, key, rx_number=f"RX-900000{number}")
    visit = await sign_in_as("owner")
    page = await visit.open("/dashboard/packages?view=all")
    await page.keyboard.press("f")
    await page.get_by_text("Show packages that are").wait_for()
    assert await page.evaluate("document.activeElement.name") == "is"
    await page.keyboard.press("Escape")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("x")
    bar = page.get_by_role("toolbar")
    await bar.get_by_text("1 selected").wait_for()
    second = page.locator("tbody tr").nth(1)
    await second.get_by_role("button", name=re.compile("Reveal this patient")).focus()
    await page.keyboard.press("Enter")
    await second.get_by_text("Maria Rodriguez").wait_for()
    assert await page.get_by_text("Maria Rodriguez").count() == 1
    await page.keyboard.press("j")  # from the row that was revealed, to the third
    await page.keyboard.press("r")
    await page.locator("tbody tr").nth(2).get_by_text("Maria Rodriguez").wait_for()
    await page.locator("body").click(position={"x": 5, "y": 5})
    await page.keyboard.press("k")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/packages/pkg_*")


async def test_without_script_many_are_changed_and_a_manifest_is_made(running, key, sign_in_as):
    ids = [await ordered(running, key, rx_number=f"RX-910000{number}") for number in range(2)]
    visit = await sign_in_as("owner", script=False)
    page = await visit.open("/dashboard/packages?view=all")
    for each in ids:
        await page.locator(f'input[type=checkbox][value="{each}"]').check()
    await page.get_by_role("button", name="Assign a driver…").last.click()
    await page.get_by_label("Driver").fill("Dana")
    await page.get_by_role("button", name="Assign 2 packages").click()
    await page.wait_for_url("**/dashboard/packages*")
    await visit.open("/dashboard/packages?view=out&driver=Dana")
    assert await page.locator("tbody tr").count() == 2
    for each in ids:
        await page.locator(f'input[type=checkbox][value="{each}"]').check()
    await page.get_by_role("button", name="Manifest").last.click()
    await page.get_by_role("heading", name=re.compile("manifest$")).wait_for()
    assert await page.get_by_text("123 Main St, Toronto").count() == 2
    assert "9100000" not in await page.content()


@pytest.mark.parametrize("width", [390, pytest.param(1440, marks=pytest.mark.long)])
async def test_each_page_and_state_is_accessible_and_fits_its_window(
    running, key, sign_in_as, width
):
    package_id = await ordered(running, key)
    failed = await ordered(running, key, rx_number="RX-5550001", priority="stat")
    body = {"event": "delivery.failed", "failure_reason": "refused"}
    await running.post(f"/api/packages/{failed}/events", key, body)
    # So tall that no bar at the bottom covers a part of a row.
    visit = await sign_in_as("owner", width=width, height=4000, touch=width < 500, dark=width < 500)
    for path in (
        "",
        "/packages",
        "/packages?view=attempted",
        "/packages?view=all&priority=urgent",
        f"/packages/{package_id}",
        f"/packages/{failed}",
        f"/packages/{package_id}/report?event=delivery.completed",
        f"/packages/{package_id}/report?event=delivery.attempted",
        f"/packages/{package_id}/amend",
        "/events",
        "/events/types/delivery.completed",
        "/../test",
        "/../test/packages",
    ):
        await visit.open(f"/dashboard{path}".replace("/dashboard/../", "/dashboard/"))
        name = re.sub(r"\W+", "-", path.partition("pkg_")[0]) or "today"
        await visit.shot(f"core-{name}-{width}", full=True)
        assert await visit.overflow() <= 0, path
        assert await visit.axe() == [], path
