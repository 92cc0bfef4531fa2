"""Damage to single rows and cells."""

import random
from collections.abc import Iterable

from plugins.csv.damage.columns import is_alike, is_name_and_city, place_of
from plugins.csv.damage.sheets import NAMES, Sheet


def _row(rng: random.Random, sheet: Sheet) -> int:
    return rng.randrange(len(sheet.rows))


def _with_row(sheet: Sheet, number: int, cells: list[str]) -> Sheet:
    rows = [list(each) for each in sheet.rows]
    rows[number] = cells
    return sheet._replace(rows=rows)


def cell_taken_out(rng: random.Random, sheet: Sheet) -> Sheet:
    number, place = _row(rng, sheet), place_of(rng, sheet)
    cells = list(sheet.rows[number])
    del cells[place]
    return _with_row(sheet, number, cells)


def cell_put_in(rng: random.Random, sheet: Sheet) -> Sheet:
    number, place = _row(rng, sheet), place_of(rng, sheet)
    cells = list(sheet.rows[number])
    cells.insert(place, rng.choice(["", "x", "Apt 9", "0", "Miami"]))
    return _with_row(sheet, number, cells)


def cells_moved(rng: random.Random, sheet: Sheet) -> Sheet:
    number, place = _row(rng, sheet), place_of(rng, sheet)
    cells = list(sheet.rows[number])
    if rng.random() < 0.5:
        moved = _with_row(sheet, number, [*cells[:place], *cells[place + 1 :], ""])
    else:
        moved = _with_row(sheet, number, [*cells[:place], "", *cells[place:]][: len(cells)])
    return moved._replace(truth=_without_last(sheet, place, [number]))


def _without_last(sheet: Sheet, place: int, numbers: Iterable[int]) -> list[dict[str, str]]:
    """Return the truth: where the last column's cell was lost, it is an empty one."""
    truth = [dict(each) for each in sheet.truth]
    if place == len(sheet.header) - 1:
        for number in numbers:
            truth[number][sheet.header[place]] = ""
    return truth


def cells_of_some_rows_moved(rng: random.Random, sheet: Sheet) -> Sheet:
    """Move the cells of all rows from one on, as a page break does."""
    place, first = place_of(rng, sheet), _row(rng, sheet)
    rows = [
        each if at < first else [*each[:place], "", *each[place:]][: len(each)]
        for at, each in enumerate(sheet.rows)
    ]
    truth = _without_last(sheet, place, range(first, len(sheet.rows)))
    return sheet._replace(rows=rows, truth=truth)


def two_cells_swapped(rng: random.Random, sheet: Sheet) -> Sheet:
    number = _row(rng, sheet)
    cells = list(sheet.rows[number])
    one, other = rng.sample(range(len(cells)), 2)
    if is_alike(sheet.header[one], sheet.header[other]):
        return sheet
    if is_name_and_city(sheet.header[one], sheet.header[other]):
        at = sheet.header.index("City")
        if [each[at] for each in sheet.rows].count(cells[at]) == 1:
            return sheet  # no other row shows that it is a city
    cells[one], cells[other] = cells[other], cells[one]
    return _with_row(sheet, number, cells)


def row_cut_off(rng: random.Random, sheet: Sheet) -> Sheet:
    number = _row(rng, sheet)
    keep = rng.randrange(1, len(sheet.header))
    truth = [dict(each) for each in sheet.truth]
    for name in sheet.header[keep:]:
        truth[number][name] = ""
    cut = _with_row(sheet, number, list(sheet.rows[number])[:keep])
    return cut._replace(truth=truth)


def cell_blanked(rng: random.Random, sheet: Sheet) -> Sheet:
    number, place = _row(rng, sheet), place_of(rng, sheet)
    cells = list(sheet.rows[number])
    cells[place] = rng.choice(["", "N/A", "-"])
    truth = [dict(each) for each in sheet.truth]
    truth[number][sheet.header[place]] = ""
    return _with_row(sheet, number, cells)._replace(truth=truth)


def wrong_kind_of_cell(rng: random.Random, sheet: Sheet) -> Sheet:
    number = _row(rng, sheet)
    same_kind = {"Notes", "Phone", "Delivery Date", "Copay", "Email"}
    place = rng.choice([at for at, each in enumerate(sheet.header) if each not in same_kind])
    cells = list(sheet.rows[number])
    cells[place] = rng.choice(
        ["978-555-0100", "12/24/2026", "x@example.com", "$4.50", "0", ".", "PICKUP"]
    )
    return _with_row(sheet, number, cells)


def formula_errors(rng: random.Random, sheet: Sheet) -> Sheet:
    number, place = _row(rng, sheet), place_of(rng, sheet)
    cells = list(sheet.rows[number])
    cells[place] = rng.choice(["#REF!", "#DIV/0!", "#VALUE!", "#NAME?"])
    truth = [dict(each) for each in sheet.truth]
    if sheet.header[place] == "Phone":
        truth[number]["Phone"] = ""
    return _with_row(sheet, number, cells)._replace(truth=truth)


def garbled_letters(rng: random.Random, sheet: Sheet) -> Sheet:
    """Garble accents: read in the wrong encoding, replaced, or written as HTML."""
    number = _row(rng, sheet)
    place = next((at for at, each in enumerate(sheet.header) if each in NAMES))
    cells = list(sheet.rows[number])
    name = rng.choice(["José Núñez", "Zoë Côté", "Hélène Roy"])
    garbled = rng.choice(
        [
            name.encode().decode("cp1252", "replace"),
            name.encode("cp1252").decode("utf-8", "replace"),
            name.encode("ascii", "replace").decode(),
            name.encode("ascii", "xmlcharrefreplace").decode(),
            name.encode().decode("mac_roman"),
        ]
    )
    cells[place] = f"{garbled} {cells[place]}"
    truth = [dict(each) for each in sheet.truth]
    truth[number][sheet.header[place]] = f"{name} {truth[number][sheet.header[place]]}"
    return _with_row(sheet, number, cells)._replace(truth=truth)


def dates_in_two_orders(rng: random.Random, sheet: Sheet) -> Sheet:
    """Write some dates day first and the others month first."""
    if "Delivery Date" not in sheet.header:
        return sheet
    at = sheet.header.index("Delivery Date")
    rows = []
    for row in sheet.rows:
        year, month, day = row[at].split("-")
        said = f"{day}/{month}/{year}" if rng.random() < 0.5 else f"{month}/{day}/{year}"
        rows.append([*row[:at], said, *row[at + 1 :]])
    return sheet._replace(rows=rows)


def numbers_shortened(rng: random.Random, sheet: Sheet) -> Sheet:
    """Write a column of numbers as a spreadsheet does that shows few digits."""
    places = [at for at, each in enumerate(sheet.header) if each in {"Phone", "Zip", "Rx Number"}]
    if not places:
        return sheet
    place = rng.choice(places)
    rows = [list(each) for each in sheet.rows]
    for row in rows:
        digits = "".join(each for each in row[place] if each.isdigit())
        row[place] = rng.choice([f"{float(digits or 1):.2E}", "########"])
    return sheet._replace(rows=rows)


def statuses_that_differ(rng: random.Random, sheet: Sheet) -> Sheet:
    """Repeat rows with another status: what was cancelled once needs no delivery."""
    rows, truth = [], []
    for row, cells in zip(sheet.rows, sheet.truth, strict=True):
        if rng.random() < 0.4:
            pair = rng.sample(["Ready", rng.choice(["Cancelled", "Delivered", "Refunded"])], 2)
            rows += [[*row, each] for each in pair]
        else:
            rows.append([*row, "Ready"])
            truth.append(cells)
    return sheet._replace(header=[*sheet.header, "Status"], rows=rows, truth=truth or [{}])


CELLS = (
    cell_taken_out,
    cell_put_in,
    cells_moved,
    cells_of_some_rows_moved,
    two_cells_swapped,
    row_cut_off,
    cell_blanked,
    wrong_kind_of_cell,
    formula_errors,
    garbled_letters,
    dates_in_two_orders,
    numbers_shortened,
    statuses_that_differ,
)
