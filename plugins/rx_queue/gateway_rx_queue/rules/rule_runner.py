"""Runs every rule on prescriptions: the stock rules, then those of other plugins."""

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from gateway.plugin import Gateway, PluginError
from gateway_rx_queue.extension_points import ALLERGY_GROUPS, RULES, Finding, RxCase, RxRule
from gateway_rx_queue.model import AllergyGroup, Checked, NotChecked, Reason
from gateway_rx_queue.rules.groups import STOCK_GROUPS
from gateway_rx_queue.rules.stock import STOCK_RULES, Rule
from gateway_rx_queue.rules.stored_reports import packed

_log = logging.getLogger(__name__)

DEADLINE_SECONDS: Final = 2.0
# The weight of some twenty prescriptions, which take a few milliseconds. More are checked in a
# thread, so that the event loop isn't blocked.
_JUDGED_AT_ONCE: Final = 500
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class Judgement(NamedTuple):
    """The reasons for review of one case, and the report of every rule, as a job stores it."""

    reasons: tuple[Reason, ...]
    checks: tuple[str, ...]


class RuleRunner:
    """Runs the rules and collects their findings."""

    def __init__(self, gateway: Gateway, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._gateway = gateway
        self._deadline_seconds = deadline_seconds
        self._rules: tuple[RxRule, ...] | None = None
        self._groups: tuple[AllergyGroup, ...] | None = None

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

    @property
    def allergy_groups(self) -> tuple[AllergyGroup, ...]:
        """The stock groups and those of other plugins; raises ``PluginError`` as ``rules`` does."""
        if self._groups is None:
            records = self._gateway.extensions(ALLERGY_GROUPS)
            groups = tuple(each for each in records if isinstance(each, AllergyGroup))
            if len(groups) != len(records):
                text = f"a plugin returns a record for {ALLERGY_GROUPS} that is no AllergyGroup"
                raise PluginError(text)
            self._groups = STOCK_GROUPS + groups
        return self._groups

    async def judge(self, cases: Sequence[RxCase]) -> list[Judgement]:
        """Return the judgement of each case, in their order."""
        if sum(map(_weight, cases)) <= _JUDGED_AT_ONCE:
            found = [stock_judgement(case) for case in cases]
        else:
            found = await asyncio.to_thread(lambda: [stock_judgement(case) for case in cases])
        for rule in self.rules if cases else ():
            answers = await self._run(rule, cases)
            found = [
                _with(earlier, rule.name, answer, case)
                for case, earlier, answer in zip(cases, found, answers, strict=True)
            ]
        return found

    async def _run(self, rule: RxRule, cases: Sequence[RxCase]) -> list[list[Finding]]:
        """Run one rule; when it fails, its cases are held for review."""
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return _fitting(await rule.review(cases), len(cases))
        except Exception as error:  # noqa: BLE001 - a vendor's fault must not lose a prescription
            failed = _failed(rule.name, error)
        return [failed for _ in cases]


def _weight(case: RxCase) -> int:
    """Return the approximate amount of work: an earlier prescription counts a twentieth."""
    return 20 + len(case.earlier) + len(case.others)


def stock_judgement(case: RxCase) -> Judgement:
    """Return the judgement of all stock rules."""
    reasons: list[Reason] = []
    checks: list[str] = []
    for name, rule in STOCK_RULES.items():
        checks.append(_judged(name, _findings(name, rule, case), case, reasons))
    return Judgement(tuple(reasons), tuple(checks))


def stock_reasons(case: RxCase) -> list[Reason]:
    """Return the reasons of all stock rules, without those that the site skips."""
    return list(stock_judgement(case).reasons)


def _with(earlier: Judgement, name: str, findings: Sequence[Finding], case: RxCase) -> Judgement:
    """Add the findings of another plugin's rule."""
    reasons = [*earlier.reasons]
    check = _judged(name, findings, case, reasons)
    return Judgement(tuple(reasons), (*earlier.checks, check))


def _judged(name: str, findings: Sequence[Finding], case: RxCase, reasons: list[Reason]) -> str:
    """Return the report of one rule, and add its reasons to ``reasons``.

    A skipped reason is "not checked", and so is a failed rule.
    """
    if not findings:
        return packed(name, "fine")
    if len(findings) == 1:  # most rules have at most one finding
        [only] = findings
        if isinstance(only, NotChecked):
            return packed(name, "not_checked", only.why)
        if isinstance(only, Checked):
            return packed(name, "fine", only.what)
    skip = case.thresholds.skip_reasons
    every = [each for each in findings if isinstance(each, Reason)]
    own = [msgspec.structs.replace(each, rule=name) for each in every if each.code not in skip]
    reasons += own
    why = [each.why for each in findings if isinstance(each, NotChecked)]
    why += [f"{each.code} is in skip_reasons" for each in every if each.code in skip]
    detail = "; ".join(why or [each.what for each in findings if isinstance(each, Checked)])
    if not own:
        return packed(name, "not_checked" if why else "fine", detail)
    codes = tuple(dict.fromkeys([each.code for each in own]))
    if "rule_failed" in codes:
        return packed(name, "not_checked", "the rule failed", codes)
    return packed(name, "reason", detail, codes)


def _findings(name: str, rule: Rule, case: RxCase) -> list[Finding]:
    try:
        return [*rule(case)]
    except Exception as error:  # noqa: BLE001 - our fault must not lose one, nor those beside it
        return _failed(name, error)


def _failed(name: str, error: Exception) -> list[Finding]:
    """Log the failure by the error's type (its message may hold patient data)."""
    why = error.message if isinstance(error, PluginError) else type(error).__name__
    _log.error("rule %s failed, its cases are held for review: %s", name, why)
    return [Reason(code="rule_failed", message="A rule could not judge this.")]


def _fitting(answered: Sequence[Sequence[Finding]], expected: int) -> list[list[Finding]]:
    found = [list(findings) for findings in answered]
    if len(found) != expected:
        raise PluginError("it answered for a different number of cases")
    for each in (finding for findings in found for finding in findings):
        if not isinstance(each, Reason | NotChecked | Checked):
            raise PluginError("a finding is a Reason, NotChecked or Checked")
        if isinstance(each, Reason) and not _CODE.fullmatch(each.code):
            raise PluginError("a reason's code is lower case with underscores")
    return found
