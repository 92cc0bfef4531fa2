"""The pages Review and Queue, without a browser: the same services and rules as the API."""

import re

import pytest
from pictures import body, photo
from sqlalchemy import text

from gateway.plugin import Panel, hookimpl
from gateway.testing import SteppingClock

pytestmark = pytest.mark.pages

TOML = """
[limits]
reads_per_minute = 1000000
people_reads_per_minute = 1000000
updates_requests_per_minute = 1000000
[[sites]]
code = "lakeside"
name = "Lakeside"
timezone = "America/Toronto"
country = "CA"
[plugins.rx_queue]
"""
DINS = ["02230713", "02295288", "02310899"]


@pytest.fixture
def clock():
    return SteppingClock()


@pytest.fixture
async def gateway(harness, clock):
    async with harness(TOML, clock) as running:
        yield running


@pytest.fixture
async def browser(gateway):
    return await gateway.sign_in("pharmacist", name="Amara Okafor")


@pytest.fixture
async def unclear(submit, rx):
    """A prescription whose product the sender could not decide, and whose directions are unsure."""
    sent = rx(
        medication__din=None,
        medication__din_candidates=DINS,
        confidence={"medication.sig": 0.62},
    )
    return await submit(sent)


@pytest.fixture
def audited(gateway):
    """Return the access log's entries of an action: kind, fields, purpose."""

    async def entries(action):
        async with gateway.gateway.database.read() as connection:
            query = "SELECT kind, fields, purpose FROM audit WHERE action = :action ORDER BY 1"
            return [tuple(row) for row in await connection.execute(text(query), {"action": action})]

    return entries


def version_in(page):
    return re.search(r'name="version" value="(\d+)"', page.text)[1]


async def test_what_waits_is_listed_masked_with_its_reasons_and_opens_masked(
    browser, unclear, audited
):
    listed = await browser.get("/dashboard/review")
    opened = await browser.get(f"/dashboard/review/{unclear}")

    for page in (listed, opened):
        assert page.status_code == 200, page.text
        assert "Ana S" in page.text
        assert "Silva" not in page.text
        assert "FAX-2231-1" not in page.text
        assert "1950" not in page.text
        assert "DIN unclear, directions" in page.text
    assert "Take it" in opened.text
    assert 'class="badge" data-s="warn">1<span class="vh"> waiting for review' in opened.text
    assert await audited("rx.viewed") == [("reveal", "rx", "care")]
    assert await audited("rx.listed_masked") == [("list", "", "care")]


async def test_the_patient_is_revealed_on_asking_and_stands_in_no_address_and_no_log(
    browser, unclear, audited, caplog
):
    caplog.set_level("DEBUG")
    await browser.post(f"/dashboard/review/{unclear}/claim")
    asked = await browser.post(f"/dashboard/review/{unclear}/reveal", {})
    assert asked.status_code == 303
    place = asked.headers["location"]
    assert "Silva" not in place
    shown = await browser.get(place)

    assert "Silva" in shown.text
    assert "FAX-2231-1" in shown.text
    assert await audited("rx.viewed") == [("reveal", "identity,rx", "care")]
    addresses = re.findall(r'(?:href|action|formaction|src)="([^"]*)"', shown.text)
    for word in ("Silva", "P-1204", "FAX-2231", "1234567897"):
        assert not [each for each in addresses if word in each]
        assert word not in caplog.text


async def approve(browser, queue_id, **fields):
    page = await browser.get(f"/dashboard/review/{queue_id}")
    sent = {"version": version_in(page), "note": "", **fields}
    return await browser.post(f"/dashboard/review/{queue_id}/approve", sent)


async def test_an_approval_needs_every_answer_and_then_goes_on_to_the_next(
    browser, unclear, submit, rx, job, lease
):
    second = await submit(rx(external_id="FAX-2", medication__quantity=None))
    await browser.post(f"/dashboard/review/{unclear}/claim")

    half = await approve(browser, unclear, **{"f.medication.din": DINS[1]})
    done = await approve(
        browser, unclear, **{"f.medication.din": DINS[1], "seen": "medication.sig", "note": "rung"}
    )

    assert half.status_code == 400
    assert "Answer every question first." in half.text
    assert "Are the directions right?" in half.text
    assert f'value="{DINS[1]}" checked' in half.text
    assert done.status_code == 303
    assert done.headers["location"].endswith(f"/dashboard/review/{second}")
    assert (await job(second))["claimed_by"].endswith("/Amara Okafor")
    found = await job(unclear)
    [correction] = found["corrections"]
    assert (found["status"], correction["note"]) == ("queued", "rung")
    [leased] = [each for each in await lease() if each["queueId"] == unclear]
    assert leased["prescription"]["medication"]["din"] == DINS[1]
    over = await browser.get(f"/dashboard/review/{unclear}")
    assert "in review any more" in over.text
    late = await browser.post(f"/dashboard/review/{unclear}/reject", {"reason": "late"})
    assert late.status_code == 409
    assert "It was decided or taken out meanwhile." in late.text


async def test_what_no_reviewer_can_wave_through_has_to_be_corrected(browser, submit, rx):
    queue_id = await submit(rx(medication__quantity=None))
    await browser.post(f"/dashboard/review/{queue_id}/claim")
    refused = await approve(browser, queue_id, seen="medication.quantity")
    wrong = await approve(browser, queue_id, **{"f.medication.quantity": "ninety"})
    right = await approve(browser, queue_id, **{"f.medication.quantity": "30,0"})

    assert (refused.status_code, wrong.status_code, right.status_code) == (400, 400, 303)
    assert "be written without this" in refused.text
    assert "must be a number, as in 30 or 2.5" in wrong.text
    assert 'value="ninety"' in wrong.text


async def test_a_correction_that_raises_a_question_asks_it(browser, submit, rx):
    queue_id = await submit(rx(confidence={"medication.sig": 0.1}))
    await browser.post(f"/dashboard/review/{queue_id}/claim")
    fields = {"f.medication.sig": "1 tab daily for 10 days"}

    asked = await approve(browser, queue_id, **fields)
    accepted = await approve(browser, queue_id, **fields, confirm="days_supply_implausible")

    assert asked.status_code == 409
    assert "Your corrections raise new questions" in asked.text
    assert "The directions name another number of days." in asked.text
    assert 'name="confirm" value="days_supply_implausible"' in asked.text
    assert accepted.status_code == 303


async def test_two_people_never_hold_one(gateway, browser, unclear):
    sam = await gateway.sign_in("pharmacist", name="Sam Lee")
    await browser.post("/dashboard/review/next")

    seen = await sam.get(f"/dashboard/review/{unclear}")
    taken = await sam.post(f"/dashboard/review/{unclear}/claim")
    tried = await approve(sam, unclear, **{"f.medication.din": DINS[0], "seen": "medication.sig"})
    nothing = await sam.post("/dashboard/review/next")

    assert "Amara Okafor has it until" in seen.text
    assert "Approve and write" not in seen.text
    assert (taken.status_code, tried.status_code) == (409, 409)
    assert nothing.headers["location"].endswith("/dashboard/review")


async def test_a_draft_returns_after_a_release_to_oneself_and_can_be_undone(
    gateway, browser, unclear
):
    await browser.post(f"/dashboard/review/{unclear}/claim")
    page = await browser.get(f"/dashboard/review/{unclear}")
    fields = {"version": version_in(page), "f.medication.sig": "1 tab hs", "note": "ring Dr. Lee"}
    kept = await browser.post(
        f"/dashboard/review/{unclear}/draft", fields, {"X-Gateway-Region": "claim"}
    )
    await browser.post(f"/dashboard/review/{unclear}/release")
    await browser.post(f"/dashboard/review/{unclear}/claim")
    again = await browser.get(f"/dashboard/review/{unclear}")
    sam = await gateway.sign_in("pharmacist", name="Sam Lee")
    other = await sam.get(f"/dashboard/review/{unclear}")

    assert kept.status_code == 204
    assert "1 tab hs" in again.text
    assert "ring Dr. Lee" in again.text
    assert "1 of 2 answered" in again.text
    assert "1 tab hs" not in other.text
    await browser.post(f"/dashboard/review/{unclear}/draft", {**fields, "undo": "medication.sig"})
    undone = await browser.get(f"/dashboard/review/{unclear}")
    assert "1 tab hs" not in undone.text


async def test_the_page_of_the_fax_is_shown_to_who_took_it_and_each_showing_is_logged(
    gateway, key, browser, unclear, audited
):
    sent, headers = body(photo("PNG"), name="page-1.png")
    answer = await gateway.request("POST", f"/api/rx/{unclear}/files", key, sent, headers)
    path = f"/dashboard/review/{unclear}/files/{answer.json()['file_id']}"

    before = await browser.get(f"/dashboard/review/{unclear}")
    await browser.post(f"/dashboard/review/{unclear}/claim")
    mine = await browser.get(f"/dashboard/review/{unclear}?look=2.90")
    opened = await browser.get(path)
    elsewhere = await browser.get(path.replace(unclear, "rxq_nope"))

    assert path not in before.text
    assert "1 page. It is shown once you take it." in before.text
    assert path in mine.text
    assert 'class="sheet z2 r90"' in mine.text
    assert opened.headers["content-type"] == "image/png"
    assert opened.headers["content-disposition"] == "inline"
    assert elsewhere.status_code == 404
    assert len(await audited("file.viewed")) == 1


async def test_a_rejection_needs_a_reason_and_goes_on(browser, unclear, job):
    await browser.post(f"/dashboard/review/{unclear}/claim")
    empty = await browser.post(f"/dashboard/review/{unclear}/reject", {"reason": " "})
    done = await browser.post(f"/dashboard/review/{unclear}/reject", {"reason": "not ours"})

    assert empty.status_code == 400
    assert done.headers["location"].endswith("/dashboard/review")
    assert (await job(unclear))["status"] == "rejected"
    decided = await browser.get("/dashboard/review?view=decided")
    assert f"/dashboard/queue/{unclear}" in decided.text


async def test_the_queue_shows_states_agents_and_has_a_failed_one_tried_again(
    gateway, browser, submit, rx, lease, report
):
    queue_id = await submit(rx())
    [leased] = await lease()
    writing = await browser.get("/dashboard/queue?state=writing")
    await report(leased, "failed", reason="patient_file_locked")
    failed = await browser.get("/dashboard/queue?state=failed")
    one = await browser.get(f"/dashboard/queue/{queue_id}")
    again = await browser.post(f"/dashboard/queue/{queue_id}/retry")

    owner = await gateway.sign_in()
    recalled = await owner.get("/dashboard/events/types/rx.recalled")
    assert "with state <code>writing</code> it may be written nevertheless" in recalled.text
    history = one.text[one.text.index('id="history"') :]
    assert (">test<" in history, "key_" in history) == (True, False), "the key by its name"
    lakeside = await gateway.sign_in("pharmacist", sites=["lakeside"])
    assert "Asks for work" in (await lakeside.get("/dashboard/queue")).text
    assert queue_id in writing.text
    assert "Asks for work" in writing.text
    assert queue_id in failed.text
    assert "patient_file_locked" in one.text
    assert "Silva" not in one.text
    assert again.status_code == 303
    assert [each["queueId"] for each in await lease()] == [queue_id]


async def test_a_manager_takes_a_prescription_out_and_a_pharmacist_may_not(
    gateway, browser, submit, rx, job
):
    queue_id = await submit(rx())
    manager = await gateway.sign_in("manager")
    refused = await browser.post(f"/dashboard/queue/{queue_id}/take-out", {"reason": "wrong"})
    asked = await manager.get(f"/dashboard/queue/{queue_id}/take-out")
    done = await manager.post(f"/dashboard/queue/{queue_id}/take-out", {"reason": "wrong"})

    assert refused.status_code == 403
    assert "leaves the queue" in asked.text
    assert done.status_code == 303
    found = await job(queue_id)
    assert (found["status"], found["recalled_at"] is not None) == ("rejected", True)


async def test_pages_of_another_site_or_role_are_refused(gateway, unclear, submit, rx):
    driver = await gateway.sign_in("dispatcher")
    integrator = await gateway.sign_in("integrator")
    for path in ("review", "queue", f"review/{unclear}", f"queue/{unclear}"):
        assert (await driver.get(f"/dashboard/{path}")).status_code == 403
        assert (await integrator.get(f"/dashboard/{path}")).status_code == 403


async def test_today_says_in_the_reader_s_language_how_many_wait(gateway, clock, unclear):
    clock.step(31 * 60)
    marie = await gateway.sign_in("pharmacist", language="fr")
    today = await marie.get("/dashboard")
    assert "ordonnance attend d" in today.text
    assert 'href="/dashboard/review"' in today.text
    assert "Les réviser" in today.text


async def test_the_desk_speaks_the_reader_s_language(gateway, unclear):
    words = {"fr": "La posologie est-elle exacte?", "es": "¿Son correctas las indicaciones?"}
    for language, question in words.items():
        reader = await gateway.sign_in("owner", language=language)
        await reader.post(f"/dashboard/review/{unclear}/claim")
        page = (await reader.get(f"/dashboard/review/{unclear}")).text
        await reader.post(f"/dashboard/review/{unclear}/release")
        assert question in page
        for english in ("Directions", "Approve", "Filled before", "Held up", "The sender"):
            assert english not in page


class Beside:
    """A plugin that adds to the page of a prescription."""

    def __init__(self):
        self.asked = []

    @hookimpl
    def panels(self, place):
        panel = Panel(name="stock", permission="rx.read", handler=self.show)
        return [panel] if place == "prescription" else []

    async def show(self, request, subject):
        self.asked.append((request.person.name, subject))


async def test_the_page_of_a_prescription_takes_panels_of_plugins(harness, clock, rx):
    beside = Beside()
    made = harness(TOML, clock)
    made.gateway.hooks.register(beside, "beside")
    async with made as gateway:
        key = await gateway.issue_key()
        queue_id = (await gateway.post("/api/rx", key, rx())).json()["queueId"]
        reader = await gateway.sign_in("manager", name="Mo")
        assert (await reader.get(f"/dashboard/queue/{queue_id}")).status_code == 200
    assert beside.asked == [("Mo", queue_id)]


@pytest.mark.slow
async def test_the_pages_are_the_same_on_either_database(harness, database_url, clock, rx):
    database = f'[database]\nurl = "{database_url}"\n'
    async with harness(TOML + database, clock) as gateway:
        key = await gateway.issue_key()
        sent = rx(medication__din=None, medication__din_candidates=DINS)
        queue_id = (await gateway.post("/api/rx", key, sent)).json()["queueId"]
        await gateway.post("/api/rx/lease", key, {})
        browser = await gateway.sign_in("pharmacist")
        await browser.post("/dashboard/review/next")
        for note in ("rung", "rung twice"):
            page = await browser.get(f"/dashboard/review/{queue_id}")
            fields = {"version": version_in(page), "note": note}
            await browser.post(f"/dashboard/review/{queue_id}/draft", fields)
        kept = await browser.get(f"/dashboard/review/{queue_id}")
        fields = {**fields, "f.medication.din": DINS[1]}
        done = await browser.post(f"/dashboard/review/{queue_id}/approve", fields)
        decided = await browser.get("/dashboard/review?view=decided")
        listed = await browser.get("/dashboard/queue?state=queued")

    assert "rung twice" in kept.text
    assert done.headers["location"].endswith("/dashboard/review")
    assert queue_id in decided.text
    assert "Asks for work" in listed.text
