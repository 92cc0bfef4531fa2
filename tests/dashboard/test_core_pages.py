"""Today, Packages, Package and Events as a browser without script gets them."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from core.auth.door import COMMAND_LINE
from core.gateways import update
from html_page import Page
from pictures import photo
from session_browser import SessionBrowser
from sqlalchemy import select
from sqlalchemy import update as changed

from gateway.clock import SteppingClock, to_epoch_ms
from gateway.storage.schema import audit, packages

pytestmark = pytest.mark.pages

FORM = "application/x-www-form-urlencoded"
TOML = """
[plugins.json_api]
[[sites]]
code = "main"
name = "Lakeside"
timezone = "America/Toronto"
country = "CA"
"""
ORDER = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St, Toronto",
    "patient_phone": "+14165550123",
    "notes": "key under the mat",
    "rx_number": "RX-8872341",
    "copay_amount": 12.5,
}
HIDDEN = ("Rodriguez", "123 Main", "4165550123", "under the mat", "8872341")


@pytest.fixture
def clock():
    return SteppingClock(datetime(2026, 4, 20, 14, tzinfo=UTC))


@pytest.fixture
async def running(harness, clock):
    async with harness(TOML, clock) as opened:
        opened.key, opened.clock = await opened.issue_key(), clock
        yield opened


@pytest.fixture
async def owner(running, clock):
    browser = SessionBrowser(running, clock)
    await browser.become_owner()
    clock.step(30)
    return browser


async def invited(running, clock, role):
    browser = SessionBrowser(running, clock)
    people = running.gateway.identity.people
    _, token = await people.invite(COMMAND_LINE, f"{role}@x.example", role, None)
    await browser.accept(f"#{token}", name="Dana Kowalski")
    clock.step(30)
    return browser


async def ordered(running, **more):
    running.clock.step(1)  # ids of one moment have no order
    answer = await running.post("/api/webhook/orders", running.key, {"orders": [ORDER | more]})
    return answer.json()["package_ids"][0]


async def report(running, package_id, event, **more):
    await running.gateway.tracking.apply(running.caller(), update(package_id, event, **more))


async def send(browser, path, *pairs, **fields):
    sent = urlencode([*pairs, *fields.items()]).encode()
    return await browser.post(path, sent, Content_Type=FORM)


async def trail(running):
    await running.gateway.audit.drained()
    async with running.gateway.database.read() as connection:
        rows = await connection.execute(
            select(audit.c.action, audit.c.kind, audit.c.purpose, audit.c.fields)
            .where(audit.c.via == "page")
            .order_by(audit.c.sequence)
        )
        return [tuple(row) for row in rows]


def shown(answer):
    """Return the text of a page's main part, without spaces that don't show."""
    assert answer.status_code == 200, answer.text
    return " ".join(Page(answer.text).texts("main", id="main")[0].split())


async def test_today_says_what_needs_a_person_and_how_the_day_goes(running, owner):
    ready, failed, done = [await ordered(running, rx_number=f"RX-10000{n}") for n in (1, 2, 3)]
    await report(running, ready, "package.ready")
    await report(running, failed, "delivery.failed", failure_reason="refused")
    await report(running, done, "delivery.completed")
    answer = await owner.get("/dashboard")
    text = shown(answer)

    assert "Monday 20 April" in text
    assert "1 package failed, came back or broke a rule" in text
    assert "3 · 1 delivered, 33%" in text
    assert "failed at the door" in text
    assert "A usual Monday" not in text
    assert "Failed: refused, Rx ••••" in text
    assert all(each not in answer.text for each in HIDDEN)
    assert 'href="/dashboard/packages?view=person"' in answer.text
    bars = Page(answer.text).texts("svg", class_="chart")
    assert any("10: 1" in each for each in bars)  # ten o'clock at the site


async def test_behind_todays_bars_is_what_three_such_weekdays_brought(running, clock):
    now = running.gateway.clock.now()
    for weeks in (1, 2, 3):
        package_id = await ordered(running, rx_number=f"RX-10000{weeks}")
        await report(running, package_id, "delivery.completed")
        at = to_epoch_ms(now - timedelta(weeks=weeks))
        async with running.gateway.database.begin() as connection:
            old = changed(packages).where(packages.c.id == package_id)
            await connection.execute(old.values(status_at_ms=at))
    owner = SessionBrowser(running, clock)
    await owner.become_owner()
    answer = await owner.get("/dashboard")

    assert "TodayA usual Monday" in shown(answer)
    assert "clock, usually 1" in answer.text
    assert answer.text.count('class="soft"') == 1


async def test_each_view_has_its_packages_masked_and_filters_stay_in_the_address(running, owner):
    made = [await ordered(running, rx_number=f"RX-10000{n}") for n in range(5)]
    await report(running, made[0], "delivery.failed", failure_reason="refused")
    await report(running, made[1], "delivery.assigned", driver_id="Marc")
    await report(running, made[2], "delivery.attempted", failure_reason="no_answer")
    await report(running, made[3], "delivery.completed")
    listed = {}
    for view in ("today", "person", "out", "attempted", "failed", "noproof", "all"):
        answer = await owner.get(f"/dashboard/packages?view={view}")
        listed[view] = re.findall(r'data-id="(pkg_\w+)"', answer.text)
        assert all(each not in answer.text for each in HIDDEN)
    assert "Rx ending in 0004" in shown(answer)
    narrowed = await owner.get("/dashboard/packages?view=all&is=failed&is=delivered")
    unknown = await owner.get("/dashboard/packages?view=x&is=x&day=x&flag=x&priority=x")

    assert listed["today"] == listed["all"] == made[::-1]
    assert listed["person"] == listed["failed"] == [made[0]]
    assert (listed["out"], listed["attempted"]) == ([made[1]], [made[2]])
    assert listed["noproof"] == [made[3]]
    assert re.findall(r'data-id="(pkg_\w+)"', narrowed.text) == [made[3], made[0]]
    assert "Status 2 of 9" in shown(narrowed)
    assert unknown.status_code == 200


async def test_a_search_opens_the_one_package_and_no_address_holds_what_was_typed(running, owner):
    package_id = await ordered(running)
    other = await ordered(running, rx_number="RX-77", external_order_id="SO-1")
    answers, places = [], []
    for typed in ("rx-8872341", "(416) 555-0123", "SO-1", "RX-887"):
        sent = await send(owner, "/dashboard/search", q=typed)
        place = sent.headers["location"]
        assert typed not in place
        places.append(place.partition("=")[0])
        answers.append(await owner.get(place))
    both = re.findall(r'data-id="(pkg_\w+)"', answers[1].text)
    searches = [each for each in await trail(running) if each[1] == "search"]

    found = "/dashboard/packages?found"
    package = f"/dashboard/packages/{package_id}"
    assert places == [package, found, f"/dashboard/packages/{other}", found]
    assert (len(both), answers[2].status_code) == (2, 200)
    assert "No package has exactly this number" in shown(answers[3])
    assert len(searches) == 6  # what wasn't found: as three kinds


async def test_a_row_is_revealed_alone_logged_once_and_folded(running, owner):
    package_id, other = await ordered(running), await ordered(running, patient_name="Ana Silva")
    path = "/dashboard/packages/reveal?view=all"
    whole = await send(owner, path, id=package_id)
    again = await send(owner, path, id=package_id)
    part = await owner.post(
        path,
        urlencode({"id": package_id}).encode(),
        Content_Type=FORM,
        X_Gateway_Region=f"row_{package_id}",
    )
    reveals = [each for each in await trail(running) if each[1] == "reveal"]

    assert "Maria Rodriguez" in shown(whole)
    assert "Seen 10:00" in shown(whole)
    assert "Ana Silva" not in whole.text
    assert re.findall(r'data-id="(pkg_\w+)"', part.text) == [package_id]
    assert (again.status_code, other in whole.text) == (200, True)
    assert reveals == [("package.revealed", "reveal", "care", "contact,identity,rx")]


async def test_many_are_previewed_applied_and_those_that_failed_are_named(running, owner):
    first, second = await ordered(running), await ordered(running, rx_number="RX-5550001")
    await report(running, second, "delivery.completed")
    ids = [("id", first), ("id", second)]
    preview = await send(owner, "/dashboard/packages/bulk", *ids, action="assign")
    none = await send(owner, "/dashboard/packages/bulk/apply", *ids, action="assign")
    done = await send(
        owner, "/dashboard/packages/bulk/apply", *ids, action="assign", driver_id="Marc"
    )
    empty = await send(owner, "/dashboard/packages/bulk", action="ready")
    async with running.gateway.database.read() as connection:
        package = await running.gateway.packages.get(connection, running.caller(), first)

    assert "1 package will change, 1 can" in shown(preview)
    assert none.status_code == 400
    assert "1 package changed; 1 stayed as it was" in shown(done)
    assert "Rx ending in 0001" in shown(done)
    assert (package.status, package.driver_id) == ("assigned", "Marc")
    assert empty.status_code == 400
    assert all(each not in preview.text + done.text for each in HIDDEN)


async def test_the_manifest_names_stops_and_no_rx_and_is_logged_as_a_print(running, clock):
    dispatcher = await invited(running, clock, "dispatcher")
    package_id = await ordered(running)
    answer = await send(dispatcher, "/dashboard/packages/manifest", id=package_id)
    text = shown(answer)

    assert "Maria Rodriguez" in text
    assert "123 Main St, Toronto" in text
    assert "2341" not in answer.text
    assert ("manifest.printed", "print", "delivery", "contact,identity,money") in await trail(
        running
    )


async def test_a_package_opens_masked_and_a_dispatcher_reveals_the_address_and_no_rx(
    running, clock
):
    dispatcher = await invited(running, clock, "dispatcher")
    package_id = await ordered(running)
    path = f"/dashboard/packages/{package_id}"
    opened = await dispatcher.get(path)
    revealed = await send(dispatcher, f"{path}/reveal", purpose="delivery")
    nonsense = await send(dispatcher, f"{path}/reveal", purpose="curiosity")
    rows = await trail(running)

    assert all(each not in opened.text for each in HIDDEN)
    assert "Maria R" in shown(opened)
    assert "Who saw this" not in opened.text  # not the dispatcher's to see
    assert "123 Main St, Toronto" in shown(revealed)
    assert "key under the mat" in shown(revealed)
    assert "8872341" not in revealed.text
    assert nonsense.status_code == 400
    assert [each for each in rows if each[1] in {"view", "reveal"}] == [
        ("package.viewed", "view", "operations", ""),
        ("package.revealed", "reveal", "delivery", "contact,identity"),
    ]


async def test_steps_are_reported_as_the_state_machine_allows(running, owner):
    package_id = await ordered(running)
    path = f"/dashboard/packages/{package_id}"
    ready = await send(owner, f"{path}/step", event="package.ready")
    page = await owner.get(path)
    wrong = await send(owner, f"{path}/step", event="package.ready")
    asks = await send(owner, f"{path}/step", event="delivery.completed")
    form = await owner.get(f"{path}/report?event=delivery.attempted")
    unknown = await owner.get(f"{path}/report?event=package.ready")
    attempted = {"event": "delivery.attempted", "notes": "rang twice"}
    faulty = await submit(owner, f"{path}/report", **attempted)
    done = await submit(owner, f"{path}/report", failure_reason="no_answer", **attempted)
    after = await owner.get(path)

    assert ready.headers["location"] == path
    assert "Assign a driver…" in shown(page)
    assert (wrong.status_code, asks.status_code, unknown.status_code) == (409, 400, 404)
    assert form.status_code == 200
    assert faulty.status_code == 400
    assert "Choose a reason." in faulty.text
    assert "rang twice" in faulty.text
    assert done.headers["location"] == path
    assert "Attempted: no answer" in shown(after)
    assert "1 attempt" in shown(after)


async def submit(browser, path, picture=None, **fields):
    """Send a form with a picture in it as a browser does."""
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, content in (("photo", picture or b""), ("signature", b"")):
        head = f'Content-Disposition: form-data; name="{name}"; filename="a.jpg"'
        parts += [f"--x\r\n{head}\r\nContent-Type: image/jpeg\r\n\r\n".encode(), content, b"\r\n"]
    sent = b"".join([*parts, b"--x--\r\n"])
    return await browser.post(path, sent, Content_Type="multipart/form-data; boundary=x")


async def test_delivered_with_a_picture_that_only_a_click_shows(running, owner):
    package_id = await ordered(running)
    path = f"/dashboard/packages/{package_id}"
    done = await submit(
        owner,
        f"{path}/report",
        photo(),
        event="delivery.completed",
        signer_name="A. Silva",
        copay_collected="12,50",
        copay_method="card",
    )
    page = await owner.get(path)
    [picture] = set(re.findall(r'href="(/dashboard/packages/\w+/files/file_\w+)"', page.text))
    before = await trail(running)
    small = await owner.get(f"{picture}?small=1")
    shown_all = await send(owner, f"{path}/pictures")
    after = await trail(running)

    assert done.status_code == 303, done.text
    assert "Delivered" in shown(page)
    assert "$12.50, card" in shown(page)
    assert "<img" not in page.text
    assert (small.status_code, small.headers["content-type"]) == (200, "image/jpeg")
    assert small.headers["content-disposition"] == "inline"
    assert "<img" in shown_all.text
    assert not [each for each in before if each[0] == "file.viewed"]
    assert [each[:2] for each in after if each[0] == "file.viewed"] == [("file.viewed", "reveal")]


async def test_an_order_is_corrected_and_what_is_left_empty_stays(running, owner):
    package_id = await ordered(running)
    path = f"/dashboard/packages/{package_id}"
    blind = await owner.get(f"{path}/amend")
    seen = await send(owner, f"{path}/amend/reveal")
    saved = await send(
        owner,
        f"{path}/amend",
        patient_name="",
        patient_address="9 New St, Toronto",
        delivery_date="2026-04-21",
        priority="urgent",
        copay_amount="12.50",
        requires_signature="1",
    )
    faulty = await send(owner, f"{path}/amend", patient_phone="", copay_amount="much")
    async with running.gateway.database.read() as connection:
        package = await running.gateway.packages.get(connection, running.caller(), package_id)

    assert all(each not in blind.text for each in HIDDEN)
    assert 'value="Maria Rodriguez"' in seen.text
    assert saved.headers["location"] == path
    order = package.order
    assert (order.patient_name, order.patient_address) == ("Maria Rodriguez", "9 New St, Toronto")
    assert (str(order.delivery_date), order.priority, order.requires_signature) == (
        "2026-04-21",
        "urgent",
        True,
    )
    assert faulty.status_code == 400
    assert "Write an amount such as 12.50." in faulty.text


async def test_events_are_listed_masked_with_their_types_meaning(running, owner):
    package_id = await ordered(running)
    await report(running, package_id, "package.ready")
    page = await owner.get("/dashboard/events")
    one = await owner.get("/dashboard/events?type=package.ready")
    kind = await owner.get("/dashboard/events/types/delivery.completed")
    none = await owner.get("/dashboard/events/types/no.such")

    assert len(re.findall(r'data-id="evt_', page.text)) == 2
    assert len(re.findall(r'data-id="evt_', one.text)) == 1
    assert all(each not in page.text for each in HIDDEN)
    assert "The patient has the package." in shown(kind)
    assert none.status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [("", 200), ("/packages?view=all", 200), ("/packages/{id}", 404), ("/events", 200)],
)
async def test_live_packages_are_never_shown_among_test_data(running, owner, path, status):
    package_id = await ordered(running)
    answer = await owner.get(f"/dashboard/test{path.format(id=package_id)}")

    assert answer.status_code == status
    assert "Maria" not in answer.text
    assert "2341" not in answer.text


async def test_a_package_names_its_driver_and_leads_to_its_audit_and_its_history_as_json(
    running, owner
):
    package_id = await ordered(running)
    [driver] = await running.gateway.identity.people.members("default")
    await report(running, package_id, "delivery.assigned", driver_id=driver.person.id)
    path = f"/dashboard/packages/{package_id}"
    page = await owner.get(path)
    file = await owner.get(f"{path}/json")
    elsewhere = await owner.get("/dashboard/packages/pkg_404/json")
    api = await running.get(f"/api/packages/{package_id}/history", running.key)

    assert f"Assigned to {driver.person.name}" in shown(page)
    assert f'href="/dashboard/audit?subject={package_id}"' in page.text
    assert file.headers["content-type"].startswith("application/json")
    assert f"{package_id}.json" in file.headers["content-disposition"]
    assert [each["event"] for each in file.json()["steps"]] == [
        "package.created",
        "delivery.assigned",
    ]
    assert file.json().keys() == api.json().keys()
    assert all(each not in file.text for each in HIDDEN)
    assert elsewhere.status_code == 404
