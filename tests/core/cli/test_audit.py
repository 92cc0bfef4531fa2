"""``gateway audit``: read, verify, and answer what a patient asks."""

import csv
import io

from core.cli.stock import ACTOR
from sqlalchemy import delete, select, update

from gateway.storage.schema import audit

PATIENT = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St",
    "patient_phone": "+13055551234",
    "rx_number": "RX-1",
}


def seen(read, stock):
    package_id, _ = stock.order(site="main", **PATIENT)
    read("packages", "show", package_id, "--reveal")
    return package_id


def changed(stock, *statements):
    async def change(gateway):
        async with gateway.database.begin() as connection:
            for statement in statements:
                await connection.execute(statement)

    stock.do(change)


def test_the_trail_is_listed_newest_first_and_the_list_is_recorded(read, stock):
    package_id = seen(read, stock)

    rows = read("audit", "list")
    assert (rows[0]["action"], rows[0]["subject"]) == ("package.viewed", package_id)
    assert (rows[0]["actor"], rows[0]["kind"], rows[0]["via"]) == (ACTOR, "reveal", "cli")
    assert read("audit", "list", "--action", "package.viewed") == rows[:1]
    assert read("audit", "list", "--actor", "key_9") == []
    assert len(stock.audited("audit.listed")) == 3


def test_who_saw_a_patients_record_is_shown_and_asking_is_recorded(read, stock):
    package_id = seen(read, stock)

    for way in (
        ("--patient-phone", "+1 305 555 1234"),
        ("--rx-number", "rx-1"),
        ("--patient-name", "MARIA RODRIGUEZ", "--patient-address", "123 Main St."),
    ):
        viewed = read("audit", "patient", *way)[0]
        assert (viewed["subject"], viewed["actor"]) == (package_id, ACTOR)
    assert read("audit", "patient", "--rx-number", "RX-2") == []
    assert [subject for _, subject, _ in stock.audited("report.access")] == [
        "phone",
        "rx",
        "name_address",
        "rx",
    ]


def test_disclosures_are_printed_as_csv_for_a_letter(run, read, stock):
    stock.order(site="main", **PATIENT)

    assert read("audit", "disclosures", "--rx-number", "RX-1") == []
    result = run("audit", "disclosures", "--rx-number", "RX-1", "--csv")
    assert list(csv.reader(io.StringIO(result.stdout))) == [
        [
            "first_at",
            "last_at",
            "count",
            "recipient_name",
            "recipient",
            "what",
            "fields",
            "purpose",
        ]
    ]


def test_a_patient_has_to_be_named_in_one_way(run, stock):
    stock.order(site="main")
    result = run("audit", "patient")
    assert result.exit_code == 1
    assert "Name the patient in exactly one way" in result.stderr


def test_the_trail_is_written_to_a_new_file(run, stock, read, tmp_path):
    seen(read, stock)
    target = tmp_path / "trail.csv"

    assert read("audit", "export", str(target))["rows"] >= 1

    rows = list(csv.DictReader(io.StringIO(target.read_text("utf-8"))))
    assert "package.viewed" in {row["action"] for row in rows}
    again = run("audit", "export", str(target))
    assert (again.exit_code, "is there already" in again.stderr) == (1, True)


def test_a_whole_trail_verifies_and_prints_its_head(read, stock, config):
    seen(read, stock)

    shown = read("audit", "verify")

    assert (shown["ok"], shown["faults"]) == (True, [])
    assert (config.parent / "data" / "audit.head").read_text("ascii").strip() == shown["head"]
    assert read("audit", "verify", "--head", shown["head"])["ok"]


def test_changed_rows_are_found_by_verify_check_and_status(run, read, stock):
    seen(read, stock)
    changed(stock, update(audit).where(audit.c.action == "package.viewed").values(actor="key_9"))

    result = run("audit", "verify")
    assert result.exit_code == 1
    assert "does not follow from the row before it" in result.stderr
    assert "audit trail" in run("check").stdout
    assert "does not follow" in run("check").stdout


def test_the_newest_rows_taken_out_are_found_by_the_head_in_the_data_directory(run, read, stock):
    seen(read, stock)
    newest = select(audit.c.sequence).order_by(audit.c.sequence.desc()).limit(1)
    changed(stock, delete(audit).where(audit.c.sequence == newest.scalar_subquery()))

    result = run("audit", "verify")

    assert result.exit_code == 1
    assert "its newest rows were taken out or changed" in result.stderr
    # And what is written afterwards doesn't hide it
    read("audit", "list")
    assert run("audit", "verify").exit_code == 1


def test_the_newest_rows_taken_out_are_found_by_a_head_that_was_kept(run, read, stock, config):
    seen(read, stock)
    head = read("audit", "verify")["head"]
    newest = select(audit.c.sequence).order_by(audit.c.sequence.desc()).limit(1)
    changed(stock, delete(audit).where(audit.c.sequence == newest.scalar_subquery()))
    (config.parent / "data" / "audit.head").unlink()

    assert run("audit", "verify").exit_code == 0  # the chain alone doesn't show it
    result = run("audit", "verify", "--head", head)
    assert (result.exit_code, "the head that was given" in result.stderr) == (1, True)
    refused = run("audit", "verify", "--head", "12")
    assert (refused.exit_code, "A head is a number" in refused.stderr) == (1, True)
