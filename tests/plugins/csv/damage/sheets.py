"""Tables of many layouts whose rows are all good orders, made by seed. All people are invented."""

import csv
import io
import random
from collections.abc import Sequence
from typing import NamedTuple

_FIRST = "Ana Bo Cy Di Eve Finn Gus Hana Ivy Jon Kay Leo Mia Noa Oda Pia Rui Sol Tia Uma"
_LAST = "Reed Fox Olm Ash Lee Roy Kim Silva Chen Moss Pike Rand Stone Vega Wynn York Zola"
_MORE_LAST = "O'Neil,de la Cruz,Smith-Jones,van Dyke,St. James,Côté,Núñez,Mc Adam,Day Jr."
_STREETS = "Elm St,Oak Rd,Pine Ave,Main St,Lake Dr,Hill Ln,Church St,Maple Way,Park Blvd,N 5th St"
_CITIES = "Boston Salem Quincy Lowell Newton Dedham Milton Beverly Woburn Medford"
_CA_CITIES = "Ottawa,Kingston,North Bay,Sault Ste. Marie,Barrie,Guelph,Thunder Bay"
_NOTES = (
    "ring twice,leave with neighbor,dog in yard,call first,blue door,,back entrance,use side gate,"
    "Leave at front desk,buzz 12,CALL BEFORE DELIVERY,no stairs please"
)
_DRUGS = "Amoxicillin 500 mg,Metformin 850 mg,Ramipril 5 mg,Insulin glargine,Salbutamol 100 mcg"
_DOCTORS = "Dr. Alma Lind,Dr. Per Holt,Iris Quist MD"
FIRST, LAST, CITIES = _FIRST.split(" "), _LAST.split(" "), _CITIES.split(" ")
MORE_LAST, CA_CITIES = _MORE_LAST.split(","), _CA_CITIES.split(",")
STREETS, NOTES, DRUGS = _STREETS.split(","), _NOTES.split(","), _DRUGS.split(",")
DOCTORS = _DOCTORS.split(",")

SYNONYMS = {
    "Patient Name": ["patient_name", "Recipient", "Customer Name", "Pt Name", "PATIENT", "Name"],
    "First Name": ["first_name", "FirstName", "Given Name", "Patient First Name", "FNAME"],
    "Last Name": ["last_name", "Surname", "Patient Last Name", "LastName", "Family name"],
    "Last, First": ["Name (Last, First)", "Patient Name (Last, First)", "Last, First"],
    "Address": ["patient_address", "Street Address", "Delivery Address", "Addr1", "Address 1"],
    "Apt": ["Address 2", "Unit Number", "Suite", "address_line_2", "Apt #"],
    "City": ["city", "Town", "Delivery City", "Patient City", "CITY"],
    "State": ["state", "Province", "ST/Prov", "Patient State", "Prov"],
    "Zip": ["zip code", "Postal Code", "ZIP", "Delivery Zip", "Patient Zip"],
    "City State Zip": ["City/State/Zip", "City, State, Zip", "City St Zip"],
    "Phone": ["patient_phone", "Phone No.", "Tel", "Cell", "Patient Phone", "Mobile Phone"],
    "Rx Number": ["rx_number", "Rx #", "Rx Num", "Script No", "Prescription Number"],
    "Copay": ["copay_amount", "Co-pay", "Amount due", "Patient Pay", "Owing"],
    "Delivery Date": ["delivery_date", "Deliver on", "Requested delivery date"],
    "Notes": ["notes", "Comments", "Delivery Instructions", "Remarks"],
    "Patient ID": ["external_patient_id", "MRN", "Patient No."],
    "Order ID": ["external_order_id", "Order #", "Order Number", "ORDER_ID"],
    "Email": ["patient_email", "E-mail", "Patient Email"],
    "Priority": ["priority", "Urgency", "PRIORITY"],
    "Signature": ["requires_signature", "Signature Required", "Sig Req"],
}
"""The columns that a package is made of, each with other names for it."""

OTHERS = {
    "Drug Name": ["Drug", "Item Name", "Medication"],
    "Qty": ["Quantity", "QTY"],
    "Days Supply": ["DS", "Days"],
    "DOB": ["Date of Birth", "Birth Date"],
    "Fill Date": ["Filled", "Date Filled"],
    "Prescriber Name": ["Doctor Name", "Prescriber", "Doctor"],
    "Prescriber Phone": ["Doctor Phone", "Dr Phone", "Prescriber Phone Number"],
    "Fax": ["Fax Number", "Fax No"],
    "Billing Name": ["Bill To Name", "Bill-to Name"],
    "Billing Address": ["Bill To Address", "Bill-to Street"],
}
"""Columns of which nothing may come into a package."""


NAMES = ("Patient Name", "First Name", "Last, First")


class Form(NamedTuple):
    """How a table is written."""

    delimiter: str = ","
    encoding: str = "utf-8"
    end: str = "\r\n"
    quotes_all: bool = False


class Sheet(NamedTuple):
    """A table on its way to be damaged. ``truth`` is what is left of the originals' cells.

    ``country`` is the site's. ``lost`` is a column whose header says no longer what it is:
    a package without it is right too, where the report names the column. ``cut`` is the last row
    with what is left of its last cell, which is right where the report warns of it.
    """

    header: list[str]
    rows: list[list[str]]
    truth: list[dict[str, str]]
    form: Form = Form()
    raw: str | bytes | None = None
    country: str = "US"
    lost: str = ""
    cut: dict[str, str] | None = None

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
    is_canadian = rng.random() < 0.25
    names = rng.choice(
        [["Patient Name"], ["Patient Name"], ["First Name", "Last Name"], ["Last, First"]]
    )
    address = rng.choice(
        [
            ["Address"],
            ["Address", "Apt", "City", "State", "Zip"],
            ["Address", "Apt", "City", "State", "Zip"],
            ["Address", "City", "Zip"],
            ["Address", "City State Zip"],
            ["Address", "Apt", "City"],
        ]
    )
    more = ["Phone", "Rx Number", "Copay", "Delivery Date", "Notes", "Patient ID", "Email"]
    columns = [*names, *address, *(each for each in more if rng.random() < 0.7)]
    columns += [each for each in ("Order ID", "Priority", "Signature") if rng.random() < 0.2]
    if rng.random() < 0.3:
        for each in rng.sample(sorted(OTHERS), rng.randint(1, 6)):
            columns.insert(rng.choice([0, len(columns), len(columns)]), each)
    last_names = [*LAST, *MORE_LAST] if rng.random() < 0.4 else LAST
    people = rng.sample([(one, two) for one in FIRST for two in last_names], count)
    habits = _Habits(rng, "Zip" not in address and "City State Zip" not in address, is_canadian)
    truth = []
    for number, person in enumerate(people):
        cells = _cells(rng, habits, number, person, len(address) > 1)
        truth.append({name: cells[name] for name in columns})
    country = "CA" if is_canadian else "US"
    return Sheet(columns, [list(each.values()) for each in truth], truth, country=country)


class _Habits:
    """How one program writes ids: by seed, and the same in all rows of its file."""

    def __init__(self, rng: random.Random, has_no_zip: bool, is_canadian: bool) -> None:
        self.has_no_zip = has_no_zip
        self.is_canadian = is_canadian
        self.rx = rng.choice(["7{:06}", "RX-{:07}", "{:08}", "C5{:05}"])
        self.patient = rng.choice(["P-{}", "PT{}", "{}", "MRN{}"])
        self.order = rng.choice(["SO-{}", "#{}", "ORD{}"])
        self.capitals = rng.random() < 0.15


def _cells(
    rng: random.Random, habits: _Habits, number: int, person: tuple[str, str], is_split: bool
) -> dict[str, str]:
    first, last = (each.upper() for each in person) if habits.capitals else person
    street = f"{rng.randint(2, 980)} {rng.choice(STREETS)}"
    if habits.is_canadian:
        city, state = rng.choice(CA_CITIES), "ON"
        zip_code = (
            f"K{rng.randint(1, 9)}{rng.choice('ABCEGH')} {rng.randint(1, 9)}L{rng.randint(1, 9)}"
        )
    else:
        city, state, zip_code = rng.choice(CITIES), "MA", f"0{rng.randint(1800, 2790)}"
    unit = f"Apt {rng.randint(1, 40)}" if rng.random() < 0.5 else ""
    whole = ", ".join(filter(None, [street, unit, city, f"{state} {zip_code}"]))
    area = "613" if habits.is_canadian else "617"
    mail = "".join(each for each in f"{first}.{last}" if each.isascii() and each not in " '")
    return {
        "First Name": first,
        "Last Name": last,
        "Patient Name": f"{first} {last}",
        "Last, First": f"{last}, {first}",
        "Address": street if is_split else whole,
        "Apt": unit,
        "City": city,
        "State": state,
        "Zip": zip_code,
        "City State Zip": f"{city}, {state} {zip_code}",
        "Phone": f"{area}-{rng.randint(212, 899)}-{rng.randint(1000, 9999)}",
        "Rx Number": habits.rx.format(number * 13 + rng.randint(1, 12)),
        "Copay": f"{rng.randint(0, 40)}.{rng.randint(10, 99)}",
        "Delivery Date": f"2026-12-{rng.randint(1, 28):02}",
        "Notes": rng.choice(NOTES),
        "Patient ID": habits.patient.format(1000 + number),
        "Order ID": habits.order.format(5000 + number),
        "Email": f"{mail}@example.com".lower(),
        "Priority": rng.choice(["routine", "urgent", "stat"]),
        "Signature": rng.choice(["yes", "no"]),
        "Drug Name": rng.choice(DRUGS),
        "Qty": str(rng.choice([10, 30, 60, 90])),
        "Days Supply": str(rng.choice([10, 30, 90])),
        "DOB": f"19{rng.randint(30, 99)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
        "Fill Date": f"2026-11-{rng.randint(1, 28):02}",
        "Prescriber Name": rng.choice(DOCTORS),
        "Prescriber Phone": f"978-555-01{rng.randint(10, 12)}",
        "Fax": f"{area}-{rng.randint(212, 899)}-{rng.randint(1000, 9999)}",
        "Billing Name": "Cora Payer",
        "Billing Address": "1 Payer Plaza",
    }
