"""Rows that are the prescriptions of one order become one bag, whole or not at all."""

import csv
import io
import json

import pytest
from gateway_csv import bags
from plugins.csv.test_commands import CommandLine
from plugins.csv.test_identity import counts

HEADER = "Order #,Patient Name,Address,Rx Number,Copay,Delivery Date,Notes"
ANA = "Ana Reed,5 Elm St"
THREE = (
    f"{HEADER}\n"
    f"1,{ANA},7001,4.50,2026-11-23,ring twice\n"
    f"1,{ANA},7002,8,2026-11-23,\n"
    f"2,Bo Fox,6 Elm St,7003,1.00,2026-11-23,\n"
    f"1,{ANA},7004,,2026-11-23,keep cold\n"
)
BY_PATIENT = "?bags=patient"
PLAIN = "Patient Name,Address,Rx Number,Copay,Delivery Date\n"
FIRST = f"{ANA},7001,4.50,2026-11-23\n"
SECOND = f"{ANA},7002,8.00,2026-11-23\n"


def shown(package):
    prescriptions = package.get("prescriptions", ())
    return {
        "rx_number": package["rx_number"],
        "copay_amount": package["copay_amount"],
        "prescriptions": [(each["rx_number"], each["copay_amount"]) for each in prescriptions],
    }


async def packages(sender):
    found = await sender.packages()
    return {each["patient_name"]: each for each in found}


async def test_rows_of_one_order_id_are_one_bag_wherever_they_stand(sender):
    report = await sender.send(THREE)

    assert (report["created"], report["bagged"], report["rows"]) == (2, 2, 4)
    assert report["warnings"][0]["message"] == "1 bag holds the prescriptions of 3 rows"
    found = await packages(sender)
    assert shown(found["Ana Reed"]) == {
        "rx_number": "7001",
        "copay_amount": 12.5,
        "prescriptions": [("7001", 4.5), ("7002", 8.0), ("7004", None)],
    }
    assert found["Ana Reed"]["notes"] == "ring twice\nkeep cold"
    assert shown(found["Bo Fox"]) == {
        "rx_number": "7003",
        "copay_amount": 1.0,
        "prescriptions": [],
    }


async def test_the_same_file_again_makes_no_second_bag(sender):
    await sender.send(THREE)

    report = await sender.send(THREE)

    assert (report["created"], report["duplicates"], report["bagged"]) == (0, 2, 2)
    assert len(await sender.packages()) == 2


async def test_a_dry_run_counts_as_the_import_does(sender):
    rehearsed = await sender.send(THREE, "?dry_run=true")

    assert (rehearsed["created"], rehearsed["bagged"]) == (2, 2)
    assert await sender.packages() == []


async def test_each_number_of_the_bag_finds_it(gateway, key, sender):
    await sender.send(THREE)
    ana = (await packages(sender))["Ana Reed"]["id"]

    for number in ("7001", "7002", "7004"):
        answer = await gateway.post("/api/packages/search", key, {"rx_number": number})
        assert [each["id"] for each in answer.json()["packages"]] == [ana]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"1,{ANA},7002,8,2026-11-24,", "the rows of one bag differ in delivery_date"),
        (f"1,{ANA},7001,9,2026-11-23,", "the row names an rx number of the bag again, and differs"),
        (f"1,{ANA},,8,2026-11-23,", "the row is of a bag, and names no rx number"),
    ],
)
async def test_a_bag_whose_rows_disagree_is_not_made_in_part(sender, row, message):
    file = f"{HEADER}\n1,{ANA},7001,4.50,2026-11-23,\n1,{ANA},7004,8,2026-11-23,\n{row}\n"

    report = await sender.send(file)

    assert counts(report) == {"rejected": 3}
    assert [(each["row"], each["message"]) for each in report["errors"]] == [
        (4, f"{message} (its first row is 2)")
    ]
    assert await sender.packages() == []


async def test_a_fault_of_one_row_keeps_the_whole_bag_out_and_all_its_rows_are_given_back(
    gateway, key, sender
):
    file = THREE.replace("7002,8,", "7002,much,")
    answer = await sender.post(file)
    report = answer.json()

    assert counts(report) == {"created": 1, "rejected": 3}
    assert [each["row"] for each in report["errors"]] == [3]
    import_id = answer.headers["x-import-id"]
    given = await gateway.get(f"/api/packages/imports/{import_id}/rejected", key)
    rows = list(csv.DictReader(io.StringIO(given.text.removeprefix("\ufeff"))))
    assert [each["import_row"] for each in rows] == ["2", "3", "5"]
    assert rows[0]["import_error"].startswith(
        "the row is of a bag that was not made, because of row 3 of it"
    )

    # Corrected, the rejected rows make the bag
    corrected = given.text.replace("much", "8")
    report = await sender.send(corrected)
    assert (report["created"], report["bagged"]) == (1, 2)
    ana = (await packages(sender))["Ana Reed"]
    assert shown(ana)["copay_amount"] == 12.5


async def test_a_copay_that_its_header_calls_the_total_is_not_added_up(sender):
    file = THREE.replace("Copay", "Total copay").replace(",4.50,", ",12.50,")
    file = file.replace("7002,8,", "7002,12.50,").replace("7004,,", "7004,12.50,")

    await sender.send(file)

    assert shown((await packages(sender))["Ana Reed"]) == {
        "rx_number": "7001",
        "copay_amount": 12.5,
        "prescriptions": [("7001", None), ("7002", None), ("7004", None)],
    }


async def test_one_order_id_for_two_patients_is_no_bag(sender):
    file = f"{HEADER}\n1,{ANA},7001,4.50,,\n1,{ANA},7002,8,,\n1,Bo Fox,6 Elm St,7003,1,,\n"

    report = await sender.send(file)

    assert counts({**report, "rows": 2}) == {"created": 1, "rejected": 1}
    assert report["errors"][0]["row"] == 4
    assert list(await packages(sender)) == ["Ana Reed"]


async def test_a_line_without_a_patient_joins_the_order_above_it(sender):
    file = f"{HEADER}\n1,{ANA},7001,4.50,,\n1,,,7002,8,,\n1,{ANA},7001,4.50,,\n"

    report = await sender.send(file)

    assert (report["created"], report["bagged"]) == (1, 2)
    assert shown((await packages(sender))["Ana Reed"])["prescriptions"] == [
        ("7001", 4.5),
        ("7002", 8.0),
    ]


async def test_without_an_order_id_rows_stay_packages_of_their_own(sender):
    report = await sender.send(PLAIN + FIRST + SECOND)

    assert counts(report) == {"created": 2}


async def test_rows_of_one_patient_address_and_date_are_a_bag_where_the_import_says_so(sender):
    others = f"{ANA},7003,1.00,2026-11-24\n{ANA},7004,1.00,\nAna Reed,7 Oak Rd,7005,1,2026-11-23\n"
    report = await sender.send(PLAIN + FIRST + others + SECOND, BY_PATIENT)

    assert (report["created"], report["bagged"], report["rows"]) == (4, 1, 5)
    found = await sender.packages()
    assert sorted(len(each.get("prescriptions", ())) for each in found) == [0, 0, 0, 2]

    again = await sender.send(PLAIN + SECOND + FIRST, BY_PATIENT)
    assert (again["created"], again["duplicates"], again["bagged"]) == (0, 1, 1)


async def test_a_bag_by_patient_that_comes_again_is_known(sender):
    await sender.send(PLAIN + FIRST + SECOND, BY_PATIENT)

    report = await sender.send(PLAIN + FIRST + SECOND, BY_PATIENT)
    alone = await sender.send(PLAIN + SECOND)

    assert (report["created"], report["duplicates"], report["bagged"]) == (0, 1, 1)
    assert counts(alone) == {"rejected": 1}
    assert len(await sender.packages()) == 1


async def test_a_prescription_that_came_in_alone_goes_into_no_second_bag(sender):
    await sender.send(PLAIN + SECOND)

    report = await sender.send(PLAIN + FIRST + SECOND, BY_PATIENT)

    assert counts(report) == {"rejected": 2}
    assert len(await sender.packages()) == 1


async def test_rows_too_far_apart_are_said_and_not_made_twice(sender, monkeypatch):
    monkeypatch.setattr(bags, "_HELD_ROWS", 2)

    report = await sender.send(THREE)

    assert (report["created"], report["bagged"], report["rejected"]) == (2, 1, 1)
    assert report["errors"][0]["message"] == (
        "the row has the same order id as row 2, and says something else"
    )


def test_an_exported_bag_is_one_line_and_comes_back_whole(tmp_path):
    folders = tmp_path / "there", tmp_path / "back"
    for folder in folders:
        folder.mkdir()
    there, back = map(CommandLine, folders)
    there.json("import", there.file(THREE))
    path = tmp_path / "out.csv"
    there.json("export", str(path))
    rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines(keepends=True)))
    assert [each["rx_number"] for each in rows] == ["7003", "7001"]
    assert json.loads(rows[1]["prescriptions"]) == [
        {"rx_number": "7001", "copay_amount": 4.50},
        {"rx_number": "7002", "copay_amount": 8.00},
        {"rx_number": "7004"},
    ]

    report = back.json("import", str(path))

    assert report["created"] == 2
    again = tmp_path / "again.csv"
    back.json("export", str(again))
    assert {_said(each) for each in _lines(again)} == {_said(each) for each in rows}


def _lines(path):
    return list(csv.DictReader(path.read_text("utf-8-sig").splitlines(keepends=True)))


def _said(line):
    names = ("patient_name", "rx_number", "copay_amount", "prescriptions", "external_order_id")
    return tuple(line[name] for name in names)
