"""Files as they turn up: other delimiters and encodings, titles, totals, rags, spreadsheets."""

import datetime as dt
import itertools
import json
import re
import zipfile
from io import BytesIO
from pathlib import Path

import openpyxl
import pytest
from gateway_csv.read import sheet_reader
from plugins.csv.files import PLUGINS, SEED, Sender, saved, workbook

AT_NOON = dt.datetime(2026, 4, 21, 12)  # noqa: DTZ001 - a sheet knows no zones
HEADER = "patient_name,patient_address"
DATA = Path(__file__).parent / "data"
ROWS = [("patient_name", "patient_address"), ("José Núñez", "12 Rue Saint-Étienne, Montréal")]
MANIFEST = (
    '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
)
ODS_CONTENT = """<?xml version="1.0" encoding="UTF-8"?>
<office:document-content
  xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
  xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
  xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" office:version="1.3">
<office:body><office:spreadsheet><table:table table:name="Orders">{rows}</table:table>
</office:spreadsheet></office:body></office:document-content>"""


def ods(rows: str) -> bytes:
    """Return an .ods whose one table has these rows, as XML."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", MANIFEST)
        archive.writestr("content.xml", ODS_CONTENT.format(rows=rows))
    return file.getvalue()


def ods_row(*texts: str, more: str = "") -> str:
    cells = "".join(
        f'<table:table-cell office:value-type="string"><text:p>{each}</text:p></table:table-cell>'
        for each in texts
    )
    return f"<table:table-row {more}>{cells}</table:table-row>"


async def names(sender):
    return [(each["patient_name"], each["patient_address"]) for each in await sender.packages()]


async def test_every_delimiter_and_line_end_is_read(sender):
    """One gateway for all: a name of its own for each file tells them apart."""
    for delimiter, end in itertools.product(",;\t|", ("\n", "\r\n", "\r")):
        letters = "abcd"[",;\t|".index(delimiter)], "xyz"[["\n", "\r\n", "\r"].index(end)]
        name = f"Ana {' '.join(letters)}"
        lines = [ROWS[0], (name, f'"1 Elm{delimiter} Unit 2"'), (f"{name} too", "2 Elm")]

        report = await sender.send(end.join(delimiter.join(each) for each in lines))

        assert report["created"] == 2, (delimiter, end)
        first, second = (await names(sender))[-2:]
        assert first == (name, f"1 Elm{delimiter} Unit 2")
        assert second == (f"{name} too", "2 Elm")


async def test_every_common_encoding_is_read_and_a_guess_is_told(sender):
    marked = ("utf-8-sig", "utf-16", "utf-32")
    for codec in ("utf-8", *marked, "utf-16-le", "utf-16-be", "cp1252", "mac_roman"):
        letters = "".join(each for each in codec if each.isalpha())
        row = (f"José Núñez {letters}", f"12 Rue {codec}-Étienne, Montréal")
        text = "\r\n".join(f'{a},"{b}"' for a, b in (ROWS[0], row))

        report = await sender.send(text.encode(codec))

        assert (await names(sender))[-1] == row
        told = [each["message"].split(":")[0] for each in report["warnings"]]
        guessed = codec in {"cp1252", "mac_roman"}
        assert told == ([f"the text was read as {codec}"] if guessed else [])


async def test_a_french_file_from_a_windows_computer_is_read_as_it_is(sender):
    text = (
        "Nom du patient;Adresse;Ville;Code postal;Téléphone;Date de livraison;Remarques;Nom\r\n"
        "Hélène Côté;12 rue Élan;Montréal;H2X 1Y4;514-555-1234;25/04/2026;Sonner;?\r\n"
    )

    report = await sender.send(text.encode("cp1252"))

    [package] = await sender.packages()
    assert report["created"] == 1
    assert package["patient_name"] == "Hélène Côté"
    assert package["patient_address"] == "12 rue Élan, Montréal, H2X 1Y4"
    assert package["delivery_date"] == "2026-04-25"
    assert package["notes"] == "Sonner"
    assert report["ignored_columns"] == ["Nom"]


async def test_what_two_encodings_read_alike_is_said_to_be_in_the_one_people_know(sender):
    text = (
        "Patient;Adresse;Téléphone;Copay;Deliver on\r\n"
        "Renée Côté;12 rue Élan, Montréal, QC H2X 1Y4;514-555-1234;12,50;25/04/2026\r\n"
        "Zoë Müller;9 Main St, Toronto, ON M5V 2T6;4165559876;;26/04/2026\r\n"
    )

    report = await sender.send(text.encode("cp1252"))

    told = [each["message"].split(":")[0] for each in report["warnings"]]
    assert "the text was read as cp1252" in told


RUSSIAN = f"{HEADER}\nИванов Иван Иванович,Москва ул Ленина 5\nПетров Пётр,Тула 7\n"  # noqa: RUF001


async def test_cyrillic_and_japanese_are_read_as_well(sender):
    japanese = f"{HEADER}\n山田太郎,東京都千代田区1-1\n鈴木花子,大阪市北区2-3\n"

    await sender.send(RUSSIAN.encode("cp1251"))
    await sender.send(japanese.encode("shift_jis"))

    assert [each[0] for each in await names(sender)] == [
        "Иванов Иван Иванович",
        "Петров Пётр",
        "山田太郎",
        "鈴木花子",
    ]


async def test_excels_line_that_names_the_delimiter_is_followed_and_counted(sender):
    report = await sender.send("sep=;\npatient_name;patient_address\nAna, B;1 Elm\n;2 Elm\n")

    assert await names(sender) == [("Ana, B", "1 Elm")]
    assert [each["row"] for each in report["errors"]] == [4]


async def test_titles_above_blank_lines_and_totals_are_no_orders(sender):
    report = await sender.send(
        "Lakeside Pharmacy,,\nDelivery report,page 1,\n,,\n"
        f"{HEADER},copay\nAna,1 Elm,5\n,,\n{HEADER},copay\nBo,2 Elm,7.50\n,,\nTotal,,12.50\n"
    )

    assert (report["created"], report["rows"]) == (2, 2)
    assert report["errors"] == []
    assert report["warnings"][1:] == [
        {"row": 10, "message": "the row looks like a total, not like an order; it was left out"}
    ]


async def test_a_patient_called_total_is_no_total(sender):
    assert (await sender.send(f"{HEADER}\nTotal,1 Elm\n"))["created"] == 1


async def test_a_row_that_is_shorter_than_the_header_lacks_nothing_but_those_cells(sender):
    report = await sender.send(f"{HEADER},notes,rx_number\nAna,1 Elm\n")

    assert (report["created"], report["errors"]) == (1, [])


async def test_a_row_that_is_longer_than_the_header_is_rejected_because_its_cells_moved(sender):
    report = await sender.send(
        f"{HEADER},notes\nAna,123 Main St, Miami, FL\nBo,2 Elm,x,,\nCy,3 Elm,\n"
    )

    assert report["created"] == 1
    assert report["errors"] == [
        {
            "row": 2,
            "message": "the row has 1 filled cells more than the header has columns",
            "expected": "3 cells",
            "fix": "put quotation marks around a cell that has the delimiter in it",
        },
        {
            "row": 3,
            "message": "the row has more cells than the header and the other rows",
            "expected": "3 cells",
            "fix": "put quotation marks around a cell that has the delimiter in it",
        },
    ]


async def test_a_delimiter_at_the_end_of_every_row_does_no_harm(sender):
    report = await sender.send(f"{HEADER},notes\nAna,1 Elm,x,\nBo,2 Elm,y,\n")

    assert report["created"] == 2


async def test_the_first_phone_that_is_there_counts_and_notes_are_joined(sender):
    await sender.send(
        f"{HEADER},Home Phone,Cell,Notes,Delivery instructions\n"
        "Ana,1 Elm,,(305) 555-1234,Ring twice,Dog\n"
    )

    [package] = await sender.packages()
    assert (package["patient_phone"], package["notes"]) == ("+13055551234", "Ring twice; Dog")


async def test_names_and_addresses_are_put_together_from_their_columns(sender):
    await sender.send(
        "First Name,MI,Last Name,Addr1,Apt,City,State,Zip\n"
        "Maria,J.,Rodriguez,123 Main St,Apt 4,Boston,MA,2139\n"
        'Alex,,Kim,"450 Collins Ave, Miami Beach, FL 33139",,Miami Beach,FL,33139\n'
    )

    assert await names(sender) == [
        ("Maria J. Rodriguez", "123 Main St, Apt 4, Boston, MA 02139"),
        ("Alex Kim", "450 Collins Ave, Miami Beach, FL 33139"),
    ]


async def test_a_name_that_stands_last_first_is_turned_round(sender):
    await sender.send('"Last, First",Address\n"Rodriguez, Maria",1 Elm\nCher,2 Elm\n')

    assert [each[0] for each in await names(sender)] == ["Maria Rodriguez", "Cher"]


async def test_empty_cells_are_null_in_all_the_usual_spellings(sender):
    fields = "notes,rx_number,copay_amount,patient_phone,delivery_date,patient_email"
    file = f"{HEADER},{fields}\nAna,1 Elm,N/A,-,NULL,n/a,#N/A,none\n"

    report = await sender.send(file)

    [package] = await sender.packages()
    assert report["warnings"] == report["errors"] == []
    assert [package[each] for each in fields.split(",")] == [None] * 6


async def test_nul_bytes_and_a_leading_apostrophe_are_taken_off(sender):
    await sender.send(f"{HEADER},phone\nA\0na,1 Elm,'+13055551234\n")

    [package] = await sender.packages()
    assert (package["patient_name"], package["patient_phone"]) == ("Ana", "+13055551234")


async def test_a_quotation_mark_that_is_never_closed_imports_nothing(sender):
    answer = await sender.post(f'{HEADER},notes\nAna,1 Elm,x\nBo,2 Elm,"ring\nCy,3 Elm,\n')

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("A quotation mark that opens in row 3 is never closed")
    assert await sender.packages() == []


@pytest.mark.parametrize(
    ("toml", "file", "status", "error"),
    [
        ("max_rows = 2", f"{HEADER}\na,b\nc,d\ne,f\n", 413, "The file has more than 2 rows"),
        ("max_columns = 2", f"{HEADER},notes\na,b,c\n", 400, "Row 1 has more than 2 columns"),
        (
            "max_cell_characters = 100",
            f"{HEADER}\na,{'b' * 101}\n",
            400,
            "A cell has more than 100 characters (row 2, column B).",
        ),
        ("", f'{HEADER}\na,"{"b" * 140_000}"\n', 400, "The file can't be read past row"),
        ("", f"{HEADER}\na,b{',' * 2_000_000}\n", 400, "A line of the file has more than"),
    ],
)
async def test_a_table_past_a_limit_imports_nothing_and_says_which(
    harness, toml, file, status, error
):
    async with harness(
        f"{PLUGINS.replace('[plugins.csv]', f'[plugins.csv]{chr(10)}{toml}')}"
    ) as it:
        sender = Sender(it, await it.issue_key())
        answer = await sender.post(file)
        kept = await sender.packages()

    assert (answer.status_code, kept) == (status, [])
    assert answer.json()["error"].startswith(error)


async def test_blank_columns_beyond_the_limit_do_no_harm(harness):
    async with harness("[plugins.csv]\nmax_columns = 2\n") as gateway:
        sender = Sender(gateway, await gateway.issue_key())
        assert (await sender.send(f"{HEADER},,,\nAna,1 Elm,,,\n"))["created"] == 1


NO_TABLES = [
    (b"", "The file is empty"),
    (b"\r\n \r\n", "The file is empty"),
    (b"%PDF-1.7 ...", "The file is a PDF"),
    (b"\x89PNG\r\n", "The file is a picture"),
    (b"\x1f\x8b\x08...", "The file is a compressed file"),
    (b"<html><table><tr><td>patient_name", "The file is a web page"),
    (b"PK\x03\x04 and no more", "The spreadsheet is damaged"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and no more", "The spreadsheet can't be opened"),
    (b"\xff\xfep\x00\x00", "The file's text can't be read"),
    (bytes(range(256)) * 20, "The file's text can't be read"),
    (b"nothing that is a table", "No header was found"),
]


async def test_what_is_no_table_is_refused_with_a_way_out(sender):
    for file, error in NO_TABLES:
        answer = await sender.post(file)

        assert answer.status_code == 400, file
        assert answer.json()["error"].startswith(error)


async def test_a_workbook_is_read_with_its_numbers_dates_and_booleans(sender):
    report = await sender.send(
        workbook(
            ["Deliveries"],
            [],
            ["Patient Name", "Address", "Phone", "Rx #", "Copay", "Deliver on", "Signature"],
            ["Ana", "1 Elm", 13055551234.0, 8872341, 12.5, dt.date(2026, 4, 20), True],
            ["Bo", "2 Elm", "305-555-9876", "0042", 0, AT_NOON, False],
            ["Cy", "3 Elm", 1.3e17, "7", 0.125, "?", None],
            [None, "4 Elm"],
        )
    )

    first, second = await sender.packages()
    assert [first[each] for each in ("patient_phone", "rx_number", "copay_amount")] == [
        "+13055551234",
        "8872341",
        12.5,
    ]
    assert (first["delivery_date"], first["requires_signature"]) == ("2026-04-20", True)
    assert [second[each] for each in ("patient_phone", "rx_number", "delivery_date")] == [
        "+13055559876",
        "0042",
        "2026-04-21",
    ]
    assert [(each["row"], each["field"], each.get("found")) for each in report["errors"]] == [
        (6, "delivery_date", "?"),
        (6, "copay_amount", "9.999"),
        (7, "patient_name", None),
    ]
    assert (6, "the telephone number was left out") in [
        (each.get("row"), each["message"]) for each in report["warnings"]
    ]


async def test_a_table_that_starts_further_in_is_found_and_its_rows_keep_their_numbers(sender):
    book = openpyxl.Workbook()
    sheet = book.active
    for place, value in {"C4": "patient_name", "D4": "patient_address", "C6": "Ana"}.items():
        sheet[place] = value

    report = await sender.send(saved(book))

    assert [(each["row"], each["field"]) for each in report["errors"]] == [(6, "patient_address")]


async def test_of_several_sheets_the_first_that_is_seen_and_filled_is_read(sender):
    book = openpyxl.Workbook()
    book.active.title = "Empty"
    hidden = book.create_sheet("Hidden")
    hidden.append(["patient_name", "patient_address"])
    hidden.sheet_state = "hidden"
    for name in ("Ana", "Bo"):
        sheet = book.create_sheet(name)
        sheet.append(["patient_name", "patient_address"])
        sheet.append([name, "1 Elm"])

    report = await sender.send(saved(book))

    assert await names(sender) == [("Ana", "1 Elm")]
    assert [each["message"] for each in report["warnings"]] == [
        'only the first sheet that has anything on it was read; not read: "Bo"'
    ]


async def test_an_xls_and_an_ods_are_read(sender):
    await sender.send((DATA / "orders.xls").read_bytes())
    rows = [*ROWS, ("Ana", "1 Elm")]
    blank = "number-rows-repeated"
    far = f'<table:table-row table:{blank}="1048000"><table:table-cell/></table:table-row>'
    await sender.send(ods("".join(ods_row(*each) for each in rows) + far))

    assert await names(sender) == [("Maria Rodriguez", "123 Main St"), *rows[1:]]


def bomb() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr("xl/worksheets/sheet1.xml", b"\0" * 300_000_000)
    return file.getvalue()


@pytest.mark.slow
async def test_a_zip_bomb_is_refused_before_it_is_opened(sender):
    file = bomb()

    answer = await sender.post(file)

    assert len(file) < 400_000
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("The spreadsheet unpacks to more than 256 MB")


async def test_a_member_that_lies_about_its_size_is_found_out(sender):
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"\0" * 10_000_000)
    lying = file.getvalue().replace((10_000_000).to_bytes(4, "little"), b"\x10\0\0\0")

    answer = await sender.post(lying)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("The spreadsheet is damaged")


async def test_a_cell_far_out_does_not_make_a_sheet_as_large_as_a_bomb(sender):
    book = openpyxl.Workbook()
    book.active["A1"] = "patient_name"
    book.active["XFD1048576"] = "far out"

    answer = await sender.post(saved(book))

    assert answer.status_code == 413
    assert answer.json()["error"].startswith("The sheet reaches too far out")


async def test_one_cell_a_million_rows_down_and_some_columns_out_is_refused_at_once(sender):
    book = openpyxl.Workbook()
    for place, value in {"A1": "patient_name", "B1": "patient_address", "S1048576": "x"}.items():
        book.active[place] = value

    answer = await sender.post(saved(book))

    assert answer.status_code == 413
    assert "more than 5 million" in answer.json()["error"]


async def test_cells_that_do_not_say_where_they_are_can_not_reach_far_out_either(sender):
    """Places in a sheet may be left out; a reader counts, and so the archive says nothing."""
    content = BytesIO(workbook([*HEADER.split(","), *"cdefgh"], ["Ana", "1 Elm", *"cdefgh"]))
    file = BytesIO()
    with zipfile.ZipFile(content) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for each in old.namelist():
            text = old.read(each)
            if each.startswith("xl/worksheets/"):
                text = re.sub(rb'<c r="[A-Z]+[0-9]+"', b"<c", text)
                text = text.replace(b'<row r="2"', b'<row r="1048576"')
            new.writestr(each, text)

    answer = await sender.post(file.getvalue())

    assert answer.status_code == 413
    assert answer.json()["error"].startswith("The sheet reaches too far out")


def test_blank_rows_are_left_out_where_they_are_read_and_the_others_keep_their_numbers():
    book = openpyxl.Workbook()
    for place, value in {"B3": "patient_name", "B900000": "Ana"}.items():
        book.active[place] = value

    assert read_by_the_reader(saved(book)) == [
        {"read": "Sheet", "visible": ["Sheet"], "others": []},
        [3, [None, "patient_name"], False],
        [900_000, [None, "Ana"], False],
    ]


async def test_an_ods_that_repeats_itself_into_a_bomb_ends_its_own_process_only(sender):
    cell = (
        '<table:table-cell table:number-columns-repeated="16384" office:value-type="string">'
        "<text:p>x</text:p></table:table-cell>"
    )
    row = f'<table:table-row table:number-rows-repeated="1048576">{cell}</table:table-row>'

    answer = await sender.post(ods(row))

    assert answer.status_code in {400, 413}
    assert (await sender.send(SEED))["created"] == 2


async def test_a_million_blank_cells_do_no_harm(sender):
    assert (await sender.send(f"{HEADER}\nAna,1 Elm{',' * 1_000_000}\n"))["created"] == 1


async def test_names_that_may_mean_something_else_are_left_alone(sender):
    ambiguous = ["Order", "Unit", "Instructions", "St", "Due", "Ref", "Ship to", "Delivery State"]
    report = await sender.send(f"{HEADER},{','.join(ambiguous)}\nAna,1 Elm{',1' * 8}\n")

    assert report["ignored_columns"] == ambiguous
    [package] = await sender.packages()
    assert package["patient_address"] == "1 Elm"
    assert package["external_order_id"] is None


async def test_a_zip_of_something_else_and_one_with_a_password_are_refused(sender):
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("orders.csv", SEED)
    locked = bytearray(workbook(["patient_name"]))
    at = locked.index(b"PK\x01\x02")
    locked[at + 8] |= 1  # the flag that says: encrypted

    other = await sender.post(file.getvalue())
    password = await sender.post(bytes(locked))

    assert other.json()["error"].startswith("The file is a zip archive without a spreadsheet")
    assert password.json()["error"].startswith("The spreadsheet is protected by a password")


async def test_told_columns_find_a_header_that_no_synonym_knows(sender):
    told = json.dumps({"Nom du client": "patient_name", "Rue": "patient_address"})

    report = await sender.send("Nom du client;Rue\nAna;1 Elm\n", columns=told)

    assert report["created"] == 1


def test_a_file_that_is_no_spreadsheet_is_refused_by_the_reader_as_damaged():
    with pytest.raises(Refused) as refused:
        read_by_the_reader(b"nonsense")

    assert str(refused.value) == "damaged"


class Refused(Exception):
    """What a reader's ``refuse`` raises here."""


def read_by_the_reader(file):
    def refuse(code):
        raise Refused(code)

    return list(sheet_reader.read(file, refuse, "5000000"))
