"""How a write went, as agents and bridges say it in JSON. Pure."""

import re
from typing import Final

from gateway.plugin import InvalidInput, Problem
from gateway_rx_queue.points import Reason, WriteOutcome
from gateway_rx_queue.schema import OutcomeIn

_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


def outcome_of(sent: OutcomeIn) -> WriteOutcome:
    """Return what was reported; raises ``InvalidInput`` for a reason that is no code."""
    reasons = tuple(Reason(code=each) if isinstance(each, str) else each for each in sent.reasons)
    if not all(_CODE.fullmatch(reason.code) for reason in reasons):
        text = "a reason's code is lower case with underscores, as in din_ambiguous"
        raise InvalidInput("The report doesn't fit.", [Problem(text, field="reasons")])
    return WriteOutcome(
        outcome=sent.outcome, din=sent.din or None, reason=sent.reason or None, reasons=reasons
    )
