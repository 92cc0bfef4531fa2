"""Changes after which every row must still come in."""

import random

from plugins.csv.damage.sheets import OTHERS, SYNONYMS, Form, Sheet, written


def shuffled_columns(rng: random.Random, sheet: Sheet) -> Sheet:
    # A bare Phone right behind Prescriber Name is in doubt, and rightly so.
    places = [at for at, name in enumerate(sheet.header) if name not in OTHERS]
    order = rng.sample(places, len(places))
    order += [at for at, name in enumerate(sheet.header) if name in OTHERS]
    rows = [[row[place] for place in order] for row in sheet.rows]
    return sheet._replace(header=[sheet.header[place] for place in order], rows=rows)


def known_synonyms(rng: random.Random, sheet: Sheet) -> Sheet:
    return sheet._replace(
        header=[rng.choice({**SYNONYMS, **OTHERS}[each]) for each in sheet.header]
    )


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


def totals_between(rng: random.Random, sheet: Sheet) -> Sheet:
    rows = list(sheet.rows)
    word = rng.choice(["Total", "Subtotal", "TOTAL:", "Count: 3", "Grand total"])
    for _ in range(rng.randint(1, 2)):
        rows.insert(rng.randint(1, len(rows)), [word, *[""] * (len(sheet.header) - 2), "99.50"])
    return sheet._replace(rows=rows)


def units_below_the_header(rng: random.Random, sheet: Sheet) -> Sheet:
    units = {"Copay": "($)", "Delivery Date": "(yyyy-mm-dd)", "Phone": "(10 digits)"}
    if not units.keys() & set(sheet.header):
        return sheet
    return sheet._replace(rows=[[units.get(each, "") for each in sheet.header], *sheet.rows])


def decimal_commas(_rng: random.Random, sheet: Sheet) -> Sheet:
    if "Copay" not in sheet.header:
        return sheet
    at = sheet.header.index("Copay")
    rows = [[*r[:at], r[at].replace(".", ","), *r[at + 1 :]] for r in sheet.rows]
    return sheet._replace(rows=rows, form=Form(";"))


def dates_in_words(rng: random.Random, sheet: Sheet) -> Sheet:
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    form = rng.choice(["{d} {name} {y}", "{name} {d}, {y}", "{y}/{m}/{d}", "{d}-{name}-{y}"])
    if "Delivery Date" not in sheet.header:
        return sheet
    at = sheet.header.index("Delivery Date")
    rows = []
    for row in sheet.rows:
        year, month, day = row[at].split("-")
        said = form.format(y=year, m=month, d=day, name=months[int(month) - 1])
        rows.append([*row[:at], said, *row[at + 1 :]])
    return sheet._replace(rows=rows)


def spaces_and_capitals_in_headers(rng: random.Random, sheet: Sheet) -> Sheet:
    def changed(name: str) -> str:
        return rng.choice([name.upper(), name.lower(), f" {name} ", f"{name}:", f"{name} *"])

    return sheet._replace(header=[changed(each) for each in sheet.header])


def a_number_in_front(_rng: random.Random, sheet: Sheet) -> Sheet:
    """Number the rows, as reports do."""
    rows = [[str(number), *each] for number, each in enumerate(sheet.rows, 1)]
    return sheet._replace(header=["No.", *sheet.header], rows=rows)


HARMLESS = (
    shuffled_columns,
    known_synonyms,
    blank_lines,
    blank_columns,
    another_form,
    shuffled_rows,
    title_above,
    header_again,
    totals_between,
    units_below_the_header,
    decimal_commas,
    dates_in_words,
    spaces_and_capitals_in_headers,
    a_number_in_front,
)
