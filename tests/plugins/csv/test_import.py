"""Files come in over HTTP: the seed's own, what is reported, and what makes nothing twice."""

import asyncio
import json

import pytest
from plugins.csv.files import PLUGINS, SEED, Sender, workbook

HEADER = "patient_name,patient_address"
SITES = """
[[sites]]
code = "main"
name = "Lakeside Pharmacy"
country = "US"
[[sites]]
code = "north"
name = "Northgate Pharmacy"
country = "US"
"""


async def test_the_seeds_block_imports_as_two_packages(sender):
    report = await sender.send(SEED)
    first, second = await sender.packages()

    assert report == {
        "created": 2,
        "package_ids": [first["id"], second["id"]],
        "warnings": [],
        "errors": [],
        "ignored_columns": [],
        "rows": 2,
    }
    assert {**first, "id": 0, "status_at": 0, "created_at": 0} == {
        "id": 0,
        "status": "created",
        "status_at": 0,
        "mode": "live",
        "site": None,
        "source": "csv",
        "created_at": 0,
        "patient_name": "Maria Rodriguez",
        "patient_address": "123 Main St, Miami, FL 33178",
        "patient_phone": "+13055551234",
        "patient_email": None,
        "rx_number": "RX-8872341",
        "copay_amount": 12.50,
        "priority": "routine",
        "requires_signature": False,
        "delivery_date": "2026-04-20",
        "notes": "Leave with doorman",
        "external_patient_id": None,
        "external_order_id": None,
        "metadata": {},
    }
    assert (second["patient_name"], second["copay_amount"]) == ("Alex Kim", 0.00)
    assert (second["priority"], second["notes"]) == ("urgent", None)


async def test_the_same_file_again_makes_nothing_twice_and_says_so(sender):
    await sender.send(SEED)

    again = await sender.send(SEED)

    assert len(await sender.packages()) == 2
    assert (again["created"], again["package_ids"], again["rows"]) == (0, [], 2)
    assert again["errors"] == []
    assert [each["message"] for each in again["warnings"]] == [
        "2 rows were imported before: no second package was made of them",
        "the row was imported before; it made no second package",
        "the row was imported before; it made no second package",
    ]
    assert [each.get("row") for each in again["warnings"]] == [None, 2, 3]


async def test_the_same_rows_make_packages_again_when_that_is_asked_for(sender):
    await sender.send(SEED)

    again = await sender.send(SEED, "?again=true")

    assert again["created"] == 2
    assert len(await sender.packages()) == 4


async def test_a_row_with_an_order_id_is_known_by_it_whatever_else_it_says(sender):
    first = await sender.send(f"{HEADER},Order #\nAna,1 Elm St,SO-1\n")
    again = await sender.send(f"{HEADER},Order #\nAna Silva,2 Elm St,SO-1\n", "?again=true")

    assert (first["created"], again["created"]) == (1, 0)
    [package] = await sender.packages()
    assert (package["patient_name"], package["external_order_id"]) == ("Ana", "SO-1")


async def test_a_row_that_says_the_same_as_another_of_the_file_makes_one_package(sender):
    report = await sender.send(f"{HEADER}\nAna,1 Elm St\nBo,2 Elm St\nAna,1 Elm St\n")

    assert report["created"] == 2
    assert report["warnings"] == [
        {
            "row": 4,
            "message": (
                "the row says the same as row 2, or has the same order id; it made no package of "
                "its own"
            ),
        }
    ]


async def test_a_bad_row_is_reported_with_all_that_is_wrong_and_the_others_import(sender):
    report = await sender.send(
        "Patient,Address,Co-pay,Deliver on,Signature\n"
        "Ana Silva,1 Elm St,twelve,31/31/2026,maybe\n"
        "Bo Chen,2 Elm St,$5,2026-04-20,Y\n"
        ",3 Elm St,20000,,\n"
    )

    assert (report["created"], report["rows"]) == (1, 3)
    assert report["errors"] == [
        {
            "row": 2,
            "column": "Co-pay",
            "field": "copay_amount",
            "message": "copay_amount can't be read",
            "expected": "an amount such as 12.50",
            "found": "xxxxxx",
            "fix": "enter dollars and cents, or leave the cell empty",
        },
        {
            "row": 2,
            "column": "Signature",
            "field": "requires_signature",
            "message": "requires_signature can't be read",
            "expected": "yes or no",
            "found": "xxxxx",
            "fix": "enter yes or no, or leave the cell empty",
        },
        {
            "row": 2,
            "column": "Deliver on",
            "field": "delivery_date",
            "message": "delivery_date can't be read",
            "expected": "a date such as 2026-04-20",
            "found": "99/99/9999",
            "fix": "correct the date, or leave the cell empty",
        },
        {
            "row": 4,
            "column": "Patient",
            "field": "patient_name",
            "message": "patient_name is required",
            "expected": "a name",
            "fix": "enter the patient's name",
        },
        {
            "row": 4,
            "column": "Co-pay",
            "field": "copay_amount",
            "message": "copay_amount must be between 0 and 10000",
            "expected": "an amount from 0.00 to 10000.00",
            "found": "99999",
            "fix": "correct the cell",
        },
    ]


async def test_a_row_without_a_name_is_reported_with_its_spreadsheet_row(sender):
    title = "Deliveries of Monday\n\n"
    report = await sender.send(f'{title}{HEADER},notes\n\nAna,1 Elm,"two\nlines"\n,2 Elm,')

    assert report["created"] == 1
    assert [(each["row"], each["field"]) for each in report["errors"]] == [(6, "patient_name")]


async def test_unknown_columns_are_ignored_and_listed(sender):
    report = await sender.send("patient_name,Color,patient_address,Sig\nAna Reed,red,1 Elm,1 tab\n")

    assert report["created"] == 1
    assert report["ignored_columns"] == ["Color", "Sig"]


async def test_a_dry_run_keeps_nothing_and_has_the_same_report(sender):
    file = SEED + ",no name,,,,,,\nMaria Rodriguez,x,+13055551234,,,soon,,\n" + SEED.splitlines()[1]

    rehearsed = await sender.send(file, "?dry_run=true")
    kept = await sender.packages()
    real = await sender.send(file)
    later = await sender.send(file, "?dry_run=true")

    assert kept == []
    assert rehearsed["package_ids"] == []
    assert {**rehearsed, "package_ids": real["package_ids"]} == real
    assert (later["created"], later["warnings"][0]["message"]) == (
        0,
        "2 rows were imported before: no second package was made of them",
    )


async def test_a_phone_number_that_is_none_is_left_out_with_a_remark(sender):
    report = await sender.send(f"{HEADER},phone\nAna,1 Elm,call the daughter\n")

    [package] = await sender.packages()
    assert package["patient_phone"] is None
    assert report["warnings"][1:] == [
        {
            "row": 2,
            "column": "phone",
            "field": "patient_phone",
            "message": "the telephone number was left out",
            "expected": "a telephone number such as +13055551234",
            "found": "xxxx xxx xxxxxxxx",
            "fix": "correct the number, or leave the cell empty",
        }
    ]


async def test_a_synonym_is_told_as_what_it_was_taken_for(sender):
    report = await sender.send("Recipient,patient_address\nAna,1 Elm\n")

    assert report["warnings"] == [
        {"column": "Recipient", "message": "the column was read as patient_name"}
    ]


async def test_a_name_that_only_looks_like_a_field_is_suggested_and_not_taken(sender):
    report = await sender.send("patient_name,patient_address,Delivry Notes\nAna,1 Elm,ring\n")

    [package] = await sender.packages()
    assert package["notes"] is None
    assert report["ignored_columns"] == ["Delivry Notes"]
    assert report["warnings"] == [
        {
            "column": "Delivry Notes",
            "message": "the column was ignored; if it is notes, rename it or map it",
        }
    ]


async def test_what_a_test_key_or_another_sites_key_tells_changes_no_other_reading(harness):
    told = json.dumps({"patient_phone": "ignore"})
    async with harness(PLUGINS + SITES) as gateway:

        async def key(**bound):
            return Sender(gateway, await gateway.issue_key(**bound))

        live, north = await key(), await key(site="north")
        for each in (await key(mode="test"), await key(site="main")):
            await each.send(SEED, "?sender=sx&site=main", columns=told)
        whole = await live.send(SEED, "?sender=sx&site=north")
        sites = await north.send(SEED, "?sender=sx&again=true")
        phones = [each["patient_phone"] for each in await north.packages()]
        await north.send(SEED, "?sender=sx&again=true", columns=told)
        again = await north.send(SEED, "?sender=sx&again=true")

    assert whole["ignored_columns"] == sites["ignored_columns"] == []
    assert phones == ["+13055551234", "+13055559876"] * 2
    assert again["ignored_columns"] == ["patient_phone"]


async def test_a_told_column_is_remembered_for_its_sender_and_no_other(sender):
    file = "Who,patient_address,Zone\n{},1 Elm,7\n"
    told = json.dumps({"Who": "patient_name", "Zone": "metadata.zone"})

    first = await sender.send(file.format("Ana"), "?sender=clinic", columns=told)
    second = await sender.send(file.format("Bo"), "?sender=clinic")
    other = await sender.post(file.format("Cy"))

    assert (first["created"], second["created"]) == (1, 1)
    assert [each["metadata"] for each in await sender.packages()] == [{"zone": "7"}] * 2
    assert [each["message"] for each in second["warnings"]] == [
        "the column was read as patient_name",
        "the column was read as metadata.zone",
    ]
    assert other.status_code == 400


async def test_a_column_may_be_told_to_be_ignored(sender):
    told = json.dumps({"Phone": "ignore"})
    report = await sender.send(f"{HEADER},Phone\nAna,1 Elm,3055551234\n", columns=told)

    [package] = await sender.packages()
    assert package["patient_phone"] is None
    assert report["ignored_columns"] == ["Phone"]


async def test_a_column_that_is_still_ignored_is_named_as_that(sender):
    told = json.dumps({"Phone": "ignore"})
    await sender.send(f"{HEADER},Phone\nAna,1 Elm,3055551234\n", columns=told)

    report = await sender.send(f"{HEADER},Phone\nBo,2 Elm,3055551234\n")

    assert report["warnings"] == [
        {"column": "Phone", "message": "the column was ignored, as was said before"}
    ]


@pytest.mark.parametrize("name", ["", "\0zone", "a\nb", "z" * 101, "z" * 10_000])
async def test_a_name_of_metadata_that_no_package_could_have_is_400(sender, name):
    told = json.dumps({"Zone": f"metadata.{name}"})
    file = f"{HEADER},Zone\nAna,1 Elm,7\n"

    answer = await sender.post(file, columns=told)

    assert answer.status_code == 400
    assert answer.json()["error"] == "A column was given a field that there is not."
    assert len(answer.content) < 1000
    assert await sender.packages() == []
    assert (await sender.send(file))["ignored_columns"] == ["Zone"]


async def test_a_name_of_metadata_beyond_a_text_parts_size_is_413(sender):
    told = json.dumps({"Zone": f"metadata.{'z' * 100_000}"})

    answer = await sender.post(f"{HEADER},Zone\nAna,1 Elm,7\n", columns=told)

    assert answer.status_code == 413
    assert len(answer.content) < 1000
    assert await sender.packages() == []


async def test_the_longest_name_of_metadata_is_taken(sender):
    name = "z" * 100
    told = json.dumps({"Zone": f"metadata.{name}"})

    await sender.send(f"{HEADER},Zone\nAna,1 Elm,7\n", columns=told)

    [package] = await sender.packages()
    assert package["metadata"] == {name: "7"}


async def test_a_row_has_all_its_faults_told_whoever_finds_them(sender):
    file = (
        f"{HEADER},copay_amount,priority,phone,order_id\n"
        ",1 Elm,twelve,whenever,nobody,\n"
        f"Bo,2 Elm,5,,,\n,,x,,,{'9' * 300}\n"
    )

    report = await sender.send(file)
    rehearsed = await sender.send(file, "?dry_run=true&again=true")

    assert [(each["row"], each["field"]) for each in report["errors"]] == [
        (2, "copay_amount"),
        (2, "patient_name"),
        (2, "priority"),
        (4, "copay_amount"),
        (4, "external_order_id"),
        (4, "patient_name"),
        (4, "patient_address"),
    ]
    assert [each["message"] for each in report["errors"][:2]] == [
        "copay_amount can't be read",
        "patient_name is required",
    ]
    assert (2, "patient_phone") in [
        (each.get("row"), each.get("field")) for each in report["warnings"]
    ]
    assert (report["created"], len(await sender.packages())) == (1, 1)
    assert rehearsed["errors"] == report["errors"]


async def test_what_could_not_be_read_is_not_called_missing_too(sender):
    columns = ["address", "city", "zip", "name"]
    report = await sender.send(workbook(columns, ["1 Elm", "Miami", 1.3e17, "Ana"]))
    [error] = report["errors"]
    assert error["field"] == "postal_code"


async def test_a_file_without_a_header_is_refused_and_nothing_of_it_repeated(sender):
    answer = await sender.post("Maria Rodriguez,123 Main St\nAlex Kim,450 Collins Ave\n")

    assert answer.status_code == 400
    assert answer.json() == {
        "error": (
            "No header was found: the table's first row has to name its columns, at least "
            "patient_name and patient_address."
        ),
        "code": "invalid_input",
        "details": [],
    }


async def test_a_file_that_lacks_a_column_is_told_which_one_looks_like_it(sender):
    answer = await sender.post("patient_name,Delivery Adress,notes\nAna,1 Elm,x\n")

    assert answer.status_code == 400
    assert answer.json() == {
        "error": "The table lacks a column that every order needs.",
        "code": "invalid_input",
        "details": [
            {
                "message": (
                    "no column was found for patient_address; Delivery Adress looks like it: "
                    "rename it, or map it"
                ),
                "field": "patient_address",
            }
        ],
    }


async def test_headers_that_only_look_right_are_suggested_by_their_place(sender):
    answer = await sender.post("Patiant Nmae;Delivery Adress\nAna;1 Elm\n")

    assert answer.status_code == 400
    assert [each["message"] for each in answer.json()["details"]] == [
        "column A of row 1 looks like it: rename it, or map it",
        "column B of row 1 looks like it: rename it, or map it",
    ]


async def test_the_site_of_the_file_is_for_rows_that_name_none(harness):
    async with harness(PLUGINS + SITES) as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        report = await sender.send(
            f"{HEADER},site\nAna,1 Elm,\nBo,2 Elm,north\nCy,3 Elm,x\n", "?site=main"
        )
        unknown = await sender.post(SEED, "?site=south")
        at_north = Sender(gateway, await gateway.issue_key(site="north"))
        foreign = await at_north.post(SEED, "?site=main")
        sites = [each["site"] for each in await sender.packages()]

    assert (report["created"], sites) == (2, ["main", "north"])
    assert [(each["row"], each["column"]) for each in report["errors"]] == [(4, "site")]
    assert (unknown.status_code, unknown.json()["error"]) == (400, "There is no such site.")
    assert foreign.status_code == 403


async def test_test_keys_import_test_packages(gateway, sender):
    testing = Sender(gateway, await gateway.issue_key(mode="test"))

    await sender.send(SEED)
    report = await testing.send(SEED)

    assert report["created"] == 2
    assert {each["mode"] for each in await testing.packages()} == {"test"}


@pytest.mark.parametrize(
    ("fields", "query", "error"),
    [
        ({"columns": "no JSON"}, "", "columns takes a JSON object of headers and fields"),
        ({"columns": '{"a": "nonsense"}'}, "", "A column was given a field that there is not."),
        ({"columns": '{"": "notes"}'}, "", "A column was given a field that there is not."),
        ({}, "?sender=a%20b", "sender takes 1 to 40 letters"),
        ({}, "?dates=sometimes", "The request is malformed."),
        ({}, "?dry_run=maybe", "The request is malformed."),
    ],
)
async def test_what_is_said_of_a_file_and_makes_no_sense_is_400(sender, fields, query, error):
    answer = await sender.post(SEED, query, **fields)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)
    assert await sender.packages() == []


NAMED = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\na\r\n'
IN_NO_ENCODING = (
    b'--x\r\nContent-Disposition: form-data; name="a"\r\n'
    b"Content-Type: text/plain; charset=bogus\r\n\r\na\r\n--x--\r\n"
)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"nonsense", "multipart/form-data; boundary=x"),
        (b"nonsense", "multipart/form-data"),
        (b"--x--\r\n", "multipart/form-data; boundary=x"),
        (IN_NO_ENCODING, "multipart/form-data; boundary=x"),
        (NAMED + NAMED + b"--x--\r\n", "multipart/form-data; boundary=x"),
    ],
)
async def test_a_body_that_is_no_upload_is_400(gateway, key, body, content_type):
    headers = {"Content-Type": content_type}
    answer = await gateway.post("/api/packages/import", key, body, headers)

    assert answer.status_code == 400
    assert "error" in answer.json()


async def test_a_file_without_a_name_is_a_file_as_well(gateway, key):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n%s\r\n--x--\r\n' % SEED.encode()
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = await gateway.post("/api/packages/import", key, body, headers)

    assert answer.json()["created"] == 2


async def test_json_is_415_and_a_body_over_the_limit_413(harness):
    async with harness("[plugins.csv]\nmax_file_bytes = 1000\n") as gateway:
        key = await gateway.issue_key()
        wrong = await gateway.post("/api/packages/import", key, {"file": "x"})
        sender = Sender(gateway, key)
        large = await sender.post(f"{HEADER}\n" + "Ana,1 Elm\n" * 100)
        huge = await sender.post("x" * 200_000)

    assert wrong.status_code == 415
    assert (large.status_code, huge.status_code) == (413, 413)
    assert large.json()["error"] == (
        "The file has more than 0.001 MB: split it, and import the parts."
    )


async def test_the_same_file_sent_many_times_at_once_makes_its_packages_once(harness, database_url):
    async with harness(f'{PLUGINS}[database]\nurl = "{database_url}"\n') as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        reports = await asyncio.gather(*(sender.send(SEED) for _ in range(8)))
        packages = await sender.packages()

    assert sum(each["created"] for each in reports) == 2
    assert len(packages) == 2


async def test_whole_files_are_counted_by_what_became_of_them(sender):
    bad_row = "patient_name,patient_address\nAna Reed,\n"
    await sender.send(SEED)
    await sender.send(bad_row)
    await sender.post("no table at all")
    await sender.send(SEED, "?dry_run=true")

    page = (await sender.gateway.get("/metrics")).text

    counted = [each for each in page.splitlines() if each.startswith("gateway_csv_files_total")]
    assert sorted(counted) == [
        'gateway_csv_files_total{outcome="failed"} 0.0',
        'gateway_csv_files_total{outcome="imported"} 1.0',
        'gateway_csv_files_total{outcome="refused"} 1.0',
        'gateway_csv_files_total{outcome="rejected"} 1.0',
    ]
