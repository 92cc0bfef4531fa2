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


def test_single_words_under_last_first_are_parts_of_names():
    outcome = read_file('"Last, First",Blorp,Address\nVega,Leo,98 Maple Way\nReed,Ana,7 Oak Rd\n')

    assert outcome.orders == {}
    assert "names of one word" in outcome.refusal


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


def test_numbers_of_orders_under_the_flat_are_refused_where_the_column_of_orders_is_empty():
    outcome = read_file(
        "Patient Name,Address,Apt,Order ID\nCy Stone,22 Elm St,#5000,\nOda Moss,7 Oak Rd,#5001,\n"
    )

    assert outcome.orders == {}
    assert "Order ID, which is empty" in outcome.refusal


def test_the_number_of_an_order_that_moved_under_the_flat_is_known_by_the_others():
    outcome = read_file(
        "Patient Name,Address,Apt,Order ID\nEve Stone,369 Elm St,,#5000\n"
        "Cy Moss,236 Oak Rd,,#5001\nCy Olm,472 Elm St,#5002,\n"
    )

    assert list(outcome.errors) == [4]


OTHERS = "".join(f"{name} Day,{at} Elm St,Apt {at},Salem\n" for at, name in enumerate("ABCD", 1))
HEADER = "Patient Name,Address,Apt,City\n"


@pytest.mark.parametrize(
    "said", ["62 Oak Rd; MA", "62 Oak Rd/routine", "62 Oak Rd urgent", "62 Oak Rd | stat"]
)
def test_a_priority_or_a_state_behind_the_street_is_no_part_of_the_address(said):
    outcome = read_file(f"{HEADER}{OTHERS}Bo Fox,{said},,Salem\n")

    assert list(outcome.errors) == [6]


def test_a_state_behind_the_flat_is_no_part_of_it():
    outcome = read_file(f"{HEADER}{OTHERS}Bo Fox,62 Oak Rd,Apt 3 | MA,Salem\n")

    assert list(outcome.errors) == [6]


def test_the_first_word_of_a_city_is_no_city():
    outcome = read_file(f"{HEADER}{OTHERS}Bo Zola,220 Lake Dr,,Thunder\n")

    assert outcome.errors == {6: ["the cell can't be city: it is only a part of a city's name"]}


def test_names_under_notes_are_refused_where_a_column_without_a_header_has_the_notes():
    outcome = read_file(
        "Patient Name,Address,,Notes\nLeo Stone,683 Hill Ln,back entrance,Cora Payer\n"
        "Rui Silva,753 Main St,blue door,Cora Payer\nNoa Ash,5 Oak Rd,ring twice,Cora Payer\n"
    )

    assert outcome.orders == {}
    assert "column" in outcome.refusal


def test_a_state_under_notes_is_refused_where_the_row_lacks_its_state():
    rows = "".join(f"{name} Day,{at} Elm St,Salem,MA,\n" for at, name in enumerate("ABCD", 1))
    outcome = read_file(
        f"Patient Name,Address,City,State,Notes\n{rows}Bo Fox,62 Oak Rd,Salem,,MA\n"
    )

    assert list(outcome.errors) == [6]


@pytest.mark.parametrize("mark", ["  ", " ", ", ", "/"])
def test_numbers_of_several_columns_in_one_cell_are_no_order_s_id(mark):
    said = [mark.join((f"C50000{at}", f"PT100{at}", f"ORD500{at}")) for at in (1, 2)]
    rows = "".join(f'{each} Day,{at} Elm St,"{said[at]}"\n' for at, each in enumerate("AB"))
    outcome = read_file(f"Patient Name,Address,Order ID\n{rows}")

    assert outcome.orders == {}


def test_several_prescriptions_in_one_cell_stay_what_they_are():
    outcome = read_file(
        'Patient Name,Address,Rx Number\nAna Reed,8 Elm St,"RX-700001, RX-700002"\n'
    )

    assert len(outcome.orders) == 1


def test_a_state_behind_the_notes_refuses_a_file_that_has_none():
    outcome = read_file(
        "Patient Name,Address,Notes\nKay Day,52 Elm St,Leave at front desk | MA\n"
        "Di Kim,122 Elm St,ring twice | MA\n"
    )

    assert outcome.orders == {}
    assert "a state or a province behind them" in outcome.refusal


def test_whole_names_under_first_name_beside_another_party_s_first_names_refuse_the_file():
    outcome = read_file(
        "First Name,Billing Name,Last Name,Address\nCora Payer,Mia,Lee,7 Elm St\n"
        "Cora Payer,Uma,Zola,9 Oak Rd\n"
    )

    assert outcome.orders == {}
    assert "another party's are first names" in outcome.refusal


def test_a_flat_that_may_be_cut_off_in_the_file_s_last_cell_is_refused():
    outcome = read_file(
        "Patient Name,Address,Apt\nNoa Olm,102 Elm St,Apt 25\nPia Lee,7 Oak Rd,Apt 38\n"
        "Kay Day,9 Oak Rd,A"
    )

    assert list(outcome.errors) == [4]


@pytest.mark.parametrize(
    ("header", "rows", "why"),
    [
        (
            "Patient Name,Address,Notes",
            ["Sol Day,8 Elm St,yes", "Bo Roy,7 Elm St,yes", "Gus Ash,6 Elm St,buzz 12  no"],
            "which column is notes",
        ),
        (
            "Patient Name,Address,Xyz,Patient ID",
            ["Eve Ash,7 Elm St,PT1000,10", "Sol Fox,8 Elm St,PT1001,30"],
            "Xyz has numbers like it",
        ),
        (
            "Patient Name,Address,,Order ID,Zip",
            ["Ana Rand,7 Elm St,SO-5000,02683,", "Noa Lee,8 Elm St,SO-5001,01803,"],
            "its header isn't known",
        ),
        (
            "Patient Name,Address,Apt",
            ["Mia Olm,518 Pine Ave,#5000", "Eve Rand,716 Elm St,#5001"],
            "those of the orders",
        ),
        (
            "Patient Name,Address,Notes,Zip",
            ["Eve Day,826 Elm St,Salem-buzz 12,02174", "Tia Lee,3 Oak Rd,Milton-call first,02497"],
            "the city in front",
        ),
        (
            "First Name,Last Name,Address,Apt",
            ["Sol,Medford & Day,744 Pine Ave,", "Gus,Newton & Stone,10 Hill Ln,Apt 4"],
            "the city behind the name",
        ),
        (
            "First Name,Last Name,Address",
            ['Eve,Stone,"Thunder Bay\n556 Elm St"', "Noa,Lee,Kingston / 61 Oak Rd"],
            "the city in front of the street",
        ),
        (
            "First Name,Last Name,Address,City,Phone,Notes,Priority",
            [
                'Cy,Reed,973 Hill Ln,Newton,617-783-2362,",routine',
                'Tia,Kim,22 Church St,Milton,617-284-2627,ring twice",urgent',
            ],
            "has other rows in it",
        ),
        (
            "First Name,Last Name,Address,City,Phone,Notes",
            [
                'Cy,Reed,973 Hill Ln,Newton,617-783-2362,"',
                'Tia,Kim,,Milton,617-284-2627"',
            ],
            "has other rows in it",
        ),
        (
            "First Name,Last Name,Address,Apt",
            ["Hana,Vega-Beverly,906 Elm St,Apt 2", "Cy,Zola-Quincy,826 Elm St,Apt 4"],
            "the city behind the name",
        ),
        (
            "Patient Name,Address,City State Zip,Drug Name",
            [
                'Hana Vega,418 Elm St,Amoxicillin 500 mg,"Medford, MA 01997"',
                'Finn Lee,159 Elm St,Insulin glargine,"Boston, MA 02726"',
            ],
            "locality",
        ),
        (
            "Patient Name,Address,City,Prescriber Name",
            ["Bo Day,564 Elm St,Dr. Per Holt,Woburn", "Oda Roy,347 Elm St,Iris Quist MD,Newton"],
            "city",
        ),
        (
            "Patient Name,Address,Zip,Notes",
            ['Pia Day,499 Elm St,02397,"ring twice\nMA\nMilton"'],
            "a state or a province",
        ),
        (
            "Patient Name,Address,Notes",
            [f'{each} Day,7 Elm St,"no, ring {each}"' for each in "ABC"],
            "yes or no",
        ),
        (
            "Patient Name,Address,Rx Number,Order ID",
            ["Di Rand,580 Elm St,,7000008", "Leo Roy,165 Elm St,,7000021"],
            "Rx Number, which is empty",
        ),
        (
            "Patient Name,Address,Zip,Rx Number",
            ["Di Rand,580 Elm St,,02194", "Leo Roy,165 Elm St,,01801"],
            "Zip, which is empty",
        ),
        (
            "Patient Name,Address,City,Zip",
            ["Di Rand,5 Elm St,MA-Woburn,02194", "Leo Roy,6 Elm St,Salem / urgent,01801"],
            "city",
        ),
        (
            "Patient Name,Address,Xyz,Copay,Notes,Prescriber Name",
            ["Di Rand,5 Elm St,1.31,blue door,Dr. Lind", "Leo Roy,6 Elm St,3.91,,Dr. Holt"],
            "its cells are no amounts",
        ),
        (
            "Patient Name,Address,Patient ID,Order ID",
            ["Di Rand,580 Elm St,,1000", "Leo Roy,165 Elm St,,1001"],
            "Patient ID, which is empty",
        ),
        (
            "Patient Name,Address,City",
            ["Leo York,ON\t656 Oak Rd,North Bay", "Sol Lee,ON / 358 Elm St,Ottawa"],
            "a state or a province in front of the street",
        ),
    ],
)
def test_a_column_that_says_what_another_lacks_refuses_the_file(header, rows, why):
    outcome = read_file("\n".join([header, *rows, ""]))

    assert outcome.orders == {}
    assert why in outcome.refusal


@pytest.mark.parametrize(
    "row",
    [
        "Tia Chen,604 Lake Dr,CALL BEFORE DELIVERY / Apt 36,Salem,,30",
        "Tia Chen,604 Lake Dr,Apt 27/#5000/Salem,Salem,,30",
        "Tia Chen,604 Lake Dr,Beverly-Apt 35,Salem,,30",
        "Tia Chen,604 Lake Dr,,Salem,00000004,30",
        "Tia Chen,604 Lake Dr,,Salem,,Apt 20",  # under the pieces
    ],
)
def test_a_cell_that_moved_rejects_its_row(row):
    others = "".join(
        f"{a} Day,{at} Elm St,Apt {at},Salem,1.50,60\n" for at, a in enumerate("ABCD", 1)
    )
    outcome = read_file(f"Patient Name,Address,Apt,City,Copay,Qty\n{others}{row}\n")

    assert list(outcome.errors) == [6]


def test_a_flat_stands_before_the_city_in_the_street_s_second_line():
    outcome = read_file(
        'Patient Name,Address,Apt\nKay Lee,"685 Church St\nBeverly",Apt 26\n'
        'Bo Roy,"Maple Residence\n12 Elm St",Apt 4\n'
    )

    assert outcome.column("patient_address") == [
        "685 Church St, Apt 26, Beverly",
        "Maple Residence\n12 Elm St, Apt 4",
    ]


def test_an_amount_that_may_be_the_number_that_its_row_lacks_rejects_the_row():
    outcome = read_file(
        "Patient Name,Address,Copay,Patient ID\nBo Rand,4 Main St,27.57,1000\n"
        "Hana Olm,8 Oak Rd,1001,\nUma Ash,9 Hill Ln,2.14,1002\n"
    )

    assert list(outcome.errors) == [3]


def test_a_whole_name_with_a_title_is_no_last_name():
    outcome = read_file(
        "First Name,Last Name,Address\nCy,Vega,3 Elm St\nHana,Dr. Alma Lind,9 Elm St\n"
        "Bo,Roy,7 Elm St\n"
    )

    assert list(outcome.errors) == [3]


@pytest.mark.parametrize("cell", ['"Apt 4, 617-814-9264"', "bo.fox@example.com  Apt 7"])
def test_a_flat_beside_something_else_is_none(cell):
    rows = "".join(f"{each} Day,{at} Elm St,Apt {at}\n" for at, each in enumerate("ABC", 1))
    outcome = read_file(f"Patient Name,Address,Apt\n{rows}Bo Fox,9 Oak Rd,{cell}\n")

    assert list(outcome.errors) == [5]


def test_a_flat_before_a_telephone_number_is_none():
    rows = "".join(f"{each} Day,{at} Elm St,617-555-014{at}\n" for at, each in enumerate("ABC"))
    outcome = read_file(
        f'Patient Name,Address,Phone\n{rows}Bo Fox,9 Oak Rd,"Apt 4, 617-814-9264"\n'
    )

    assert list(outcome.errors) == [5]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Patient Name,Address", "Dr. Alma Lind,195 Oak Rd,Mia Pike"),
        ("Patient Name,Address", "Iris Quist MD,195 Oak Rd,Mia Pike"),
        ('"Last, First",Address', 'Dr. Alma Lind,195 Oak Rd,"Pike, Mia"'),
    ],
)
def test_a_doctor_under_the_patient_s_name_is_known_by_the_title(header, row):
    name = '"Fox, {}"' if "Last" in header else "{} Fox"
    outcome = read_file(
        f"{header},Prescriber Name\n{name.format('Cy')},133 Elm St,Dr. Per Holt\n{row}\n"
        f"{name.format('Hana')},558 Lake Dr,Dr. Per Holt\n"
    )

    assert list(outcome.errors) == [3]
    assert "look exchanged" in outcome.errors[3][0]


@pytest.mark.parametrize("unknown", ["Xyz", ""])
@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("Patient ID,Rx Number", ["1000,00000010", "1001,00000024"]),
        ("Copay,Zip", ["20.86,32766", "8.35,02009"]),
        ("Phone,Copay,Rx Number", ["617-555-0142,20.86,11766", "617-555-0143,8.35,12009"]),
    ],
)
def test_a_header_put_in_before_numbers_refuses_the_file(unknown, header, cells):
    outcome = read_file(
        f"Patient Name,Address,{unknown},{header}\n"
        f"Di Kim,628 Elm St,{cells[0]}\nJon Lee,722 Lake Dr,{cells[1]}\n"
    )

    assert outcome.orders == {}
    assert f"{header.split(',')[-1]} is empty" in outcome.refusal


@pytest.mark.parametrize("code", ["02766", "0276"])
def test_a_postal_code_is_no_amount(code):
    outcome = read_file(f"Patient Name,Address,Copay\nDi Kim,6 Elm St,{code}\n")

    assert list(outcome.errors) == [2]


def test_a_count_under_an_id_is_known_by_the_words_under_the_count():
    rows = "".join(
        f"{each} Fox,{at} Elm St,MRN100{at},90,Insulin\n" for at, each in enumerate("ABCD", 1)
    )
    outcome = read_file(
        f"Patient Name,Address,Patient ID,Qty,Drug Name\n{rows}Mia Dyke,9 Oak Rd,30,Insulin,\n"
    )

    assert list(outcome.errors) == [6]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (
            "Patient Name,Address,Prescriber Name",
            ["Dr. Alma Lind,12 Elm St,Dr. Per Holt", "Bo Roy,3 Elm St,Dr. Per Holt"],
        ),
        (
            "Patient Name,Address,Driver Name",
            ["Alma Lind MD,12 Elm St,Bob", "Bo Roy,3 Elm St,Bob", "Di Kim,4 Elm St,Bob"],
        ),
        ("Patient Name,Address,Tote,Patient ID,Rx Number", ["Bo Roy,3 Elm St,12,1001,"]),
        ("Patient Name,Address,Tote,Patient ID,Rx Number", ["Bo Roy,3 Elm St,blue,1001"]),
        ("Patient Name,Address", ["Ana Reed,Highway 7 West", "Bo Roy,County Road 5 North"]),
        ("Patient Name,Address", ["Ana Reed,Maple House 12 Elm St", "Bo Roy,Unit A / 9 Elm St"]),
        ("Patient Name,Address", ["Ana Reed,Rose Villa 12 Elm St", "Bo Roy,Care Home - 9 Elm St"]),
        (
            "Patient Name,Address",
            [f'{each} Day,"Rose Residence, 12 Elm St"' for each in ("Ana", "Bo")],
        ),
        ("Patient Name,Address,City", ["Ana Reed,5 Elm St,LA-SALLE", "Bo Roy,6 Elm St,Normal"]),
        ("Patient Name,Address", ["Ana & Tom Reed,12 Elm St", "Bo Roy,3 Elm St"]),
        ("Patient Name,Address,Notes", ['Ana Reed,12 Elm St,"ring twice\nthen call, please"']),
        (
            "Patient Name,Address,Copay,Patient ID",
            ["Bo Roy,3 Elm St,27.57,1000", "Di Kim,4 Elm St,20,", "Al Day,5 Elm St,4.10,1002"],
        ),
        ("Patient Name,Address,City", ['Ana Reed,8 Elm St,"Baltimore, MD"']),
        ("Patient Name,Address,City", ["Ana Reed,8 Elm St,Silver Spring MD"]),
        ("Patient Name,Address", ['Ana Reed,"12 Elm St, Boston - MA"']),
        ("Patient Name,Address", ['Ana Reed,"12 Elm St, Normal"']),
        ("Patient Name,Address,Zip", ["Jean-Pierre Roy,12 Elm St,02108"]),
        ("Patient Name,Address,Notes", ["Ana Reed,12 Elm St,signed OK", "Bo Roy,3 Elm St,left OK"]),
        ("Patient Name,Address,Apt", ["Ana Reed,12 Elm St,#1204", "Bo Roy,12 Elm St,#1507"]),
        ("First Name,Last Name,Address,Driver", ["Juan Carlos,Vega,7 Elm St,Bob"]),
        ("Patient Name,Address,Patient ID,NDC", ["Ana Reed,12 Elm St,101,00093721410"]),
        ("Patient Name,Address,Notes,Driver Notes", ["Ana Reed,12 Elm St,blue,ring twice"]),
    ],
)
def test_what_only_looks_like_damage_comes_in(header, rows):
    outcome = read_file("\n".join([header, *rows, ""]))

    assert (len(outcome.orders), outcome.refusal) == (len(rows), "")
