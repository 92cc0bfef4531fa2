"""Finders of a patient's name, address and telephone number. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from gateway.plugin import to_e164
from gateway_labels.fields.evidence import Evidence
from gateway_labels.fields.page import PHONE, Line, Page
from gateway_labels.fields.words import (
    CA_CODE,
    NOT_A_NAME,
    NUMBERED,
    PHARMACY,
    STREET,
    US_CODE,
    folded,
)

_WORD: Final = re.compile(r"[^\W\d_](?:[^\W\d_]|['\u2019.\-])*", re.UNICODE)
_MOST_WORDS: Final = 6
_LEAST_LETTERS: Final = 4
_PLACE: Final = re.compile(r"[\s,.()#]+")
_ENDS: Final = " ,.:;-\u2013*|"


def names(page: Page) -> Iterator[Evidence]:
    """Yield each place that names the patient."""
    for line in page.lines:
        for segment in line.segments:
            if segment.kind == "name":
                said = page.said(line, segment)
                if said is not None:
                    yield from _name(said[0], said[1], is_anchored=True)
            elif segment.kind is None and _is_above_street(page, line):
                yield from _name(line, segment.text, is_anchored=False)


def _name(line: Line, text: str, *, is_anchored: bool) -> Iterator[Evidence]:
    value = person_of(text)
    if value is None:
        return
    yield Evidence(
        value=value,
        key=value.casefold(),
        score=line.score,
        box=line.box,
        is_anchored=is_anchored,
        is_plain=True,
    )


def person_of(text: str) -> str | None:
    """Return a person's name, first names first; ``None`` for a text that names no one."""
    text = text.strip(_ENDS)
    last, comma, first = text.partition(",")
    if comma:
        text = f"{first.strip()} {last.strip()}"
    words = text.split()
    if not 2 <= len(words) <= _MOST_WORDS or PHARMACY.search(folded(text)):  # noqa: PLR2004
        return None
    for word in words:
        if not _WORD.fullmatch(word) or folded(word).strip(".") in NOT_A_NAME:
            return None
    letters = sum(each.isalpha() for each in text)
    return " ".join(words) if letters >= _LEAST_LETTERS else None


def _is_above_street(page: Page, line: Line) -> bool:
    """Return whether the line below is a street, so that this one may be its resident's name."""
    below = page.below(line)
    return (
        below is not None
        and not page.is_of_pharmacy(line)
        and not page.is_of_pharmacy(below)
        and _is_street(page, below)
    )


def _is_street(page: Page, line: Line) -> bool:
    if NUMBERED.match(line.folded) is None:
        return False
    if STREET.search(line.folded) or line.has_code():
        return True
    below = page.below(line)
    return below is not None and below.has_code()


def addresses(page: Page) -> Iterator[Evidence]:
    """Yield each address that isn't the pharmacy's; a postal code ends one."""
    for line in page.lines:
        if page.is_of_pharmacy(line):
            continue
        found = _with_code(line)
        if found is None:
            continue
        text, scores, box = found, [line.score], line.box
        if NUMBERED.match(folded(text)) is None:
            street = page.above(line)
            if street is None or page.is_of_pharmacy(street) or not _is_street(page, street):
                continue
            text = f"{_plain(street)}, {text}"
            scores.append(street.score)
            box = _around(street, line)
        key = _PLACE.sub("", text).casefold()
        yield Evidence(value=text, key=key, score=min(scores), box=box)


def _with_code(line: Line) -> str | None:
    """Return the part of a line up to its postal code, as it is written."""
    segment = next((each for each in line.segments if each.kind in {None, "address", "name"}), None)
    if segment is None:
        return None
    text = segment.text
    match = CA_CODE.search(folded(text)) or US_CODE.search(folded(text))
    return None if match is None else text[: match.end()].strip(_ENDS)


def _plain(line: Line) -> str:
    """Return a street's line without an anchor before it."""
    return line.segments[-1].text.strip(_ENDS)


def _around(one: Line, other: Line) -> tuple[tuple[float, float], ...]:
    """Return the box around two lines."""
    xs = [x for line in (one, other) for x, _ in line.box]
    ys = [y for line in (one, other) for _, y in line.box]
    left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def phones(page: Page, country: str) -> Iterator[Evidence]:
    """Yield each telephone number that isn't the pharmacy's, a prescriber's or a fax."""
    for line in page.lines:
        if page.is_of_pharmacy(line) or PHARMACY.search(line.folded):
            continue
        for segment in line.segments:
            if segment.kind not in {None, "phone", "name"}:
                continue
            for match in PHONE.finditer(segment.text):
                value = to_e164(match.group(), country)
                if value is not None:
                    yield Evidence(
                        value=value,
                        key=value,
                        score=line.score,
                        box=line.box,
                        is_anchored=segment.kind == "phone",
                    )
