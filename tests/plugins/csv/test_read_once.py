"""What a file says twice is read once, and makes the same orders; memory stays bounded."""

from io import BytesIO

import pytest
from gateway_csv.columns.cell_values import CellValues
from gateway_csv.columns.cells import Unreadable
from gateway_csv.columns.dates import Evidence
from gateway_csv.columns.kept_texts import KeptTexts
from gateway_csv.mapping import read_row
from gateway_csv.read.table import ImportOptions, Table
from gateway_csv.report import Report
from gateway_csv.settings import CsvSettings

HEADER = "Patient Name,Address,City,Copay,Delivery Date\n"


class CountedFile(BytesIO):
    """A file that counts how often it is read from its start."""

    starts = 0

    def seek(self, place, whence=0):
        self.starts += (place, whence) == (0, 0)
        return super().seek(place, whence)


def a_table(rows, cell=""):
    lines = [
        f'Ana Reed,{n + 1} Elm St{cell},"Boston, MA",4.50,2026-12-0{n % 9 + 1}\n' for n in rows
    ]
    file = CountedFile((HEADER + "".join(lines)).encode())
    return file, Table(file, CsvSettings(), ImportOptions())


def orders_of(table, reading):
    return [read_row(row, reading).candidate.order for row in table.orders(reading.layout)]


def test_a_small_file_is_parsed_once_however_often_its_orders_are_wanted():
    file, table = a_table(range(40))
    reading, count = table.understand(Report())
    starts = file.starts

    first, again = orders_of(table, reading), orders_of(table, reading)

    assert file.starts == starts
    assert first == again
    assert (len(first), first[39].patient_address) == (count, "40 Elm St, Boston, MA")


def test_a_larger_file_is_parsed_again_and_makes_the_orders_that_a_small_one_makes():
    padding = " " * 5000  # cells are read without it
    large, many = a_table(range(300), padding)
    small, few = a_table(range(300))
    reading, _ = many.understand(Report())
    starts = large.starts
    short, _ = few.understand(Report())

    orders = orders_of(many, reading)

    assert large.starts > starts
    assert small.getbuffer().nbytes < 1_000_000 < large.getbuffer().nbytes
    assert [each.delivery_date for each in orders] == [
        each.delivery_date for each in orders_of(few, short)
    ]


def test_only_so_many_short_texts_are_kept_and_what_cannot_be_read_is_read_again():
    asked = []

    def read(text):
        asked.append(text)
        if text == "bad":
            raise ValueError(text)
        return len(text)

    texts = KeptTexts(read)
    found = [texts[str(n)] for n in range(5000)]
    long = [texts["x" * 61], texts["x" * 61]]
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            texts["bad"]

    assert found == [len(str(n)) for n in range(5000)]
    assert len(texts) == 2000
    assert long == [61, 61]
    assert [asked.count(each) for each in ("7", "x" * 61, "bad")] == [1, 2, 2]
    assert texts["7"] == 1
    assert asked.count("7") == 1


def test_a_number_of_a_spreadsheet_is_not_taken_for_the_answer_that_equals_it():
    values = CellValues(decimal_comma=False, dates=Evidence(), order=None)

    said = [values.answer(each) for each in (True, "1", 1.0, "no", False)]

    assert said == [True, True, True, False, False]
    assert str(values.money("1")) == "1"
    assert str(values.money(1)) == "1"
    with pytest.raises(Unreadable):
        values.money(cell=True)
