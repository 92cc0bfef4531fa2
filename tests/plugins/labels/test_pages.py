"""The pages Scan, as a browser without script gets them."""

import html
import re

import pytest
from pictures import body
from plugins.labels.conftest import TOML
from plugins.labels.printed import BAG, code
from plugins.labels.reader import FakeReader, photo
from waiting import until

pytestmark = [pytest.mark.pages, pytest.mark.usefixtures("reads_labels")]

SCAN = "/dashboard/scan"
SEEN = ["patient_name", "patient_address", "rx_number"]
TYPED = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "1250 NW 7th Ave Apt 4, Miami, FL 33136",
    "patient_phone": "(305) 555-0123",
    "rx_number": "8872341",
    "filled_on": "2026-11-03",
    "copay_amount": "12,50",
    "notes": "Ring twice",
}


@pytest.fixture
def reader(monkeypatch):
    fake = FakeReader()
    monkeypatch.setattr("gateway_labels.work.new_sandbox", lambda _seconds: fake)
    return fake


@pytest.fixture
async def running(harness, reader):
    async with harness(TOML) as opened:
        yield opened


@pytest.fixture
async def person(running):
    return await running.sign_in("pharmacist")


async def taken(person, path=SCAN):
    """Send a photo as the form does; returns the address of its page, once it was read."""
    sent, headers = body(photo(), name="label.jpg")
    answer = await person.post(path, sent, headers)
    assert answer.status_code == 303, answer.text
    page = answer.headers["location"]
    while "data-waits" in (await person.get(page)).text:
        pass
    return page


def words(page):
    """Return what a reader sees of a page."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page)))


async def packages(running):
    key = await running.issue_key()
    return (await running.get("/api/packages", key)).json()["packages"]


async def test_a_photo_is_compared_and_becomes_an_order(running, person, reader):
    reader.codes = [code("88723410412")]
    path = await taken(person)
    shown = (await person.get(path)).text
    before = await packages(running)
    answer = await person.post(f"{path}/confirm", {**TYPED, "seen": SEEN})
    front = (await person.get(answer.headers["location"])).text
    [package] = await packages(running)

    assert 'value="MARIA RODRIGUEZ"' in shown
    assert shown.count('data-box="') == 6
    assert "Two places agree" in words(shown)
    assert before == []
    assert answer.status_code == 303
    assert f"/dashboard/packages/{package['id']}" in front
    assert (package["source"], package["copay_amount"], package["notes"]) == (
        "label",
        12.5,
        "Ring twice",
    )
    assert package["prescriptions"][0]["filled_on"] == "2026-11-03"


async def test_no_order_is_made_before_each_field_was_compared(running, person):
    path = await taken(person)
    for left_out in SEEN:
        seen = [each for each in SEEN if each != left_out]
        answer = await person.post(f"{path}/confirm", {**TYPED, "seen": seen})
        page = answer.text

        assert answer.status_code == 400
        assert "Compare each of these with the label first." in words(page)
        assert "compare it with the label" in words(page)
        assert 'value="Maria Rodriguez"' in page
    assert await packages(running) == []


async def test_an_order_that_is_refused_keeps_what_was_typed(running, person):
    path = await taken(person)
    typed = {**TYPED, "copay_amount": "99999", "seen": SEEN}
    answer = await person.post(f"{path}/confirm", typed)

    assert answer.status_code == 400
    assert 'value="99999"' in answer.text
    assert await packages(running) == []


async def test_what_is_doubtful_shows_its_alternatives(person, reader):
    reader.lines = [*BAG[:-2], *BAG[-1:]]
    reader.codes = [code("88723470412")]
    path = await taken(person)
    page = words((await person.get(path)).text)

    assert "Also read: 8872341" in page
    assert "Doubtful" in page


async def test_the_picture_comes_for_the_page_alone(person):
    path = await taken(person)
    answer = await person.get(f"{path}/picture")

    assert answer.headers["content-type"] == "image/jpeg"
    assert "no-store" in answer.headers["cache-control"]
    assert answer.content[:2] == b"\xff\xd8"


async def test_a_refused_label_leaves_the_list(person):
    path = await taken(person)
    listed = (await person.get(SCAN)).text
    answer = await person.post(f"{path}/refuse", {})
    after = (await person.get(SCAN)).text
    page = words((await person.get(path)).text)

    assert path.rpartition("/")[2] in listed
    assert answer.status_code == 303
    assert path.rpartition("/")[2] not in after
    assert "refused; nothing was ordered" in page


async def test_a_bar_code_is_tried_without_standing_in_an_address(person):
    fits = await person.post(f"{SCAN}/code", {"code": "88723410412", "pattern": ""})
    none = await person.post(f"{SCAN}/code", {"code": "88", "pattern": "{rx:7}{store:4}"})
    wrong = await person.post(f"{SCAN}/code", {"code": "88", "pattern": "{store:4}"})

    assert "{rx:7}{store:4}: rx 8872341 store 0412" in words(fits.text)
    assert "No pattern fits this code." in words(none.text)
    assert (wrong.status_code, "The pattern can't be used." in words(wrong.text)) == (400, True)


async def test_the_navigation_counts_the_drafts_of_those_who_may_scan(running, person):
    await taken(person)

    async def counted():  # a badge is kept for two seconds
        return "Scan1 labels to confirm" in words((await person.get("/dashboard")).text)

    await until(counted)
    driver = await running.sign_in("dispatcher", name="Dee Lin")
    refused = await driver.get(SCAN)

    assert refused.status_code == 403
    assert SCAN not in (await driver.get("/dashboard")).text


async def test_without_the_libraries_the_page_says_what_to_install(person, monkeypatch):
    from gateway_labels.label_reader import need_extra

    monkeypatch.setattr(
        "gateway_labels.pages.need_extra", lambda: need_extra(lambda _module: False)
    )
    page = words((await person.get(SCAN)).text)

    assert 'pip install "rx-gateway[labels]"' in page
    assert "Take a photo" not in page


async def test_the_pages_are_french_and_spanish(running):
    for language, said in (("fr", "Deux endroits concordent"), ("es", "Dos lugares coinciden")):
        person = await running.sign_in("pharmacist", language=language)
        path = await taken(person)
        assert said in words((await person.get(path)).text)
