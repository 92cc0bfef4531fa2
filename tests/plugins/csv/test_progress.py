"""How far an import is, over HTTP; and the rejected rows as a file."""

import asyncio
import csv
import re

import pytest
from plugins.csv.files import PLUGINS, SEED, Sender
from sqlalchemy import text
from waiting import PATIENCE_SECONDS

from gateway.errors import StorageError
from gateway.intake.orders import Intake
from gateway.testing import SteppingClock

UNDATED = "patient_name,patient_address\nAna Reed,1 Elm St\nBo Fox,2 Elm St\n"

BAD = SEED + ",9 Nowhere Lane,,,,,,\nBo,,,,,,,\n"
IMPORTS = "/api/packages/imports"


async def finished(sender, import_id):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = await sender.gateway.get(f"{IMPORTS}/{import_id}", sender.key)
            assert answer.status_code == 200, answer.text
            if answer.json()["state"] != "running":
                return answer.json()
            await asyncio.sleep(0.01)


async def test_an_import_that_is_over_says_how_it_went(sender):
    answer = await sender.post(BAD)
    import_id = answer.headers["x-import-id"]

    told = (await sender.gateway.get(f"{IMPORTS}/{import_id}", sender.key)).json()

    assert {**told, "started_at": "", "finished_at": ""} == {
        "import_id": import_id,
        "state": "done",
        "dry_run": False,
        "rows": 4,
        "rows_done": 4,
        "created": 2,
        "duplicates": 0,
        "rejected": 2,
        "started_at": "",
        "finished_at": "",
        "error": None,
        "report": answer.json(),
    }


async def test_in_the_background_the_answer_comes_at_once_and_the_report_later(sender):
    answer = await sender.post(BAD, "?background=true")
    import_id = answer.json()["import_id"]
    told = await finished(sender, import_id)

    assert answer.status_code == 202
    assert answer.headers["location"] == f"{IMPORTS}/{import_id}"
    assert (told["state"], told["created"], len(await sender.packages())) == ("done", 2, 2)


async def test_a_file_that_fails_in_the_background_says_why(sender):
    answer = await sender.post("%PDF", "?background=true")
    told = await finished(sender, answer.json()["import_id"])

    assert (told["state"], told["report"]) == ("failed", None)
    assert told["error"] == "The file is a PDF, not a table: export it as CSV or .xlsx."


async def test_a_fault_in_the_background_is_told_without_its_reason(sender, monkeypatch, caplog):
    async def broken(*_):
        raise ZeroDivisionError("Maria Rodriguez")

    monkeypatch.setattr("gateway_csv.importer.Importer.run", broken)
    answer = await sender.post(SEED, "?background=true")
    told = await finished(sender, answer.json()["import_id"])

    assert told["state"] == "failed"
    assert told["error"].startswith("The import stopped because of a fault of the gateway")
    assert "Maria" not in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_the_rejected_rows_come_back_as_a_file(sender):
    import_id = (await sender.post(BAD)).headers["x-import-id"]

    answer = await sender.gateway.get(f"{IMPORTS}/{import_id}/rejected", sender.key)

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="rejected-rows.csv"'
    header, *rows = csv.reader(answer.content.decode("utf-8-sig").splitlines())
    assert header[-2:] == ["import_row", "import_error"]
    assert [(row[1], row[-2]) for row in rows] == [("9 Nowhere Lane", "4"), ("", "5")]


async def test_an_import_without_rejected_rows_has_an_empty_file_of_them(sender):
    import_id = (await sender.post(SEED)).headers["x-import-id"]

    answer = await sender.gateway.get(f"{IMPORTS}/{import_id}/rejected", sender.key)

    assert (answer.status_code, answer.content) == (200, b"")


async def test_nothing_of_a_rejected_row_is_in_clear_in_the_database(sender, tmp_path):
    await sender.post(BAD)

    async with sender.gateway.gateway.database.begin() as connection:
        await connection.execute(text("SELECT 1"))
    stored = b"".join(each.read_bytes() for each in tmp_path.glob("data/gateway.db*"))
    assert stored
    assert b"Nowhere" not in stored
    assert b"Rodriguez" not in stored


async def test_nobody_sees_anybody_elses_import(gateway, sender):
    import_id = (await sender.post(BAD)).headers["x-import-id"]
    strangers = [
        await gateway.issue_key(mode="test"),
        await gateway.issue_key(site="north"),
    ]
    async with gateway.gateway.database.begin() as connection:
        await connection.execute(
            text("INSERT INTO accounts (id, created_at_ms) VALUES ('other', 0)")
        )
    strangers.append(await gateway.issue_key(account_id="other"))

    for path in (f"{IMPORTS}/{import_id}", f"{IMPORTS}/{import_id}/rejected"):
        answers = [await gateway.get(path, key) for key in strangers]
        # A key of one site sees what the whole account's imports say: rows of all sites.
        assert [each.status_code for each in answers] == [404, 404, 404]


async def test_reports_and_rejected_rows_are_deleted_after_their_time(harness):
    clock = SteppingClock()
    async with harness(PLUGINS, clock=clock) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        import_id = (await sender.post(BAD)).headers["x-import-id"]
        [tidy] = [each for each in gateway.gateway.hooks.jobs() if each.name == "csv-tidy"]
        clock.step(23 * 3600)
        await tidy.run()
        kept = await gateway.get(f"{IMPORTS}/{import_id}/rejected", sender.key)
        clock.step(2 * 3600)
        await tidy.run()
        gone = await gateway.get(f"{IMPORTS}/{import_id}", sender.key)
        async with gateway.gateway.database.read() as connection:
            left = await connection.scalar(text("SELECT count(*) FROM csv_rejected"))

    assert b"Nowhere" in kept.content
    assert (gone.status_code, left) == (404, 0)


async def test_after_some_days_the_same_row_is_another_delivery(harness):
    clock = SteppingClock()
    async with harness(PLUGINS, clock=clock) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        created = []
        for days in (0, 4, 4, 4.9, 5.1, 4):
            clock.step(days * 86400)
            created.append((await sender.send(UNDATED))["created"])
        [tidy] = [each for each in gateway.gateway.hooks.jobs() if each.name == "csv-tidy"]
        left = []
        for days in (30, 31):
            clock.step(days * 86400)
            await tidy.run()
            async with gateway.gateway.database.read() as connection:
                left.append(await connection.scalar(text("SELECT count(*) FROM csv_rows")))

    assert created == [2, 0, 0, 0, 2, 0]
    assert left == [2, 0]


async def test_the_same_prescription_of_the_same_date_is_never_delivered_twice(harness):
    clock = SteppingClock()
    async with harness(PLUGINS, clock=clock) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        created = []
        for days in (0, 10, 100, 1000):
            clock.step(days * 86400)
            [tidy] = [each for each in gateway.gateway.hooks.jobs() if each.name == "csv-tidy"]
            await tidy.run()
            created.append((await sender.send(SEED))["created"])

    assert created == [2, 0, 0, 0]


async def test_an_import_that_falls_silent_was_interrupted(harness):
    clock = SteppingClock()
    async with harness(PLUGINS, clock=clock) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        import_id = (await sender.post(SEED)).headers["x-import-id"]
        async with gateway.gateway.database.begin() as connection:
            await connection.execute(
                text("UPDATE csv_imports SET state = 'running', outcome = NULL")
            )
        running = await gateway.get(f"{IMPORTS}/{import_id}", sender.key)
        early = await gateway.get(f"{IMPORTS}/{import_id}/rejected", sender.key)
        clock.step(121)
        interrupted = await gateway.get(f"{IMPORTS}/{import_id}", sender.key)

    assert running.json()["state"] == "running"
    assert early.status_code == 409
    assert interrupted.json()["state"] == "interrupted"
    assert interrupted.json()["error"].startswith("The gateway was stopped in the middle")


@pytest.mark.parametrize("path", ["imp_nonsense", "imp_nonsense/rejected"])
async def test_an_import_that_there_is_not_is_404(gateway, key, path):
    assert (await gateway.get(f"{IMPORTS}/{path}", key)).status_code == 404


async def test_an_import_that_stops_in_the_middle_says_so_and_is_finished_by_sending_it_again(
    sender, monkeypatch
):
    rows = 2500
    file = "patient_name,patient_address\n" + "".join(f"Ana,{n} Elm\n" for n in range(rows))
    real, calls = Intake.accept, 0

    async def failing(intake, submission):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StorageError("The database went away.")
        return await real(intake, submission)

    with monkeypatch.context() as patched:
        patched.setattr(Intake, "accept", failing)
        answer = await sender.post(file)
    again = await sender.send(file)

    assert answer.status_code == 503
    assert answer.json()["error"] == (
        "The import stopped after 1000 of 2500 rows (The database went away.) Send the same file "
        "again: what was imported already makes no second package."
    )
    assert (again["created"], again["rows"]) == (1500, rows)
    assert again["warnings"][0]["message"].startswith("1000 rows were imported before")
    assert len(again["warnings"]) == 1002


async def test_the_last_upload_has_a_line_in_status(gateway, sender):
    [check] = [each for each in gateway.gateway.hooks.health_checks() if each.name == "csv-uploads"]
    before = await check.check()
    await sender.send("patient_name,patient_address\nAna,1 Elm\nBen,2 Elm\n")
    after = await check.check()

    assert not check.decides_readiness
    assert before.detail == "no file was uploaded lately"
    assert re.fullmatch(
        r"last upload \d{4}-\S+Z: done, 2 created, 0 known, 0 rejected", after.detail
    )
