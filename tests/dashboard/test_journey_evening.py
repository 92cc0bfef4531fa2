"""The evening in a browser: the day closed, the log printed, returns, who saw a patient.

One pharmacist, one dispatcher and the privacy officer, each in a browser of their own.
"""

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pypdfium2
import pytest
import zxingcpp
from PIL import Image

from gateway.clock import to_epoch_ms
from gateway.storage.schema import packages

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

REASON = "The driver asks what was delivered: the patient is unconscious."
PROOF = {
    "signature_url": "https://sign.example/1.png",
    "signer_name": "Ana Rodriguez",
    "signer_relationship": "daughter",
}
COPAYS = ("12.50", "7.05", "3.33", "0.99")
POINTS_PER_MM = 72 / 25.4


async def ordered(running, count, **more):
    """Hand orders in; returns the packages' ids and the key."""
    key = await running.issue_key()
    orders = [
        {
            "patient_name": f"Maria Rodriguez {number}",
            "patient_address": "123 Main St, Toronto, ON M5H 2M9",
            "patient_phone": "+14165550123",
            "rx_number": f"RX-88723{number}",
            "copay_amount": float(COPAYS[number]),
            "site": "lakeside",
            **more,
        }
        for number in range(count)
    ]
    answer = await running.post("/api/webhook/orders", key, {"orders": orders})
    return answer.json()["package_ids"], key


async def report(running, key, updates):
    answer = await running.post("/api/delivery-events", key, {"events": updates})
    assert answer.json()["accepted"] == len(updates), answer.text


async def printed(page):
    """Return the pages of the print-out: width and height in millimetres, and the text."""
    document = pypdfium2.PdfDocument(await page.pdf(prefer_css_page_size=True))
    sheets = [
        (*(round(side / POINTS_PER_MM) for side in each.get_size()), text_of(each))
        for each in document
    ]
    document.close()
    return sheets


def text_of(sheet):
    return " ".join(sheet.get_textpage().get_text_range().split())


async def test_the_day_is_closed_to_the_cent_and_the_signature_log_is_printed(running, sign_in_as):
    ids, key = await ordered(running, 4)
    await report(
        running,
        key,
        [
            {
                "package_id": package_id,
                "event": "delivery.completed",
                "driver_id": "drv_7",
                "copay_collected": float(paid),
                "copay_method": "cash",
                "proof": PROOF,
            }
            for package_id, paid in zip(ids, ("12.50", "7.05", "3.30", "0.99"), strict=True)
        ],
    )
    pharmacist = await sign_in_as("pharmacist")

    page = await pharmacist.open("/dashboard/reports?site=lakeside")
    sums = await page.locator(".sums b").all_inner_texts()
    [day] = await printed(page)
    await page.get_by_role("button", name="Close this day").click()
    await page.get_by_text("1 packages differ: say why").first.wait_for()
    await page.get_by_label("Note").fill("0.03 of a pack of three: rounded")
    await page.get_by_role("button", name="Close this day").click()
    await page.get_by_text("Closed by Amara Okafor.").wait_for()
    await page.get_by_role("link", name="Signature log").click()
    await page.get_by_label("Paste the list").fill("RX-887230\nRX-887233\nRX-1")
    await page.get_by_role("button", name="Make the log").click()
    await page.locator("#log").wait_for()
    assert await pharmacist.axe() == []
    log = await printed(page)

    assert sums == ["4", "$23.87", "$23.84", "1"]
    assert sum(map(Decimal, COPAYS)) == Decimal("23.87")
    assert "$23.84" in day[2]
    assert "Close the day" not in day[2]
    assert [wide > high for wide, high, _ in log] == [True]
    [(_, _, text)] = log
    for said in ("RX-887230", "Ana Rodriguez", "Kept elsewhere", "Not found", "Digest of the file"):
        assert said in text


async def test_a_return_that_is_due_is_called_back_and_leaves_the_list(running, sign_in_as):
    [package_id], key = await ordered(running, 1)
    picked_up = {"package_id": package_id, "event": "delivery.picked_up", "driver_id": "drv_7"}
    await report(running, key, [picked_up])
    async with running.gateway.database.begin() as connection:
        long_ago = to_epoch_ms(datetime.now(UTC) - timedelta(days=12))
        await connection.execute(
            packages.update().where(packages.c.id == package_id).values(created_at_ms=long_ago)
        )
    dispatcher = await sign_in_as("dispatcher")
    page = await dispatcher.open("/dashboard/reports/returns?site=lakeside")
    await page.get_by_text("2 days late").wait_for()
    assert await dispatcher.axe() == []
    await page.get_by_role("link", name=f"…{package_id[-6:]}").click()
    await page.get_by_role("button", name="More actions").click()
    await page.get_by_role("button", name="Send back").click()
    await page.get_by_text("Now: Coming back").wait_for()
    await report(running, key, [{"package_id": package_id, "event": "delivery.returned"}])
    await page.goto(dispatcher.home + "/dashboard/reports/returns?site=lakeside")

    assert await page.get_by_text("Nothing goes back now").count() == 1


async def test_the_privacy_officer_prints_who_saw_a_patient_and_reviews_the_emergency(
    running, sign_in_as
):
    [package_id], _ = await ordered(running, 1, rx_number="RX-5551234")
    dispatcher = await sign_in_as("dispatcher")
    page = await dispatcher.open(f"/dashboard/packages/{package_id}")
    await page.get_by_role("link", name="Open in an emergency…").click()
    await page.get_by_label("Reason").fill(REASON)
    await page.get_by_role("button", name="Open it for 30 minutes").click()
    await page.get_by_text("Opened in an emergency:").wait_for()
    await page.get_by_role("button", name="Reveal").click()
    await page.get_by_role("button", name="Care", exact=True).click()
    await page.get_by_text("RX-5551234").wait_for()
    await page.goto(dispatcher.home + "/dashboard/me")
    banner = await page.get_by_text("a record is shown to you in full until").count()

    officer = await sign_in_as("privacy_officer")
    page = await officer.open("/dashboard/patient-reports")
    await page.get_by_label("Rx number").fill("RX-5551234")
    await page.get_by_role("button", name="Make the report").click()
    await page.locator("#report").wait_for()
    [(_, _, letter)] = await printed(page)
    await page.goto(officer.home + "/dashboard/audit")
    waiting = await page.locator("#waiting").inner_text()
    await page.locator("#waiting").get_by_role("button", name="Reviewed").click()
    await page.get_by_text("Reviewed: it is off the list").wait_for()

    assert banner == 1
    assert "Emergency" in letter
    assert "Amara Okafor" in letter
    assert "Which patient?" not in letter
    assert REASON in waiting
    assert await page.locator("#waiting").count() == 0


@pytest.mark.parametrize(("size", "paper"), [("4x6", (102, 152)), ("62mm", (62, 100))])
async def test_a_label_fills_one_sheet_and_its_code_is_read_by_a_scanner(
    running, sign_in_as, size, paper
):
    ids, _ = await ordered(running, 2, requires_signature=True)
    dispatcher = await sign_in_as("dispatcher")
    page = await dispatcher.open("/dashboard/packages?view=all")
    for each in ids:
        await page.locator(f'input[type=checkbox][value="{each}"]').check()
    await page.locator("#bulkbar").get_by_role("button", name="Bag labels").click()
    await page.locator(".bag-labels").wait_for()
    if size != "4x6":
        await page.get_by_role("button", name="For a roll of 62 mm").click()
        await page.locator(f".bag-labels[data-size='{size}']").wait_for()

    document = pypdfium2.PdfDocument(await page.pdf(prefer_css_page_size=True))
    sheets = [each.render(scale=3).to_pil() for each in document]
    texts = [text_of(each) for each in document]
    sizes = [tuple(round(side / POINTS_PER_MM) for side in each.get_size()) for each in document]
    document.close()

    assert sizes == [paper, paper]
    assert [code_on(each) for each in sheets] == ids
    for text in texts:
        assert "Maria Rodriguez" in text
        assert "88723" not in text
    assert code_on(Image.open(io.BytesIO(await page.screenshot(full_page=True)))) in ids


def code_on(image):
    return zxingcpp.read_barcodes(image.convert("L"))[0].text
