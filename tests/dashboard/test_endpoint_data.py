"""A pharmacist sends controlled prescriptions to one endpoint only, without names: no code."""

import asyncio

import pytest
from dashboard.visiting import until

from gateway.testing import Receiver

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PATIENCE_MS = 120_000
RX = {
    "site": "lakeside",
    "patient": {"first_name": "Ana", "last_name": "Silva", "dob": "1950-02-01"},
    "prescriber": {"name": "Dr. Lee", "licence_type": "CPSO", "licence_number": "54321"},
    "medication": {
        "drug_text": "hydromorphone 2 mg tab",
        "quantity": 30,
        "days_supply": 10,
        "sig": "1 tab daily",
        "written_date": "2026-11-01",
    },
}
ORDER = {"patient_name": "Ana Silva", "patient_address": "1 Lake Rd", "site": "lakeside"}


async def seen(page, text):
    await page.get_by_text(text).first.wait_for(timeout=PATIENCE_MS)


async def made(running, key, url, name):
    sent = {"url": url, "description": name, "format": "standard"}
    answer = await running.post("/api/webhooks/endpoints", key, sent)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_controlled_prescriptions_go_to_one_endpoint_only_without_names(running, sign_in_as):
    key = await running.issue_key()
    async with Receiver() as receiver:
        vault = await made(running, key, f"{receiver.url}/vault", "Narcotics vault")
        rest = await made(running, key, f"{receiver.url}/rest", "Courier dispatch")
        answer = await running.post("/api/rx", key, RX)
        assert answer.status_code == 202, answer.text
        before = len(await receiver.wait_for(4))  # both hear of both steps
        visit = await sign_in_as("owner")
        page = await visit.open(f"/dashboard/endpoints/{vault}")
        await page.locator("#learns").get_by_role("link", name="Choose").click()

        # Two buttons choose it, and the preview beside shows it on the prescription that came in.
        await page.get_by_role("button", name="Controlled prescriptions only").click()
        await page.get_by_label("Value 2").wait_for(timeout=PATIENCE_MS)
        on_its_way = asyncio.Event()

        async def slowly(route):
            await on_its_way.wait()
            await route.continue_()

        await page.route("**/data/preview", slowly)
        await page.get_by_role("button", name="Ids, times and states only").click()
        # What is checked while the answer is on its way stays checked.
        await page.get_by_text("To this endpoint only").click()
        on_its_way.set()
        await until(
            page,
            "document.querySelector('[name=learn][value=some]').checked && "
            "!document.getElementById('preview-body').textContent.includes('Silva')",
        )
        shown = await page.locator("#preview-body").inner_text()
        assert "Silva" not in shown
        assert "Ana" not in shown
        await seen(page, "It would be sent, like this")
        assert await page.locator("[name=exclusive]").is_checked()
        assert await visit.axe() == []
        assert await visit.overflow() == 0
        await visit.shot("endpoint-data")
        await page.get_by_role("button", name="Save").click()
        await seen(page, "Only events that fit:")
        await seen(page, "controlled is yes")
        await seen(page, "No other endpoint gets them.")
        assert await visit.axe() == []
        await visit.shot("endpoint-after", full=True)

        # The other endpoint's own page says why it won't get the one that came in.
        await page.goto(f"{visit.home}/dashboard/endpoints/{rest}/data")
        await seen(page, "Not sent: it goes to Narcotics vault only")

        # From now on the receiver sees it at one address only, and no name in it.
        second = await running.post("/api/rx", key, RX | {"source_ref": "second"})
        assert second.status_code == 202, second.text
        await receiver.wait_for(before + 2)
        placed = await running.post("/api/webhook/orders", key, {"orders": [ORDER]})
        assert placed.status_code == 200, placed.text
        received = (await receiver.wait_for(before + 3))[before:]

    told = [(each.path, each.json()) for each in received]
    controlled = [(path, sent) for path, sent in told if sent["type"].startswith("rx.")]
    assert {path for path, _ in controlled} == {"/vault"}
    assert all(sent["data"]["queue_id"] == second.json()["queueId"] for _, sent in controlled)
    assert b"Silva" not in b"".join(each.body for each in received if each.path == "/vault")
    assert [path for path, sent in told if sent["type"] == "package.created"] == ["/rest"]


@pytest.mark.parametrize("language", ["fr", "es"])
async def test_it_is_read_on_a_phone_in_the_dark_and_without_a_script(
    running, sign_in_as, language
):
    key = await running.issue_key()
    endpoint = await made(running, key, "http://127.0.0.1:9/x", "Portal")
    await running.post("/api/webhook/orders", key, {"orders": [ORDER]})
    visit = await sign_in_as(
        "owner", width=390, touch=True, dark=True, language=language, script=False
    )
    page = await visit.open(f"/dashboard/endpoints/{endpoint}/data")
    button = {"fr": "Sans noms ni adresses", "es": "Sin nombres ni direcciones"}[language]
    await page.get_by_role("button", name=button).click()
    await page.locator("#preview-body").wait_for(timeout=PATIENCE_MS)
    assert await page.locator("input[name=learn][value=some]").is_checked()
    assert await visit.overflow() == 0
    await visit.shot(f"endpoint-data-{language}", full=True)


async def test_every_state_passes_axe_on_a_phone(running, sign_in_as):
    key = await running.issue_key()
    sent = {"url": "http://127.0.0.1:9/x", "format": "standard", "signature": "v1a"}
    answer = await running.post("/api/webhooks/endpoints", key, sent)
    endpoint = answer.json()["id"]
    await running.post(f"/api/webhooks/endpoints/{endpoint}/rotate", key, {})
    # As high as the page is: else the bottom bar covers half of a row, wherever it stands.
    visit = await sign_in_as("owner", width=390, height=4500, touch=True, dark=True)
    for path in ("", "/data", "/rotate"):
        await visit.open(f"/dashboard/endpoints/{endpoint}{path}")
        assert await visit.axe() == [], path
        assert await visit.overflow() == 0, path
        await visit.shot(f"endpoint-phone{path.replace('/', '-')}", full=True)
    await visit.page.goto(f"{visit.home}/dashboard/endpoints/{endpoint}/data")
    await visit.page.locator("select[name=field]").first.select_option("priority")
    await visit.page.get_by_role("button", name="Preview", exact=True).click()
    await seen(visit.page, "a condition has no value")
    assert await visit.axe() == []
    await visit.shot("endpoint-phone-fault", full=True)
