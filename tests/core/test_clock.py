"""Moments as tables hold them, and noticing that the wall clock was set back."""

import datetime as dt

import pytest

from gateway import clock as clock_module
from gateway.clock import HeldClock, SteppingClock, StepWatch, from_epoch_ms, to_epoch_ms


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


@pytest.mark.parametrize(
    "moment",
    [
        dt.datetime(1, 1, 1, tzinfo=dt.UTC),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=dt.UTC),
        dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2026, 4, 19, 18, 42, 10, 7_000, tzinfo=dt.UTC),
        dt.datetime(2900, 1, 1, tzinfo=dt.UTC),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=dt.UTC),
    ],
)
def test_a_moment_comes_back_as_it_was_also_where_windows_knows_few(monkeypatch, moment):
    class Windows(dt.datetime):
        @classmethod
        def fromtimestamp(cls, seconds, zone):
            if not 0 <= seconds < 32_536_799_999:
                raise OSError(22, "Invalid argument")
            return dt.datetime.fromtimestamp(seconds, zone)

    monkeypatch.setattr(clock_module, "datetime", Windows)

    assert from_epoch_ms(to_epoch_ms(moment)) == moment


def test_a_step_forward_is_held_back_until_it_may_pass():
    clock = MovedClock()
    held = HeldClock(clock)
    clock.moved = 3600
    assert held.now() == clock.now()  # nothing is held yet

    held.hold()
    clock.pass_seconds(5)
    clock.moved += 7200
    assert (held.now(), held.seconds_ahead()) == (at(3605), 7200)
    clock.pass_seconds(5)
    assert held.now() == at(3610)

    held.follow()
    assert (held.now(), held.seconds_ahead()) == (at(10810), 0)


def test_steps_back_and_small_corrections_pass_at_once():
    clock = MovedClock()
    held = HeldClock(clock)
    held.hold()
    clock.moved = -3600
    assert held.now() == at(-3600)
    clock.moved += 1
    assert (held.now(), held.seconds_ahead()) == (at(-3599), 0)


class MovedClock:
    """A wall clock that is moved apart from the monotonic one."""

    def __init__(self):
        self.moved = 0
        self._seconds = 0.0

    def pass_seconds(self, seconds):
        self._seconds += seconds

    def now(self):
        return at(self.moved + self._seconds)

    def monotonic_seconds(self):
        return self._seconds


def at(seconds):
    return dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
