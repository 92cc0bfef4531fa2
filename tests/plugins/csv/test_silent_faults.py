"""Files that once put a wrong value into a package without a word: one test for each kind.

All people are invented. What must come in comes in right; the rest is refused or rejected, by name.
"""

import datetime as dt
import io
import zipfile

import openpyxl
import pytest
from plugins.csv.files import saved
from plugins.csv.reading import read_file

ROWS = list(enumerate(["Ana", "Bo", "Cy", "Di", "Eve"], 1))
HEADER = "Patient Name,Address,Phone,Rx Number,Notes"


def test_a_template_of_address_parts_has_the_street_from_its_first_line():
    [order] = read_file(
        "Address_Line1,Address_Line2,City/Town,State/Province,Postal_Code,Country,Recipient_Name,"
        "Recipient_Phone\n12 Oak Rd,Apt 9,Salem,MA,01970,US,Bo Fox,978-555-0123\n"
    ).said

    assert order["patient_address"] == "12 Oak Rd, Apt 9, Salem, MA 01970, US"
    assert (order["patient_name"], order["patient_phone"]) == ("Bo Fox", "+19785550123")


@pytest.mark.parametrize("parts", ["City,Zip", "City", "Postal Code", "Town,Province"])
def test_an_address_without_a_street_column_is_refused(parts):
    cells = {"City": "Ottawa", "Zip": "02108", "Postal Code": "K1A 0B1", "Town": "Ottawa"}
    said = ",".join(cells.get(each, "ON") for each in parts.split(","))

    outcome = read_file(f"Patient Name,{parts}\nBo Fox,{said}\n")

    assert outcome.orders == {}
    assert "patient_address" in outcome.refusal


def test_a_stray_quotation_mark_that_swallows_rows_refuses_the_file_and_names_the_row():
    outcome = read_file(
        'Patient Name,Address,Notes\nDi Ash,1 Oak Rd,x\nBo Fox,2 Oak Rd,"call\n'
        'Cy Olm,3 Oak Rd,y\nEve Lee,4 Oak Rd,"z"\n'
    )

    assert "A quotation mark that opens in row 3" in outcome.refusal


@pytest.mark.parametrize(
    "row",
    [
        "Ana Reed,8 Elm St, Apt 7,617-555-0123,7001,",
        "Reed, Ana,8 Elm St,617-555-0123,7001",
        "Ana Reed,8 Elm St,,617-555-0123,7001",
        "Ana Reed,8 Elm St,7001,617-555-0123,x",
    ],
)
def test_a_row_whose_cells_moved_is_rejected_and_the_others_come_in(row):
    good = "Bo Fox,9 Oak Rd,617-555-0188,7002,x\nCy Olm,7 Oak Rd,617-555-0177,7003,y\n"

    outcome = read_file(f"{HEADER}\n{good}{row}\n")

    assert list(outcome.orders) == [2, 3]
    assert list(outcome.errors) == [4]


def test_a_space_before_a_quotation_mark_does_not_end_the_cell():
    [order] = read_file(
        'Patient Name, Address, Phone, Notes\nBo Fox, "2 Oak Rd, Apt 4", 617-555-0188, "a ""b"""\n'
    ).said

    assert (order["patient_address"], order["notes"]) == ("2 Oak Rd, Apt 4", 'a "b"')


def test_a_second_header_in_another_order_refuses_the_file():
    outcome = read_file(
        "Patient Name,Address,Phone\nAna Reed,8 Elm St,617-555-0123\n"
        "Phone,Patient Name,Address\n617-555-0188,Bo Fox,9 Oak Rd\n"
    )

    assert outcome.refusal.startswith("Row 3 is a second header")


@pytest.mark.parametrize("columns", ["Rx #,Address", "Qty,Drug,Days,Rx #,Address"])
def test_a_block_of_labels_above_the_table_is_no_header_and_no_order(columns):
    cells = {"Rx #": "7001", "Address": "8 Elm St", "Qty": "30", "Drug": "Ramipril", "Days": "10"}
    row = ",".join(cells[each] for each in columns.split(","))

    outcome = read_file(
        "Name:,Oak Drugs,Address:,9 Main St,Phone:,978-555-0100\n\n"
        f"Patient Name,{columns}\nAna Reed,{row}\n"
    )

    [order] = outcome.said
    assert (order["patient_name"], order["patient_address"]) == ("Ana Reed", "8 Elm St")
    assert "978-555-0100" not in str(outcome.ignored)
    assert order["rx_number"] == "7001"


def test_excels_way_to_keep_a_number_a_text_is_taken_off():
    [order] = read_file(
        "Patient Name,Street,City,State,Zip,Phone,Rx Number\n"
        'Bo Fox,2 Oak Rd,Salem,MA,="01970",="9785550123",="0004711"\n'
    ).said

    assert order["patient_address"] == "2 Oak Rd, Salem, MA 01970"
    assert (order["patient_phone"], order["rx_number"]) == ("+19785550123", "0004711")


def test_numbers_that_their_cell_format_shows_with_leading_zeros_keep_them():
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["Patient Name", "Street", "City", "State", "Zip", "Rx #", "Patient ID"])
    sheet.append(["Bo Fox", "2 Oak Rd", "Salem", "MA", 1970, 4711, 42])
    for place, form in {"E2": "00000", "F2": "0000000", "G2": "000000"}.items():
        sheet[place].number_format = form

    [order] = read_file(saved(book)).said

    assert order["patient_address"] == "2 Oak Rd, Salem, MA 01970"
    assert (order["rx_number"], order["external_patient_id"]) == ("0004711", "000042")


def hidden_rows():
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (["Patient Name", "Address"], ["Ana Reed", "8 Elm St"], ["Bo Fox", "9 Oak Rd"]):
        sheet.append(row)
    sheet.auto_filter.ref = "A1:B3"
    sheet.row_dimensions[3].hidden = True
    return saved(book)


def test_rows_that_a_filter_hides_are_skipped_and_said_and_can_be_chosen():
    outcome = read_file(hidden_rows())
    chosen = read_file(hidden_rows(), hidden=True)

    assert outcome.column("patient_name") == ["Ana Reed"]
    assert "hidden in the spreadsheet" in outcome.skipped[3]
    assert chosen.column("patient_name") == ["Ana Reed", "Bo Fox"]


def test_one_odd_date_is_rejected_and_turns_no_other():
    outcome = read_file(
        "Patient Name,Address,Delivery Date\nAna Reed,8 Elm St,11/03/2026\n"
        "Bo Fox,9 Oak Rd,11/04/2026\nCy Olm,7 Oak Rd,13/11/2026\n"
    )

    assert [str(each) for each in outcome.column("delivery_date")] == ["2026-11-03", "2026-11-04"]
    assert list(outcome.errors) == [4]


def test_dates_that_contradict_each_other_are_asked_about():
    outcome = read_file(
        "Patient Name,Address,Delivery Date\nAna Reed,8 Elm St,25/11/2026\n"
        "Bo Fox,9 Oak Rd,11/26/2026\nCy Olm,7 Oak Rd,11/12/2026\n"
    )

    assert outcome.orders == {}
    assert "(--dates, ?dates=)" in " ".join(outcome.remarks)


def test_a_date_far_from_the_others_and_near_them_the_other_way_round_is_rejected():
    outcome = read_file(
        "Patient Name,Address,Delivery Date\nAna Reed,8 Elm St,12/14/2026\n"
        "Bo Fox,9 Oak Rd,12/16/2026\nCy Olm,7 Oak Rd,04/12/2026\nDi Ash,6 Oak Rd,12/04/2026\n"
    )

    assert list(outcome.errors) == [4]
    assert str(outcome.orders[5].delivery_date) == "2026-12-04"


@pytest.mark.parametrize(
    "phone", ["1617555012", "+617-555-0188", "0000000000", "617-111-0188", "911-555-0188"]
)
def test_a_number_that_the_numbering_plan_has_not_is_left_out_with_a_warning(phone):
    outcome = read_file(f"Patient Name,Address,Phone\nAna Reed,8 Elm St,{phone}\n")

    assert outcome.column("patient_phone") == [None]
    assert outcome.warnings == {2: ["the telephone number was left out"]}


def test_a_formula_without_its_value_is_an_error_of_its_row():
    book = openpyxl.Workbook()
    for row in (["Patient Name", "Address", "Copay"], ["Ana Reed", "8 Elm St", "=2*3"]):
        book.active.append(row)
    file = without_values(saved(book))

    outcome = read_file(file)

    assert outcome.orders == {}
    assert outcome.errors == {2: ["copay_amount can't be read"]}


def without_values(file):
    """Take the empty value of each formula out, as some programs write them."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(file)) as old, zipfile.ZipFile(out, "w") as new:
        for each in old.namelist():
            new.writestr(each, old.read(each).replace(b"<v></v>", b"").replace(b"<v/>", b""))
    return out.getvalue()


@pytest.mark.parametrize("error", ["#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!"])
def test_a_formulas_error_is_no_empty_cell(error):
    outcome = read_file(f"Patient Name,Address,Copay\nAna Reed,8 Elm St,{error}\n")

    assert outcome.errors == {2: ["copay_amount can't be read"]}


@pytest.mark.parametrize("share", [1, 2, 3])
def test_lines_in_two_encodings_are_read_each_in_its_own(share):
    names = ["José Núñez", "Zoë Côté", "André Roy", "Renée Lévy"]
    lines = [b"Patient Name,Address"] + [
        f"{name},{number} Elm St".encode("cp1252" if number <= share else "utf-8")
        for number, name in enumerate(names, 1)
    ]

    outcome = read_file(b"\n".join(lines) + b"\n")

    assert outcome.column("patient_name") == names
    assert "some lines are UTF-8 and others are not" in outcome.remarks[0]


@pytest.mark.parametrize("name", ["Cé Côté", "Núñez", "Zoë Núñez", "Renée Gagné"])
def test_one_name_with_accents_is_enough_to_know_windows_western_letters(name):
    file = f"Patient Name,Address\nAna Reed,8 Elm St\nBo {name},9 Oak Rd\n"

    outcome = read_file(file.encode("cp1252"))

    assert outcome.column("patient_name") == ["Ana Reed", f"Bo {name}"]


@pytest.mark.parametrize(
    "garbled",
    [
        "JosÃ© Reed",
        "Jos\ufffd Reed",
        "Jos? Reed",
        "Jos&#233; Reed",
        "Jos&eacute; Reed",
        "Jos√© Reed",
    ],
)
def test_a_name_whose_letters_were_garbled_is_rejected(garbled):
    outcome = read_file(f"Patient Name,Address\nAna Fox,8 Elm St\n{garbled},9 Oak Rd\n")

    assert list(outcome.orders) == [2]
    assert list(outcome.errors) == [3]


@pytest.mark.parametrize("address", [".", "0", "PICKUP", "same", "n/a", "call patient", "-", "x"])
def test_what_stands_in_an_addresss_place_is_no_address(address):
    outcome = read_file(f"Patient Name,Address\nAna Reed,8 Elm St\nBo Fox,{address}\n")

    assert list(outcome.orders) == [2]
    assert list(outcome.errors) == [3]


def test_notes_behind_an_address_are_asked_about_where_the_file_has_no_notes():
    file = (
        "Patient Name,Address\nAna Reed,8 Elm St ring twice\nBo Fox,9 Oak Rd leave at door\n"
        "Cy Olm,7 Oak Rd dog in yard\n"
    )

    refused = read_file(file)
    chosen = read_file(file, columns={"Address": "patient_address"})

    assert "its addresses have words of a note behind the street" in refused.refusal
    assert chosen.column("patient_address")[0] == "8 Elm St ring twice"


def test_an_amount_in_the_notes_is_asked_about_where_the_file_has_no_amounts():
    outcome = read_file(
        "Patient Name,Address,Notes\nAna Reed,8 Elm St,12.50 ring twice\n"
        "Bo Fox,9 Oak Rd,4.00 blue door\n"
    )

    assert "many of its notes have an amount at one end" in outcome.refusal


@pytest.mark.parametrize(
    "names", [("Dr. Lee", "Dr. Holt", "Dr. Lee"), ("Ida Holt MD", "Al Lee, MD", "Bo Fry DO")]
)
def test_prescribers_under_the_patients_header_are_asked_about(names):
    rows = "".join(f'"{name}",{at} Elm St\n' for at, name in enumerate(names, 1))

    outcome = read_file(f"Patient Name,Address\n{rows}")

    assert "its names have a doctor's title" in outcome.refusal


def test_one_name_at_many_addresses_is_no_patient():
    rows = "".join(f"Cora Payer,{number} Elm St,{name} Reed\n" for number, name in ROWS)

    outcome = read_file(f"Patient Name,Address,Billing Name\n{rows}")

    assert "the same name stands at several addresses" in outcome.refusal


def test_one_whole_name_under_first_name_at_many_addresses_is_no_patient():
    rows = "".join(f"Cora Payer,{name},Reed,{number} Elm St\n" for number, name in ROWS)

    outcome = read_file(f"First Name,Billing Name,Last Name,Address\n{rows}")

    assert "the same whole name stands at several addresses" in outcome.refusal


@pytest.mark.parametrize("code", ["MRN1002", "P-1002", "C500012", "#1002"])
def test_a_number_alone_is_no_address(code):
    outcome = read_file(
        f"Patient Name,Address,City\nAna Reed,8 Elm St,Boston\nBo Fox,{code},Boston\n"
    )

    assert list(outcome.orders) == [2]


def test_a_city_on_a_line_of_its_own_in_a_first_name_is_no_part_of_it():
    outcome = read_file(
        'First Name,Last Name,Address\n"Lowell\nNoa",Lee,8 Elm St\nBo,Fox,9 Oak Rd\n'
        "Cy,Olm,7 Ash Rd\n"
    )

    assert list(outcome.orders) == [3, 4]


def test_the_rest_of_notes_in_a_column_without_a_header_is_asked_about():
    outcome = read_file(
        "Patient Name,Address,Notes,\nAna Reed,8 Elm St,back,entrance\nBo Fox,9 Oak Rd,buzz,12\n"
        "Cy Olm,7 Ash Rd,,\nDi Kim,6 Ash Rd,buzz,14\n"
    )

    assert "column D" in outcome.refusal


def test_a_prescription_under_the_units_header_is_no_unit():
    outcome = read_file(
        "Patient Name,Address,Apt,Rx Number\nAna Reed,8 Elm St,Apt 4,C500007\n"
        "Bo Fox,9 Oak Rd,C500116,\n"
    )

    assert list(outcome.orders) == [2]


def test_order_ids_under_the_postal_codes_header_are_asked_about():
    rows = "".join(f"{name} Reed,{at} Elm St,Boston,SO-500{at},0217{at}\n" for at, name in ROWS)

    outcome = read_file(f"Patient Name,Address,City,Zip,Order ID\n{rows}")

    assert "another column's numbers are more like postal codes" in outcome.refusal


@pytest.mark.parametrize("header", ["Completed", "Delivered", "cancelled", "Is delivered"])
@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("Yes", "No"), ("TRUE", "FALSE"), ("Y", "n")])
def test_a_column_that_says_yes_to_delivered_or_cancelled_skips_its_row(header, yes, no):
    """Found in a public sample of deliveries: a row with completed=1 made a package."""
    outcome = read_file(
        f"Patient Name,Address,{header}\nAna Reed,8 Elm St,{yes}\nBo Fox,9 Oak Rd,{no}\n"
        "Cy Olm,7 Ash Rd,\n"
    )

    assert list(outcome.orders) == [3, 4]
    assert outcome.skipped == {2: f"{header} is filled, so it needs no delivery any more"}


@pytest.mark.parametrize("name", ["Marie Carrier", "Luc Parent", "Cora Payer", "Al Driver"])
def test_a_surname_that_is_also_a_word_of_headers_is_a_name(name):
    outcome = read_file(f"Patient Name,Address\nAna Reed,8 Elm St\n{name},9 Oak Rd\n")

    assert outcome.column("patient_name") == ["Ana Reed", name]


def test_two_ids_exchanged_in_one_row_are_found_by_how_the_others_are_written():
    outcome = read_file(
        "Patient Name,Address,Rx Number,Patient ID\nAna Reed,8 Elm St,7000001,P-10\n"
        "Bo Fox,9 Oak Rd,7000002,P-11\nCy Olm,7 Oak Rd,P-12,7000003\n"
    )

    assert list(outcome.errors) == [4]
    assert outcome.errors[4] == ["the cells under Rx Number and Patient ID look exchanged"]


def test_a_file_that_breaks_off_in_its_last_cell_loses_that_row_only():
    outcome = read_file(
        "Patient Name,Address,Rx Number\nAna Reed,8 Elm St,7000001\nBo Fox,9 Oak Rd,70000"
    )

    assert list(outcome.orders) == [2]
    assert outcome.errors[3] == ["the file may be cut off here: the last cell is unlike the others"]


@pytest.mark.parametrize(
    ("above", "last"),
    [
        ("8 Elm St", "954 H"),
        ("8 Elm St", "954 Hill S"),
        ("8 Pine Ave", "954 Hill Av"),
        ("8 Elm St, Boston, MA 02108", "954 Hill Ln, Boston, MA 021"),
    ],
)
def test_a_street_that_breaks_off_at_the_end_of_the_file_is_rejected(above, last):
    outcome = read_file(f"Patient Name\tAddress\nAna Reed\t{above}\nBo Fox\t{last}")

    assert list(outcome.orders) == [2]
    assert outcome.errors[3] == ["the file may be cut off here: the last cell is unlike the others"]


def test_a_last_cell_that_ends_with_its_quotation_mark_is_whole():
    outcome = read_file('Patient Name,Address\nAna Reed,"8 Elm St"\nBo Fox,"954 Hill"')

    assert list(outcome.orders) == [2, 3]


@pytest.mark.parametrize(
    ("last", "is_warned"),
    [("9 Oak Rd", True), ("9 Oak St", False), ("9 Oak Rd, Boston, MA 02108", False)],
)
def test_a_last_line_without_an_end_is_taken_and_warned_of_where_nothing_shows_it_whole(
    last, is_warned
):
    outcome = read_file(f"Patient Name;Address\nAna Reed;8 Elm St\nBo Fox;{last}")

    assert list(outcome.orders) == [2, 3]
    warning = ": the file's last line has no end: see whether the last cell is whole"
    assert (warning in outcome.remarks) is is_warned


def test_a_count_under_the_patients_id_whose_own_cell_is_empty_is_found():
    """The cells of one row moved by one: 30 tablets became the patient's id."""
    outcome = read_file(
        "Patient Name,Address,Patient ID,Qty\nAna Reed,8 Elm St,1001,30\n"
        "Bo Fox,9 Oak Rd,1002,90\nCy Olm,7 Oak Rd,30,\n"
    )

    assert list(outcome.orders) == [2, 3]
    assert outcome.errors[4] == ["the cells under Patient ID and Qty look exchanged"]


def test_ids_of_other_lengths_are_no_counts_where_no_count_is_missing():
    outcome = read_file(
        "Patient Name,Address,Patient ID,Qty\nAna Reed,8 Elm St,1001,30\n"
        "Bo Fox,9 Oak Rd,1002,\nCy Olm,7 Oak Rd,30,60\n"
    )

    assert outcome.errors == {}


NUMBERED = ((1001, 8, "Ana Reed"), (1002, 95, "Bo Fox"), (1003, 7, "Cy Olm"))


@pytest.mark.parametrize("between", [" ", ", ", "\t", " - ", "\n", "; ", " / "])
def test_numbers_of_something_else_in_front_of_the_street_are_asked_about(between):
    rows = "".join(
        f'{name},"{number}{between}{house} Elm St"\n'
        for number, house, name in (
            (1001, 8, "Ana Reed"),
            (1002, 95, "Bo Fox"),
            (1003, 7, "Cy Olm"),
        )
    )

    outcome = read_file(f"Patient Name,Address\n{rows}")

    assert "its addresses have a number of something else in front" in outcome.refusal


@pytest.mark.parametrize("between", [" ", "  ", "; ", " / ", "\n"])
def test_numbers_of_something_else_behind_the_street_are_asked_about(between):
    rows = "".join(
        f'{name},"{house} Elm St{between}{number}, Boston"\n'
        for number, house, name in (
            (1001, 8, "Ana Reed"),
            (1002, 95, "Bo Fox"),
            (1003, 7, "Cy Olm"),
        )
    )

    outcome = read_file(f"Patient Name,Address\n{rows}")

    assert "a number of something else behind the street" in outcome.refusal


def test_flats_of_one_house_are_no_numbers_of_something_else():
    outcome = read_file(
        "Patient Name,Address\nAna Reed,1204 500 Elm St\nBo Fox,1305 500 Elm St\n"
        "Cy Olm,1306-500 Elm St\n"
    )

    assert outcome.column("patient_address") == [
        "1204 500 Elm St",
        "1305 500 Elm St",
        "1306-500 Elm St",
    ]


@pytest.mark.parametrize("end", ["", "\n"])
def test_every_row_of_a_file_of_many_blocks_is_read(end):
    rows = [f'Ana Reed,"{at} Elm St, Boston, MA 02108",RX-{at:07}' for at in range(1, 4001)]

    outcome = read_file("\n".join(["Patient Name,Address,Rx Number", *rows]) + end)

    assert outcome.refusal == ""
    assert list(outcome.orders) == list(range(2, 4002))


def test_a_column_without_a_header_is_named_in_the_report():
    outcome = read_file("Patient Name,Address,\nAna Reed,8 Elm St,4711\n")

    assert outcome.ignored == ["column C"]


def test_a_workbooks_dates_and_numbers_are_those_of_its_cells():
    book = openpyxl.Workbook()
    book.active.append(["Patient Name", "Address", "Deliver on", "Copay"])
    book.active.append(["Ana Reed", "8 Elm St", dt.date(2026, 4, 3), 4.5])

    [order] = read_file(saved(book)).said

    assert (order["delivery_date"], order["copay_amount"]) == ("2026-04-03", "4.50")
