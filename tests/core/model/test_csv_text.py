"""CSV files that people open in a spreadsheet program."""

import csv
import io

import pytest

from gateway.model.csv_text import csv_text, harmless


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd", "-2+3", "@SUM(A1)", " =1", "\t=1", "\r1", "'=1", '"=1', "\uff1d1+1"],
)
def test_what_a_program_would_run_gets_an_apostrophe(text):
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "12.50", "-4.25", "+14165550123", "Ana", "O'Neill", "a=b"])
def test_everything_else_stays(text):
    assert harmless(text) == text


def test_a_file_is_read_back_cell_by_cell():
    text = csv_text(["a", "b"], [["x,y", None], ["two\nlines", 3]])

    assert list(csv.reader(io.StringIO(text))) == [["a", "b"], ["x,y", ""], ["two\nlines", "3"]]
