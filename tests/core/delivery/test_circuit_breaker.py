"""When a destination is left alone, tried again, warned about and switched off."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.circuit_breaker import BreakerRules, transition
from gateway.model.circuit_breaker import HEALTHY, Breaker, EndpointHealth
from gateway.model.delivery import Outcome

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RULES = BreakerRules(3, (30, 60, 900))


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def outcome(*, delivered=False, started=0.0, **more):
    return Outcome(
        delivery_id="dlv_1", delivered=delivered, started_at=at(started), duration_ms=1, **more
    )


FAILED = outcome()
WORKED = outcome(delivered=True)


def after(*outcomes, before=HEALTHY, now=NOW):
    return transition(before, outcomes, RULES, now)


def test_what_works_stays_well():
    assert after(WORKED, WORKED) == (HEALTHY, None, False, False)


def test_failures_are_counted_from_the_last_success():
    found = after(FAILED, FAILED, WORKED, FAILED).health
    assert found == EndpointHealth(Breaker(failures=1), NOW)


def test_so_many_failures_in_a_row_open_it_for_the_first_pause():
    found = after(FAILED, FAILED, FAILED).health.breaker
    assert found == Breaker(failures=3, openings=1, opened_at=NOW, held_until=at(30))
    assert found.state == "open"


def test_one_failure_less_does_not():
    found = after(FAILED, FAILED).health.breaker
    assert (found.state, found.held_until) == ("closed", None)


OPEN = after(FAILED, FAILED, FAILED).health


def test_a_try_that_fails_opens_it_for_longer_and_the_last_pause_is_repeated():
    pauses, health, now = [], OPEN, 30.0
    for _ in range(4):
        health = after(outcome(started=now), before=health, now=at(now)).health
        pauses.append((health.breaker.held_until - at(now)).total_seconds())
        now += pauses[-1]
    assert pauses == [60, 900, 900, 900]
    assert health.failing_since == NOW
    assert (health.breaker.failures, health.breaker.openings) == (7, 5)


def test_what_was_on_its_way_when_it_opened_makes_it_no_worse():
    late = [outcome(started=-1)] * 29
    found = after(*late, before=OPEN, now=at(5)).health.breaker
    assert found == Breaker(failures=32, openings=1, opened_at=NOW, held_until=at(30))


def test_what_was_begun_before_its_pause_was_over_makes_it_no_worse():
    just_after = [outcome(started=0.001)] * 29
    found = after(*just_after, before=OPEN, now=at(5)).health.breaker
    assert (found.openings, found.held_until) == (1, at(30))


def test_a_success_closes_it_and_tells_since_when_it_had_failed():
    found = after(outcome(delivered=True, started=30), before=OPEN, now=at(31))
    assert found == (HEALTHY, NOW, False, False)


def test_a_success_after_a_few_failures_is_no_news():
    few = after(FAILED, FAILED).health
    assert after(WORKED, before=few).recovered_from is None


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        (None, 1),
        (0.0, 1e-9),
        (7.5, 7.5),
        (1e9, 3600),
        (float("inf"), 3600),
        (float("nan"), 1),
        (-5.0, 1),
    ],
)
def test_who_is_busy_is_left_alone_for_as_long_as_it_asks(asked, seconds):
    found = after(outcome(busy=True, retry_after_seconds=asked)).health.breaker
    assert found.state == "closed"
    assert (found.held_until - NOW).total_seconds() == pytest.approx(seconds, abs=1e-6)


def test_a_retry_after_for_one_delivery_holds_back_no_other():
    assert after(outcome(retry_after_seconds=90.0)).health.breaker.held_until is None


def test_being_busy_never_shortens_a_pause():
    busy = outcome(started=-1, busy=True, retry_after_seconds=5.0)
    assert after(busy, before=OPEN).health.breaker.held_until == at(30)


def test_a_success_that_was_on_its_way_does_not_end_the_pause_that_another_was_asked_for():
    busy = after(outcome(busy=True, retry_after_seconds=600.0)).health
    found = after(outcome(delivered=True, started=-1), before=busy, now=at(1)).health
    assert found == EndpointHealth(Breaker(held_until=at(600)), None)
    over = after(outcome(delivered=True, started=600), before=found, now=at(601)).health
    assert over == HEALTHY


DAY = 86_400.0


@pytest.mark.parametrize(("seconds", "warn"), [(DAY - 1, False), (DAY, True), (9 * DAY, True)])
def test_a_day_without_success_warns_and_never_disables_at_once(seconds, warn):
    failing = after(FAILED).health
    found = after(outcome(started=seconds), before=failing, now=at(seconds))
    assert (found.warn, found.disable) == (warn, False)
    assert (found.health.breaker.warned_at is not None) is warn


@pytest.mark.parametrize(("seconds", "disable"), [(5 * DAY - 1, False), (5 * DAY, True)])
def test_five_days_without_success_disable_who_was_warned_after_one(seconds, disable):
    warned = after(FAILED, before=after(FAILED).health, now=at(DAY)).health
    found = after(outcome(started=seconds), before=warned, now=at(seconds))
    assert (found.warn, found.disable) == (False, disable)


def test_who_was_warned_late_has_four_days_from_then():
    late = after(FAILED, before=after(FAILED).health, now=at(9 * DAY)).health
    found = [after(FAILED, before=late, now=at(day * DAY)).disable for day in (12.9, 13)]
    assert found == [False, True]


def test_the_warning_comes_once():
    warned = after(FAILED, before=after(FAILED).health, now=at(DAY)).health
    assert not after(FAILED, before=warned, now=at(2 * DAY)).warn


def test_who_was_warned_is_told_when_it_works_again_though_its_breaker_never_opened():
    warned = after(FAILED, before=after(FAILED).health, now=at(DAY)).health
    assert warned.breaker.state == "closed"
    assert after(WORKED, before=warned, now=at(DAY + 1)).recovered_from == NOW


OUTCOMES = st.builds(
    outcome,
    delivered=st.booleans(),
    started=st.floats(-60, 60),
    busy=st.booleans(),
    retry_after_seconds=st.none() | st.floats(allow_nan=True),
)


@given(st.lists(OUTCOMES, max_size=40))
def test_whatever_comes_back_the_breaker_is_open_only_while_failing(outcomes):
    found = after(*outcomes)
    breaker, failing_since = found.health
    assert (failing_since is not None) == bool(outcomes and not outcomes[-1].delivered)
    assert (breaker.opened_at is None) == (breaker.openings == 0)
    if breaker.openings:
        assert breaker.failures >= RULES.failures
        assert breaker.held_until >= at(30)
    if outcomes and outcomes[-1].delivered:
        assert breaker == Breaker(held_until=breaker.held_until)
