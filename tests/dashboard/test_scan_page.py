"""A label photographed on a phone becomes an order; a person compares it, whatever the score."""

import pytest
import pytest_asyncio
from dashboard.visiting import TOML, opened_gateway
from gateway_labels.label_reader import new_sandbox
from plugins.labels.conftest import reads_labels  # noqa: F401 - a fixture
from plugins.labels.made_labels import made
from plugins.labels.printed import BAG
from plugins.labels.reader import FakeReader, photo
from waiting import PATIENCE_SECONDS

from gateway.plugin import PackageFilter

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.usefixtures("reads_labels"),
]

SCAN = "/dashboard/scan?site=lakeside"


class EitherReader(FakeReader):
    """Reads as the product does, or finds what a test says (``lines``)."""

    def __init__(self):
        super().__init__()
        self.real = new_sandbox(300)
        self.is_real = True

    def read(self, file):
        return self.real.read(file) if self.is_real else super().read(file)

    def close(self):
        self.real.close()


@pytest.fixture(scope="module")
def reader():
    return EitherReader()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory, reader):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway_labels.work.new_sandbox", lambda _seconds: reader)
        async with opened_gateway(tmp_path_factory.mktemp("gateway"), TOML) as gateway:
            yield gateway


async def choose(page, content, which="photo"):
    """Take a photo with the camera, or drop a picture; the label's page comes once it was read."""
    zone = page.locator(f'[data-drop="{which}"] input[type=file]')
    file = {"name": "IMG_0412.jpg", "mimeType": "image/jpeg", "buffer": content}
    await zone.set_input_files(file)
    await page.wait_for_url("**/scan/scn_*")
    await page.locator("[data-compare]").wait_for(timeout=PATIENCE_SECONDS * 1000)


async def seen(page, words):
    await page.get_by_text(words).first.wait_for(timeout=PATIENCE_SECONDS * 1000)


async def packages(running):
    async with running.gateway.database.read() as connection:
        found = await running.gateway.packages.page(
            connection, running.caller(), PackageFilter(100)
        )
    return {each.order.patient_name: each.order for each in found}


async def test_a_label_photographed_on_a_phone_becomes_an_order(sign_in_as, running, reader):
    reader.is_real = True
    label = made(4, 1)
    visit = await sign_in_as("pharmacist", width=390, height=844, touch=True)
    page = await visit.open(SCAN)
    await visit.shot("scan-phone-start", full=True)
    assert await page.locator("input[capture=environment]").count() == 1
    assert (await visit.axe(), await visit.overflow() <= 0) == ([], True)

    await choose(page, label.jpeg())
    await visit.shot("scan-phone", full=True)
    assert await page.locator("#f-rx_number").input_value() == label.printed["rx_number"]
    assert await page.locator("svg image").count() == 1
    assert (await visit.axe(), await visit.overflow() <= 0) == ([], True)
    assert await packages(running) == {}

    for name in ("Name", "Address", "Rx number"):
        await page.get_by_label(f"{name} compared").check()
    await page.get_by_role("button", name="Create the order").click()
    await seen(page, "The label is an order now.")

    [order] = (await packages(running)).values()
    assert order.patient_name.casefold() == label.printed["patient_name"].casefold()
    assert order.rx_number == label.printed["rx_number"]


async def test_a_wrong_name_at_high_confidence_is_still_a_persons_to_confirm(
    sign_in_as, running, reader
):
    reader.is_real, reader.lines = False, BAG
    visit = await sign_in_as("pharmacist")
    page = await visit.open(SCAN)
    await choose(page, photo(), "")
    await visit.shot("scan-label", full=True)
    name = page.locator("#f-patient_name")
    assert await name.input_value() == "MARIA RODRIGUEZ"
    assert await page.locator(".one:has(#f-patient_name)").get_by_text("Two places agree").count()

    await page.get_by_role("button", name="Create the order").click()
    assert await page.locator("[data-compare]").count() == 1
    assert "MARIA RODRIGUEZ" not in await packages(running)

    # The keyboard alone: the name is corrected, Enter goes on to what was not compared yet.
    await name.fill("Maria Rodríguez-Peña")
    await name.press("Enter")
    for field in ("patient_address", "rx_number"):
        assert await page.evaluate("document.activeElement.name") == field
        await page.keyboard.press("Enter")
    await seen(page, "The label is an order now.")

    made_now = await packages(running)
    assert made_now["Maria Rodríguez-Peña"].rx_number == "8872341"
    assert "MARIA RODRIGUEZ" not in made_now


@pytest.mark.parametrize(
    ("language", "width", "dark"), [("fr", 390, True), ("es", 320, False), ("fr", 1440, False)]
)
async def test_a_label_fits_narrow_windows_in_french_and_spanish(
    sign_in_as, reader, language, width, dark
):
    reader.is_real, reader.lines = False, BAG[:-2]
    visit = await sign_in_as("pharmacist", width=width, language=language, dark=dark)
    page = await visit.open(SCAN)
    await choose(page, photo(), "")

    await visit.shot(f"scan-label-{width}-{language}{'-dark' if dark else ''}", full=True)
    assert await visit.overflow() <= 0
    assert await visit.axe() == []


async def test_without_script_a_label_is_sent_compared_and_ordered(sign_in_as, running, reader):
    reader.is_real, reader.lines = False, BAG
    visit = await sign_in_as("pharmacist", script=False)
    page = await visit.open(SCAN)
    picture = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": photo()}
    await page.locator("input[type=file]:not([capture])").set_input_files(picture)
    await page.get_by_role("button", name="Read this picture").click()
    while await page.locator("progress").count():
        await page.get_by_role("link", name="Look again").click()
    await page.get_by_label("Name", exact=True).fill("Bo Fox")
    for name in ("Name", "Address", "Rx number"):
        await page.get_by_label(f"{name} compared").check()
    await page.get_by_role("button", name="Create the order").click()

    await seen(page, "The label is an order now.")
    assert "Bo Fox" in await packages(running)
