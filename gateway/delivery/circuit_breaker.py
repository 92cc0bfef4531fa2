"""When to stop calling a destination that keeps failing, and when to try it again. Pure.

A circuit breaker after M. Nygard, *Release It!*: closed, everything is sent; open, nothing
is; when its pause is over a single delivery tries the way, and what becomes of it closes
the breaker or opens it for longer.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from gateway.model.circuit_breaker import HEALTHY, Breaker, EndpointHealth
from gateway.model.delivery import Outcome

# Whoever asks for a pause of days is not asked again within the hour for nothing: deliveries
# of all kinds wait for it, and each keeps its own Retry-After anyway.
LONGEST_HOLD_SECONDS: Final = 3600.0
# A destination that says it is busy and not for how long.
UNASKED_HOLD_SECONDS: Final = 1.0
WARNS_AFTER: Final = timedelta(days=1)
DISABLES_AFTER: Final = timedelta(days=5)


class BreakerRules(NamedTuple):
    """``failures`` in a row open the breaker, for each of ``pauses_seconds`` in turn.

    The last pause is repeated until a try succeeds.
    """

    failures: int
    pauses_seconds: Sequence[float]


class Transition(NamedTuple):
    """What some tries did to a destination, and what is to be done about it.

    ``recovered_from`` is when it began to fail, if it was cut off or warned about and works
    again; ``warn`` and ``disable`` say that it has been failing for a day, or for too long.
    """

    health: EndpointHealth
    recovered_from: datetime | None = None
    warn: bool = False
    disable: bool = False


def transition(
    before: EndpointHealth, outcomes: Sequence[Outcome], rules: BreakerRules, now: datetime
) -> Transition:
    """Return how a destination is after ``outcomes``, which came back in this order."""
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
    # Never without a warning long before: two failures may lie five days apart.
    if warned_at is not None and now - warned_at >= DISABLES_AFTER - WARNS_AFTER:
        return Transition(health, recovered_from, disable=lasted >= DISABLES_AFTER)
    return Transition(health, recovered_from)


def _worked(breaker: Breaker, now: datetime) -> EndpointHealth:
    """Return how a destination is after a success: well, but a pause it asked for goes on."""
    if breaker.opened_at is None and breaker.held_until is not None and now < breaker.held_until:
        return EndpointHealth(Breaker(held_until=breaker.held_until), None)
    return HEALTHY


def _failed(breaker: Breaker, outcome: Outcome, rules: BreakerRules, now: datetime) -> Breaker:
    failures = breaker.failures + 1
    after = breaker.changed(failures=failures)
    if breaker.opened_at is None:
        opens = failures >= rules.failures
    else:
        # What was begun before its pause was over says nothing new.
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
    if asked is None or not asked >= 0:  # not >= also leaves out what is no number at all
        return UNASKED_HOLD_SECONDS
    return min(asked, LONGEST_HOLD_SECONDS)
