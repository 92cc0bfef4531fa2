"""A site's day begins at its own midnight and has 23 to 25 hours."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.model.day import day_at, day_of

TORONTO = ZoneInfo("America/Toronto")


@pytest.mark.parametrize(
    ("on", "hours", "starts_at"),
    [
        (date(2026, 4, 19), 24, datetime(2026, 4, 19, 4, tzinfo=UTC)),
        (date(2026, 3, 8), 23, datetime(2026, 3, 8, 5, tzinfo=UTC)),
        (date(2026, 11, 1), 25, datetime(2026, 11, 1, 4, tzinfo=UTC)),
    ],
)
def test_a_day_has_as_many_hours_as_the_sites_clock_goes_through(on, hours, starts_at):
    day = day_of(TORONTO, on)

    assert (day.date, day.starts_at) == (on, starts_at)
    assert len(list(day.hours())) == hours
    assert day.ends_at == day_of(TORONTO, date.fromordinal(on.toordinal() + 1)).starts_at


def test_in_autumn_one_hour_comes_twice_and_in_spring_one_is_left_out():
    autumn = [each.hour for each in day_of(TORONTO, date(2026, 11, 1)).hours()]
    spring = [each.hour for each in day_of(TORONTO, date(2026, 3, 8)).hours()]

    assert autumn[:4] == [0, 1, 1, 2]
    assert spring[:4] == [0, 1, 3, 4]


def test_late_in_the_evening_it_is_still_the_sites_day_and_not_the_next():
    assert day_at(TORONTO, datetime(2026, 4, 20, 3, 59, tzinfo=UTC)).date == date(2026, 4, 19)
    assert day_at(TORONTO, datetime(2026, 4, 20, 4, 0, tzinfo=UTC)).date == date(2026, 4, 20)
