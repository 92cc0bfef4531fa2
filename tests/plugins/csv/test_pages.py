"""The Import page, as a browser without script gets it."""

import asyncio
import html
import re

import pytest
from plugins.csv.files import PLUGINS, SEED, multipart
from sqlalchemy import text
from waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.pages

IMPORT = "/dashboard/import"
BROKEN = SEED + ",9 Nowhere Lane,,,,,,\n"
TWO_NAMES = "Name,Address,Name\nAna Reed,1 Elm St,Dr. Lee\nBo Fox,2 Elm St,Dr. Poe\n"


@pytest.fixture
async def running(harness):
    async with harness(PLUGINS) as opened:
        yield opened


@pytest.fixture
async def owner(running):
    return await running.sign_in()


async def upload(browser, file, path=IMPORT, **fields):
    """Upload a file as the form does; returns the address of its page."""
    body, headers = multipart(file, **fields)
    answer = await browser.post(path, body, headers)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def send(browser, path, **fields):
    return await browser.post(path, fields)


async def shown(browser, path):
    answer = await browser.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


async def ended(browser, path):
    """Return the page of an import once nothing is at work on it."""
    while "data-progress" in (page := await shown(browser, path)):
        pass
    return page


def words(page):
    """Return what a reader sees of a page."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page)))


async def test_a_file_is_checked_shown_with_shapes_and_imported(owner):
    path = await upload(owner, BROKEN)
    checked = await shown(owner, path)
    started = await send(owner, f"{path}/start")
    done = await ended(owner, path)

    assert "Maria" not in checked
    assert "Xxxxx Xxxxxxxxx" in checked
    assert "Import 2 good rows" in words(checked)
    assert "1 row with problems" in words(checked)
    assert started.status_code == 303
    assert "2 packages were made" in words(done)
    assert "1 row was left out" in words(done)


async def test_samples_are_revealed_on_the_page_and_the_look_is_audited(running, owner):
    path = await upload(owner, BROKEN)
    answer = await send(owner, f"{path}/reveal")
    async with running.gateway.database.read() as connection:
        audited = await connection.execute(
            text("SELECT kind, via FROM audit WHERE action = 'import.revealed'")
        )

    assert answer.status_code == 200
    assert "Maria Rodriguez" in answer.text
    assert "9 Nowhere Lane" in answer.text
    assert audited.all() == [("reveal", "page")]


async def test_a_question_is_answered_by_choosing_columns(owner):
    path = await upload(owner, TWO_NAMES)
    asked = await shown(owner, path)
    answer = await send(
        owner, f"{path}/check", **{"column-A": "patient_name", "column-C": "ignore"}
    )
    answered = await shown(owner, path)

    assert "Two columns may be patient name, and they differ." in words(asked)
    assert "--column" not in asked
    assert 'formaction="' not in asked  # nothing can be imported yet
    assert answer.status_code == 303
    assert "Import 2 good rows" in words(answered)
    assert "You chose it" in words(answered)


async def test_what_was_chosen_and_not_checked_is_checked_before_it_is_imported(owner):
    path = await upload(owner, SEED)
    answer = await send(
        owner, f"{path}/start", **{"column-H": "ignore", "column-A": "patient_name"}
    )
    again = await shown(owner, path)
    await send(owner, f"{path}/start", **{"column-H": "ignore", "column-A": "patient_name"})
    done = await ended(owner, path)

    assert answer.status_code == 303
    assert "Import 2 good rows" in words(again)
    assert "2 packages were made" in words(done)


async def test_cells_are_mended_in_place(owner):
    path = await upload(owner, BROKEN)
    empty = await send(owner, f"{path}/repair", column="A", **{"row-4": "  "})
    answer = await send(owner, f"{path}/repair", column="A", **{"row-4": "Cy Day"})
    mended = await shown(owner, path)

    assert (empty.status_code, answer.status_code) == (400, 303)
    assert "Type a value for at least one row." in words(empty.text)
    assert "Import 3 good rows" in words(mended)


async def test_an_import_is_taken_back_and_its_rejected_rows_are_fetched(owner):
    path = await upload(owner, BROKEN)
    await send(owner, f"{path}/start")
    await ended(owner, path)
    rejected = await owner.get(f"{path}/rejected")
    await send(owner, f"{path}/undo")
    undone = await ended(owner, path)

    assert "9 Nowhere Lane" in rejected.text
    assert rejected.headers["content-type"].startswith("text/csv")
    assert "attachment" in rejected.headers["content-disposition"]
    assert "2 packages of this import were cancelled" in words(undone)


async def test_the_list_counts_the_imports_with_rows_left_out(owner):
    path = await upload(owner, BROKEN)
    await send(owner, f"{path}/start")
    await ended(owner, path)
    async with asyncio.timeout(PATIENCE_SECONDS):  # a badge is kept for two seconds
        while True:
            listed = words(await shown(owner, IMPORT))
            if "1 with rows left out" in listed:
                break
            await asyncio.sleep(0.1)

    assert "orders.csv" in listed
    assert "Imported" in listed


async def test_a_pasted_table_is_checked_and_an_empty_form_says_what_it_needs(owner):
    body, headers = multipart("", pasted="Name\tAddress\nAna Reed\t1 Elm St\n")
    sent = body.replace(b'filename="orders.csv"', b'filename=""')
    pasted = await shown(owner, (await owner.post(IMPORT, sent, headers)).headers["location"])
    body, headers = multipart("")
    sent = body.replace(b'filename="orders.csv"', b'filename=""')
    answer = await owner.post(IMPORT, sent, headers)

    assert "a table without a name" in pasted
    assert "Import 1 good row" in words(pasted)
    assert answer.status_code == 400
    assert "Choose a file, or paste a table." in words(answer.text)


async def test_an_upload_is_discarded(owner):
    path = await upload(owner, SEED)
    answer = await send(owner, f"{path}/discard")
    gone = await owner.get(path)

    assert (answer.status_code, gone.status_code) == (303, 404)


async def test_the_page_is_there_in_french(running):
    owner = await running.sign_in(language="fr")
    french = words(await shown(owner, await upload(owner, BROKEN)))

    assert "Ce que devient chaque colonne" in french
    assert "Importer 2 bonnes lignes" in french
    assert "Project-Id-Version" not in french
    assert "il manque : nom du patient" in french


@pytest.mark.parametrize("role", ["dispatcher", "integrator", "privacy_officer"])
async def test_a_role_that_runs_no_imports_has_no_such_page(running, owner, role):
    path = await upload(owner, SEED)
    person = await running.sign_in(role)

    assert (await person.get(IMPORT)).status_code == 403
    assert (await send(person, f"{path}/start")).status_code == 403
    assert (await owner.get(path)).status_code == 200


async def test_test_data_has_imports_of_its_own(owner):
    live = await upload(owner, SEED)
    test = await upload(owner, SEED, "/dashboard/test/import")

    assert test.startswith("/dashboard/test/import/")
    assert (await owner.get(live.replace("/dashboard/", "/dashboard/test/"))).status_code == 404


async def test_a_file_that_the_api_sent_has_a_page_and_today_leads_to_it(running, owner):
    key = await running.issue_key()
    body, headers = multipart(BROKEN)
    answer = await running.request(
        "POST", "/api/packages/import", key, body, {"Content-Type": headers["Content-Type"]}
    )
    assert answer.json()["rejected"] == 1
    path = f"{IMPORT}/{answer.headers['x-import-id']}"

    today = await shown(owner, "/dashboard")
    assert f'href="{path}"' in today
    assert "row of an import was left out" in words(today)
    page = words(await shown(owner, path))
    assert "sent by the API" in page
    assert "1 row was left out" in page
    assert "Take it back" not in page
