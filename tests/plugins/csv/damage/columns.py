"""Damage to headers and whole columns."""

import random

from plugins.csv.damage.harmless import shuffled_columns
from plugins.csv.damage.sheets import OTHERS, Sheet, written

UNKNOWN = ["Xyz", "Field7", "Kolumne", "Blorp", "QQ", "Thing", "Wert", "Data1", "Info"]
MARKS = [" ", ", ", " / ", "/", "-", " - ", "; ", " | ", " & ", "\n", "\t", "  "]


ALIKE = {
    ("First Name", "Last Name"): "either may be a first name",
    ("Phone", "Fax"): "both are the patient's numbers",
    ("Phone", "Prescriber Phone"): "both are numbers, where none repeats",
    ("Delivery Date", "Fill Date"): "both are days about now",
    ("Rx Number", "Patient ID"): "both are numbers, where no letters mark them",
    ("Rx Number", "Order ID"): "both are numbers, where no letters mark them",
    ("Patient ID", "Order ID"): "both are numbers, where no letters mark them",
    ("Address", "Billing Address"): "both are addresses, and a home has many patients",
    ("Apt", "Qty"): "the number of a flat is a number",
    ("Apt", "Days Supply"): "the number of a flat is a number",
    ("Notes", "Apt"): "a note may be a line of the address",
    **{("Notes", each): "a note may be anything" for each in OTHERS},
}
"""Columns that no file shows to be under each other's header, or cells exchanged; and why."""


def is_alike(one: str, other: str) -> bool:
    """Say whether nobody could see that cells or headers of two columns were exchanged."""
    return (one, other) in ALIKE or (other, one) in ALIKE


def is_name_and_city(one: str, other: str) -> bool:
    """Say whether two columns are a name's and the city's."""
    names = {"First Name", "Last Name", "Patient Name"}
    return (one in names and other == "City") or (other in names and one == "City")


def place_of(rng: random.Random, sheet: Sheet) -> int:
    """Choose a column that packages are made of."""
    return rng.choice([at for at, name in enumerate(sheet.header) if name not in OTHERS])


def unknown_header(rng: random.Random, sheet: Sheet) -> Sheet:
    header = list(sheet.header)
    place = place_of(rng, sheet)
    header[place] = rng.choice(UNKNOWN)
    return sheet._replace(header=header, lost=sheet.header[place])


def blank_header(rng: random.Random, sheet: Sheet) -> Sheet:
    header = list(sheet.header)
    header[place_of(rng, sheet)] = ""
    return sheet._replace(header=header)


def header_of_another_party(rng: random.Random, sheet: Sheet) -> Sheet:
    header = list(sheet.header)
    place = place_of(rng, sheet)
    header[place] = f"{rng.choice(['Pharmacy', 'Prescriber', 'Billing', 'Driver'])} {header[place]}"
    return sheet._replace(header=header, lost=sheet.header[place])


def header_cell_taken_out(rng: random.Random, sheet: Sheet) -> Sheet:
    """Take a header out, so that the others stand over the columns of their neighbours."""
    place = place_of(rng, sheet)
    return sheet._replace(header=[*sheet.header[:place], *sheet.header[place + 1 :]])


def header_cell_put_in(rng: random.Random, sheet: Sheet) -> Sheet:
    place = place_of(rng, sheet)
    name = rng.choice(["", "Xyz", "Apt"])
    return sheet._replace(header=[*sheet.header[:place], name, *sheet.header[place:]])


def dropped_column(rng: random.Random, sheet: Sheet) -> Sheet:
    place = place_of(rng, sheet)
    name = sheet.header[place]
    header = [*sheet.header[:place], *sheet.header[place + 1 :]]
    rows = [[*each[:place], *each[place + 1 :]] for each in sheet.rows]
    return sheet._replace(header=header, rows=rows, truth=[{**e, name: ""} for e in sheet.truth])


def two_headers_swapped(rng: random.Random, sheet: Sheet) -> Sheet:
    header = list(sheet.header)
    one, other = rng.sample(range(len(header)), 2)
    # A name may be a city's; only e-mail addresses or many rows show that it is none.
    is_hidden = "Email" not in header and is_name_and_city(header[one], header[other])
    if is_hidden or is_alike(header[one], header[other]):
        return sheet
    header[one], header[other] = header[other], header[one]
    return sheet._replace(header=header)


def headers_turned(rng: random.Random, sheet: Sheet) -> Sheet:
    """Move every header by some columns."""
    by = rng.randrange(1, len(sheet.header))
    return sheet._replace(header=[*sheet.header[by:], *sheet.header[:by]])


def patient_and_prescriber_swapped(rng: random.Random, sheet: Sheet) -> Sheet:
    """Exchange the headers of the patient's and the prescriber's columns in a wide export."""
    party, name = rng.choice(
        [("Prescriber", "Name"), ("Prescriber", "Phone"), ("Prescriber", "Name+Phone")]
    )
    keep = [at for at, each in enumerate(sheet.header) if each not in OTHERS]
    header = [sheet.header[at] for at in keep] + ["Prescriber Name", "Prescriber Phone"]
    doctors = rng.sample([("Dr. Alma Lind", "978-555-0111"), ("Per Holt MD", "978-555-0112")], 2)
    rows = [[*(row[at] for at in keep), *rng.choice(doctors)] for row in sheet.rows]
    named = {"Name": "Patient Name", "Phone": "Phone"}
    for each in name.split("+"):
        mine, theirs = named[each], f"{party} {each}"
        if mine in header:
            one, other = header.index(mine), header.index(theirs)
            header[one], header[other] = header[other], header[one]
    return sheet._replace(header=header, rows=rows)


def columns_merged(rng: random.Random, sheet: Sheet) -> Sheet:
    """Make one column of two or three, under the header of one of them or of all."""
    width = rng.choice([2, 2, 2, 3])
    places = [
        at
        for at in range(len(sheet.header) - width + 1)
        if not OTHERS.keys() & set(sheet.header[at : at + width])
    ]
    if not places:
        return sheet
    place = rng.choice(places)
    names = sheet.header[place : place + width]
    mark = rng.choice(MARKS)
    if mark == "-" and set(names) & {"Rx Number", "Patient ID", "Order ID", "Email"}:
        mark = " - "  # 7000001-1000 is a number like others
    name = rng.choice([*names, *names, " ".join(names), "/".join(names)])
    header = [*sheet.header[:place], name, *sheet.header[place + width :]]
    rows = [
        [
            *each[:place],
            mark.join(filter(None, each[place : place + width])),
            *each[place + width :],
        ]
        for each in sheet.rows
    ]
    return sheet._replace(header=header, rows=rows)


def column_split(rng: random.Random, sheet: Sheet) -> Sheet:
    place = place_of(rng, sheet)
    name = sheet.header[place]
    second = rng.choice(["", f"{name} 2", rng.choice(UNKNOWN), name])
    header = [*sheet.header[:place], name, second, *sheet.header[place + 1 :]]
    rows = []
    for each in sheet.rows:
        one, _, other = each[place].partition(rng.choice([" ", ","]))
        rows.append([*each[:place], one, other.strip(), *each[place + 1 :]])
    return sheet._replace(header=header, rows=rows)


def columns_of_another_party(rng: random.Random, sheet: Sheet) -> Sheet:
    who = rng.choice(["Pharmacy", "Prescriber", "Bill-to", "Driver", "Emergency Contact"])
    parts = rng.sample(["Name", "Address", "Phone", "City", "Email"], rng.randint(1, 4))
    place = rng.choice([0, len(sheet.header)])
    others = [
        {
            "Name": "Dr. Lee Other",
            "Address": "1 Other Plaza",
            "Phone": "978-555-0100",
            "City": "Othertown",
            "Email": "other@example.org",
        }[part]
        for part in parts
    ]
    header = [*sheet.header[:place], *(f"{who} {each}" for each in parts), *sheet.header[place:]]
    rows = [[*each[:place], *others, *each[place:]] for each in sheet.rows]
    return sheet._replace(header=header, rows=rows)


def bare_columns_of_another_party(rng: random.Random, sheet: Sheet) -> Sheet:
    """Put the pharmacy's own name, address and phone in front, by bare headers."""
    who = rng.choice(["Pharmacy", "Prescriber", "Store"])
    header = [who, "Address", "Phone", *sheet.header]
    rows = [["Hill Drugs", "1 Other Plaza", "978-555-0100", *each] for each in sheet.rows]
    return sheet._replace(header=header, rows=rows)


def shipping_partly_empty(rng: random.Random, sheet: Sheet) -> Sheet:
    """Name the address's columns Shipping …, with billing ones beside, and empty some."""
    parts = {"Address", "Apt", "City", "State", "Zip", "City State Zip"}
    header = [f"Shipping {each}" if each in parts else each for each in sheet.header]
    header = [*header, "Billing Name", "Billing Address", "Billing City"]
    rows, truth = [], []
    for row, cells in zip(sheet.rows, sheet.truth, strict=True):
        mine = list(row)
        if rng.random() < 0.4:
            mine = [
                "" if name in parts else cell for name, cell in zip(sheet.header, row, strict=True)
            ]
        rows.append([*mine, "Cora Payer", "1 Payer Plaza", "Payerville"])
        truth.append(cells)
    return sheet._replace(header=header, rows=rows, truth=truth)


def column_twice(rng: random.Random, sheet: Sheet) -> Sheet:
    """Repeat a column with the cells of other rows."""
    place = place_of(rng, sheet)
    cells = [each[place] for each in sheet.rows]
    moved = [*cells[1:], cells[0]]
    at = rng.choice([0, len(sheet.header)])
    header = [*sheet.header[:at], sheet.header[place], *sheet.header[at:]]
    rows = [[*e[:at], moved[n], *e[at:]] for n, e in enumerate(sheet.rows)]
    return sheet._replace(header=header, rows=rows)


def no_header(rng: random.Random, sheet: Sheet) -> Sheet:
    return sheet._replace(header=list(sheet.rows[0]), rows=sheet.rows[1:])


def grouped_header(rng: random.Random, sheet: Sheet) -> Sheet:
    """Put another party's columns in front, under a row of groups."""
    who = rng.choice(["Prescriber", "Pharmacy", "Bill to"])
    mine = rng.choice(["Patient", "Deliver to", "Ship to"])
    above = [who, "", mine, *[""] * (len(sheet.header) - 1)]
    header = ["Name", "Phone", *sheet.header]
    rows = [header, *(["Dr. Lee Other", "978-555-0100", *each] for each in sheet.rows)]
    return sheet._replace(raw=written(above, rows).decode())


def second_table(rng: random.Random, sheet: Sheet) -> Sheet:
    other = shuffled_columns(rng, sheet)
    half = len(sheet.rows) // 2 + 1
    text = written(sheet.header, sheet.rows[:half]).decode()
    return sheet._replace(raw=text + written(other.header, other.rows[half:]).decode())


def block_above(rng: random.Random, sheet: Sheet) -> Sheet:
    block = "Name:,Hill Drugs,Address:,1 Main St,Phone:,978-555-0100\r\n\r\n"
    return sheet._replace(raw=block + written(sheet.header, sheet.rows).decode())


def transposed(rng: random.Random, sheet: Sheet) -> Sheet:
    """Turn rows into columns."""
    turned = [list(each) for each in zip(sheet.header, *sheet.rows, strict=True)]
    return sheet._replace(raw=written(turned[0], turned[1:]).decode())


def a_column_moved_down(rng: random.Random, sheet: Sheet) -> Sheet:
    """Move one column down by a row, as inserting a cell does."""
    place = place_of(rng, sheet)
    if not sheet.rows[-1][place]:
        return sheet  # the row that it leaves behind would be a blank one like others
    column = ["", *(each[place] for each in sheet.rows)]
    rows = [list(each) for each in [*sheet.rows, [""] * len(sheet.header)]]
    for row, cell in zip(rows, column, strict=True):
        row[place] = cell
    return sheet._replace(rows=rows)


def a_column_sorted_alone(rng: random.Random, sheet: Sheet) -> Sheet:
    """Sort the e-mail addresses, or the names, and leave the other columns as they are."""
    names = [each for each in ("Email", "Patient Name", "Last, First") if each in sheet.header]
    if len(names) < 2:  # no other column shows it
        return sheet
    place = sheet.header.index(rng.choice(names))
    cells = sorted(each[place] for each in sheet.rows)
    rows = [list(each) for each in sheet.rows]
    for row, cell in zip(rows, cells, strict=True):
        row[place] = cell
    return sheet._replace(rows=rows)


COLUMNS = (
    unknown_header,
    blank_header,
    header_of_another_party,
    header_cell_taken_out,
    header_cell_put_in,
    dropped_column,
    two_headers_swapped,
    headers_turned,
    patient_and_prescriber_swapped,
    columns_merged,
    column_split,
    columns_of_another_party,
    bare_columns_of_another_party,
    shipping_partly_empty,
    column_twice,
    no_header,
    grouped_header,
    second_table,
    block_above,
    transposed,
    a_column_moved_down,
    a_column_sorted_alone,
)
