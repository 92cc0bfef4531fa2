"""Journey 2 of a pharmacist: drop spreadsheets, correct what was understood, import, take back."""

import csv
from io import StringIO

import pytest
from plugins.csv.files import SEED, workbook
from waiting import PATIENCE_SECONDS

from gateway.plugin import PackageFilter

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

IMPORT = "/dashboard/import?site=lakeside"
# Two columns may be the patient's name; the second is the prescriber's.
CLAIMED_TWICE = (
    "Name,Address,Name\nAna Reed,5 Elm St,Dr. Lee\nBo Fox,6 Elm St,Dr. Poe\n"
    "Cy Olm,7 Elm St,Dr. Hu\n"
)
# A report's own block stands above the table.
BLOCK_ABOVE = (
    "Name:,Hill Drugs,Address:,1 Main St,Phone:,978-555-0100\n\n"
    "Patient Name,Rx #,Address\nAna Reed,7001,5 Elm St\nBo Fox,7002,6 Elm St\n"
)
# Canada writes dates both ways, and these don't say which.
DATES = (
    "Patient Name,Address,Delivery Date\nAna Reed,5 Elm St,03/04/2026\nBo Fox,6 Elm St,05/04/2026\n"
)
ENDED = (
    "Patient Name,Address,Status\nAna Reed,5 Elm St,Delivered\nBo Fox,6 Elm St,Cancelled\n"
    "Cy Olm,7 Elm St,\n"
)
LACKING = (
    "Patient Name,Address,Rx Number,Co-pay\nAna Reed,5 Elm St,7001,12.50\nBo Fox,,7002,free\n"
    "Cy Olm,7 Elm St,7003,\nDi Poe,,7004,4.00\n"
)


def file(name, content):
    sent = content if isinstance(content, bytes) else content.encode()
    return {"name": name, "mimeType": "text/csv", "buffer": sent}


async def drop(page, name, content):
    """Choose a file in the zone: with a script it is sent at once, and its page comes."""
    before = page.url
    await page.locator(".drop input[type=file]").first.set_input_files(file(name, content))
    await page.wait_for_url(lambda url: "/import/imp_" in url and url != before)


async def press(page, name):
    await page.get_by_role("button", name=name).click()


async def seen(page, words):
    await page.get_by_text(words).first.wait_for(timeout=PATIENCE_SECONDS * 1000)


async def packages(running):
    async with running.gateway.database.read() as connection:
        found = await running.gateway.packages.page(
            connection, running.caller(), PackageFilter(100)
        )
    return {each.order.patient_name: each for each in found}


async def test_the_seeds_file_and_five_others_are_corrected_imported_and_taken_back(
    sign_in_as, running, tmp_path
):
    visit = await sign_in_as("owner")
    page = await visit.open(IMPORT)
    await visit.shot("import-empty")

    await the_seed_needs_nothing(visit, page)
    assert set(await packages(running)) == {"Maria Rodriguez", "Alex Kim"}
    await columns_and_dates_are_chosen(visit, page)
    await rows_are_mended_in_place(visit, page)
    assert (await packages(running))["Di Poe"].order.patient_address == "9 Oak St"

    # The rejected row comes as a file that says what is wrong with it.
    async with page.expect_download() as coming:
        await page.get_by_role("link", name="Download these rows").click()
    await (await coming.value).save_as(tmp_path / "rejected.csv")
    saved = (tmp_path / "rejected.csv").read_text("utf-8-sig")
    header, row = csv.reader(saved.splitlines())
    assert (row[0], header[-1]) == ("Bo Fox", "import_error")

    # The whole import is taken back; the packages of the others stay.
    await press(page, "Cancel 3 packages…")
    await page.locator("dialog[open]").get_by_role("button", name="Cancel 3 packages").click()
    await seen(page, "3 packages of this import were cancelled")
    statuses = {name: each.status for name, each in (await packages(running)).items()}
    assert [statuses[each] for each in ("Ana Reed", "Cy Olm", "Di Poe")] == ["cancelled"] * 3
    assert [statuses[each] for each in ("Maria Rodriguez", "Alex Kim")] == ["created"] * 2

    # The list has them all.
    await page.goto(visit.home + IMPORT)
    listed = await page.locator("#list tbody th a").all_inner_texts()
    newest = ["lacking.csv", "ended.xlsx", "dates.csv", "report.csv", "two-names.csv", "seed.csv"]
    assert listed == newest
    assert await visit.axe() == []
    await visit.shot("import-list")


async def the_seed_needs_nothing(visit, page):
    await drop(page, "seed.csv", SEED)
    await seen(page, "Import 2 good rows")
    assert await page.get_by_text("Maria").count() == 0
    assert await visit.axe() == []
    await press(page, "Import 2 good rows")
    await seen(page, "2 packages were made")
    await page.get_by_role("link", name="Another file").click()


async def columns_and_dates_are_chosen(visit, page):
    # A column that is claimed twice is asked about.
    await drop(page, "two-names.csv", CLAIMED_TWICE)
    await seen(page, "Two columns may be patient name, and they differ.")
    await visit.shot("import-question", full=True)
    assert await page.get_by_role("button", name="good rows").count() == 0
    await page.get_by_label("Column A, Name (column A), becomes").select_option("patient_name")
    await page.get_by_label("Column C, Name (column C), becomes").select_option("ignore")
    await press(page, "Check again")
    await seen(page, "Import 3 good rows")

    # A block above the table is passed over.
    await drop(page, "report.csv", BLOCK_ABOVE)
    await seen(page, "names in row 3")
    await seen(page, "Import 2 good rows")

    # Dates that nothing decides are decided by the person.
    await drop(page, "dates.csv", DATES)
    await seen(page, "2 rows with problems")
    await page.get_by_text("How the file is read").click()
    await page.get_by_label("Dates such as 03/04/2026").select_option("day-first")
    await press(page, "Check again")
    await seen(page, "Import 2 good rows")

    # What is delivered or cancelled is skipped, and said.
    await drop(page, "ended.xlsx", workbook(*csv.reader(StringIO(ENDED))))
    await seen(page, "delivered, cancelled or hidden")
    await seen(page, "Import 1 good row")


async def rows_are_mended_in_place(visit, page):
    """Two rows need a repair; one is mended, and the other stays out."""
    await drop(page, "lacking.csv", LACKING)
    await seen(page, "2 rows with problems")
    await press(page, "Reveal samples")
    await seen(page, "Ana Reed")
    await visit.shot("import-revealed", full=True)
    await page.get_by_label("Row 5, Address").fill("9 Oak St")
    await page.locator("form:has([name=row-5]) button").click()
    await seen(page, "1 row with problems")
    await visit.shot("import-check", full=True)
    await press(page, "Import 3 good rows")
    await seen(page, "3 packages were made")
    await visit.shot("import-done", full=True)
    assert await visit.axe() == []


@pytest.mark.parametrize(
    ("width", "dark", "language"), [(390, True, "fr"), (768, False, "en"), (320, False, "fr")]
)
async def test_a_check_fits_narrow_windows_dark_and_french(sign_in_as, width, dark, language):
    visit = await sign_in_as("owner", width=width, dark=dark, language=language)
    page = await visit.open(IMPORT)
    await drop(page, "lacking.csv", LACKING)
    await page.locator("#columns").wait_for()
    await page.locator(".mend summary").first.click()

    await visit.shot(f"import-{width}-{language}{'-dark' if dark else ''}", full=True)
    assert await visit.overflow() <= 0
    assert await visit.axe() == []


async def test_without_script_a_file_is_sent_corrected_and_imported(sign_in_as):
    visit = await sign_in_as("owner", script=False)
    page = await visit.open(IMPORT)
    await page.locator("input[type=file]").set_input_files(file("names.csv", CLAIMED_TWICE))
    await press(page, "Check this file")
    await page.get_by_label("Column A, Name (column A), becomes").select_option("patient_name")
    await page.get_by_label("Column C, Name (column C), becomes").select_option("ignore")
    await press(page, "Check again")
    await press(page, "Import 3 good rows")
    while await page.locator("progress").count():
        await page.get_by_role("link", name="Look again").click()

    await seen(page, "Take it back")


async def test_the_keyboard_alone_corrects_and_imports(sign_in_as):
    visit = await sign_in_as("owner")
    page = await visit.open(IMPORT)
    await page.get_by_text("Paste a table, or say who the file is from").focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.insert_text("Patient Name\tAddress\tPriorty\nEva Low\t8 Elm St\turgent\n")
    for _ in range(9):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.textContent.includes('Check this file')"):
            break
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/import/imp_*")
    await page.get_by_role("button", name="Yes, priority").focus()
    await page.keyboard.press("Enter")
    await seen(page, "You chose it")
    await page.get_by_role("button", name="Import 1 good row").focus()
    await page.keyboard.press("Enter")
    await seen(page, "1 package was made")
