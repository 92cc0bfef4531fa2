r"""The rules' reports as a job stores them: one text each, a third of the bytes of objects.

``+repeats\tcompared with 2 earlier prescriptions`` is a rule without findings; ``?`` marks one that
could not check, ``!`` one with reasons, whose codes are at the end.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from gateway_rx_queue.model import RuleReport

Result = Literal["fine", "not_checked", "reason"]

_MARKS: Final[dict[Result, str]] = {"fine": "+", "not_checked": "?", "reason": "!"}
_RESULTS: Final[dict[str, Result]] = {mark: result for result, mark in _MARKS.items()}
_DETAIL: Final = "\t"
_CODES: Final = "\x1f"


def packed(rule: str, result: Result, detail: str = "", codes: Sequence[str] = ()) -> str:
    """Return the report of a rule in its stored form."""
    text = f"{_MARKS[result]}{rule.replace(_DETAIL, ' ')}"
    if detail:
        text = f"{text}{_DETAIL}{detail.replace(_CODES, ' ')}"
    return f"{text}{_CODES}{','.join(codes)}" if codes else text


def unpacked(texts: Iterable[str]) -> tuple[RuleReport, ...]:
    """Return stored reports."""
    return tuple([_unpacked(each) for each in texts])


def report_of(texts: Iterable[str], rule: str) -> RuleReport | None:
    """Return the stored report of a rule; of many, the others are not read."""
    for each in texts:
        if each.startswith(rule, 1):
            found = _unpacked(each)
            if found.rule == rule:
                return found
    return None


def not_checked_rules(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the rules that could not check, of stored reports."""
    mark = _MARKS["not_checked"]
    found = [_unpacked(each).rule for each in texts if each.startswith(mark)]
    return tuple(found)


def _unpacked(text: str) -> RuleReport:
    said, _, codes = text.partition(_CODES)
    rule, _, detail = said[1:].partition(_DETAIL)
    return RuleReport(
        rule=rule,
        result=_RESULTS[said[:1]],
        codes=tuple(codes.split(",")) if codes else (),
        detail=detail,
    )
