"""The circuit breaker: when to stop calling a failing destination, and when to probe it.

Pure functions. After M. Nygard, *Release It!*: a closed breaker lets every delivery through, an
open one none. After the pause one delivery is sent as a probe, and its outcome closes the breaker
or opens it for longer.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from gateway.model.circuit_breaker import HEALTHY, Breaker, EndpointHealth
from gateway.model.delivery import Outcome

# A Retry-After of days holds all deliveries of the destination for an hour at most; the delivery
# that got this response keeps its own Retry-After.
LONGEST_HOLD_SECONDS: Final = 3600.0
# For a busy destination that gives no Retry-After.
UNASKED_HOLD_SECONDS: Final = 1.0
WARNS_AFTER: Final = timedelta(days=1)
DISABLES_AFTER: Final = timedelta(days=5)


class BreakerRules(NamedTuple):
    """``failures`` in a row open the breaker, for each of ``pauses_seconds`` in turn.

    The last pause repeats until an attempt succeeds.
    """

    failures: int
    pauses_seconds: Sequence[float]


class Transition(NamedTuple):
    """A destination's health after some attempts, and the actions that follow.

    ``recovered_from`` is when the failures began, if the breaker was open or a warning was sent and
    the destination works again. ``warn`` and ``disable`` say that it has been failing for one day,
    or for five.
    """

    health: EndpointHealth
    recovered_from: datetime | None = None
    warn: bool = False
    disable: bool = False


def transition(
    before: EndpointHealth, outcomes: Sequence[Outcome], rules: BreakerRules, now: datetime
) -> Transition:
    """Return the health after ``outcomes``, which are in the order of their arrival."""
    health, recovered_from = before, None
    for outcome in outcomes:
        if outcome.delivered:
            if health.breaker.opened_at or health.breaker.warned_at:
                recovered_from = health.failing_since or now
            health = _worked(health.breaker, now)
        else:
            health = EndpointHealth(
                _failed(health.breaker, outcome, rules, now), health.failing_since or now
            )
    if health.failing_since is None:
        return Transition(health, recovered_from)
    lasted, warned_at = now - health.failing_since, health.breaker.warned_at
    if lasted >= WARNS_AFTER and warned_at is None:
        warned = health.breaker.changed(warned_at=now)
        return Transition(EndpointHealth(warned, health.failing_since), recovered_from, warn=True)
    # Only after a warning four days before: two failures may be five days apart.
    if warned_at is not None and now - warned_at >= DISABLES_AFTER - WARNS_AFTER:
        return Transition(health, recovered_from, disable=lasted >= DISABLES_AFTER)
    return Transition(health, recovered_from)


def _worked(breaker: Breaker, now: datetime) -> EndpointHealth:
    """Return the health after a success: healthy; a pause that it asked for continues."""
    if breaker.opened_at is None and breaker.held_until is not None and now < breaker.held_until:
        return EndpointHealth(Breaker(held_until=breaker.held_until), None)
    return HEALTHY


def _failed(breaker: Breaker, outcome: Outcome, rules: BreakerRules, now: datetime) -> Breaker:
    failures = breaker.failures + 1
    after = breaker.changed(failures=failures)
    if breaker.opened_at is None:
        opens = failures >= rules.failures
    else:
        # An attempt that began before the pause ended doesn't count.
        opens = outcome.started_at >= breaker.opened_at + _pause(breaker.openings - 1, rules)
    if opens:
        after = after.changed(
            openings=breaker.openings + 1,
            opened_at=now,
            held_until=now + _pause(breaker.openings, rules),
        )
    if outcome.busy:
        until = now + timedelta(seconds=_hold_seconds(outcome))
        after = after.changed(held_until=max(after.held_until or until, until))
    return after


def _pause(openings: int, rules: BreakerRules) -> timedelta:
    pauses = rules.pauses_seconds
    return timedelta(seconds=pauses[min(openings, len(pauses) - 1)])


def _hold_seconds(outcome: Outcome) -> float:
    asked = outcome.retry_after_seconds
    if asked is None or not asked >= 0:  # not >= also excludes NaN
        return UNASKED_HOLD_SECONDS
    return min(asked, LONGEST_HOLD_SECONDS)
