"""The confidence of a value: each place of the label with it is a piece of evidence. Pure.

High confidence needs two sources that agree: a code and the text, or two places of the label. A
value from one place is medium at best, at any score of the recognizer: it reads ÉLOISE for ÉLOÏSE
at 0.99.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from gateway_labels.fields.page import Box

FieldName = Literal[
    "patient_name", "patient_address", "patient_phone", "rx_number", "copay_amount", "filled_on",
    "din", "drug",
]  # fmt: skip
Confidence = Literal["low", "medium", "high"]

MUST_TOUCH: Final[tuple[FieldName, ...]] = ("patient_name", "patient_address", "rx_number")
"""Fields that a person compares at any confidence."""

_AGREEING: Final = 0.9
_ALONE: Final = 0.93
_MOST_ALTERNATIVES: Final = 4


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A place with a value. ``key`` is the value in the form for comparisons.

    ``is_plain`` is false after an assumption: a letter for a digit, the order of a date.
    """

    value: str
    key: str
    score: float
    box: Box
    source: Literal["text", "code"] = "text"
    is_anchored: bool = False
    is_plain: bool = True


class FoundField(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A field of a label. ``sources`` is how many places agree; ``box`` where it was read.

    ``must_touch``: a person has to confirm it at any confidence.
    """

    name: FieldName
    value: str
    confidence: Confidence
    sources: int
    box: Box
    must_touch: bool = False
    alternatives: tuple[str, ...] = ()


def judged(name: FieldName, evidence: Sequence[Evidence]) -> FoundField | None:
    """Return the field from its evidence, ``None`` without any."""
    groups: dict[str, list[Evidence]] = {}
    for each in evidence:
        group = groups.setdefault(each.key, [])
        if all(each.box != other.box for other in group):
            group.append(each)
    if not groups:
        return None
    ranked = sorted(groups.values(), key=_rank, reverse=True)
    best = ranked[0]
    rivals = [each for each in ranked[1:] if _weight(each) == _weight(best)]
    shown = max(best, key=_looks)
    return FoundField(
        name=name,
        value=shown.value,
        confidence=_confidence(best, is_rivalled=bool(rivals)),
        sources=len(best),
        box=shown.box,
        must_touch=name in MUST_TOUCH,
        alternatives=tuple(
            max(each, key=_looks).value for each in ranked[1 : 1 + _MOST_ALTERNATIVES]
        ),
    )


def _confidence(best: Sequence[Evidence], *, is_rivalled: bool) -> Confidence:
    if is_rivalled or not any(each.is_plain for each in best):
        return "low"
    agreeing = sum(each.score >= _AGREEING for each in best if each.is_plain)
    if agreeing >= 2:  # noqa: PLR2004 - two sources
        return "high"
    return "medium" if any(each.score >= _ALONE for each in best) else "low"


def _weight(group: Sequence[Evidence]) -> int:
    return len(group)


def _rank(group: Sequence[Evidence]) -> tuple[int, bool, bool, float]:
    return (
        _weight(group),
        any(each.is_plain for each in group),
        any(each.is_anchored for each in group),
        max(each.score for each in group),
    )


def _looks(each: Evidence) -> tuple[bool, bool, float]:
    """Prefer what is written as people write it: not in capitals only, the name's parts in turn."""
    return (not each.value.isupper(), each.is_anchored, each.score)
