"""What the script adds to plain pages: dialogs, keys, copying, drafts, a second click."""

import asyncio

import pytest
from dashboard.visiting import until

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


async def test_a_key_is_made_in_a_dialog_shown_once_and_revoked_by_its_name(running, sign_in_as):
    visit = await sign_in_as("owner")
    page = await visit.open("/dashboard/keys")

    await page.click("text=New key")
    dialog = page.locator("#dialog")
    await dialog.locator("[name=name]").fill(" ")
    await dialog.locator("button[type=submit]").click()
    await dialog.locator("[role=alert]").wait_for()
    assert page.url.endswith("/dashboard/keys")
    assert await visit.axe() == []
    await dialog.locator("[name=name]").fill("Till 2")
    await dialog.locator("button[type=submit]").click()
    shown = await dialog.locator("#the-key").text_content()
    await visit.shot("key-made-1440")
    await page.click("text=I stored it")
    await page.wait_for_load_state()
    assert shown.startswith("sk_live_")
    assert shown not in await page.content()

    row = page.locator("tr", has_text="Till 2")
    await row.get_by_role("link", name="Revoke").click()
    button = dialog.locator("button.danger")
    assert await button.is_disabled()
    await dialog.locator("[name=confirm]").fill("Till 2")
    await button.click()
    await page.locator(".toast", has_text="Till 2 is revoked").wait_for()
    keys = await running.gateway.keys.list("default")
    assert [each.revoked_at is not None for each in keys if each.name == "Till 2"] == [True]


async def test_single_keys_move_through_a_list_and_can_be_switched_off(running, sign_in_as):
    for name in ("A", "B", "C"):
        await running.gateway.keys.issue(name, account_id="default", actor="test")
    visit = await sign_in_as("owner")
    page = await visit.open("/dashboard/keys")

    await page.keyboard.press("j")
    await page.keyboard.press("j")
    first = await page.locator("tbody tr").nth(1).get_attribute("class")
    await page.keyboard.press("k")
    assert first == "cursor"
    assert await page.locator("tbody tr").nth(0).get_attribute("class") == "cursor"
    await page.keyboard.press("Enter")
    await page.locator("#dialog[open]").wait_for()
    await page.keyboard.press("Escape")
    await page.keyboard.press("/")
    assert await page.evaluate("document.activeElement.name") == "q"
    await page.keyboard.type("jk/?")
    assert await page.input_value(".search input") == "jk/?"
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.press("?")
    await page.locator("#keys[open]").wait_for()

    await visit.open("/dashboard/me")
    await page.click("text=Off")
    await page.click("text=Save for this browser")
    await visit.open("/dashboard/keys")
    await page.keyboard.press("j")
    await page.keyboard.press("?")
    assert await page.locator(".cursor").count() == 0
    assert await page.locator("#keys[open]").count() == 0


async def test_a_person_is_invited_without_script(running, sign_in_as):
    visit = await sign_in_as("owner", script=False)
    page = await visit.open("/dashboard/people")

    await page.click("text=Invite a person")
    await page.fill("[name=email]", "sam@x.example")
    await page.check("[value=pharmacist]")
    await page.click("text=Make the invitation")
    link = await page.locator("#the-link").text_content()
    await page.click("text=I sent it")

    assert "/dashboard/invitation#" in link
    assert await page.locator("text=sam@x.example").count() == 1


async def test_two_tabs_show_two_modes_and_nothing_is_mixed_up(running, sign_in_as):
    visit = await sign_in_as("owner")
    live = await visit.open("/dashboard/keys")
    test = await visit.new_page()
    await test.goto(visit.home + "/dashboard/test/keys")

    await live.click("text=New key")
    await live.locator("#dialog [name=name]").fill("Live one")
    await test.click("text=New key")
    await test.locator("#dialog [name=name]").fill("Test one")
    await test.locator("#dialog button[type=submit]").click()
    await live.locator("#dialog button[type=submit]").click()
    made = [await page.locator("#the-key").text_content() for page in (live, test)]

    assert [each[:8] for each in made] == ["sk_live_", "sk_test_"]
    assert await test.title() == "TEST · Keys · rx-gateway"
    assert await live.title() == "Keys · rx-gateway"
    await visit.shot("keys-live-1440")


async def test_a_phone_finds_the_menu_and_the_search(running, sign_in_as):
    visit = await sign_in_as("owner", width=390, height=844, touch=True)
    page = await visit.open("/dashboard/people")

    await page.tap(".top a[aria-label=Search]")
    await page.locator("main [name=q]").wait_for()
    assert page.url.endswith("/dashboard/search")
    small = await page.evaluate(
        """() => [...document.querySelectorAll("a, button, input, select, summary")]
          .filter((each) => each.checkVisibility() && !each.closest("p, .skip"))
          .map((each) => [each.getBoundingClientRect(), each.outerHTML.slice(0, 90)])
          .filter(([box]) => box.width && (box.height < 43 || box.width < 43))
          .map(([, html]) => html)"""
    )
    assert small == []


async def test_print_has_the_page_and_nothing_that_stands_around_it(running, sign_in_as):
    visit = await sign_in_as("owner")
    page = await visit.open("/dashboard/test/people")
    await page.emulate_media(media="print", color_scheme="light")

    around = ".nav, .top, .modeband, .acts, .keys, .skip"
    assert await page.locator(f":is({around}):visible").count() == 0
    assert await page.locator("main h1").is_visible()
    assert await page.locator("table th", has_text="Amara Okafor").first.is_visible()


async def issued(running, name, **more):
    await running.gateway.keys.issue(name, account_id="default", actor="test", **more)


async def test_news_keeps_what_is_open_and_where_the_keys_j_and_k_are(running, sign_in_as):
    await issued(running, "Narrow one", scopes=("orders.create",))
    visit = await sign_in_as("owner")
    page = await visit.open("/dashboard/keys")
    await page.locator("tr", has_text="Narrow one").locator("summary").click()
    await page.mouse.move(1, 1)
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    at = await page.locator("tr.cursor").get_attribute("data-id")
    await page.evaluate("document.activeElement.blur()")

    await issued(running, "Came meanwhile")
    await page.locator("tr", has_text="Came meanwhile").wait_for()
    await page.keyboard.press("k")

    assert await page.locator("tr", has_text="Narrow one").locator("details[open]").count() == 1
    rows = await page.locator("[data-list] tr").evaluate_all("all => all.map((e) => e.dataset.id)")
    moved_to = await page.locator("tr.cursor").get_attribute("data-id")
    assert rows.index(moved_to) == rows.index(at) - 1


async def test_what_is_typed_in_a_dialog_while_it_is_sent_stays_and_it_is_sent_once(sign_in_as):
    visit = await sign_in_as("owner")
    page = await visit.open("/dashboard/keys")
    goes, sent = asyncio.Event(), []

    async def slowly(route):
        if route.request.method == "POST":
            sent.append(route.request.url)
            await goes.wait()
        await route.continue_()

    await page.route("**/dashboard/keys/new*", slowly)
    await page.click("text=New key")
    name = page.locator("#dialog [name=name]")
    await name.fill(" ")
    await name.press("Enter")
    await page.locator("#dialog[aria-busy=true]").wait_for()
    await name.fill("Till of the annex")
    await name.press("Enter")
    goes.set()

    await page.locator("#dialog [role=alert]").wait_for()
    assert await name.input_value() == "Till of the annex"
    assert len(sent) == 1


async def test_the_view_that_was_asked_for_last_is_shown_whichever_answer_comes_first(sign_in_as):
    visit = await sign_in_as("owner")
    page = await visit.open("/dashboard/deliveries")
    goes = asyncio.Event()

    async def slowly(route):
        if "x-gateway-region" in route.request.headers:
            await goes.wait()
        await route.continue_()

    await page.route("**/dashboard/deliveries?view=waiting*", slowly)
    views = page.locator("nav.tabs")
    async with page.expect_request(lambda sent: "view=waiting" in sent.url):
        await views.get_by_text("Waiting", exact=True).click()
    await views.get_by_text("Exhausted", exact=True).click()
    await until(page, "location.search.includes('exhausted')")
    async with page.expect_response(lambda answer: "view=waiting" in answer.url) as slow:
        goes.set()
    await (await slow.value).finished()
    await until(page, "!document.querySelector('#log').matches('[aria-busy]')")

    assert await views.locator("[aria-current]").inner_text() == "Exhausted"
    assert page.url.endswith("view=exhausted")


async def test_the_focus_stays_on_the_view_that_was_chosen_by_keyboard(sign_in_as):
    visit = await sign_in_as("owner")
    page = await visit.open("/dashboard/queue")
    await page.locator("#tabs").get_by_role("link", name="Failed").focus()

    await page.keyboard.press("Enter")
    await until(page, "location.search.includes('failed')")
    await until(page, "!document.querySelector('#all').matches('[aria-busy]')")

    assert (await page.evaluate("document.activeElement.textContent")).startswith("Failed")


async def test_the_focus_stays_at_the_part_whose_button_is_gone(running, sign_in_as):
    key = await running.issue_key()
    order = {"patient_name": "Ana Silva", "patient_address": "1 Lake Rd", "site": "lakeside"}
    await running.post("/api/webhook/orders", key, {"orders": [order]})
    visit = await sign_in_as("owner")
    page = await visit.open("/dashboard/packages")
    await page.locator("[data-list] button.peek").first.focus()

    await page.keyboard.press("Enter")
    await page.locator("[data-list] .c-eye .tag").first.wait_for()
    await until(page, "!document.querySelector('[aria-busy]')")

    assert await page.evaluate("document.activeElement.matches('tr[data-id]')")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.closest('section.list') !== null")


IN_ITS_ROW = """(() => {
  const tab = document.querySelector(".tabs [aria-current]");
  const [own, row] = [tab, tab.parentElement].map((each) => each.getBoundingClientRect());
  return own.left >= row.left && own.right <= row.right;
})()"""


async def test_the_shown_view_is_scrolled_into_its_row(sign_in_as):
    visit = await sign_in_as("owner", width=320, height=844, touch=True)
    page = await visit.open("/dashboard/queue?state=completed")
    at_first = await page.evaluate(IN_ITS_ROW)

    last = page.locator("#tabs a").last
    await last.tap()
    await until(page, f"!location.search.includes('completed') && {IN_ITS_ROW}")

    assert at_first
    assert await last.get_attribute("aria-current")


async def test_a_menu_closes_when_the_focus_leaves_it_and_escape_returns_it(sign_in_as):
    visit = await sign_in_as("owner")
    page = await visit.open("/dashboard/packages")
    of_menu = "document.activeElement.closest('#f-status') !== null"
    button = page.locator("[popovertarget=f-status]")

    await page.keyboard.press("f")
    assert await page.evaluate(of_menu)
    for _ in range(20):
        await page.keyboard.press("Tab")
        if not await page.evaluate(of_menu):
            break
    assert await page.locator("#f-status:popover-open").count() == 0
    assert await page.evaluate("document.activeElement.popoverTargetElement?.id") == "f-day"

    await button.focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Shift+Tab")
    assert await page.evaluate("document.activeElement.popoverTargetElement?.id") == "f-status"
    assert await page.locator("#f-status:popover-open").count() == 1
    await page.keyboard.press("Tab")
    assert await page.evaluate(of_menu)
    await page.keyboard.press("Escape")
    assert await page.locator("#f-status:popover-open").count() == 0
    assert await page.evaluate("document.activeElement.popoverTargetElement?.id") == "f-status"


async def test_the_first_link_leads_past_the_navigation_to_the_page(sign_in_as):
    visit = await sign_in_as("owner")
    page = await visit.open("/dashboard/keys")

    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await until(page, "location.hash === '#main'")
    await page.keyboard.press("Tab")

    assert await page.evaluate("document.activeElement.closest('main') !== null")


async def test_back_shows_the_view_before(sign_in_as):
    visit = await sign_in_as("owner")
    page = await visit.open("/dashboard/deliveries")
    await page.locator("nav.tabs").get_by_text("Exhausted", exact=True).click()
    await until(page, "location.search.includes('exhausted')")

    await page.go_back()
    await page.locator("nav.tabs [aria-current]", has_text="Failed").wait_for()

    assert page.url.endswith("/dashboard/deliveries")
