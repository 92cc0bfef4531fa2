"""Damage to the text of a file: quotation marks, delimiters, line ends, encodings."""

import csv
import random

from plugins.csv.damage.sheets import NAMES, Sheet, written

_OF_WORDS = {"Patient Name", "First Name", "Last Name", "Last, First", "Address", "Apt", "City"}


def no_quotation_marks(rng: random.Random, sheet: Sheet) -> Sheet:
    lines = [",".join(each) for each in [sheet.header, *sheet.rows]]
    return sheet._replace(raw="\r\n".join(lines))


def no_quotation_marks_in_a_row(rng: random.Random, sheet: Sheet) -> Sheet:
    """Write one row without marks: an address's commas make columns of their own."""
    lines = written(sheet.header, sheet.rows).decode().splitlines()
    number = rng.randrange(len(sheet.rows))
    lines[number + 1] = ",".join(sheet.rows[number])
    return sheet._replace(raw="\r\n".join(lines))


def stray_mark(rng: random.Random, sheet: Sheet) -> Sheet:
    text = written(sheet.header, sheet.rows).decode()
    place = rng.randrange(len(text))
    return sheet._replace(raw=f'{text[:place]}"{text[place:]}')


def two_stray_marks(rng: random.Random, sheet: Sheet) -> Sheet:
    one = stray_mark(rng, sheet).file().decode()
    starts = [at + 1 for at, each in enumerate(one) if each in ",\n"]
    place = rng.choice(starts)
    return sheet._replace(raw=f'{one[:place]}"{one[place:]}')


def delimiter_in_a_cell(rng: random.Random, sheet: Sheet) -> Sheet:
    lines = written(sheet.header, sheet.rows).decode().splitlines()
    number = rng.randrange(1, len(lines))
    place = rng.choice(_outside_marks(lines[number]))
    lines[number] = f"{lines[number][:place]},{lines[number][place:]}"
    return sheet._replace(raw="\n".join(lines))


def rows_glued(rng: random.Random, sheet: Sheet) -> Sheet:
    lines = written(sheet.header, sheet.rows).decode().splitlines()
    number = rng.randrange(1, len(lines))
    lines[number - 1 : number + 1] = ["".join(lines[number - 1 : number + 1])]
    return sheet._replace(raw="\n".join(lines))


def row_broken(rng: random.Random, sheet: Sheet) -> Sheet:
    lines = written(sheet.header, sheet.rows).decode().splitlines()
    number = rng.randrange(1, len(lines))
    place = rng.choice(_outside_marks(lines[number]))
    lines[number : number + 1] = [lines[number][:place], lines[number][place:]]
    return sheet._replace(raw="\n".join(lines))


def _outside_marks(line: str) -> list[int]:
    return [at for at in range(len(line)) if line[:at].count('"') % 2 == 0]


def another_delimiter_half_way(rng: random.Random, sheet: Sheet) -> Sheet:
    """Write the rest of the file with another delimiter."""
    half = rng.randint(0, len(sheet.rows) - 1)
    head = written(sheet.header, sheet.rows[:half]).decode()
    form = sheet.form._replace(delimiter=rng.choice(";\t|"))
    tail = written(sheet.header, sheet.rows[half:], form).decode()
    return sheet._replace(raw=head + tail.split("\r\n", 1)[1])


def columns_by_spaces(rng: random.Random, sheet: Sheet) -> Sheet:
    """Write a table of fixed widths, as a printout has it."""
    table = [sheet.header, *sheet.rows]
    widths = [max(map(len, column)) + 2 for column in zip(*table, strict=True)]
    lines = [
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table
    ]
    return sheet._replace(raw="\r\n".join(lines))


def encodings_by_line(rng: random.Random, sheet: Sheet) -> Sheet:
    """Write some lines in one encoding and the others in another."""
    place = next((at for at, each in enumerate(sheet.header) if each in NAMES))
    rows, truth = [], []
    for row, cells in zip(sheet.rows, sheet.truth, strict=True):
        name = f"{rng.choice(['José', 'Zoë', 'Renée', 'André'])} {row[place]}"
        rows.append([*row[:place], name, *row[place + 1 :]])
        truth.append({**cells, sheet.header[place]: name})
    lines = written(sheet.header, rows).decode().splitlines()
    raw = b"\r\n".join(each.encode(rng.choice(["utf-8", "cp1252"])) for each in lines)
    return sheet._replace(raw=raw, truth=truth)


def file_cut_off(rng: random.Random, sheet: Sheet) -> Sheet:
    """Cut the file off in the middle, as a broken copy does."""
    content = written(sheet.header, sheet.rows)
    first = content.index(b"\n") + 1
    cut = content[: rng.randrange(first, len(content))]
    last = cut.rpartition(b"\n")[2]
    is_in_last = last.count(b",") >= len(sheet.header) - 1
    # A note that is cut off in its middle is a note, and one row has no others beside it.
    if is_in_last and (sheet.header[-1] == "Notes" or cut.count(b"\n") == 1):
        cut = cut[: cut.rindex(b",")]
    elif is_in_last and sheet.header[-1] in _OF_WORDS:
        number, name = cut.count(b"\n") - 1, sheet.header[-1]
        rest = next(csv.reader([last.decode("utf-8", "ignore")]))[-1]
        return sheet._replace(raw=cut, cut={**sheet.truth[number], name: rest})
    return sheet._replace(raw=cut)


WRITING = (
    no_quotation_marks,
    no_quotation_marks_in_a_row,
    stray_mark,
    two_stray_marks,
    delimiter_in_a_cell,
    rows_glued,
    row_broken,
    another_delimiter_half_way,
    columns_by_spaces,
    encodings_by_line,
    file_cut_off,
)
