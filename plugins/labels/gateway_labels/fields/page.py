"""A label's lines and their positions: beside, below, and the pharmacy's own. Pure."""

import math
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from gateway_labels.fields.words import CA_CODE, PHARMACY, STREET, US_CODE, Kind, anchors, folded

Box = tuple[tuple[float, float], ...]

PHONE: Final = re.compile(r"(?<!\d)(?:\+?1[\s.-]*)?\(?\d{3}\)?[\s.-]*\d{3}[\s.-]*\d{4}(?!\d)")
_EDGES: Final = " \t:;#.,-\u2013*|"
_BESIDE: Final = 0.6
_BELOW: Final = 2.3
_ALIGNED: Final = 3.0
_OF_A_PATIENT: Final = frozenset({"name", "rx", "money", "filled"})
_LEAST_WIDTHS: Final = 4  # a line this much wider than high shows the tilt of the label


class Segment(NamedTuple):
    """A piece of a line: the text after an anchor, or before the first (``kind`` None)."""

    kind: Kind | None
    text: str


class Line(msgspec.Struct, frozen=True, eq=False):
    """A line: its text, the recognizer's score (0 to 1), its box, its place on the upright label.

    ``left``, ``right``, ``middle`` and ``height`` are pixels.
    """

    text: str
    score: float
    box: Box
    left: float
    right: float
    middle: float
    height: float
    folded: str
    segments: tuple[Segment, ...]

    def has_code(self) -> bool:
        """Return whether a postal code is in it."""
        return bool(US_CODE.search(self.folded) or CA_CODE.search(self.folded))


class Page:
    """The lines of a label, in reading order."""

    def __init__(self, lines: Sequence[dict[str, Any]]) -> None:
        tilt = _tilt([each["box"] for each in lines])
        found = [_line(each, tilt) for each in lines if each["text"].strip()]
        self.lines = sorted(found, key=lambda each: (each.middle, each.left))
        self.of_pharmacy = self._of_pharmacy()

    def beside(self, line: Line) -> Line | None:
        """Return the nearest line to the right, in the same row."""
        near = [
            each
            for each in self.lines
            if each is not line
            and abs(each.middle - line.middle) < _BESIDE * max(line.height, each.height)
            and each.left > line.right - line.height
        ]
        return min(near, key=lambda each: each.left, default=None)

    def below(self, line: Line) -> Line | None:
        """Return the nearest line below that begins about where this one does."""
        return self._near(line, 1)

    def above(self, line: Line) -> Line | None:
        """Return the nearest line above that begins about where this one does."""
        return self._near(line, -1)

    def _near(self, line: Line, way: int) -> Line | None:
        near = []
        for each in self.lines:
            height = max(line.height, each.height)
            away = (each.middle - line.middle) * way
            if _BESIDE * height < away < _BELOW * height and (
                abs(each.left - line.left) < _ALIGNED * height
            ):
                near.append((away, each))
        return min(near, key=lambda each: each[0])[1] if near else None

    def said(self, line: Line, segment: Segment) -> tuple[Line, str] | None:
        """Return an anchor's value: after it, beside it, or below it."""
        if segment.text:
            return line, segment.text
        if line.segments[-1] is not segment:
            return None
        for other in (self.beside(line), self.below(line)):
            if other is not None and other.segments[0].kind is None and other.segments[0].text:
                return other, other.segments[0].text
        return None

    def _of_pharmacy(self) -> frozenset[int]:
        """Return the ids of the lines that name the pharmacy, its address and its phone."""
        found: set[int] = set()
        for head in self.lines:
            if not PHARMACY.search(head.folded) or head.segments[0].kind not in {None, "phone"}:
                continue
            has_code, has_phone = head.has_code(), bool(PHONE.search(head.text))
            block = [head]
            side = self.beside(head)
            if side is not None and PHONE.search(side.text):
                block.append(side)
                has_phone = True
            line = self.below(head) or self._just_below(head)
            while line is not None and not (has_code and has_phone):
                code, phone = line.has_code(), bool(PHONE.search(line.text))
                is_street = bool(STREET.search(line.folded)) and not has_code
                is_patients = any(each.kind in _OF_A_PATIENT for each in line.segments)
                if (
                    is_patients
                    or not (code or phone or is_street)
                    or (code and has_code)
                    or (phone and not code and has_phone)
                ):
                    break
                block.append(line)
                has_code, has_phone = has_code or code, has_phone or phone
                line = self.below(line)
            found.update(id(each) for each in block)
        return frozenset(found)

    def _just_below(self, line: Line) -> Line | None:
        """Return the nearest line below at any position, because headings are centred."""
        under = [
            each
            for each in self.lines
            if _BESIDE * line.height < each.middle - line.middle < _BELOW * line.height
            and each.left < line.right
            and each.right > line.left
        ]
        return min(under, key=lambda each: each.middle, default=None)

    def is_of_pharmacy(self, line: Line) -> bool:
        """Return whether a line is about the pharmacy itself."""
        return id(line) in self.of_pharmacy


def _tilt(boxes: Sequence[Sequence[Sequence[float]]]) -> float:
    """Return the angle of most lines, in radians."""
    angles = []
    for (x0, y0), (x1, y1), _, (x3, y3) in boxes:
        width, height = math.hypot(x1 - x0, y1 - y0), math.hypot(x3 - x0, y3 - y0)
        if width > _LEAST_WIDTHS * height:
            angles.append(math.atan2(y1 - y0, x1 - x0))
    return sorted(angles)[len(angles) // 2] if angles else 0.0


def _line(found: dict[str, Any], tilt: float) -> Line:
    text = " ".join(found["text"].split())
    corners = tuple((float(x), float(y)) for x, y in found["box"])
    cos, sin = math.cos(-tilt), math.sin(-tilt)
    upright = [(x * cos - y * sin, x * sin + y * cos) for x, y in corners]
    ys = [y for _, y in upright]
    return Line(
        text=text,
        score=found["score"],
        box=corners,
        left=min(x for x, _ in upright),
        right=max(x for x, _ in upright),
        middle=sum(ys) / len(ys),
        height=max((ys[3] + ys[2] - ys[0] - ys[1]) / 2, 1.0),
        folded=folded(text),
        segments=tuple(_segments(text)),
    )


def _segments(text: str) -> list[Segment]:
    found, kind, place = [], None, 0
    for each in anchors(text):
        before = text[place : each.start].strip(_EDGES)
        if before or kind is not None:
            found.append(Segment(kind, before))
        kind, place = each.kind, each.end
    rest = text[place:].strip(_EDGES)
    if rest or kind is not None:
        found.append(Segment(kind, rest))
    return found or [Segment(None, text)]
