"""A file is checked, corrected, imported and taken back over HTTP, one step at a time."""

import asyncio
import csv

import openpyxl
import pytest
from plugins.csv.files import PLUGINS, SEED, Sender, saved, workbook
from plugins.csv.uploads import IMPORTS, Steps, column
from sqlalchemy import text
from waiting import PATIENCE_SECONDS

from gateway.intake.orders import Intake
from gateway.testing import SteppingClock

NEW = "Name,Address,Order id\nAna Reed,1 Elm St,A-1\nBo Fox,2 Elm St,A-2\n"
TWO_NAMES = "Name,Address,Name\nAna Reed,1 Elm St,Dr. Lee\nBo Fox,2 Elm St,Dr. Poe\n"
DAYS = (
    "Name,Address,Delivery date\nAna Reed,1 Elm St,03/04/2026\nBo Fox,2 Elm St,05/04/2026\n"
    "Cy Day,,06/04/2026\nDi Moon,,07/04/2026\n"
)


@pytest.fixture
def steps(gateway, key):
    return Steps(gateway, key)


async def test_an_upload_is_read_and_rehearsed_and_nothing_is_made(steps):
    check = await steps.upload(SEED)

    report = check["report"]
    assert (check["state"], check["file_name"], check["question"]) == ("read", "orders.csv", None)
    assert check["file_bytes"] == len(SEED.encode())
    assert (report["rows"], report["created"], report["package_ids"]) == (2, 2, [])
    assert await Sender(steps.gateway, steps.key).packages() == []


async def test_a_check_says_what_each_column_was_taken_for_and_shows_shapes_only(steps):
    check = await steps.upload(SEED.replace("notes", "Zone"))

    name, copay, zone = (column(check, letter) for letter in "AEH")
    assert (name["field"], name["how"]) == ("patient_name", "name")
    assert name["samples"] == ["Xxxxx Xxxxxxxxx", "Xxxx Xxx"]
    assert (copay["field"], copay["samples"]) == ("copay_amount", ["12.50", "0.00"])
    assert (zone["field"], zone["samples"]) == (None, ["Xxxxx xxxx xxxxxxx", None])
    assert check["understood"]["encoding"] == "utf-8"
    assert check["understood"]["delimiter"] == ","
    assert check["understood"]["header_row"] == 1


async def test_every_row_is_in_exactly_one_count(steps):
    await Sender(steps.gateway, steps.key).send(SEED)
    again = SEED + 'Cy Day,"9 Elm St, Miami, FL 33101",,RX-1,,routine,2026-04-20,\n,,,,,,,lost\n'

    report = (await steps.upload(again))["report"]

    counts = {name: report.get(name, 0) for name in ("created", "duplicates", "rejected")}
    assert counts == {"created": 1, "duplicates": 2, "rejected": 1}
    assert report["rows"] == sum(counts.values())


async def test_samples_are_revealed_to_a_key_that_may_and_the_look_is_audited(gateway, steps):
    import_id = (await steps.upload(SEED + ",9 Nowhere Lane,,,,,,\n"))["import_id"]
    narrow = Steps(gateway, await gateway.issue_key(scopes=["imports.run", "reveal.contact"]))

    refused = await narrow.post(import_id, "/samples")
    shown = (await steps.post(import_id, "/samples")).json()
    async with gateway.gateway.database.read() as connection:
        audited = await connection.execute(
            text("SELECT kind, subject FROM audit WHERE action = 'import.revealed'")
        )

    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert shown["columns"][0] == {"letter": "A", "samples": ["Maria Rodriguez", "Alex Kim"]}
    assert [(each["row"], each["cells"][1]) for each in shown["rows"]] == [(4, "9 Nowhere Lane")]
    assert audited.all() == [("reveal", import_id)]


async def test_a_doubtful_column_is_asked_about_and_a_choice_answers_it(steps):
    check = await steps.upload(TWO_NAMES)
    refused = await steps.post(check["import_id"], "/start")
    chosen = {"Name (column A)": "patient_name", "Name (column C)": "ignore"}
    corrected = await steps.correct(check["import_id"], columns=chosen)

    assert check["question"]["columns"] == ["A", "C"]
    assert (check["question"]["field"], check["report"]) == ("patient_name", None)
    assert [column(check, each)["asked"] for each in "ABC"] == [True, False, True]
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert (corrected["question"], corrected["report"]["created"]) == (None, 2)
    assert (column(corrected, "A")["how"], column(corrected, "C")["field"]) == ("chosen", None)


async def test_a_choice_is_remembered_for_the_sender_once_the_file_is_imported(steps):
    file = "Who,Address\nAna Reed,1 Elm St\n"
    check = await steps.upload(file, "?sender=clinic", columns='{"Who": "patient_name"}')
    before = await steps.upload(file, "?sender=clinic")
    await steps.imported(check["import_id"])
    after = await steps.upload(file, "?sender=clinic")

    assert before["question"] is not None
    assert (after["question"], column(after, "A")["how"]) == (None, "remembered")


async def test_a_choice_is_taken_back(steps):
    check = await steps.upload(SEED, columns='{"notes": "ignore"}')
    corrected = await steps.correct(check["import_id"], columns={"notes": None})

    assert column(check, "H")["field"] is None
    assert column(corrected, "H")["field"] == "notes"


async def test_another_sheet_is_chosen(steps):
    book = openpyxl.Workbook()
    book.active.title = "Old"
    book.active.append(["Name", "Address"])
    book.active.append(["Old One", "1 Elm St"])
    sheet = book.create_sheet("Tuesday")
    for row in (["Name", "Address"], ["Ana Reed", "1 Elm St"], ["Bo Fox", "2 Elm St"]):
        sheet.append(row)
    check = await steps.upload(saved(book))
    corrected = await steps.correct(check["import_id"], sheet="Tuesday")
    wrong = await steps.correct(check["import_id"], sheet="Friday")

    assert (check["understood"]["sheet"], check["report"]["rows"]) == ("Old", 1)
    assert check["understood"]["sheets"] == ["Old", "Tuesday"]
    assert (corrected["understood"]["sheet"], corrected["report"]["rows"]) == ("Tuesday", 2)
    assert "no visible sheet of that name" in wrong["question"]["message"]


async def test_encoding_and_delimiter_are_chosen(steps):
    file = "Name;Address\nAndré Côté;1 Rue Zoé\n".encode("cp850")
    check = await steps.upload(file)
    import_id = check["import_id"]
    corrected = await steps.correct(import_id, encoding="cp850", delimiter=";")
    samples = (await steps.post(import_id, "/samples")).json()["columns"]
    path = f"{IMPORTS}/{import_id}/check"
    unknown = await steps.gateway.request("PATCH", path, steps.key, {"encoding": "rot13"})

    assert corrected["understood"]["encoding"] == "cp850"
    assert samples[0]["samples"] == ["André Côté"]
    assert (unknown.status_code, unknown.json()["details"][0]["field"]) == (400, "encoding")


async def test_the_order_of_dates_is_chosen(harness):
    site = '[[sites]]\ncode = "main"\nname = "Main"\ncountry = "CA"\n'
    async with harness(PLUGINS + site) as gateway:
        steps = Steps(gateway, await gateway.issue_key())
        check = await steps.upload(DAYS)
        corrected = await steps.correct(check["import_id"], dates="month-first")

    assert check["understood"]["dates"] == {
        "order": None,
        "day_first": 0,
        "month_first": 0,
        "either": 4,
    }
    assert check["report"]["created"] == 0
    assert (corrected["understood"]["dates"]["order"], corrected["report"]["created"]) == (
        "month-first",
        2,
    )


async def test_rows_that_need_a_repair_are_grouped_and_mended_in_place(steps):
    check = await steps.upload(DAYS)
    repairs = check["repairs"]
    corrected = await steps.correct(
        check["import_id"], cells=[{"rows": [4, 5], "column": "B", "value": "7 Oak St"}]
    )
    taken_back = await steps.correct(
        check["import_id"], cells=[{"rows": [5], "column": "B", "value": None}]
    )

    assert [(each["column"], each["header"], each["rows"], each["count"]) for each in repairs] == [
        ("B", "Address", [4, 5], 2)
    ]
    assert (corrected["report"]["created"], corrected["repairs"]) == (4, [])
    assert corrected["options"]["cells"] == 2
    assert (taken_back["report"]["created"], taken_back["repairs"][0]["rows"]) == (3, [5])


async def test_cells_that_were_mended_are_imported_as_they_were_mended(steps):
    check = await steps.upload(DAYS)
    await steps.correct(
        check["import_id"], cells=[{"rows": [4], "column": "B", "value": "7 Oak St"}]
    )
    done = await steps.imported(check["import_id"])
    packages = await Sender(steps.gateway, steps.key).packages()

    assert (done["state"], done["created"], done["rejected"]) == ("done", 3, 1)
    assert [each["patient_address"] for each in packages][-1] == "7 Oak St"


async def test_an_import_goes_on_in_the_background_and_its_rejected_rows_are_a_file(steps):
    check = await steps.upload(SEED + ",9 Nowhere Lane,,,,,,\n")
    started = await steps.post(check["import_id"], "/start")
    done = await steps.ended(check["import_id"])
    rejected = await steps.get(check["import_id"], "/rejected")
    twice = await steps.post(check["import_id"], "/start")

    assert (started.status_code, started.json()["state"]) == (202, "waiting")
    assert (done["state"], done["dry_run"], done["rows_done"]) == ("done", False, 3)
    assert len(done["report"]["package_ids"]) == 2
    assert [row[1] for row in csv.reader(rejected.text.splitlines())][1:] == ["9 Nowhere Lane"]
    assert (twice.status_code, twice.json()["error"]) == (409, "The file was imported already.")


async def test_a_file_that_makes_no_package_is_not_started(steps):
    await Sender(steps.gateway, steps.key).send(SEED)
    check = await steps.upload(SEED)

    answer = await steps.post(check["import_id"], "/start")

    assert (check["report"]["duplicates"], answer.status_code) == (2, 409)
    assert "no row would make a package" in answer.json()["error"]


async def test_a_file_that_is_no_table_is_asked_about_and_discarded(steps):
    check = await steps.upload("%PDF-1.7")
    import_id = check["import_id"]
    gone = await steps.gateway.request("DELETE", f"{IMPORTS}/{import_id}", steps.key)
    after = await steps.get(import_id)
    async with steps.gateway.gateway.database.read() as connection:
        left = await connection.scalar(text("SELECT count(*) FROM csv_files"))

    assert check["question"]["message"].startswith("The file is a PDF")
    assert (check["understood"], check["report"]) == (None, None)
    assert (gone.status_code, after.status_code, left) == (204, 404, 0)


async def test_a_file_without_a_header_shows_no_cell_as_a_header(steps):
    check = await steps.upload("Maria Rodriguez,123 Main St\nAlex Kim,450 Collins Ave\n")

    assert check["question"]["message"].startswith("No header was found")
    assert column(check, "A")["header"] == "column A"
    assert "Maria" not in str(check)


async def test_nothing_of_an_upload_is_in_clear_in_the_database(steps, tmp_path):
    await steps.upload(SEED + ",9 Nowhere Lane,,,,,,\n")

    stored = b"".join(each.read_bytes() for each in tmp_path.glob("data/gateway.db*"))
    assert b"csv_files" in stored
    for secret in (b"Rodriguez", b"Nowhere", b"RX-8872341", b"orders.csv"):
        assert secret not in stored


async def test_a_strangers_upload_is_not_there(gateway, steps):
    import_id = (await steps.upload(SEED))["import_id"]
    others = [
        Steps(gateway, await gateway.issue_key(mode="test")),
        Steps(gateway, await gateway.issue_key(site="north")),
    ]

    for other in others:
        answers = [await other.get(import_id, "/check")]
        answers += [
            await other.post(import_id, f"/{what}") for what in ("samples", "start", "undo")
        ]
        path = f"{IMPORTS}/{import_id}/check"
        answers.append(await gateway.request("PATCH", path, other.key, {"hidden": True}))
        assert [each.status_code for each in answers] == [404] * 5
        assert (await gateway.get(IMPORTS, other.key)).json()["imports"] == []


async def test_an_undo_cancels_exactly_the_imports_packages_that_are_still_created(steps):
    sender = Sender(steps.gateway, steps.key)
    await sender.send(SEED)
    import_id = (await steps.upload(NEW))["import_id"]
    made = (await steps.imported(import_id))["report"]["package_ids"]
    ready = await steps.gateway.post(
        f"/api/packages/{made[0]}/events", steps.key, {"event": "package.ready"}
    )
    before = (await steps.post(import_id, "/undo?dry_run=true")).json()
    after = await steps.undone(import_id)

    statuses = {each["id"]: each["status"] for each in await sender.packages()}
    assert ready.status_code == 200
    assert (before["cancels"], before["stays"], before["cancelled"]) == (1, {"ready": 1}, 0)
    assert (after["state"], after["cancelled"], after["stays"]) == ("undone", 1, {"ready": 1})
    assert [statuses.pop(each) for each in made] == ["ready", "cancelled"]
    assert set(statuses.values()) == {"created"}


async def test_what_was_undone_can_be_imported_again_and_what_stays_is_not_made_twice(steps):
    import_id = (await steps.upload(NEW))["import_id"]
    made = (await steps.imported(import_id))["report"]["package_ids"]
    await steps.gateway.post(
        f"/api/packages/{made[0]}/events", steps.key, {"event": "package.ready"}
    )
    await steps.undone(import_id)

    again = await Sender(steps.gateway, steps.key).send(NEW)

    assert (again["created"], again["duplicates"]) == (1, 1)
    assert again["package_ids"] != [made[1]]


async def test_a_package_that_was_cancelled_by_hand_stays_known(steps):
    import_id = (await steps.upload(NEW))["import_id"]
    made = (await steps.imported(import_id))["report"]["package_ids"]
    await steps.gateway.post(
        f"/api/packages/{made[0]}/events", steps.key, {"event": "package.cancelled"}
    )
    after = await steps.undone(import_id)
    again = await Sender(steps.gateway, steps.key).send(NEW)

    assert (after["cancelled"], after["stays"]) == (1, {"cancelled": 1})
    assert (again["created"], again["duplicates"]) == (1, 1)


async def test_the_import_of_one_request_is_undone_as_well(steps):
    sender = Sender(steps.gateway, steps.key)
    import_id = (await sender.post(SEED)).headers["x-import-id"]
    after = await steps.undone(import_id)

    assert (after["cancelled"], after["stays"]) == (2, {})
    assert {each["status"] for each in await sender.packages()} == {"cancelled"}


async def test_only_a_key_that_may_report_of_packages_undoes_an_import(gateway, steps):
    import_id = (await steps.upload(SEED))["import_id"]
    nothing_yet = await steps.post(import_id, "/undo")
    narrow = Steps(gateway, await gateway.issue_key(scopes=["imports.run"]))

    assert nothing_yet.status_code == 409
    assert (await narrow.post(import_id, "/undo")).status_code == 403


async def test_an_import_that_is_stopped_keeps_what_is_in_and_goes_on_when_started(
    steps, monkeypatch
):
    rows = 2500
    file = "Name,Address\n" + "".join(f"Ana Reed,{n} Elm St\n" for n in range(1, rows + 1))
    import_id = (await steps.upload(file))["import_id"]
    real, entered, go_on = Intake.accept, asyncio.Event(), asyncio.Event()

    async def held(intake, submission):
        entered.set()
        await go_on.wait()
        return await real(intake, submission)

    monkeypatch.setattr(Intake, "accept", held)
    await steps.post(import_id, "/start")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await entered.wait()
    stopping = await steps.post(import_id, "/stop")
    go_on.set()
    stopped = await steps.ended(import_id)
    done = await steps.imported(import_id)

    assert stopping.status_code == 202
    assert (stopped["state"], stopped["created"], stopped["rows"]) == ("stopped", 1000, rows)
    assert (done["state"], done["created"]) == ("done", rows)
    assert len(await Sender(steps.gateway, steps.key).packages()) == rows


async def test_an_import_goes_on_after_a_restart_and_makes_each_package_once(
    harness, database_url, monkeypatch
):
    toml = f'[database]\nurl = "{database_url}"\n{PLUGINS}'
    rows = 1500
    file = "Name,Address\n" + "".join(f"Ana Reed,{n} Elm St\n" for n in range(1, rows + 1))
    real, calls, entered = Intake.accept, 0, asyncio.Event()

    async def stuck(intake, submission):
        nonlocal calls
        calls += 1
        if calls == 2:
            entered.set()
            await asyncio.Event().wait()
        return await real(intake, submission)

    clock = SteppingClock()
    with monkeypatch.context() as patched:
        patched.setattr(Intake, "accept", stuck)
        patched.setattr("gateway_csv.work.GRACE_SECONDS", 0.01)
        async with harness(toml, clock=clock) as gateway:
            steps = Steps(gateway, await gateway.issue_key())
            import_id = (await steps.upload(file))["import_id"]
            await steps.post(import_id, "/start")
            async with asyncio.timeout(PATIENCE_SECONDS):
                await entered.wait()
    clock.step(3600)  # PostgreSQL's lease of the first process is over
    async with harness(toml, clock=clock) as gateway:
        steps = Steps(gateway, await gateway.issue_key())
        done = await steps.ended(import_id)
        packages = await Sender(gateway, steps.key).packages()
        after = await steps.undone(import_id)

    assert (done["state"], done["created"], done["duplicates"]) == ("done", rows, 0)
    assert len(packages) == rows
    assert (after["cancelled"], after["stays"]) == (rows, {})


async def test_the_list_has_uploads_requests_and_the_watched_folders_files(harness, tmp_path):
    folder = f"[plugins.csv]\nfolder = '{tmp_path / 'incoming'}'\n"
    toml = PLUGINS.replace("[plugins.csv]\n", folder)
    async with harness(toml) as gateway:
        steps = Steps(gateway, await gateway.issue_key())
        await Sender(gateway, steps.key).send(SEED)
        upload = await steps.upload(NEW)
        (tmp_path / "incoming").mkdir(exist_ok=True)
        (tmp_path / "incoming" / "tuesday.csv").write_text(DAYS)
        [watch] = [each for each in gateway.gateway.hooks.jobs() if each.name == "csv-folder"]
        for _ in range(2):
            await watch.run()
        newest = (await gateway.get(f"{IMPORTS}?limit=2", steps.key)).json()
        rest = await gateway.get(f"{IMPORTS}?limit=2&cursor={newest['next_cursor']}", steps.key)
        folder = newest["imports"][0]["import_id"]
        undone = await steps.undone(folder)

    listed = newest["imports"] + rest.json()["imports"]
    assert [(each["origin"], each["file_name"], each["state"]) for each in listed] == [
        ("folder", "tuesday.csv", "done"),
        ("upload", "orders.csv", "read"),
        ("request", None, "done"),
    ]
    assert listed[1]["import_id"] == upload["import_id"]
    assert (listed[0]["rejected"], undone["cancelled"]) == (2, 2)


async def test_rows_that_were_left_out_need_a_person_until_they_are_fetched(gateway, steps):
    import_id = (await steps.upload(SEED + ",9 Nowhere Lane,,,,,,\n"))["import_id"]
    caller = gateway.caller()
    read = await gateway.gateway.attention.of(caller)
    await steps.imported(import_id)
    imported = await gateway.gateway.attention.of(caller)
    await steps.get(import_id, "/rejected")
    fetched = await gateway.gateway.attention.of(caller)

    assert read == fetched == []
    assert [(each.kind, each.subject, each.text) for each in imported] == [
        (
            "import_rejected",
            import_id,
            "1 row of an import was left out: fetch it, correct it, and import it again.",
        )
    ]


async def test_uploads_are_deleted_after_their_time(harness):
    clock = SteppingClock()
    async with harness(PLUGINS, clock=clock) as gateway:
        steps = Steps(gateway, await gateway.issue_key())
        await steps.imported((await steps.upload(NEW))["import_id"])
        import_id = (await steps.upload(SEED))["import_id"]
        [tidy] = [each for each in gateway.gateway.hooks.jobs() if each.name == "csv-tidy"]
        clock.step(25 * 3600)
        await tidy.run()
        gone = await steps.get(import_id)
        tables = ("csv_imports", "csv_files", "csv_packages", "csv_work", "csv_rejected")
        async with gateway.gateway.database.read() as connection:
            left = [
                await connection.scalar(text(f"SELECT count(*) FROM {each}")) for each in tables
            ]

    assert (gone.status_code, left) == (404, [0] * 5)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"columns": {"notes": "no_such_field"}}, "columns"),
        ({"sender": "two words"}, None),
        ({"site": "nowhere"}, "site"),
        ({"cells": [{"rows": [1], "column": "1", "value": "x"}]}, "cells[0].column"),
        ({"cells": [{"rows": [0], "column": "A", "value": "x"}]}, "cells[0].rows[0]"),
        ({"nonsense": 1}, None),
    ],
)
async def test_a_correction_that_there_is_not_is_refused_and_changes_nothing(steps, change, field):
    check = await steps.upload(SEED)
    path = f"{IMPORTS}/{check['import_id']}/check"

    answer = await steps.gateway.request("PATCH", path, steps.key, change)

    fields = [each.get("field") for each in answer.json()["details"]] or [None]
    assert (answer.status_code, fields[0]) == (400, field)
    assert await steps.check(check["import_id"]) == check


async def test_workbooks_are_checked_like_text(steps):
    check = await steps.upload(workbook(["Name", "Address"], ["Ana Reed", "1 Elm St"]))

    assert (check["understood"]["sheet"], check["understood"]["encoding"]) == ("Orders", None)
    assert check["report"]["created"] == 1
