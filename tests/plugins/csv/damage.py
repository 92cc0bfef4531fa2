"""Damaged files by seed: whatever becomes of them, no package may be wrong.

``python tests/plugins/csv/damage.py --files 20000 --seed 7`` reads that many and prints, for each
kind of damage, how many files were refused, how many rows were rejected, and how many packages
were wrong: a package is right when it is one of the originals, what was taken out left aside.
"""

import argparse
import csv
import io
import itertools
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from plugins.csv.reading import Outcome, read_file

_FIRST = "Ana Bo Cy Di Eve Finn Gus Hana Ivy Jon Kay Leo Mia Noa Oda Pia Rui Sol Tia Uma"
_LAST = "Reed Fox Olm Ash Lee Roy Kim Silva Chen Moss Pike Rand Stone Vega Wynn York Zola"
_STREETS = "Elm St,Oak Rd,Pine Ave,Main St,Lake Dr,Hill Ln,Church St,Maple Way,Park Blvd"
_CITIES = "Boston Salem Quincy Lowell Newton Dedham Milton Beverly Woburn Medford"
_NOTES = (
    "ring twice,leave with neighbor,dog in yard,call first,blue door,,back entrance,use side gate"
)
FIRST, LAST, CITIES = _FIRST.split(" "), _LAST.split(" "), _CITIES.split(" ")
STREETS, NOTES = _STREETS.split(","), _NOTES.split(",")
OPTIONAL = {
    "patient_phone": None,
    "patient_email": None,
    "rx_number": None,
    "copay_amount": None,
    "priority": "routine",
    "requires_signature": False,
    "delivery_date": None,
    "notes": None,
    "external_patient_id": None,
    "external_order_id": None,
}
SYNONYMS = {
    "Patient Name": [
        "patient_name",
        "Recipient",
        "Customer Name",
        "Pt Name",
        "PATIENT",
        "patientName",
    ],
    "First Name": ["first_name", "FirstName", "Given Name", "Patient First Name", "FNAME"],
    "Last Name": ["last_name", "Surname", "Patient Last Name", "LastName", "Family name"],
    "Address": [
        "patient_address",
        "Street Address",
        "Delivery Address",
        "Addr1",
        "Patient Address",
    ],
    "Apt": ["Address 2", "Unit Number", "Suite", "address_line_2", "Apt #"],
    "City": ["city", "Town", "Delivery City", "Patient City"],
    "State": ["state", "Province", "ST/Prov", "Patient State"],
    "Zip": ["zip code", "Postal Code", "ZIP", "Delivery Zip", "Patient Zip"],
    "Phone": ["patient_phone", "Phone No.", "Tel", "Cell", "Patient Phone", "Mobile Phone"],
    "Rx Number": ["rx_number", "Rx #", "Rx Num", "Script No", "Prescription Number"],
    "Copay": ["copay_amount", "Co-pay", "Amount due", "Patient Pay", "Owing"],
    "Delivery Date": ["delivery_date", "Deliver on", "Requested delivery date"],
    "Notes": ["notes", "Comments", "Delivery Instructions", "Remarks"],
    "Patient ID": ["external_patient_id", "MRN", "Patient No."],
    "Email": ["patient_email", "E-mail", "Patient Email"],
}
# Two cells of one kind, exchanged: nobody could see it.
ALIKE = [
    {"First Name", "Last Name"},
    {"First Name", "City"},
    {"Last Name", "City"},
    {"Rx Number", "Patient ID"},
]
FREE = {"Address", "Apt"}
UNKNOWN = ["Xyz", "Field7", "Kolumne", "Blorp", "QQ", "Thing", "Wert", "Data1", "Info"]


class Form(NamedTuple):
    """How a table is written."""

    delimiter: str = ","
    encoding: str = "utf-8"
    end: str = "\r\n"
    quotes_all: bool = False


class Sheet(NamedTuple):
    """A table on its way to be damaged. ``truth`` is what is left of the originals' cells."""

    header: list[str]
    rows: list[list[str]]
    truth: list[dict[str, str]]
    form: Form = Form()
    raw: str | bytes | None = None

    def file(self) -> bytes:
        """Return the file's bytes."""
        if isinstance(self.raw, bytes):
            return self.raw
        return written(self.header, self.rows, self.form) if self.raw is None else self.raw.encode()


def written(
    header: Sequence[str], rows: Sequence[Sequence[str]], form: Form | None = None
) -> bytes:
    """Return a table as the bytes of a file."""
    form = form or Form()
    out = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if form.quotes_all else csv.QUOTE_MINIMAL
    writer = csv.writer(out, delimiter=form.delimiter, lineterminator=form.end, quoting=quoting)
    writer.writerows([header, *rows])
    return out.getvalue().encode(form.encoding)


def known_file(rng: random.Random) -> Sheet:
    """Make a table whose rows are all good orders."""
    count = rng.randint(2, 14)
    split_name, split_address = rng.random() < 0.35, rng.random() < 0.6
    columns = ["First Name", "Last Name"] if split_name else ["Patient Name"]
    columns += ["Address", "Apt", "City", "State", "Zip"] if split_address else ["Address"]
    more = ["Phone", "Rx Number", "Copay", "Delivery Date", "Notes", "Patient ID", "Email"]
    columns += [each for each in more if rng.random() < 0.75]
    people = rng.sample([(one, two) for one in FIRST for two in LAST], count)
    truth = []
    for number, (first, last) in enumerate(people):
        street = f"{rng.randint(2, 980)} {rng.choice(STREETS)}"
        city, zip_code = rng.choice(CITIES), f"0{rng.randint(1800, 2790)}"
        unit = f"Apt {rng.randint(1, 40)}" if rng.random() < 0.5 else ""
        whole = ", ".join(filter(None, [street, unit, city, f"MA {zip_code}"]))
        cells = {
            "First Name": first,
            "Last Name": last,
            "Patient Name": f"{first} {last}",
            "Address": street if split_address else whole,
            "Apt": unit,
            "City": city,
            "State": "MA",
            "Zip": zip_code,
            "Phone": f"617-{rng.randint(212, 899)}-{rng.randint(1000, 9999)}",
            "Rx Number": str(7_000_000 + number * 13 + rng.randint(0, 12)),
            "Copay": f"{rng.randint(0, 40)}.{rng.randint(10, 99)}",
            "Delivery Date": f"2026-12-{rng.randint(1, 28):02}",
            "Notes": rng.choice(NOTES),
            "Patient ID": f"P-{1000 + number}",
            "Email": f"{first}.{last}@example.com".lower(),
        }
        truth.append({name: cells[name] for name in columns})
    return Sheet(columns, [list(each.values()) for each in truth], truth)


# Harmless: everything must still come in.


def shuffled_columns(rng: random.Random, sheet: Sheet) -> Sheet:
    order = rng.sample(range(len(sheet.header)), len(sheet.header))
    rows = [[row[place] for place in order] for row in sheet.rows]
    return sheet._replace(header=[sheet.header[place] for place in order], rows=rows)


def known_synonyms(rng: random.Random, sheet: Sheet) -> Sheet:
    return sheet._replace(header=[rng.choice(SYNONYMS[each]) for each in sheet.header])


def blank_lines(rng: random.Random, sheet: Sheet) -> Sheet:
    rows = [list(each) for each in sheet.rows]
    for _ in range(rng.randint(1, 4)):
        rows.insert(rng.randint(0, len(rows)), [""] * len(sheet.header))
    return sheet._replace(rows=rows)


def blank_columns(rng: random.Random, sheet: Sheet) -> Sheet:
    place = rng.randint(0, len(sheet.header))
    header = [*sheet.header[:place], "", *sheet.header[place:]]
    return sheet._replace(header=header, rows=[[*r[:place], "", *r[place:]] for r in sheet.rows])


def another_form(rng: random.Random, sheet: Sheet) -> Sheet:
    form = Form(
        rng.choice(",;\t|"),
        rng.choice(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
        rng.choice(["\n", "\r\n"]),
        rng.random() < 0.4,
    )
    return sheet._replace(form=form)


def shuffled_rows(rng: random.Random, sheet: Sheet) -> Sheet:
    order = rng.sample(range(len(sheet.rows)), len(sheet.rows))
    rows, truth = [sheet.rows[each] for each in order], [sheet.truth[each] for each in order]
    return sheet._replace(rows=rows, truth=truth)


def title_above(rng: random.Random, sheet: Sheet) -> Sheet:
    title = rng.choice(["Deliveries", "Report of Monday", "Hill Drugs: today's route"])
    text = written(sheet.header, sheet.rows).decode()
    return sheet._replace(raw=f"{title}\r\n\r\n{text}")


def header_again(rng: random.Random, sheet: Sheet) -> Sheet:
    rows = list(sheet.rows)
    rows.insert(rng.randint(0, len(rows)), list(sheet.header))
    return sheet._replace(rows=rows)


# Harmful: nothing wrong may come in.


def _place(rng: random.Random, sheet: Sheet) -> int:
    return rng.randrange(len(sheet.header))


def _row(rng: random.Random, sheet: Sheet) -> int:
    return rng.randrange(len(sheet.rows))


def _with_row(sheet: Sheet, number: int, cells: list[str]) -> Sheet:
    rows = [list(each) for each in sheet.rows]
    rows[number] = cells
    return sheet._replace(rows=rows)


def unknown_header(rng: random.Random, sheet: Sheet) -> Sheet:
    header = list(sheet.header)
    header[_place(rng, sheet)] = rng.choice(UNKNOWN)
    return sheet._replace(header=header)


def blank_header(rng: random.Random, sheet: Sheet) -> Sheet:
    header = list(sheet.header)
    header[_place(rng, sheet)] = ""
    return sheet._replace(header=header)


def header_of_somebody_else(rng: random.Random, sheet: Sheet) -> Sheet:
    header = list(sheet.header)
    place = _place(rng, sheet)
    header[place] = f"{rng.choice(['Pharmacy', 'Prescriber', 'Billing', 'Driver'])} {header[place]}"
    return sheet._replace(header=header)


def dropped_column(rng: random.Random, sheet: Sheet) -> Sheet:
    place = _place(rng, sheet)
    name = sheet.header[place]
    header = [*sheet.header[:place], *sheet.header[place + 1 :]]
    rows = [[*each[:place], *each[place + 1 :]] for each in sheet.rows]
    return sheet._replace(header=header, rows=rows, truth=[{**e, name: ""} for e in sheet.truth])


def cell_taken_out(rng: random.Random, sheet: Sheet) -> Sheet:
    number, place = _row(rng, sheet), _place(rng, sheet)
    cells = list(sheet.rows[number])
    del cells[place]
    return _with_row(sheet, number, cells)


def cell_put_in(rng: random.Random, sheet: Sheet) -> Sheet:
    number, place = _row(rng, sheet), _place(rng, sheet)
    cells = list(sheet.rows[number])
    cells.insert(place, rng.choice(["", "x", "Apt 9", "0", "Miami"]))
    return _with_row(sheet, number, cells)


def cells_moved(rng: random.Random, sheet: Sheet) -> Sheet:
    number, place = _row(rng, sheet), _place(rng, sheet)
    cells = list(sheet.rows[number])
    moved = [*cells[:place], *cells[place + 1 :], ""] if rng.random() < 0.5 else cells
    if moved is cells:
        moved = [*cells[:place], "", *cells[place:]][: len(cells)]
    return _with_row(sheet, number, moved)


def two_cells_swapped(rng: random.Random, sheet: Sheet) -> Sheet:
    number = _row(rng, sheet)
    cells = list(sheet.rows[number])
    one, other = rng.sample(range(len(cells)), 2)
    if {sheet.header[one], sheet.header[other]} in ALIKE:
        return sheet
    cells[one], cells[other] = cells[other], cells[one]
    return _with_row(sheet, number, cells)


def two_headers_swapped(rng: random.Random, sheet: Sheet) -> Sheet:
    header = list(sheet.header)
    one, other = rng.sample(range(len(header)), 2)
    if {header[one], header[other]} in ALIKE:
        return sheet
    header[one], header[other] = header[other], header[one]
    return sheet._replace(header=header)


def columns_merged(rng: random.Random, sheet: Sheet) -> Sheet:
    pairs = list(itertools.pairwise(sheet.header))
    # A note at the end of an address is free text in free text.
    places = [
        at
        for at, pair in enumerate(pairs)
        if not ("Notes" in pair and FREE & {*pair}) and {*pair} not in ALIKE
    ]
    if not places:
        return sheet
    place = rng.choice(places)
    one, other = pairs[place]
    is_codes = {one, other} <= {"Rx Number", "Patient ID", "Email"}
    mark = rng.choice([" ", ", ", " / "] if is_codes else [" ", ", ", " / ", "-"])
    name = rng.choice([one, other, f"{one} {other}", f"{one}/{other}"])
    header = [*sheet.header[:place], name, *sheet.header[place + 2 :]]
    rows = [
        [*each[:place], mark.join(filter(None, each[place : place + 2])), *each[place + 2 :]]
        for each in sheet.rows
    ]
    return sheet._replace(header=header, rows=rows)


def column_split(rng: random.Random, sheet: Sheet) -> Sheet:
    place = rng.choice([at for at, each in enumerate(sheet.header) if each != "Notes"])
    name = sheet.header[place]
    second = rng.choice(["", f"{name} 2", rng.choice(UNKNOWN), name])
    header = [*sheet.header[:place], name, second, *sheet.header[place + 1 :]]
    rows = []
    for each in sheet.rows:
        one, _, other = each[place].partition(rng.choice([" ", ","]))
        rows.append([*each[:place], one, other.strip(), *each[place + 1 :]])
    return sheet._replace(header=header, rows=rows)


def no_quotation_marks(rng: random.Random, sheet: Sheet) -> Sheet:
    lines = [",".join(each) for each in [sheet.header, *sheet.rows]]
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
    whole = [at for at in range(len(lines[number])) if lines[number][:at].count('"') % 2 == 0]
    place = rng.choice(whole)
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
    whole = [at for at in range(len(lines[number])) if lines[number][:at].count('"') % 2 == 0]
    place = rng.choice(whole)
    lines[number : number + 1] = [lines[number][:place], lines[number][place:]]
    return sheet._replace(raw="\n".join(lines))


def second_table(rng: random.Random, sheet: Sheet) -> Sheet:
    other = shuffled_columns(rng, sheet)
    half = len(sheet.rows) // 2 + 1
    text = written(sheet.header, sheet.rows[:half]).decode()
    return sheet._replace(raw=text + written(other.header, other.rows[half:]).decode())


def block_above(rng: random.Random, sheet: Sheet) -> Sheet:
    block = "Name:,Hill Drugs,Address:,1 Main St,Phone:,978-555-0100\r\n\r\n"
    return sheet._replace(raw=block + written(sheet.header, sheet.rows).decode())


def columns_of_somebody_else(rng: random.Random, sheet: Sheet) -> Sheet:
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


def bare_columns_of_somebody_else(rng: random.Random, sheet: Sheet) -> Sheet:
    """Put the pharmacy's own name, address and phone in front, by bare headers."""
    who = rng.choice(["Pharmacy", "Prescriber", "Store"])
    header = [who, "Address", "Phone", *sheet.header]
    rows = [["Hill Drugs", "1 Other Plaza", "978-555-0100", *each] for each in sheet.rows]
    return sheet._replace(header=header, rows=rows)


def column_twice(rng: random.Random, sheet: Sheet) -> Sheet:
    """Repeat a column with the cells of other rows."""
    place = _place(rng, sheet)
    cells = [each[place] for each in sheet.rows]
    moved = [*cells[1:], cells[0]]
    at = rng.choice([0, len(sheet.header)])
    header = [*sheet.header[:at], sheet.header[place], *sheet.header[at:]]
    rows = [[*e[:at], moved[n], *e[at:]] for n, e in enumerate(sheet.rows)]
    return sheet._replace(header=header, rows=rows)


def no_header(rng: random.Random, sheet: Sheet) -> Sheet:
    return sheet._replace(header=list(sheet.rows[0]), rows=sheet.rows[1:])


def row_cut_off(rng: random.Random, sheet: Sheet) -> Sheet:
    number = _row(rng, sheet)
    keep = rng.randrange(1, len(sheet.header))
    truth = [dict(each) for each in sheet.truth]
    for name in sheet.header[keep:]:
        truth[number][name] = ""
    cut = _with_row(sheet, number, list(sheet.rows[number])[:keep])
    return cut._replace(truth=truth)


def cell_blanked(rng: random.Random, sheet: Sheet) -> Sheet:
    number, place = _row(rng, sheet), _place(rng, sheet)
    cells = list(sheet.rows[number])
    cells[place] = rng.choice(["", "N/A", "-"])
    truth = [dict(each) for each in sheet.truth]
    truth[number][sheet.header[place]] = ""
    return _with_row(sheet, number, cells)._replace(truth=truth)


def wrong_kind_of_cell(rng: random.Random, sheet: Sheet) -> Sheet:
    number = _row(rng, sheet)
    same_kind = {"Notes", "Phone", "Delivery Date", "Copay", "Email"}
    places = [at for at, each in enumerate(sheet.header) if each not in same_kind]
    place = rng.choice(places[:4])
    cells = list(sheet.rows[number])
    cells[place] = rng.choice(
        ["978-555-0100", "12/24/2026", "x@example.com", "$4.50", "0", ".", "PICKUP"]
    )
    return _with_row(sheet, number, cells)


def formula_errors(rng: random.Random, sheet: Sheet) -> Sheet:
    number, place = _row(rng, sheet), _place(rng, sheet)
    cells = list(sheet.rows[number])
    cells[place] = rng.choice(["#REF!", "#DIV/0!", "#VALUE!", "#NAME?"])
    truth = [dict(each) for each in sheet.truth]
    if sheet.header[place] == "Phone":
        truth[number]["Phone"] = ""
    return _with_row(sheet, number, cells)._replace(truth=truth)


Damage = Callable[[random.Random, Sheet], Sheet]
HARMLESS: tuple[Damage, ...] = (
    shuffled_columns,
    known_synonyms,
    blank_lines,
    blank_columns,
    another_form,
    shuffled_rows,
    title_above,
    header_again,
)
HARMFUL: tuple[Damage, ...] = (
    unknown_header,
    blank_header,
    header_of_somebody_else,
    dropped_column,
    cell_taken_out,
    cell_put_in,
    cells_moved,
    two_cells_swapped,
    two_headers_swapped,
    columns_merged,
    column_split,
    no_quotation_marks,
    stray_mark,
    two_stray_marks,
    delimiter_in_a_cell,
    rows_glued,
    row_broken,
    second_table,
    block_above,
    columns_of_somebody_else,
    bare_columns_of_somebody_else,
    column_twice,
    no_header,
    row_cut_off,
    cell_blanked,
    wrong_kind_of_cell,
    formula_errors,
)


class Verdict(NamedTuple):
    """What became of one file."""

    rows: int
    imported: int
    refused: bool
    wrong: list[str]


def originals(sheet: Sheet) -> list[dict]:
    """Return the orders that an undamaged file with what is left of the cells makes."""
    names = list(sheet.truth[0])
    found = []
    for cells in sheet.truth:
        order = msgspec.to_builtins(_composed({name: cells[name] for name in names}))
        found.append({**OPTIONAL, **order})
    return found


def _composed(cells: dict[str, str]) -> dict:
    """Make an order of cells, by the rules and without the reader that is judged."""
    get = cells.get
    name = get("Patient Name") or " ".join(
        filter(None, [get("First Name", ""), get("Last Name", "")])
    )
    region = " ".join(filter(None, [get("State", ""), get("Zip", "")]))
    parts = [get("Address", ""), get("Apt", ""), get("City", ""), region]
    order = {"patient_name": name, "patient_address": ", ".join(filter(None, parts))}
    fields = {
        "Phone": "patient_phone",
        "Rx Number": "rx_number",
        "Copay": "copay_amount",
        "Delivery Date": "delivery_date",
        "Notes": "notes",
        "Patient ID": "external_patient_id",
        "Email": "patient_email",
    }
    order.update({field: get(name) for name, field in fields.items() if get(name)})
    if "patient_phone" in order:
        order["patient_phone"] = f"+1{order['patient_phone'].replace('-', '')}"
    return order


def judged(sheet: Sheet) -> tuple[Verdict, Outcome]:
    """Read a file, and hold every order against the originals."""
    outcome = read_file(sheet.file())
    known = originals(sheet)
    wrong = []
    for row, order in outcome.orders.items():
        said = {**OPTIONAL, **msgspec.to_builtins(order)}
        if not any(_is_original(said, each) for each in known):
            wrong.append(f"row {row}: {_difference(said, known)}")
    return Verdict(len(sheet.rows), len(outcome.orders), bool(outcome.refusal), wrong), outcome


def _difference(said: dict, known: list[dict]) -> str:
    """Return the fields that are in no original, by the original that is nearest."""
    wrong = [
        {field: (said[field], each[field]) for field in said if said[field] != each.get(field)}
        for each in known
    ]
    return str(min(wrong, key=len))


def _is_original(said: dict, known: dict) -> bool:
    """Say whether a package is the original; what is optional may be missing."""
    if said["patient_name"] != known["patient_name"]:
        return False
    # "Boston MA" in one column or two: the same place.
    if re.sub(r"\W", "", said["patient_address"]) != re.sub(r"\W", "", known["patient_address"]):
        return False
    # A note is free text: what was put into its column or cut off it stays what the file says.
    notes, original = said["notes"] or "", known["notes"] or ""
    return (notes in original or original in notes) and all(
        said[field] in {known[field], nothing}
        for field, nothing in OPTIONAL.items()
        if field != "notes"
    )


def damaged(seed: int, kinds: Sequence[Damage] = HARMFUL) -> tuple[str, Sheet]:
    """Make the damaged file of a seed; sometimes a harmless change comes first."""
    rng = random.Random(seed)
    sheet = known_file(rng)
    if rng.random() < 0.3:
        sheet = rng.choice((shuffled_columns, shuffled_rows))(rng, sheet)
    kind = kinds[seed % len(kinds)]
    return kind.__name__, kind(rng, sheet)


def main() -> int:
    """Read many files and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--harmless", action="store_true")
    parser.add_argument("--show", type=int, default=5)
    options = parser.parse_args()
    kinds = HARMLESS if options.harmless else HARMFUL
    files, rows, imported, refused, wrong = (Counter() for _ in range(5))
    shown = 0
    for number in range(options.files):
        name, sheet = damaged(options.seed * 1_000_003 + number, kinds)
        verdict, outcome = judged(sheet)
        files[name] += 1
        rows[name] += verdict.rows
        imported[name] += verdict.imported
        refused[name] += verdict.refused
        wrong[name] += len(verdict.wrong)
        is_bad = verdict.wrong or (options.harmless and verdict.imported < verdict.rows - 5)
        if is_bad and shown < options.show:
            shown += 1
            lines = sheet.file().decode("utf-8", "replace").splitlines()
            print(f"--- {name} {options.seed * 1_000_003 + number}", *lines[:3], sep="\n")
            print(verdict.wrong[:2], outcome.refusal, outcome.errors)
    print("| damage | files | refused | rows imported | wrong packages |")
    print("|---|---|---|---|---|")
    for name in (each.__name__ for each in kinds):
        if files[name]:
            share = imported[name] / max(rows[name], 1)
            print(
                f"| {name.replace('_', ' ')} | {files[name]:,} | {refused[name] / files[name]:.0%} "
                f"| {share:.0%} | {wrong[name]} |"
            )
    print(f"{sum(files.values())} files, {sum(wrong.values())} wrong packages")
    return int(bool(sum(wrong.values())))


if __name__ == "__main__":
    sys.exit(main())
