"""Which column is which field: by header, whose it is, its neighbours and its values."""

import openpyxl
import pytest
from plugins.csv.files import saved
from plugins.csv.reading import read_file


def addresses(file, **options):
    return read_file(file, **options).column("patient_address")


def test_of_two_addresses_and_phones_the_patients_count_and_not_the_pharmacys():
    outcome = read_file(
        "Pharmacy,Address,City,State,Zip,Phone,Patient Name,Patient Address,Patient City,"
        "Patient State,Patient Zip,Patient Phone\n"
        "Hill Drugs,1 Main St,Salem,MA,01970,978-555-0100,Ana Reed,5 Elm St,Boston,MA,02108,"
        "617-555-0123\n"
    )

    [order] = outcome.said
    assert order["patient_name"] == "Ana Reed"
    assert order["patient_address"] == "5 Elm St, Boston, MA 02108"
    assert order["patient_phone"] == "+16175550123"
    assert outcome.ignored == ["Pharmacy", "Address", "City", "State", "Zip", "Phone"]
    assert "Patient Address: the column was read as patient_address, not Address" in outcome.remarks


def test_parts_of_an_address_are_never_taken_from_another_address():
    [address] = addresses(
        "Pharmacy,Address,City,Zip,Patient Name,Patient Address\n"
        'Hill Drugs,1 Main St,Salem,01970,Ana Reed,"5 Elm St, Boston"\n'
    )

    assert address == "5 Elm St, Boston"


def test_a_delivery_address_beats_a_home_address():
    file = 'Patient Name,Address,Delivery Address\nAna Reed,"9 Old Rd, Salem","5 Elm St, Boston"\n'

    assert addresses(file) == ["5 Elm St, Boston"]


def test_a_customer_beats_a_name_that_may_be_anybodys():
    outcome = read_file('Name,Customer,Address\nDan Driver,Ana Reed,"5 Elm St, Boston"\n')

    assert outcome.column("patient_name") == ["Ana Reed"]
    assert outcome.ignored == ["Name"]


@pytest.mark.parametrize(
    "header",
    [
        "Prescriber Name",
        "Driver",
        "Bill To Name",
        "Pharmacy Name",
        "Doctor",
        "Sender Name",
        "Emergency Contact Name",
        "Caregiver",
        "Facturation Nom",
    ],
)
def test_nobody_else_is_ever_the_patient(header):
    outcome = read_file(f"Address,City,{header}\n5 Elm St,Boston,Dan Other\n")

    assert outcome.refusal.startswith("The table lacks a column that every order needs.")


def test_an_address_behind_somebody_else_is_asked_about():
    file = "Patient Name,Prescriber,Address\nAna Reed,Dr. Lee,5 Elm St\n"

    refused = read_file(file)
    chosen = read_file(file, columns={"Address": "patient_address"})

    assert "Address stands behind a column of another party (Prescriber)" in refused.refusal
    assert '--column "Address=ignore"' in refused.refusal
    assert chosen.column("patient_address") == ["5 Elm St"]


def test_a_phone_behind_a_driver_is_left_out_and_said():
    outcome = read_file("Patient Name,Address,Driver,Phone\nAna Reed,5 Elm St,Dan,617-555-0123\n")

    assert outcome.column("patient_phone") == [None]
    assert outcome.ignored == ["Driver", "Phone"]
    assert "Phone: the column was ignored: it stands behind Driver and may not be" in str(
        outcome.remarks
    )


def test_a_header_of_two_rows_says_whose_its_columns_are():
    outcome = read_file(
        "Prescriber,,Patient,,,\nName,Phone,Name,Phone,Address,Rx #\n"
        "Dr. Lee,617-555-0999,Ana Reed,617-555-0123,5 Elm St,7001\n"
    )

    [order] = outcome.said
    assert (order["patient_name"], order["patient_phone"]) == ("Ana Reed", "+16175550123")
    assert outcome.ignored == ["Prescriber Name", "Prescriber Phone"]


def test_two_columns_of_one_name_are_asked_about_and_can_be_told_apart():
    file = "Name,Address,Name\nAna Reed,5 Elm St,Bo Fox\n"

    refused = read_file(file)
    chosen = read_file(file, columns={"Name (column C)": "patient_name"})

    assert "Name (column A) or Name (column C): say which one it is" in refused.refusal
    assert chosen.column("patient_name") == ["Bo Fox"]


def test_two_columns_of_one_field_that_say_the_same_are_no_question():
    outcome = read_file("Patient Name,Address,Rx #,Rx No\nAna Reed,5 Elm St,7001,7001\n")

    assert outcome.column("rx_number") == ["7001"]


def test_two_columns_of_one_field_that_differ_are_refused_with_both():
    outcome = read_file("Patient Name,Address,Rx #,Rx No\nAna Reed,5 Elm St,7001,7002\n")

    assert outcome.refusal.startswith("Two columns may be rx_number, and they differ.")
    assert '--column "Rx #=rx_number"' in outcome.refusal


def test_a_part_of_a_name_is_never_the_whole_name():
    outcome = read_file(
        "Nom;Prénom;Adresse\nRoy;Marie;5 rue Principale\nGagnon;Marie;5 rue Principale\n",
        country="CA",
    )

    assert outcome.column("patient_name") == ["Marie Roy", "Marie Gagnon"]
    for header in ("First Name", "Last Name", "Prénom"):
        refused = read_file(f"{header},Address\nMarie,5 Elm St\n")
        assert f"{header} is only a part of a name" in refused.refusal


def test_a_row_with_one_part_of_a_name_is_rejected():
    outcome = read_file("First Name,Last Name,Address\nAna,Reed,5 Elm St\n,Fox,6 Elm St\n")

    assert list(outcome.orders) == [2]
    assert outcome.errors[3] == ["first_name is empty, and a part of a name is not the whole"]


def test_a_column_called_patient_with_numbers_in_it_is_not_the_name():
    outcome = read_file("Patient,First Name,Last Name,Address\n10023,Ana,Reed,5 Elm St\n")

    assert outcome.column("patient_name") == ["Ana Reed"]


def test_a_name_column_without_names_is_refused():
    outcome = read_file("Patient,Address\n10023,5 Elm St\n10024,6 Elm St\n")

    assert "Patient is called a name, and its values are none" in outcome.refusal


@pytest.mark.parametrize(
    "file",
    [
        "Patient Name,City,Postal Code\nAna Reed,Ottawa,K1A 0B1\n",
        "Patient Name,Delivery City,State\nAna Reed,Boston,MA\n",
        'Patient Name,Address\nAna Reed,"Boston, MA 02108"\nBo Fox,Ottawa\n',
    ],
)
def test_an_address_without_a_street_is_refused(file):
    outcome = read_file(file)

    assert outcome.orders == {}
    assert "patient_address" in outcome.refusal


@pytest.mark.parametrize(
    ("header", "cells", "address"),
    [
        ("Address,Unit,City", "5 Elm St,1204,Ottawa", "5 Elm St, Unit 1204, Ottawa"),
        ("Street Number,Street Name,City", "5,Elm St,Ottawa", "5 Elm St, Ottawa"),
        ("Address Line 1,Address Line 2,City", "5 Elm St,Apt 2,Ottawa", "5 Elm St, Apt 2, Ottawa"),
        (
            "Address_Line1,Address_Line2,City/Town",
            "5 Elm St,Apt 2,Ottawa",
            "5 Elm St, Apt 2, Ottawa",
        ),
        ("shipToAddress1,shipToCity,shipToZip", "5 Elm St,Boston,02108", "5 Elm St, Boston, 02108"),
        ("Ship-To Street,Ship-To City,Ship-To State", "5 Elm St,Boston,MA", "5 Elm St, Boston, MA"),
        (
            "Delivery Address 1,Delivery City,Delivery State",
            "5 Elm St,Salem,MA",
            "5 Elm St, Salem, MA",
        ),
        ("Street,Apt,City", "5 Elm St,4,Salem", "5 Elm St, Apt 4, Salem"),
        (
            "Adresse,App.,Ville,Code postal",
            "5 rue Roy,2,Laval,H7A 1A1",
            "5 rue Roy, 2, Laval, H7A 1A1",
        ),
    ],
)
def test_headers_of_addresses_in_many_spellings(header, cells, address):
    assert addresses(f"Patient Name,{header}\nAna Reed,{cells}\n") == [address]


@pytest.mark.parametrize(
    ("header", "cell", "field", "value"),
    [
        ("Phone No.", "613-555-0123", "patient_phone", "+16135550123"),
        ("PatientPhone", "613-555-0123", "patient_phone", "+16135550123"),
        ("Rx Num", "0007001", "rx_number", "0007001"),
        ("No Rx", "0007001", "rx_number", "0007001"),
        ("Owing", "4.50", "copay_amount", "4.50"),
        ("Buzzer", "12", "notes", "Buzzer: 12"),
        ("Delivery Instructions", "ring twice", "notes", "ring twice"),
        ("Cust E-mail", "ana@example.com", "patient_email", "ana@example.com"),
        ("ORDER_ID", "SO-1", "external_order_id", "SO-1"),
        ("Date de livraison", "2026-11-23", "delivery_date", "2026-11-23"),
    ],
)
def test_headers_of_other_fields_in_many_spellings(header, cell, field, value):
    outcome = read_file(f"Patient Name,Address,{header}\nAna Reed,5 Elm St,{cell}\n")

    assert [str(each) for each in outcome.column(field)] == [value]


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("Company", "Hill Drugs"),
        ("Acct #", "99812"),
        ("Delivery Window", "9-12"),
        ("Recieved", "yes"),
        ("Statue", "x"),
        ("Copies", "many"),
    ],
)
def test_a_hint_is_only_given_where_the_values_could_be_it(header, cell):
    outcome = read_file(f"Patient Name,Address,{header}\nAna Reed,5 Elm St,{cell}\n")

    assert outcome.ignored == [header]
    assert not any("looks like" in each or "if it is" in each for each in outcome.remarks)


def test_a_column_that_nobody_knows_and_that_holds_a_part_of_the_address_is_asked_about():
    for header, cells, part in (
        ("Street,Xyz,City", "5 Elm St,Apt 2,Boston", "address2"),
        ("Street,City,Xyz", "5 Elm St,Boston,02108", "postal_code"),
        ("Street,Xyz,Zip", "5 Elm St,Boston,02108", "city"),
        ("Street,City,Xyz", "5 Elm St,Boston,MA", "state"),
    ):
        file = f"Patient Name,{header}\nAna Reed,{cells}\n"
        refused = read_file(file)
        assert f"Xyz holds what looks like {part}" in refused.refusal, header
        assert read_file(file, columns={"Xyz": part}).errors == {}
        assert len(read_file(file, columns={"Xyz": "ignore"}).orders) == 1


def test_delivery_state_is_a_state_or_a_status_by_its_values():
    [order] = read_file(
        "Patient Name,Address,City,Delivery State\nAna Reed,5 Elm St,Boston,MA\n"
    ).said
    outcome = read_file("Patient Name,Address,Delivery State\nAna Reed,5 Elm St,Delivered\n")

    assert order["patient_address"] == "5 Elm St, Boston, MA"
    assert list(outcome.skipped) == [2]


def test_no_patients_data_is_under_the_ignored_columns():
    outcome = read_file("Patient Name,Address,617-555-0123,Ana Reed 5\nAna Reed,5 Elm St,x,y\n")

    assert "617-555-0123" not in outcome.ignored


def test_sheets_that_were_not_read_are_named():
    book = openpyxl.Workbook()
    for row in (["Patient Name", "Address"], ["Ana Reed", "5 Elm St"]):
        book.active.append(row)
    book.create_sheet("Monday").append(["x"])

    outcome = read_file(saved(book))

    assert any('not read: "Monday"' in each for each in outcome.remarks)
