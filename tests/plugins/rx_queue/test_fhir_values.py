"""Dates of FHIR, up to the first and last days of the calendar."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest
from gateway_rx_queue.fhir.values import latest_day, local_day


@pytest.mark.parametrize(
    ("written", "latest"),
    [
        ("2026", date(2026, 12, 31)),
        ("2028-02", date(2028, 2, 29)),
        ("2026-06-03", date(2026, 6, 3)),
        ("9999", date(9999, 12, 31)),
        ("9999-12", date(9999, 12, 31)),
    ],
)
def test_the_latest_day_of_a_part_of_a_date_is_its_last(written, latest):
    assert latest_day(written) == latest


@pytest.mark.parametrize(
    ("moment", "zone", "day"),
    [
        ("2026-04-20T02:00:00Z", "America/Toronto", date(2026, 4, 19)),
        ("0001-01-01T00:00:00Z", "America/Toronto", date(1, 1, 1)),
        ("9999-12-31T23:59:59Z", "Pacific/Auckland", date(9999, 12, 31)),
    ],
)
def test_a_moment_in_utc_has_the_day_of_the_site_where_the_calendar_has_one(moment, zone, day):
    assert local_day(moment, ZoneInfo(zone), "authoredOn") == day
