"""Saved views: a person's own tabs of Packages."""

import re
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from html_page import Page
from session_browser import SessionBrowser
from sqlalchemy import func, select

from gateway.clock import SteppingClock
from gateway.storage.schema import saved_views
from gateway.storage.stores.saved_views import MOST_VIEWS, SavedView, ViewOwner

pytestmark = pytest.mark.pages

FORM = "application/x-www-form-urlencoded"
URGENT = "view=today&priority=urgent"
COLD = "is=ready&is=assigned&view=all&flag=refrigerated"


@pytest.fixture
def clock():
    return SteppingClock(datetime(2026, 4, 20, 14, tzinfo=UTC))


@pytest.fixture
async def running(harness, clock):
    async with harness("[plugins.json_api]\n", clock) as opened:
        yield opened


@pytest.fixture
async def owner(running, clock):
    browser = SessionBrowser(running, clock)
    await browser.become_owner()
    clock.step(30)
    return browser


async def send(browser, path, **fields):
    return await browser.post(path, urlencode(fields).encode(), Content_Type=FORM)


async def save(browser, name, query=URGENT):
    return await send(browser, "/dashboard/views/new", name=name, query=query)


async def tabs(browser, query=""):
    """Return the tabs of Packages and their addresses, and which of them is shown."""
    page = (await browser.get(f"/dashboard/packages?{query}")).text
    nav = re.search(r'<nav class="tabs".*?</nav>', page, re.DOTALL)[0]
    found = {}
    shown = []
    for href, rest, words in re.findall(r'<a href="([^"]+)"([^>]*)>(.*?)</a>', nav, re.DOTALL):
        name = re.sub(r"<b>.*?</b>|<[^>]+>", "", words).strip()
        found[name] = href.replace("&amp;", "&")
        shown += [name] if "aria-current" in rest else []
    return found, shown


async def test_a_narrowed_list_is_saved_as_a_tab_renamed_and_deleted(running, owner):
    plain, _ = await tabs(owner)
    narrowed, _ = await tabs(owner, URGENT)
    asked = await owner.get(narrowed["Save this view"].removeprefix("http://localhost"))
    await save(owner, " Rush ")
    saved, shown = await tabs(owner, URGENT)
    change = saved["Change this view"]
    await send(owner, change, name="In a hurry")
    renamed, _ = await tabs(owner)
    deleted = await send(owner, f"{change}/delete")
    gone, _ = await tabs(owner, URGENT)

    assert "Save this view" not in plain
    assert Page(asked.text).texts("h2", id="dialog-h") == ["Save this view"]
    assert (saved["Rush"], shown) == (f"/dashboard/packages?{URGENT}", ["Rush"])
    assert ("Rush" in renamed, renamed["In a hurry"]) == (False, saved["Rush"])
    assert deleted.status_code == 303
    assert "In a hurry" not in gone
    async with running.gateway.database.read() as connection:
        assert (await connection.execute(select(func.count(saved_views.c.id)))).scalar() == 0


async def test_a_view_keeps_only_what_the_list_knows_and_its_name_is_sealed(running, owner):
    await save(owner, "Cold", f"{COLD}&before=pkg_1&x=Maria&view=nonsense&priority=now")
    found, _ = await tabs(owner)
    async with running.gateway.database.read() as connection:
        [row] = (await connection.execute(select(saved_views))).all()

    assert found["Cold"] == "/dashboard/packages?is=ready&is=assigned&view=today&flag=refrigerated"
    assert b"Cold" not in bytes(row.data)


async def test_a_view_of_an_address_with_nul_characters_opens(owner):
    await save(owner, "Odd", "driver=D%001%00&source=%00&before=%00&priority=urgent")
    found, _ = await tabs(owner)
    opened = await owner.get(found["Odd"])

    assert found["Odd"] == "/dashboard/packages?view=today&priority=urgent&driver=D1"
    assert opened.status_code == 200


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_a_list_leaves_out_a_day_that_no_one_can_mean(owner, day):
    for view in ("today", "all"):
        shown = await owner.get(f"/dashboard/packages?view={view}&day={day}")
        assert shown.status_code == 200
        assert 'type="date" id="f-day-i" name="day" value=""' in shown.text


async def test_a_list_of_an_unknown_source_opens_whatever_it_is_called(owner):
    shown = await owner.get("/dashboard/packages?source=50%25+%25(a)s")

    assert shown.status_code == 200
    assert '<option value="50% %(a)s" selected>50% %(a)s</option>' in shown.text


async def test_names_are_short_and_each_is_taken_once_and_there_are_twelve(owner):
    refused = [(await save(owner, name)).status_code for name in ("", " ", "n" * 41, "two\nlines")]
    await save(owner, "Rush")
    again = await save(owner, "rush", COLD)
    for number in range(2, MOST_VIEWS + 1):
        await save(owner, f"View {number}")
    over = await save(owner, "One more")
    found, _ = await tabs(owner)

    assert refused == [400, 400, 400, 400]
    assert (again.status_code, over.status_code) == (400, 409)
    assert "You have a view of this name" in again.text
    assert 'value="rush"' in again.text  # what was typed stays
    assert "delete one first" in over.text
    assert f"View {MOST_VIEWS}" in found
    assert "One more" not in found


async def test_a_view_with_values_that_the_list_no_longer_knows_can_be_changed(running, owner):
    await save(owner, "Rush")
    store = running.gateway.saved_views
    async with running.gateway.database.begin() as connection:
        [row] = (await connection.execute(select(saved_views))).all()
        mine = ViewOwner(row.account_id, row.person_id, "packages")
        old = SavedView(row.id, "Old", f"{URGENT}&day=1999-01-01&of=nothing")
        assert await store.change(connection, mine, old)

    found, shown = await tabs(owner, old.query)

    assert shown == ["Old"]
    assert found["Change this view"].endswith(row.id)


async def test_a_view_is_its_persons_and_its_accounts_alone_and_goes_with_them(running, owner):
    await save(owner, "Rush")
    found, _ = await tabs(owner, URGENT)
    unknown = await owner.get("/dashboard/views/view_404")
    store, gateway = running.gateway.saved_views, running.gateway
    async with gateway.database.begin() as connection:
        [row] = (await connection.execute(select(saved_views))).all()
        mine = ViewOwner(row.account_id, row.person_id, "packages")
        others = (
            mine._replace(account_id="other"),
            mine._replace(person_id="per_2"),
            mine._replace(page="deliveries"),
        )
        view = SavedView(row.id, "Taken", COLD)
        seen = [await store.of(connection, each) for each in others]
        changed = [await store.change(connection, each, view) for each in others]
        removed = [await store.remove(connection, each, row.id) for each in others]
        await store.add(connection, others[0], view._replace(id="view_2"), gateway.clock.now())
        people = gateway.identity.parts.people
        await people.remove_membership(connection, mine.account_id, mine.person_id)
        left = [await store.of(connection, each) for each in (mine, others[0])]

    assert "Rush" in found
    assert (seen, changed, removed) == ([[]] * 3, [False] * 3, [False] * 3)
    assert [len(each) for each in left] == [0, 1]
    assert unknown.status_code == 404
