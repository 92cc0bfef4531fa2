"""What a row is known by: never two packages for one order, never one for two patients."""

import csv
import io
from datetime import timedelta

import pytest
from gateway_csv.row_dedup import Claim, Identity, KnownRows, said_by
from gateway_csv.tables import known_rows
from plugins.csv.files import PLUGINS, Sender
from plugins.csv.test_properties import _exported
from sqlalchemy import insert

from gateway.plugin import DEFAULT_ACCOUNT, Caller, Candidate, Order, Submission, to_epoch_ms
from gateway.testing import SteppingClock

HEADER = "Order #,Patient Name,Address"
MONDAY = f"{HEADER}\n1,Ana Reed,5 Elm St\n2,Bo Fox,6 Elm St\n"
TUESDAY = f"{HEADER}\n1,Cy Olm,7 Oak Rd\n2,Di Ash,8 Oak Rd\n"
LIST = "Patient Name,Address,Rx Number,Delivery Date\n"
FIRST = "Ana Reed,5 Elm St,7001,2026-11-23\n"
SECOND = "Bo Fox,6 Elm St,7002,2026-11-29\n"


def counts(report):
    names = ("created", "duplicates", "repeated", "skipped", "rejected")
    found = {name: report[name] for name in names if report.get(name)}
    assert sum(found.values()) == report["rows"], report
    return found


async def test_an_order_id_of_yesterday_with_another_patient_is_an_error(sender):
    await sender.send(MONDAY)
    report = await sender.send(TUESDAY)
    again = await sender.send(MONDAY)

    assert counts(report) == {"rejected": 2}
    message = "a row with the same order id was imported before, and it said something else; its"
    assert [each["message"].startswith(message) for each in report["errors"]] == [True, True]
    assert counts(again) == {"duplicates": 2}
    assert len(await sender.packages()) == 2


async def test_a_dry_run_finds_the_order_id_of_another_patient_too(sender):
    await sender.send(MONDAY)

    report = await sender.send(TUESDAY, "?dry_run=true")

    assert counts(report) == {"rejected": 2}


async def test_an_order_id_without_a_claim_is_held_against_the_package_itself(gateway, sender):
    await sender.send(MONDAY)
    async with gateway.gateway.database.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM csv_rows")

    report = await sender.send(TUESDAY)

    assert counts(report) == {"rejected": 2}
    assert "another patient or address" in report["errors"][0]["message"]


async def test_one_order_id_for_two_patients_of_a_file_is_an_error_of_the_second(sender):
    report = await sender.send(f"{HEADER}\n1,Ana Reed,5 Elm St\n1,Bo Fox,6 Elm St\n")

    assert counts(report) == {"created": 1, "rejected": 1}
    assert report["errors"][0]["message"] == (
        "the row has the same order id as row 2, and says something else"
    )


async def test_rows_that_repeat_each_other_and_further_lines_of_an_order_are_counted(sender):
    report = await sender.send(
        f"{HEADER},Rx #\n1,Ana Reed,5 Elm St,7001\n1,ANA REED,5 Elm  St,7001\n1,,,\n"
        "2,Bo Fox,6 Elm St,\n"
    )

    assert counts(report) == {"created": 2, "repeated": 2}
    told = {each["row"]: each["message"] for each in report["warnings"] if "row" in each}
    assert told[4] == "the row is another line of the order in row 2"


async def test_a_list_that_grows_makes_each_row_once_however_long_it_is_sent(harness):
    clock = SteppingClock()
    async with harness(PLUGINS, clock=clock) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        first = await sender.send(LIST + FIRST)
        reports = []
        for _ in range(3):
            clock.step(6 * 86400)
            reports.append(await sender.send(LIST + FIRST + SECOND))

    assert counts(first) == {"created": 1}
    assert [counts(each) for each in reports] == [
        {"created": 1, "duplicates": 1},
        {"duplicates": 2},
        {"duplicates": 2},
    ]
    assert "1 taken as new: by prescription, patient and date not imported before" in [
        each["message"] for each in reports[0]["warnings"]
    ]


async def test_a_row_without_a_date_that_is_seen_every_day_is_renewed(harness):
    clock = SteppingClock()
    file = "Patient Name,Address,Rx Number\nAna Reed,5 Elm St,7001\n"
    async with harness(PLUGINS, clock=clock) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        created = []
        for days in (0, 3, 3, 3, 3, 6):
            clock.step(days * 86400)
            created.append((await sender.send(file))["created"])

    assert created == [1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("rx_number", ["7001", None])
async def test_a_row_that_came_in_before_the_upgrade_is_known_after_it(harness, rx_number):
    """Before csv_0002 a row was known by all it says, capitals and all, and had no content."""
    clock = SteppingClock()
    file = f"Patient Name,Address,Rx Number\nAna Reed,5 Elm St,{rx_number or ''}\n"
    async with harness(PLUGINS, clock=clock) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        running = gateway.gateway
        caller = Caller(DEFAULT_ACCOUNT, "live", "csv-folder")
        order = Order(patient_name="Ana Reed", patient_address="5 Elm St", rx_number=rx_number)

        # What the version before did: a claim under all it says, and the order under the claim.
        key = running.sealer.blind_index(
            "csv row", DEFAULT_ACCOUNT, said_by(order, None, is_folded=False)
        )
        now_ms = to_epoch_ms(clock.now())
        async with running.database.begin() as connection:
            await connection.execute(
                insert(known_rows).values(
                    account_id=DEFAULT_ACCOUNT,
                    mode="live",
                    row_index=key,
                    import_id="imp_before",
                    claimed_at_ms=now_ms,
                )
            )
        candidate = Candidate(order, reference=f"{key.hex()}:{now_ms}")
        await running.intake.accept(Submission(caller, "csv", (candidate,)))
        created = []
        for days in (1, 1, 4, 4):
            clock.step(days * 86400)
            dry = await sender.send(file, "?dry_run=true")
            created.append((dry["created"], (await sender.send(file))["created"]))
        packages = await sender.packages()

    assert created == [(0, 0), (0, 0), (0, 0), (0, 0)]
    assert len(packages) == 1


async def test_the_same_prescription_of_two_patients_is_two_packages(sender):
    report = await sender.send(
        "Patient Name,Address,Rx Number\nAna Reed,5 Elm St,7001\nBo Fox,5 Elm St,7001\n"
    )

    assert counts(report) == {"created": 2}


async def test_a_known_prescription_with_another_address_is_an_error_and_no_second_delivery(sender):
    await sender.send(LIST + FIRST)

    report = await sender.send(LIST + FIRST.replace("5 Elm St", "77 Oak Rd"))

    assert counts(report) == {"rejected": 1}


async def test_what_is_delivered_cancelled_or_refunded_is_skipped_and_said(sender):
    report = await sender.send(
        "Patient Name,Address,Status\nAna Reed,5 Elm St,Delivered\nBo Fox,6 Elm St,Cancelled\n"
        "Cy Olm,7 Elm St,Ready\nDi Ash,8 Elm St,Not delivered\n"
    )

    assert counts(report) == {"created": 2, "skipped": 2}
    messages = [each["message"] for each in report["warnings"] if each.get("row") == 2]
    assert messages == [
        "no package was made of the row: by Status it needs no delivery any more, or is on its way"
    ]


async def test_an_export_comes_back_without_a_second_delivery(gateway, sender):
    await sender.send(f"{HEADER},Rx #\n,Ana Reed,5 Elm St,7001\n,Bo Fox,6 Elm St,7002\n")
    ana, bo = await sender.packages()
    for event in ("delivery.assigned", "delivery.completed"):
        body = {
            "event": event,
            "driver_id": "drv_1",
            "copay_collected": 4.5,
            "copay_method": "cash",
            "proof": {"photo_url": "https://example.com/p.jpg", "signer_name": "Ana Reed"},
        }
        answer = await gateway.post(f"/api/packages/{ana['id']}/events", sender.key, body)
        assert answer.status_code == 200, answer.text

    file = await _exported(gateway, "live")
    here = await sender.send(file, "?again=true")
    other = Sender(gateway, await gateway.issue_key(mode="test"))
    elsewhere = await other.send(file)

    rows = {each["package_id"]: each for each in csv.DictReader(io.StringIO(file[1:]))}
    row = rows[ana["id"]]
    assert (row["source"], row["driver"], row["copay_collected"]) == ("csv", "drv_1", "4.50")
    assert (row["copay_method"], row["signer_name"]) == ("cash", "Ana Reed")
    assert row["proof_photo"] == "https://example.com/p.jpg"
    assert row["delivered_at"].startswith("20")
    assert rows[bo["id"]]["driver"] == ""
    assert counts(here) == {"duplicates": 1, "skipped": 1}
    assert counts(elsewhere) == {"created": 1, "skipped": 1}


async def test_a_row_whose_twin_is_cancelled_makes_no_package(sender):
    """The same order twice, once ready and once cancelled: which is later, no file says."""
    report = await sender.send(
        "Patient Name,Address,Rx #,Status\nAna Reed,5 Elm St,7001,Ready\n"
        "Bo Fox,6 Elm St,7002,Ready\nAna Reed,5 Elm St,7001,Cancelled\n"
    )

    assert counts(report) == {"created": 1, "skipped": 1, "rejected": 1}
    assert report["errors"][0]["message"] == ("by row 4 the same order needs no delivery any more")


async def test_rows_are_claimed_by_the_first_import_that_brings_them(harness, database_url):
    ana, bo, cy = (
        Identity(name * 16, name.upper() * 16, is_lasting=name != b"c", by="order id")
        for name in (b"a", b"b", b"c")
    )
    async with harness(f'{PLUGINS}[database]\nurl = "{database_url}"\n') as gateway:
        database, now = gateway.gateway.database, gateway.gateway.clock.now()
        rows = KnownRows(database, Caller(DEFAULT_ACCOUNT, "live", "k"), timedelta(days=14))
        nothing = await rows.claim([], "imp_1", now, again=False)
        first = await rows.claim([bo, ana, bo], "imp_1", now, again=False)
        later = now + timedelta(minutes=5)
        second = await rows.claim([cy, bo], "imp_2", later, again=False)
        known = await rows.known([ana, bo, cy], later)

    then, soon = to_epoch_ms(now), to_epoch_ms(later)
    assert nothing == {}
    assert first == {
        ana.key: Claim("imp_1", then, ana.content, then, is_lasting=True),
        bo.key: Claim("imp_1", then, bo.content, then, is_lasting=True),
    }
    assert second == {
        bo.key: first[bo.key],
        cy.key: Claim("imp_2", soon, cy.content, soon, is_lasting=False),
    }
    assert known == {**first, **second}
