"""Noticing that the wall clock was set back."""

import pytest

from gateway.clock import SteppingClock, StepWatch


def test_a_clock_that_goes_on_was_not_set_back():
    clock = SteppingClock()
    watch = StepWatch(clock)

    assert watch.seconds_back() == 0.0
    clock.step(3600)
    assert watch.seconds_back() == 0.0


def test_a_clock_that_was_set_back_is_noticed_once_and_by_how_much():
    clock = SteppingClock()
    watch = StepWatch(clock)

    clock.step(10)
    clock.step(-3600)
    clock.step(5)

    assert watch.seconds_back() == 3600.0
    assert watch.seconds_back() == 0.0


@pytest.mark.parametrize(("seconds", "noticed"), [(0.5, 0.0), (1.0, 0.0), (1.5, 1.5)])
def test_a_second_is_no_step(seconds, noticed):
    clock = SteppingClock()
    watch = StepWatch(clock)

    clock.step(-seconds)

    assert watch.seconds_back() == noticed
