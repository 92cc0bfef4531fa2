"""Quotation marks, line ends, delimiters and encodings: what is written is what is read."""

import csv
import io
import itertools

import pytest
from plugins.csv.reading import read_file

HEADER = "Patient Name,Address,Notes"


def notes_of(file):
    return read_file(file).column("notes")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("cell", "notes"),
    [
        ("plain", "plain"),
        ('"a comma, in marks"', "a comma, in marks"),
        ('"ring ""twice"""', 'ring "twice"'),
        ('""', None),
        ('""""""', '""'),
        ('" spaces "', "spaces"),
        ('"two\nlines"', "two\nlines"),
        ('"two\r\nlines"', "two\r\nlines"),
        ('"a, ""b""\nc"', 'a, "b"\nc'),
        ("ʤ, no: ʤ".replace(",", ";"), "ʤ; no: ʤ"),
        ('{"type": 1}'.replace('"', '""').join('""'), '{"type": 1}'),
        ("{}", "{}"),
        ("42.3601; -71.0589", "42.3601; -71.0589"),
        ("tab\there", "tab\there"),
        ("semi;colon|bar", "semi;colon|bar"),
    ],
)
def test_a_cell_says_what_was_written_into_it(end, cell, notes):
    file = end.join([HEADER, f"Ana Reed,8 Elm St,{cell}", 'Bo Fox,"9 Oak Rd",x', ""])

    found = notes_of(file)

    assert [each and each.replace("\r\n", "\n") for each in found] == [
        notes and notes.replace("\r\n", "\n"),
        "x",
    ]


def test_empty_cells_in_marks_and_without_are_the_same():
    outcome = read_file(f'{HEADER},Phone\nAna Reed,8 Elm St,"",""\nBo Fox,9 Oak Rd,,\n')

    assert outcome.column("notes") == outcome.column("patient_phone") == [None, None]


@pytest.mark.parametrize(
    ("delimiter", "end", "encoding", "quoting"),
    list(
        itertools.product(
            ",;\t|",
            ["\n", "\r\n"],
            ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "mac_roman"],
            [csv.QUOTE_ALL, csv.QUOTE_MINIMAL],
        )
    ),
)
def test_every_dialect_reads_back_the_same(delimiter, end, encoding, quoting):
    rows = [
        ["Patient Name", "Address", "Notes"],
        ["José Núñez", f"12 rue Élan{delimiter} Apt 2", 'say "hello"'],
        ["Zoë Müller", "9 Oak Rd", f"first{delimiter} then\nthe other"],
    ]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)

    outcome = read_file(out.getvalue().encode(encoding))

    assert [
        (each["patient_name"], each["patient_address"], each["notes"]) for each in outcome.said
    ] == [tuple(each) for each in rows[1:]]


@pytest.mark.parametrize("file_end", ["", "\n", "\r\n", "\n\n\n", "\n,,\n"])
def test_the_end_of_a_file_makes_no_row_and_loses_none(file_end):
    outcome = read_file(f"{HEADER}\nAna Reed,8 Elm St,one\nBo Fox,9 Oak Rd,two{file_end}")

    assert outcome.column("notes") == ["one", "two"]
    assert outcome.errors == {}


@pytest.mark.parametrize("cell", ['a "b" c', 'a" b', '"a" b'])
def test_a_mark_in_the_middle_of_a_cell_rejects_its_row_only(cell):
    outcome = read_file(f"{HEADER}\nAna Reed,8 Elm St,{cell}\nBo Fox,9 Oak Rd,x\n")

    assert list(outcome.errors) == [2]
    assert list(outcome.orders) == [3]


def test_a_line_that_names_the_delimiter_is_followed():
    assert notes_of("sep=|\nPatient Name|Address|Notes\nAna, Reed|8 Elm St|a,b\n") == ["a,b"]


def test_a_delimiter_behind_each_line_is_no_column():
    assert notes_of(f"{HEADER},\nAna Reed,8 Elm St,a,\nBo Fox,9 Oak Rd,b,\n") == ["a", "b"]
