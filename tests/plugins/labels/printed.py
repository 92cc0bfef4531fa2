"""Lines and codes as the reader yields them, from text that is laid out on a page."""

LINE = 40
WIDTH = 18  # of a letter


def line(text, row, x=40, score=0.99):
    """Return a line at ``row``, ``x`` pixels from the left."""
    left, top, right = x, row * LINE, x + WIDTH * len(text)
    box = [[left, top], [right, top], [right, top + 26], [left, top + 26]]
    return {"text": text, "score": score, "box": box}


def page(*rows, score=0.99):
    """Return the lines of a page; a row is a text, ``(text, x)``, a list of these, or a gap."""
    found = []
    for number, row in enumerate(rows):
        cells = row if isinstance(row, list) else [row]
        for cell in cells:
            if cell is not None:
                text, x = cell if isinstance(cell, tuple) else (cell, 40)
                found.append(line(text, number, x, score))
    return found


def code(text, kind="Code 128", *, maker=False):
    box = [[600, 600], [800, 600], [800, 660], [600, 660]]
    return {"format": kind, "text": text, "maker": maker, "box": box}


BAG = page(
    "LAKESIDE PHARMACY",
    "100 Harbor Blvd, Miami, FL 33131   (305) 555-0100",
    None,
    ["Rx# 8872341", ("DR. A. LEE, MD", 700)],
    "MARIA RODRIGUEZ",
    "1250 NW 7TH AVE APT 4",
    "MIAMI, FL 33136",
    "Phone: (305) 555-0123",
    "TAKE ONE TABLET BY MOUTH DAILY",
    ["ATORVASTATIN 20 MG TABLET", ("QTY: 30", 700)],
    "Refills: 3   Date filled: 11/03/2026",
    "Discard after: 11/03/2027",
    "Copay: $12.50",
    None,
    "DELIVER TO: MARIA RODRIGUEZ",
    "1250 NW 7TH AVE APT 4, MIAMI, FL 33136",
    "Rx 8872341   Tel (305) 555-0123",
    "Amount due $12.50",
)
"""A bag's label with a slip to tear off; the pharmacy's own address and phone stand on top."""
