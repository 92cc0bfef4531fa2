"""Moments as people give them on the command line: a time, or how long ago."""

import re
from datetime import datetime, timedelta
from typing import Any, Final

import click

from gateway.clock import aware, from_epoch_ms

_AGO: Final = re.compile(r"(\d{1,5})\s*([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_FIRST: Final = from_epoch_ms(0)


class Moment(click.ParamType[datetime | timedelta]):
    """A time as ISO 8601 has it, in UTC where it names no zone, or how long ago: 90m, 24h, 7d.

    A command turns what it is given into a moment with :func:`moment_of`:

    .. code-block:: python

        @click.option("--since", type=Moment(), help="A time, or how long ago: 24h.")
    """

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        """Return an aware moment, or the time that has passed since."""
        if isinstance(value, (datetime, timedelta)):
            return value
        ago = _AGO.fullmatch(value.strip())
        if ago:
            return timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
        try:
            return aware(datetime.fromisoformat(value))
        except ValueError:
            self.fail("write 2026-04-19T18:00:00Z, or how long ago: 90m, 24h, 7d", param, ctx)


def moment_of(told: datetime | timedelta, now: datetime) -> datetime:
    """Return the moment that was meant, none before 1970."""
    # The year 1 of an eastern zone has no moment in UTC, and nothing of ours happened then.
    return max(_FIRST, now - told if isinstance(told, timedelta) else told)
