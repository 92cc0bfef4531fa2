"""Journeys of reviewers: from an unclear fax to the webhook, two at a time, thirty by keyboard."""

import re
from datetime import date, timedelta

import pytest
from dashboard.prescriptions import (
    DINS,
    fax_page,
    load_catalog,
    prescription,
    submit,
    written,
)
from dashboard.visiting import WIDTHS
from waiting import PATIENCE_SECONDS, until

from gateway.testing import Receiver

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PATIENCE_MS = PATIENCE_SECONDS * 1000
CERTAIN = {"din_candidates": None, "din": DINS[1]}


async def seen(page, words):
    await page.get_by_text(words).first.wait_for(timeout=PATIENCE_MS)


def today():
    return prescription()["medication"]["written_date"]


def long_ago():
    return (date.fromisoformat(today()) - timedelta(days=200)).isoformat()


async def first_of(receiver):
    return receiver.received[0].json() if receiver.received else None


async def looked_at_the_fax(page):
    """The page of the fax is beside it, larger and turned on a key."""
    picture = page.get_by_role("img", name="Page 1 of the fax")
    await picture.wait_for()
    assert await picture.evaluate("async (each) => (await each.decode(), each.naturalWidth)")
    await page.keyboard.press("+")
    await page.keyboard.press("r")
    assert await page.locator(".sheet").get_attribute("class") == "sheet z15 r90"
    await page.keyboard.press("-")
    await page.keyboard.press("r")
    assert await page.locator(".cand .tag").inner_text() != ""  # filled before


async def test_an_unclear_prescription_is_decided_beside_its_fax_and_a_webhook_says_so(
    running, sign_in_as
):
    key = await running.issue_key()
    await load_catalog(running)
    async with Receiver() as receiver:
        await running.post(
            "/api/webhooks/endpoints",
            key,
            {"url": f"{receiver.url}/hook", "events": ["rx.resolved"]},
        )
        # Given a patient who was given one of the products before, and an unclear fax.
        short = {"quantity": 1, "days_supply": 1, "written_date": long_ago()}
        before = {**prescription(7, **CERTAIN, **short), "confidence": {}, "external_id": "before"}
        await submit(running, key, before)
        await written(running, key)
        fresh = prescription(7, written_date=None, sig="1 tab daily")
        queue_id = await submit(running, key, fresh)
        await fax_page(running, key, queue_id)
        second = await sign_in_as("pharmacist")
        other = await second.open("/dashboard/review")
        await seen(other, "prescription waits for you")

        # When one takes it, the other sees so by themselves.
        visit = await sign_in_as("manager")
        page = await visit.open("/dashboard/review")
        await page.keyboard.press("n")
        await page.wait_for_url(re.compile(queue_id))
        await other.locator(f"[data-id={queue_id}] .tag").wait_for(timeout=PATIENCE_MS)
        assert await second.axe() == []
        await other.locator(f"[data-id={queue_id}] a").click()
        await seen(other, "has it until")
        assert await other.get_by_role("button", name="Approve and write").count() == 0

        await looked_at_the_fax(page)

        # It is answered by keys; what is typed is kept, and is there when the page is opened again.
        await page.keyboard.press("2")
        assert await page.locator(f"input[value='{DINS[1]}']").is_checked()
        await page.locator("#f-medication-sig").fill("1 tab at bedtime")
        await page.locator("#f-medication-written_date").fill(today())
        await seen(page, "3 of 3 answered")
        await page.locator("[data-saved]", has_text="Kept").wait_for(timeout=PATIENCE_MS)
        assert await visit.axe() == []
        await visit.shot("review-answered")
        await page.reload()
        assert await page.locator("#f-medication-sig").input_value() == "1 tab at bedtime"
        assert await page.locator("[data-row='medication.sig'] .was").inner_text() == "1 tab daily"

        # Ctrl+Enter approves it; the agent writes it; the receiver hears of it.
        await page.keyboard.press("Control+Enter")
        await seen(page, "Nothing waits for review")
        await seen(other, "in review any more")
        assert await second.axe() == []
        [leased] = await written(running, key)
        assert leased["queueId"] == queue_id
        drug = leased["prescription"]["medication"]
        assert (drug["din"], drug["sig"]) == (DINS[1], "1 tab at bedtime")
        heard = await until(lambda: first_of(receiver))
        assert heard["event"] == "rx.resolved"
        assert heard["data"]["queue_id"] == queue_id
        assert heard["data"]["din"] == DINS[1]


async def test_thirty_prescriptions_in_a_row_by_keyboard_alone(running, sign_in_as):
    key = await running.issue_key()
    waiting = [prescription(100 + number) for number in range(30)]
    for each in waiting:
        each["confidence"] = {}
    answer = await running.post("/api/rx", key, {"prescriptions": waiting})
    assert answer.json()["created"] == 30
    visit = await sign_in_as("pharmacist")
    page = await visit.open("/dashboard/review")
    await page.keyboard.press("n")
    await page.wait_for_url(re.compile("/review/rxq_"))

    for number in range(30):
        here = page.url
        await page.locator("#bar [data-approve]").wait_for()
        await page.keyboard.press("2")
        await page.keyboard.press("Control+Enter")
        await page.wait_for_url(lambda url, here=here: url != here)
        assert ("/review/rxq_" in page.url) == (number < 29)

    await seen(page, "Nothing waits for review")
    done = []
    while jobs := await written(running, key):
        done += jobs
    assert len(done) == 30
    assert {each["prescription"]["medication"]["din"] for each in done} == {DINS[1]}


async def test_the_desk_and_a_prescription_fit_every_screen_and_work_without_a_script(
    running, sign_in_as
):
    key = await running.issue_key()
    queue_id = await submit(running, key, prescription(300, quantity=None, notes="after meals"))
    await fax_page(running, key, queue_id)
    phone = await sign_in_as(
        "pharmacist", width=390, height=6000, touch=True, dark=True, language="fr"
    )
    page = await phone.open(f"/dashboard/review/{queue_id}")
    await page.get_by_role("button", name="La prendre").click()
    await seen(page, "À vous jusqu")
    assert await page.locator(".bottom a[href$='/review']").count() == 1
    assert await phone.axe() == []
    await phone.shot("review-fr-dark-390")
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 6000})
        assert await phone.overflow() == 0, width
    for path in (f"queue/{queue_id}", f"review/{queue_id}/reject", "queue?state=excepted"):
        await page.set_viewport_size({"width": 320, "height": 6000})
        await phone.open(f"/dashboard/{path}")
        assert await phone.axe() == [], path
        assert await phone.overflow() == 0, path
    await phone.open(f"/dashboard/review/{queue_id}")
    await page.get_by_role("button", name="Libérer").click()
    await seen(page, "Libérée")

    plain = await sign_in_as("manager", script=False)
    page = await plain.open(f"/dashboard/review/{queue_id}")
    await page.get_by_role("button", name="Take it").click()
    await page.locator("#f-medication-quantity").fill("90")
    await page.get_by_role("button", name="Larger").click()
    assert await page.locator(".sheet").get_attribute("class") == "sheet z15 r0"
    assert await page.locator("#f-medication-quantity").input_value() == "90"
    await page.get_by_role("button", name="Reveal the patient").first.click()
    await seen(page, "Ana Silva")
    assert "Silva" not in page.url
    await page.locator(f"input[value='{DINS[0]}']").check()
    for box in await page.get_by_label("It is right as it is").all():
        await box.check()
    await page.get_by_role("button", name="Approve and write").click()
    await seen(page, "Approved. It goes to the writer.")
