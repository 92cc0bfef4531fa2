"""Finders of rx numbers, money, dates and drugs. Pure."""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from gateway_labels.codes import CodePattern, readings
from gateway_labels.fields.evidence import Evidence
from gateway_labels.fields.page import PHONE, Line, Page
from gateway_labels.fields.words import Kind, folded

_RX: Final = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]?\d{5,9}(?:-\d{1,3})?)(?![A-Za-z0-9])")
_DIGITS: Final = re.compile(r"(?<![\d.,$-])\d{5,20}(?![\d.,])")
_LOOKALIKES: Final = str.maketrans("OoQIlSB", "0001158")
_NEARLY: Final = re.compile(r"[0-9OoQIlSB]{6,9}")
_LEAST_DIGITS: Final = 4
_MONEY: Final = re.compile(r"(?<![\d.,])(\d{1,4})\s?[.,]\s?(\d{2})(?!\d)")
_DIN: Final = re.compile(r"(?<!\d)(\d{8})(?!\d)")
_DRUG: Final = re.compile(r"\d\s*(?:mg|mcg|ml|g|iu|%|ui)\b")
_ISO: Final = re.compile(r"(20\d\d)[-./](\d{1,2})[-./](\d{1,2})")
_SLASHED: Final = re.compile(r"(?<!\d)(\d{1,2})[-./](\d{1,2})[-./](20\d\d|\d\d)(?!\d)")
_WORDED: Final = re.compile(
    r"(?:(\d{1,2})\s*([a-z]{3,9})\.?,?\s*(20\d\d))|(?:([a-z]{3,9})\.?\s*(\d{1,2}),?\s*(20\d\d))"
)
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "jan janv january janvier ene enero", "feb fev fevr february fevrier febrero",
            "mar mars march marzo", "apr avr april avril abr abril", "may mai mayo",
            "jun juin june junio", "jul juil july juillet julio", "aug aout august ago agosto",
            "sep sept september septembre septiembre", "oct october octobre octubre",
            "nov november novembre noviembre", "dec december decembre dic diciembre",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip


def rx_numbers(
    page: Page, codes: Sequence[dict[str, Any]], patterns: Sequence[CodePattern]
) -> Iterator[Evidence]:
    """Yield each place with the rx number: after its word, in a code, or repeated.

    A code that several patterns match counts for the readings that the text confirms.
    """
    anchored = list(_anchored_rx(page))
    yield from anchored
    known = {each.key for each in anchored}
    for code in codes:
        found = {each.rx_number: each for each in readings(code["text"], patterns)}
        for number in [each for each in found if each.upper() in known] or found:
            yield Evidence(
                value=number,
                key=number.upper(),
                score=1.0,
                box=tuple((x, y) for x, y in code["box"]),
                source="code",
                is_anchored=True,
                is_plain=len(found) == 1 or number.upper() in known,
            )
            known.add(number.upper())
    yield from _repeated(page, known, {each.box for each in anchored}, patterns)


def _anchored_rx(page: Page) -> Iterator[Evidence]:
    for line, text, score in _said(page, "rx"):
        match = _RX.search(text)
        if match is not None:
            value = match.group(1)
            yield Evidence(
                value=value, key=value.upper(), score=score, box=line.box, is_anchored=True
            )
            continue
        nearly = _NEARLY.search(text)
        if nearly is None or sum(each.isdigit() for each in nearly.group()) < _LEAST_DIGITS:
            continue
        value = nearly.group().translate(_LOOKALIKES)
        yield Evidence(
            value=value, key=value, score=score, box=line.box, is_anchored=True, is_plain=False
        )


def _repeated(
    page: Page, known: set[str], seen: set[Any], patterns: Sequence[CodePattern]
) -> Iterator[Evidence]:
    """Yield lines that repeat a known rx number, alone or below its code."""
    for line in page.lines:
        if line.box in seen or PHONE.search(line.text) is not None:
            continue
        for match in _DIGITS.finditer(line.text):
            said = {match.group(), *(each.rx_number for each in readings(match.group(), patterns))}
            for number in sorted(said & known):
                yield Evidence(value=number, key=number, score=line.score, box=line.box)


def copays(page: Page) -> Iterator[Evidence]:
    """Yield each amount after a word for a payment."""
    for line, text, score in _said(page, "money"):
        match = _MONEY.search(text)
        if match is not None:
            value = str(Decimal(f"{match.group(1)}.{match.group(2)}"))
            yield Evidence(value=value, key=value, score=score, box=line.box, is_anchored=True)


def fill_dates(page: Page, country: str, today: date) -> Iterator[Evidence]:
    """Yield each day on which the label says that the prescription was filled."""
    for line, text, score in _said(page, "filled"):
        for day, is_plain in days_in(text, country):
            if abs((today - day).days) > _A_YEAR_OR_SO:
                continue
            value = day.isoformat()
            yield Evidence(
                value=value,
                key=value,
                score=score,
                box=line.box,
                is_anchored=True,
                is_plain=is_plain,
            )


_A_YEAR_OR_SO: Final = 500
_MOST_MONTH: Final = 12


def days_in(text: str, country: str) -> list[tuple[date, bool]]:
    """Return the first day in a text, and whether it is unambiguous.

    03/04/2026 is the 4th of March in the United States; elsewhere it may be either, and both are
    returned.
    """
    text = folded(text)
    if match := _ISO.search(text):
        return _days([(match[1], match[2], match[3])], is_plain=True)
    if match := _WORDED.search(text):
        day, name, year = match[1] or match[5], match[2] or match[4], match[3] or match[6]
        month = _MONTHS.get(name)
        return [] if month is None else _days([(year, month, day)], is_plain=True)
    match = _SLASHED.search(text)
    if match is None:
        return []
    first, second = int(match[1]), int(match[2])
    year = match[3] if len(match[3]) > 2 else f"20{match[3]}"  # noqa: PLR2004 - digits
    month_first, day_first = (year, first, second), (year, second, first)
    if country == "US" or second > _MOST_MONTH:
        return _days([month_first], is_plain=True)
    if first > _MOST_MONTH or first == second:
        return _days([day_first], is_plain=True)
    return _days([day_first, month_first], is_plain=False)


def _days(parts: Sequence[tuple[Any, Any, Any]], *, is_plain: bool) -> list[tuple[date, bool]]:
    found = []
    for year, month, day in parts:
        try:
            found.append((date(int(year), int(month), int(day)), is_plain))
        except ValueError:  # the 31st of April: a digit is wrong
            continue
    return found


def dins(page: Page) -> Iterator[Evidence]:
    """Yield each Canadian drug number."""
    for line, text, score in _said(page, "din"):
        match = _DIN.search(text)
        if match is not None:
            yield Evidence(
                value=match[1], key=match[1], score=score, box=line.box, is_anchored=True
            )


def drugs(page: Page) -> Iterator[Evidence]:
    """Yield each line that names a drug and its strength."""
    for line in page.lines:
        text = line.segments[0].text
        if line.segments[0].kind is None and _DRUG.search(folded(text)):
            yield Evidence(value=text, key=text.casefold(), score=line.score, box=line.box)


def _said(page: Page, kind: Kind) -> Iterator[tuple[Line, str, float]]:
    """Yield the value after each anchor of a kind."""
    for line in page.lines:
        for segment in line.segments:
            if segment.kind == kind:
                found = page.said(line, segment)
                if found is not None:
                    other, text = found
                    yield other, text, other.score
