"""What reading twenty thousand damaged files found: a test for each kind, and what stays right.

All people are invented. A wrong value comes in for no row: the file or the row is refused.
"""

import pytest
from plugins.csv.reading import read_file


@pytest.mark.parametrize("header", ["Notes", "Phone"])
def test_two_columns_of_one_header_are_not_joined_row_by_row(header):
    cells = {"Notes": ("ring twice", "use side gate"), "Phone": ("617-802-5798", "617-233-5114")}
    first, second = cells[header]
    outcome = read_file(
        f"Patient Name,Address,{header},{header}\n"
        f"Rui Olm,8 Elm St,{first},\nSol Stone,9 Oak Rd,,{second}\n"
    )

    assert outcome.orders == {}
    assert f"{header} (column C) or {header} (column D)" in outcome.refusal


def test_of_two_columns_of_one_header_an_empty_one_is_no_matter():
    outcome = read_file("Patient Name,Address,Notes,Notes\nRui Olm,8 Elm St,ring twice,\n")

    assert outcome.column("notes") == ["ring twice"]


@pytest.mark.parametrize("mark", [" | ", " - ", "; ", ", ", " / ", "  "])
@pytest.mark.parametrize("note", ["leave with neighbor", "Leave at front desk", "dog in yard"])
def test_a_note_in_front_of_the_street_is_no_part_of_the_address(note, mark):
    outcome = read_file(
        f'Patient Name,Address\nRui Olm,"{note}{mark}932 N 5th St"\nSol Stone,9 Oak Rd\n'
    )

    assert list(outcome.orders) == [3]


def test_a_note_with_a_number_in_front_of_the_street_is_no_part_of_it():
    outcome = read_file("Patient Name,Address\nRui Olm,buzz 12 | 671 Oak Rd\nSol Day,9 Oak Rd\n")

    assert list(outcome.orders) == [3]


@pytest.mark.parametrize(
    "address", ["Maple Residence, 12 Elm St", "Unit A / 980 Pine Ave", "St. Mary's - 8 Hill Rd"]
)
def test_a_house_that_has_a_name_is_one(address):
    assert read_file(f'Patient Name,Address\nRui Olm,"{address}"\n').column("patient_address") == [
        address
    ]


def test_a_city_behind_the_names_refuses_a_file_that_has_none():
    rows = '"Stone, Sol  Boston",693 Lake Dr,01955\n"Vega, Oda  Lowell",572 Oak Rd,02691\n'
    outcome = read_file(f'"Last, First",Address,Zip\n{rows}')

    assert outcome.orders == {}
    assert "the city behind the name" in outcome.refusal


def test_a_gap_in_a_name_is_none_where_the_city_is_known():
    outcome = read_file("Patient Name,Address,City\nSol  Stone,693 Lake Dr,Boston\n")

    assert len(outcome.orders) == 1


def test_half_of_the_cells_being_no_names_refuses_the_file():
    outcome = read_file(
        "First Name,Drug Name,Last Name,Address\nMetformin 850 mg,Rui,Day,23 Maple Way\n"
        "Insulin glargine,Bo,Cote,654 Oak Rd\n"
    )

    assert outcome.orders == {}
    assert "half of its cells are no names" in outcome.refusal


def test_one_word_under_last_first_is_only_a_part_of_a_name():
    outcome = read_file(
        '"Last, First",Address\nVega,98 Maple Way\n"Reed, Ana",7 Oak Rd\n"Olm, Cy",9 Oak Rd\n'
    )

    assert outcome.column("patient_name") == ["Ana Reed", "Cy Olm"]
    assert outcome.errors == {2: ["the cell can't be last_first: it is only a part of a name"]}


def test_an_order_s_id_that_moved_under_the_patient_s_is_known_by_its_letters():
    outcome = read_file(
        "Patient Name,Address,Patient ID,Order ID\nUma Pike,7 Elm St,MRN1000,ORD5000\n"
        "Tia Pike,9 Elm St,ORD5001,\nGus Kim,5 Lake Dr,MRN1002,ORD5002\n"
    )

    assert list(outcome.errors) == [3]


def test_numbers_that_moved_in_most_rows_are_known_by_the_rows_that_have_both():
    moved = "".join(f"Pat No{each},{each} Oak Rd,,0000003{each}\n" for each in range(1, 6))
    moved = moved.replace("No1", "Ash").replace("No2", "Roy").replace("No3", "Day")
    moved = moved.replace("No4", "Fox").replace("No5", "Lee")
    outcome = read_file(
        "Patient Name,Address,Rx Number,Patient ID\nAna Reed,8 Elm St,00000012,MRN1000\n"
        f"Di Lind,9 Elm St,00000016,MRN1001\n{moved}"
    )

    assert outcome.column("rx_number") == ["00000012", "00000016"]
    assert outcome.column("external_patient_id") == ["MRN1000", "MRN1001"]


def test_a_column_of_days_that_has_none_refuses_the_file():
    outcome = read_file(
        "Patient Name,Address,Xyz,Delivery Date,Notes\n"
        "Ivy Stone,387 Elm St,2026-12-02,use side gate,90\n"
        "Cy Olm,440 Park Blvd,2026-12-06,no stairs please,10\n"
        "Hana Zola,779 Lake Dr,2026-12-02,,10\n"
    )

    assert outcome.orders == {}
    assert "its cells are no dates" in outcome.refusal
