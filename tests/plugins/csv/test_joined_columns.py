"""Two columns that were joined in one, and cells under their neighbours' headers: what shows them.

All people are invented. A wrong value comes in for no row; what only looks like damage comes in.
"""

import pytest
from plugins.csv.reading import read_file

JOINED = [
    ("Patient Name,Address,Notes", "Ana Reed,8 Elm St,Salem & ring", "Bo Fox,9 Elm St,Lynn"),
    ("Patient Name,Address,City", "Ana Reed,8 Elm St MA,Salem", "Bo Fox,9 Elm St MA,Lynn"),
    ("Patient Name,Address,Patient ID", "Ana Reed,8 Elm St,Salem", "Bo Fox,9 Elm St,Lynn"),
    ("Patient Name,Address,Apt", "Ana Reed,8 Elm St,Dr. Per Holt", "Bo Fox,9 Elm St,Dr. Al Lind"),
    (
        "Patient Name,Address,City State Zip/Xyz",
        'Ana Reed,8 Elm St,"Salem, MA 01970/C500012"',
        'Bo Fox,9 Elm St,"Lynn, MA 01901/C500019"',
    ),
    ("Patient Name,Address,Zip", "Salem  Ana Reed,8 Elm St,01970", "Lynn  Bo Fox,9 Elm St,01901"),
    ("Patient Name,Address,City", "Ana Reed,8 Elm St-01970,Salem", "Bo Fox,9 Elm St-01901,Lynn"),
    (
        "Patient Name,Address,Zip",
        "Ana Reed,Salem | 8 Elm St,01970",
        "Bo Fox,Salem | 9 Oak Rd,01970",
    ),
    ("Patient Name,Address,Apt", "Ana Reed,8 Elm St-Salem,Apt 3", "Bo Fox,9 Elm St-Lynn,Apt 4"),
    ("Patient Name,Address,City", "Ana Reed,8 Elm St no,Salem", "Bo Fox,9 Elm St yes,Lynn"),
    ("Patient Name,Address,City", "Ana Reed,8 Elm St,MA Salem", "Bo Fox,9 Elm St,MA Lynn"),
    (
        "Patient Name,Address,Apt",
        "Ana Reed,8 Elm St,Apt 3 - MA - Lynn",
        "Bo Fox,9 Elm St,MA - Lynn",
    ),
    (
        "First Name,Last Name,Address",
        '"Salem, Ana",Reed,8 Elm St',
        '"Sault Ste. Marie, Bo",Fox,9 Elm St',
    ),
    (
        "Patient Name,Address,City State Zip",
        'Ana Reed,8 Elm St,"stat-Salem, MA 01970"',
        'Bo Fox,9 Elm St,"urgent-Lynn, MA 01901"',
    ),
    (
        "Patient Name,Address,City,Zip",
        "MA; Ana Reed,8 Elm St,Salem,01970",
        "MA; Bo Fox,9 Elm St,Lynn,01901",
    ),
    ("First Name,Last Name,Address,City", "Ana,Reed-no,8 Elm St,Salem", "Bo,Fox-yes,9 Elm St,Lynn"),
    (
        "First Name,Last Name,Address,Zip",
        "Ana Salem,Reed,8 Elm St,01970",
        "Bo Lynn,Fox,9 Elm St,01901",
    ),
    ("First Name,Last Name,Address", "North Bay - Ana,Reed,8 Elm St", "Guelph - Bo,Fox,9 Elm St"),
    ("Last Name First Name,Address", "Reed | Ana,8 Elm St", "Fox | Bo,9 Elm St"),
    ("Patient Name,Address,City", "Ana Reed,8 Elm St & no,Salem", "Bo Fox,9 Elm St & yes,Lynn"),
    ("Patient Name,Address,City", "Ana Reed,505 Elm St; 1000,Salem", "Bo Fox,9 Elm St; 1001,Lynn"),
    ("Patient Name,Address,City", "Ana Reed,ON 59 N 5th St,Barrie", "Bo Fox,ON 7 Elm St,Guelph"),
    ("Patient Name,Address,City", 'Ana Reed,"8 Elm St, MA",Salem', 'Bo Fox,"9 Elm St, MA",Lynn'),
    (
        "Patient Name,Address,City",
        "Ana Reed,8 Elm St | 01970,Salem",
        "Bo Fox,9 Elm St | 01901,Lynn",
    ),
    ("Patient Name,Address,Apt", "Ana Reed,8 Elm St & Salem,Apt 3", "Bo Fox,9 Elm St & Lynn,"),
    ("Patient Name,Address", "Ana Reed,back entrance 8 Elm St", "Bo Fox,ring twice 9 Elm St"),
    (
        "Patient Name,Address,Apt,City",
        "Ana Reed,8 Elm St,Apt 17 ON,Barrie",
        "Bo Fox,9 Elm St,ON,Guelph",
    ),
    (
        "Patient Name,Address,Apt,City",
        "Ana Reed,8 Elm St,1000 - Apt 3,Salem",
        "Bo Fox,9 Elm St,1001,Lynn",
    ),
    ("Patient Name,Address,Apt,City", "Ana Reed,8 Elm St,1000,Salem", "Bo Fox,9 Elm St,1001,Lynn"),
    ("Patient Name,Address,Apt", "Ana Reed,8 Elm St,Salem Apt 3 MA", "Bo Fox,9 Elm St,Lynn MA"),
    ("Patient Name,Address,Notes", 'Ana Reed,8 Elm St,"buzz 12, Salem"', "Bo Fox,9 Elm St,Lynn"),
    ("Patient Name,Address,City,Notes", "Ana Reed,8 Elm St,,Salem", "Bo Fox,9 Elm St,,Lynn"),
    (
        "Patient Name,Address,City,Notes",
        "Ana Reed,8 Elm St,Salem,no blue door",
        "Bo Fox,9 Elm St,Lynn,yes ring",
    ),
    (
        "Patient Name,Address,City,Notes",
        "Ana Reed,8 Elm St,Salem,blue door",
        "Bo Fox,9 Elm St,Lynn,Apt 26-ring",
    ),
    (
        "Patient Name,Address,City,State",
        "Ana Reed,8 Elm St,Salem,MA ring",
        "Bo Fox,9 Elm St,Lynn,MA blue door",
    ),
    ("Patient Name,Address,City", "Ana Reed,8 Elm St,yes-Salem", "Bo Fox,9 Elm St,no-Lynn"),
    (
        "Patient Name,Address,City State Zip",
        'Ana Reed,8 Elm St,"C500012 / Salem, MA 01970"',
        'Bo Fox,9 Elm St,"C500019 / Lynn, MA 01901"',
    ),
    (
        "Patient Name,Address,Rx Number",
        "Ana Reed,8 Elm St,yes  C500012",
        "Bo Fox,9 Elm St,no  C500019",
    ),
    (
        "Patient Name,Address,Patient ID",
        "Ana Reed,8 Elm St,1000/01970",
        "Bo Fox,9 Elm St,1001/01901",
    ),
    ("Patient Name,Address,City,City 2", "Ana Reed,8 Elm St,North,Bay", "Bo Fox,9 Elm St,Guelph,"),
]


@pytest.mark.parametrize(("header", "one", "other"), JOINED)
def test_two_columns_in_one_make_no_wrong_package(header, one, other):
    outcome = read_file(f"{header}\n{one}\n{other}\n")

    assert outcome.orders == {}
    assert outcome.refusal or len(outcome.errors) == 2


SHIFTED = [
    (
        "First Name,Address,City,Last Name",
        ["Ana,8 Elm St,,Salem", "Bo,9 Elm St,,Lynn"],
    ),
    (
        "Address,Apt,Patient Name,City",
        ["8 Elm St,Ana Reed,Salem", "9 Elm St,Bo Fox,Lynn"],
    ),
    (
        "Patient Name,Address,Patient ID,Apt,Order ID,Days Supply",
        ["Ana Reed,8 Elm St,P-1000,#5000,90", "Bo Fox,9 Elm St,P-1001,#5001,30"],
    ),
    (
        "Patient Name,Address,City,Apt",
        ["Ana Reed,8 Elm St,,Salem", "Bo Fox,9 Elm St,,Lynn"],
    ),
]


@pytest.mark.parametrize(("header", "rows"), SHIFTED)
def test_headers_over_their_neighbours_cells_refuse_the_file(header, rows):
    assert read_file("\n".join([header, *rows, ""])).orders == {}


def test_a_second_header_with_columns_that_no_package_has_refuses_the_file():
    outcome = read_file(
        "Address,City,Apt,Patient Name,Qty\n8 Elm St,Salem,,Ana Reed,30\n9 Elm St,Lynn,,Bo Fox,60\n"
        "Address,Patient Name,Apt,City,Qty\n7 Oak Rd,Cy Olm,,Dedham,10\n"
    )

    assert "second header" in outcome.refusal


def test_a_column_that_moved_down_by_a_row_refuses_the_file():
    outcome = read_file(
        "Patient Name,Address,Rx Number\nAna Reed,8 Elm St,\nBo Fox,9 Elm St,7001\n,,7002\n"
    )

    assert "it moved down" in outcome.refusal


@pytest.mark.parametrize(("last", "orders"), [("8.50", 0), ("12.50", 2)])
def test_an_amount_alone_in_the_last_row_is_the_total_of_those_above_or_moved_down(last, orders):
    outcome = read_file(
        f"Patient Name,Address,Copay\nAna Reed,8 Elm St,\nBo Fox,9 Elm St,12.50\n,,{last}\n"
    )

    assert len(outcome.orders) == orders


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ana Reed,8 Elm St,bo.fox", "Bo Fox,9 Elm St,ana.reed"),
        ("Cy Fox,8 Elm St,anareed", "Ana Réed,9 Elm St,cy"),
    ],
)
def test_addresses_made_of_the_names_in_other_rows_refuse_the_file(one, other):
    outcome = read_file(
        f"Patient Name,Address,Email\n{one}@example.com\n{other}@example.com\n"
        "Di Olm,7 Oak Rd,di.olm@example.com\n"
    )

    assert "the names in other rows" in outcome.refusal


def test_a_family_may_have_one_address_for_mail():
    outcome = read_file(
        "Patient Name,Address,Email\nAna Reed,8 Elm St,bo.reed@example.com\n"
        "Bo Reed,8 Elm St,bo.reed@example.com\n"
    )

    assert len(outcome.orders) == 2


def test_a_row_that_lacks_its_last_cell_is_rejected_where_others_have_it_empty():
    outcome = read_file(
        "Patient Name,Address,Apt\nAna Reed,8 Elm St,\nBo Fox,9 Elm St,\nCy Olm,7 Oak Rd\n"
    )

    assert list(outcome.errors) == [4]


def test_rows_end_earlier_where_no_row_has_an_empty_end():
    outcome = read_file(
        "Patient Name,Address,City,Phone,Apt\nAna Reed,8 Elm St,Lynn,,Apt 4\n"
        "Bo Fox,9 Elm St,Salem,\nCy Olm,7 Oak Rd,Salem,\n"
    )

    assert len(outcome.orders) == 3


ROWS = [
    (  # an amount that is the count which its row lacks
        "Patient Name,Address,Copay,Days Supply",
        ["Ana Reed,8 Elm St,32.96,90", "Bo Fox,9 Elm St,34.29,30", "Cy Olm,7 Oak Rd,30,"],
    ),
    (  # a drug under the patient's name
        '"Last, First",Address,Drug Name',
        [
            '"Reed, Ana",8 Elm St,Insulin',
            '"Fox, Bo",9 Elm St,Ramipril',
            'Insulin,7 Oak Rd,"Olm, Cy"',
        ],
    ),
    (  # a doctor under the city
        "Patient Name,Address,City,Prescriber Name",
        [
            "Ana Reed,8 Elm St,Salem,Dr. Holt",
            "Bo Fox,9 Elm St,Lynn,Dr. Holt",
            "Cy Olm,7 Oak Rd,Iris Quist MD,Woburn",
        ],
    ),
    (  # a drug under the notes
        "Patient Name,Address,Notes,Drug Name,Prescriber",
        [
            "Ana Reed,8 Elm St,ring,Ramipril 5 mg,Dr. Holt",
            "Bo Fox,9 Elm St,ring,Ramipril 5 mg,Dr. Holt",
            "Cy Olm,7 Oak Rd,Metformin 850 mg,Dr. Holt,",
        ],
    ),
    (  # a state under the name
        "Last Name,State,First Name,Address,City",
        ["Reed,MA,Ana,8 Elm St,Salem", "Fox,MA,Bo,9 Elm St,Lynn", "Olm,,MA,7 Oak Rd,Salem"],
    ),
    (  # the city with its postal code under another party's column
        "Patient Name,Address,City State Zip,Billing Address",
        [
            'Ana Reed,8 Elm St,"Salem, MA 01970",1 Payer Plaza',
            'Bo Fox,9 Elm St,"Lynn, MA 01901",1 Payer Plaza',
            'Cy Olm,7 Oak Rd,,"Salem, MA 01970"',
        ],
    ),
    (  # cells of columns that no package has show that a row's cells moved
        "Patient Name,Address,Apt,Billing Name,DOB,Fax",
        [
            "Ana Reed,8 Elm St,Apt 1,Cora Payer,1990-04-26,617-555-0111",
            "Bo Fox,9 Elm St,Apt 2,Cora Payer,1991-05-27,617-555-0112",
            "Cy Olm,7 Oak Rd,Cora Payer,1992-06-28,617-555-0113,",
        ],
    ),
]


@pytest.mark.parametrize(("header", "rows"), ROWS)
def test_cells_that_moved_reject_their_row(header, rows):
    outcome = read_file("\n".join([header, *rows, ""]))

    assert list(outcome.errors) == [4]


def test_a_row_that_the_file_breaks_off_in_is_rejected_after_a_quoted_cell_too():
    outcome = read_file('Patient Name,Address,Apt\nBo Fox,9 Elm St,Apt 4\nAna Reed,"8 Elm St"')

    assert list(outcome.errors) == [3]


def test_a_flat_that_breaks_off_in_its_word_is_rejected():
    outcome = read_file("Patient Name,Address,Apt\nBo Fox,9 Elm St,\nAna Reed,8 Elm St,A")

    assert list(outcome.errors) == [3]


def test_a_flat_stands_before_the_city_behind_the_streets_comma():
    outcome = read_file('Patient Name,Address,Apt\nKay Lee,"685 Church St, Beverly",Apt 26\n')

    assert outcome.column("patient_address") == ["685 Church St, Apt 26, Beverly"]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("Patient Name,Address,City", ["Ana Reed,12 Elm St NE,Salem", "Bo Fox,9 Oak Ave NE,Salem"]),
        ("Patient Name,Address,City", ["Ana Reed,12 ELM CT,Salem", "Bo Fox,9 OAK CT,Lynn"]),
        (
            "Patient Name,Address,City",
            ["Ana Reed,Rear 12 Elm St,Salem", "Bo Fox,Front 9 Oak Rd,Lynn"],
        ),
        (
            "Patient Name,Address,Apt,City",
            ["Ana Reed,8 Elm St,Rear,Salem", "Bo Fox,9 Oak Rd,Main Floor,Lynn"],
        ),
        (
            "Patient Name,Address,Apt,City",
            ["Ana Reed,8 Elm St,1201,Salem", "Bo Fox,8 Elm St,1202,Salem"],
        ),
        ("Patient Name,Address,Apt,City", ["Ana Reed,8 Elm St,Bldg 2 Unit 5,Salem"]),
        (
            "Patient Name,Address,Apt",
            ["Ana Reed,8 Elm St,A", "Bo Fox,8 Elm St,PH", "Cy Olm,9 Oak Rd,"],
        ),
        (
            "Patient Name,Address,City,State",
            ["Ana Reed,8 Elm St,Salem,New York", "Bo Fox,9 Oak Rd,Lynn,New York"],
        ),
        ("Patient Name,Address,City,Notes", ["Ana Reed,8 Elm St,Salem,no stairs please"]),
        (
            "Patient Name,Address,Notes",
            ["Ana Reed,8 Elm St,Please ring", "Bo Fox,9 Oak Rd,Use side door"],
        ),
        ("Patient Name,Address,Phone,Notes", ["Ana Reed,8 Elm St,617-555-0111"]),
        (
            "Patient Name,Address,Rx Number,Notes",
            ["Ana Reed,8 Elm St,7001", "Bo Fox,9 Oak Rd,7002"],
        ),
        (
            "First Name,Last Name,Address,City",
            ["Mary Ann,Reed,8 Elm St,Salem", "Juan Carlos,Fox,9 Oak Rd,Lynn"],
        ),
        (
            "Patient Name,Address",
            ['Mary A. Reed,"8 Elm St, Salem"', 'Juan de la Cruz,"9 Oak Rd, Lynn"'],
        ),
        ("Patient Name,Address,Notes", ["Ana Reed,8 Elm St,Fragile", "Bo Fox,9 Oak Rd,Cold chain"]),
        ("Patient Name,Address,Notes", ["Ana Reed,8 Elm St,DROP IN", "Bo Fox,9 Oak Rd,CALL ME"]),
        ("Patient Name,Address", ["Ana Reed,8 Elm St Salem MA", "Bo Fox,9 Oak Rd Lynn MA"]),
        ("Patient Name,Address,City", ["Ana Reed,8 Elm St Salem MA,Salem"]),
        (
            "Patient Name,Address,City",
            ["Ana Reed,1204 - 8 Elm St,Salem", "Bo Fox,1305 - 8 Elm St,Salem"],
        ),
    ],
)
def test_what_only_looks_joined_comes_in(header, rows):
    outcome = read_file("\n".join([header, *rows, ""]))

    assert (len(outcome.orders), outcome.refusal) == (len(rows), "")
