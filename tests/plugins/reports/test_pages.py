"""The evening in the browser: the same services, with the rights of a person's role."""

import re
from html import unescape

import httpx
import pytest
from pictures import photo
from plugins.reports.conftest import DAY, delivered
from plugins.reports.test_signatures import PROOF

pytestmark = pytest.mark.pages

DAY_PAGE = f"/dashboard/reports?site=lakeside&day={DAY}"


async def test_a_day_is_shown_by_driver_and_closed_with_a_note(day):
    [bag] = await day.bags([{"copay_amount": 12.5}])
    await day.report([delivered(bag, driver_id="drv_7", copay_collected=10, copay_method="cash")])
    browser = await day.gateway.sign_in("pharmacist")
    fields = {"day": DAY, "site": "lakeside"}

    before = await browser.get(DAY_PAGE)
    refused = await browser.post("/dashboard/reports/close", fields)
    closed = await browser.post("/dashboard/reports/close", {**fields, "note": "owed"})
    after = await browser.get(DAY_PAGE)

    assert before.status_code == 200, before.text
    assert "drv_7" in before.text
    assert "a day of 25 hours" in before.text
    assert "Too little" in before.text
    assert refused.status_code == 400
    assert "1 packages differ: say why" in refused.text
    assert closed.status_code == 303
    assert "Closed by Amara Okafor." in after.text
    assert "owed" in after.text


async def test_a_closed_day_is_opened_again(day):
    browser = await day.gateway.sign_in("manager")
    fields = {"day": DAY, "site": "lakeside"}
    assert (await browser.post("/dashboard/reports/close", fields)).status_code == 303

    assert (await browser.post("/dashboard/reports/reopen", fields)).status_code == 303
    assert "Close this day" in (await browser.get(DAY_PAGE)).text


async def test_with_several_sites_the_page_asks_which(day):
    browser = await day.gateway.sign_in("pharmacist")

    page = await browser.get("/dashboard/reports")

    assert "Which site?" in page.text
    assert "Harbour" in page.text


async def test_a_pasted_list_becomes_a_log_and_a_file(day):
    [bag] = await day.bags([{"rx_number": "RX-1"}])
    await day.report([delivered(bag, proof=PROOF)])
    browser = await day.gateway.sign_in("pharmacist")
    numbers = {"numbers": "RX-1\nRX-2", "since": "", "until": ""}

    page = await browser.post("/dashboard/reports/signatures", numbers)
    file = await browser.post("/dashboard/reports/signatures/file", numbers)

    assert "Ana Rodriguez" in page.text
    assert "1 not found" in page.text
    assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "Ana Rodriguez" in file.text


async def test_the_log_shows_the_signature_that_is_kept_here(day):
    [bag] = await day.bags([{"rx_number": "RX-1"}])
    async with httpx.AsyncClient(timeout=120) as client:
        kept = await client.post(
            f"{day.gateway.url}/api/packages/{bag}/files",
            headers={"X-API-Key": day.key},
            files={"file": ("s.jpg", photo(size=(300, 120)), "image/jpeg")},
            data={"kind": "signature"},
        )
    assert kept.status_code == 201, kept.text
    file_id = kept.json()["file_id"]
    await day.report([delivered(bag, proof={"signature_file": file_id, "signer_name": "Ana R"})])
    browser = await day.gateway.sign_in("pharmacist")

    page = await browser.post("/dashboard/reports/signatures", {"numbers": "RX-1"})
    [source] = re.findall(r'<img class="signature" src="([^"]+)"', page.text)
    picture = await browser.get(unescape(source))

    assert picture.status_code == 200
    assert picture.headers["Content-Type"].startswith("image/")


async def test_a_manifest_shows_no_rx_number(day):
    [bag] = await day.bags([{"rx_number": "RX-8872341"}])
    await day.report([{"package_id": bag, "event": "delivery.assigned", "driver_id": "drv_1"}])
    browser = await day.gateway.sign_in("dispatcher")

    page = await browser.post("/dashboard/reports/manifest", {"driver": "drv_1"})
    file = await browser.post(
        "/dashboard/reports/manifest/file", {"driver": "", "layout": "circuit"}
    )

    assert "Maria Rodriguez" in page.text
    assert "Recipient Name" in file.text
    assert "8872341" not in page.text + file.text


async def test_returns_are_listed_with_how_late_they_are(day, clock):
    await day.bags([{"rx_number": "R1"}])
    clock.step(12 * 24 * 3600)
    browser = await day.gateway.sign_in("pharmacist")

    assert "2 days late" in (await browser.get("/dashboard/reports/returns")).text


async def test_many_returns_are_on_several_pages(day, clock):
    await day.bags([{"rx_number": "R1"}])
    clock.step(24 * 3600)
    await day.bags([{"rx_number": f"R{number}"} for number in range(2, 103)])
    clock.step(12 * 24 * 3600)
    browser = await day.gateway.sign_in("pharmacist")

    first = await browser.get("/dashboard/reports/returns")
    [further] = re.findall(r'href="([^"]*after=[^"]*)">Newer', first.text)
    second = await browser.get(unescape(further))

    rows = [re.findall(r'class="row" href="([^"]*)"', each.text) for each in (first, second)]
    assert [len(each) for each in rows] == [100, 2]
    assert not {*rows[0]} & {*rows[1]}
    assert first.text.count("3 days late") == 1
    assert ">Older</a>" in second.text
    assert ">Newer</a>" not in second.text


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        ("dispatcher", "reports?site=lakeside", 200),
        ("dispatcher", "reports/signatures", 403),
        ("integrator", "reports/manifest", 403),
        ("privacy_officer", "reports", 403),
    ],
)
async def test_a_role_sees_its_own_reports(day, role, path, status):
    browser = await day.gateway.sign_in(role)

    assert (await browser.get(f"/dashboard/{path}")).status_code == status


async def test_in_french(day):
    browser = await day.gateway.sign_in("pharmacist", language="fr")

    page = await browser.get(DAY_PAGE)

    assert "Argent perçu aux portes" in page.text
    assert "une journée de 25 heures" in page.text
