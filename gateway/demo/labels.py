"""Labels of the demo: a draft for a person, if the extra that reads labels is installed."""

import importlib.util
import io
from typing import Final

from gateway.demo.calls import Program

_SIZE: Final = (1160, 640)
_INK: Final = 25
_LEFT: Final = 60
_LINES: Final = (
    (40, 30, "LAKESIDE PHARMACY   416-555-0100"),
    (40, 82, "210 LAKESHORE BLVD W, TORONTO ON M5V 1A1"),
    (54, 160, "RX 8891204      FILLED 2026-11-28"),
    (54, 240, "NADIA PETROVA"),
    (44, 312, "52 QUEEN ST E"),
    (44, 366, "TORONTO, ON M5C 1R6"),
    (44, 420, "TEL 416-555-0146"),
    (38, 500, "ATORVASTATIN 20 MG TABLET   30"),
    (38, 550, "TAKE 1 TABLET ONCE DAILY     COPAY $4.11"),
)


def can_read() -> bool:
    """Return whether the extra that reads labels is installed."""
    return all(importlib.util.find_spec(each) for each in ("PIL", "rapidocr", "onnxruntime"))


async def scan_one(phone: Program) -> None:
    """Send a picture of a label: it is read in some seconds, for a person to confirm."""
    await phone.upload("/api/labels", "label.png", "image/png", _drawn())


def _drawn() -> bytes:
    from PIL import Image, ImageDraw, ImageFont

    label = Image.new("L", _SIZE, 252)
    pen = ImageDraw.Draw(label)
    for size, top, line in _LINES:
        pen.text((_LEFT, top), line, _INK, ImageFont.load_default(size))
    pen.rectangle((10, 10, _SIZE[0] - 10, _SIZE[1] - 10), outline=_INK, width=3)
    kept = io.BytesIO()
    label.save(kept, "PNG", optimize=True)
    return kept.getvalue()
