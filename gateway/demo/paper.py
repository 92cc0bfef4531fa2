"""Papers of the demo, drawn: the fax page that a prescription was read from."""

import importlib.util
import io
from collections.abc import Mapping
from typing import Any, Final

_PAGE: Final = (850, 1100)
_INK: Final = 40
_LINE: Final = 46
_LEFT: Final = 70


def can_draw() -> bool:
    """Return whether the extra that keeps images is installed."""
    return importlib.util.find_spec("PIL") is not None


def fax_page(sent: Mapping[str, Any]) -> bytes:
    """Return a prescription as a fax would show it: a PNG of one page."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("L", _PAGE, 250)
    pen = ImageDraw.Draw(page)
    large, plain, small = (ImageFont.load_default(size) for size in (34, 26, 18))
    patient, drug, doctor = sent["patient"], sent["medication"], sent["prescriber"]
    pen.text((_LEFT, 40), f"FROM 416 555 0177   {sent['external_id']}   P.01", _INK, small)
    pen.text((_LEFT, 110), "Harbour Family Practice", _INK, large)
    pen.text((_LEFT, 158), "12 Dundas St W, Toronto   Tel 416 555 0176", _INK, small)
    pen.line((_LEFT, 200, _PAGE[0] - _LEFT, 200), _INK, 2)
    amount = " ".join(str(drug.get(each, "")) for each in ("quantity", "quantity_unit"))
    lines = (
        f"Patient   {patient['first_name']} {patient['last_name']}",
        f"Born      {patient['dob']}",
        f"Date      {drug['written_date']}",
        "",
        f"Rx   {drug['drug_text']}",
        f"     {drug['sig']}",
        f"     Qty {amount.strip() or '____'}   {drug['days_supply']} days",
        f"     Refills {drug['refills']}",
    )
    for number, line in enumerate(lines):
        pen.text((_LEFT, 250 + number * _LINE), line, _INK, plain)
    pen.line((_LEFT, 820, 430, 820), _INK, 2)
    pen.text((_LEFT, 832), f"{doctor['name']}, CPSO {doctor['licence_number']}", _INK, small)
    pen.arc((110, 740, 190, 815), 180, 40, _INK, 3)
    pen.arc((170, 760, 290, 825), 200, 20, _INK, 3)
    for row in range(0, _PAGE[1], 37):  # what the line adds
        pen.line((0, row, _PAGE[0], row), 236, 1)
    kept = io.BytesIO()
    page.save(kept, "PNG", optimize=True)
    return kept.getvalue()
