"""Moments as people type them: a time, or how long ago."""

from datetime import UTC, datetime, timedelta

import click
import pytest

from gateway.sdk.cli import TimeOrAgo, resolve_time

NOW = datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-04-19", datetime(2026, 4, 19, tzinfo=UTC)),
        ("2026-04-19 08:00", datetime(2026, 4, 19, 8, tzinfo=UTC)),
        ("2026-04-19T08:00:00Z", datetime(2026, 4, 19, 8, tzinfo=UTC)),
        ("2026-04-19T08:00:00-05:00", datetime(2026, 4, 19, 13, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        (" 24 h ", NOW - timedelta(days=1)),
        ("7d", NOW - timedelta(days=7)),
    ],
)
def test_a_time_or_how_long_ago_is_a_moment(text, meant):
    told = TimeOrAgo().convert(text, None, None)

    assert resolve_time(told, NOW) == meant


@pytest.mark.parametrize(
    "text", ["", "today", "yesterday", "7", "7w", "-7d", "2026-13-01", "1000000d"]
)
def test_anything_else_is_refused_with_how_to_write_it(text):
    with pytest.raises(click.BadParameter) as caught:
        TimeOrAgo().convert(text, None, None)

    assert "write a date (2026-04-19)" in caught.value.message


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "99999d"])
def test_nothing_is_meant_before_1970(text):
    told = TimeOrAgo().convert(text, None, None)

    assert resolve_time(told, NOW) == datetime(1970, 1, 1, tzinfo=UTC)


def test_what_was_read_already_stays_as_it_is():
    assert TimeOrAgo().convert(NOW, None, None) is NOW
    assert TimeOrAgo().convert(timedelta(hours=1), None, None) == timedelta(hours=1)
