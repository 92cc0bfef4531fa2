"""Runs every rule on prescriptions: the stock rules, then those of other plugins."""

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.plugin import Gateway, PluginError
from gateway_rx_queue.extension_points import RULES, RxCase, RxRule
from gateway_rx_queue.model import Reason
from gateway_rx_queue.rules.stock import STOCK_RULES, Rule

_log = logging.getLogger(__name__)

DEADLINE_SECONDS: Final = 2.0
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class RuleRunner:
    """Runs the rules and collects their reasons."""

    def __init__(self, gateway: Gateway, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._gateway = gateway
        self._deadline_seconds = deadline_seconds
        self._rules: tuple[RxRule, ...] | None = None

    @property
    def rules(self) -> tuple[RxRule, ...]:
        """The rules of other plugins; raises ``PluginError`` for an invalid record."""
        if self._rules is None:
            records = self._gateway.extensions(RULES)
            rules = tuple(each for each in records if isinstance(each, RxRule))
            if len(rules) != len(records):
                raise PluginError(f"a plugin returns a record for {RULES} that is no RxRule")
            self._rules = rules
        return self._rules

    async def reasons(self, cases: Sequence[RxCase]) -> list[list[Reason]]:
        """Return the reasons for each case, in their order."""
        found = [stock_reasons(case) for case in cases]
        for rule in self.rules if cases else ():
            for case, reasons, added in zip(
                cases, found, await self._asked(rule, cases), strict=True
            ):
                skipped = case.thresholds.skip_reasons
                reasons.extend(reason for reason in added if reason.code not in skipped)
        return found

    async def _asked(self, rule: RxRule, cases: Sequence[RxCase]) -> list[list[Reason]]:
        """Run one rule; when it fails, its cases are held for review."""
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return _fitting(rule, await rule.review(cases), len(cases))
        except Exception as error:  # noqa: BLE001 - a vendor's fault must not lose a prescription
            failed = _failed(rule.name, error)
        return [[failed] for _ in cases]


def stock_reasons(case: RxCase) -> list[Reason]:
    """Return the reasons of all stock rules, without those that the site skips."""
    skipped = case.thresholds.skip_reasons
    return [
        msgspec.structs.replace(reason, rule=name)
        for name, rule in STOCK_RULES.items()
        for reason in _said(name, rule, case)
        if reason.code not in skipped
    ]


def _said(name: str, rule: Rule, case: RxCase) -> list[Reason]:
    try:
        return [*rule(case)]
    except Exception as error:  # noqa: BLE001 - our fault must not lose one, nor those beside it
        return [_failed(name, error)]


def _failed(name: str, error: Exception) -> Reason:
    """Log the failure by the error's type (its message may hold patient data)."""
    why = error.message if isinstance(error, PluginError) else type(error).__name__
    _log.error("rule %s failed, its cases are held for review: %s", name, why)
    return Reason(code="rule_failed", message="A rule could not judge this.", rule=name)


def _fitting(
    rule: RxRule, answered: Sequence[Sequence[Reason]], expected: int
) -> list[list[Reason]]:
    named = [
        [msgspec.structs.replace(reason, rule=rule.name) for reason in reasons]
        for reasons in answered
    ]
    if len(named) != expected:
        raise PluginError("it answered for a different number of cases")
    if not all(_CODE.fullmatch(reason.code) for reasons in named for reason in reasons):
        raise PluginError("a reason's code is lower case with underscores")
    return named
