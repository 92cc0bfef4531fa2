"""The positions of a chart's bars: per cent across, pixels up. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from gateway.plugin import AttemptCount
from gateway_webhooks.statistics import Quarter

HEIGHT: Final = 56
_TOP: Final = 5
_SHARE: Final = 0.74
_LEAST: Final = 1.5
_LABELS: Final = 4
_HOUR_HEIGHT: Final = 84.0
_HOUR_SHARE: Final = 0.6
_OFFICE_HOURS: Final = range(6, 19)
_MOST_NAMED: Final = 8  # of more hours every second one is named: a label needs about 3 rem


class Bar(NamedTuple):
    """A rectangle: ``kind`` is ``bar`` for delivered attempts, ``bad`` for failed ones."""

    kind: str
    x: str
    width: str
    y: str
    height: str


def bars(quarters: Sequence[Quarter]) -> list[Bar]:
    """Return the bars of an endpoint's quarter hours, failed attempts above delivered ones."""
    most = max((each.delivered + each.failed for each in quarters), default=0)
    if not most:
        return []
    step, unit = 100 / len(quarters), (HEIGHT - _TOP) / most
    width = f"{step * _SHARE:.2f}%"
    found = []
    for place, each in enumerate(quarters):
        x, top = f"{place * step:.2f}%", float(HEIGHT)
        for kind, count in (("bar", each.delivered), ("bad", each.failed)):
            if count:
                height = max(_LEAST, count * unit)
                top -= height
                found.append(Bar(kind, x, width, f"{top:.1f}", f"{height:.1f}"))
    return found


def labelled(quarters: Sequence[Quarter]) -> list[datetime]:
    """Return the times below the chart, the first at its start; the last is "now"."""
    if not quarters:
        return []
    first = quarters[0].start
    step = timedelta(minutes=15) * len(quarters) / _LABELS
    return [first + step * number for number in range(_LABELS)]


class HourBars(NamedTuple):
    """An hour of a day: its bars, and its name, which is shown where there is room."""

    name: str
    is_named: bool
    middle: str
    attempts: AttemptCount
    bars: Sequence[Bar]


def shown_hours(clock: Sequence[int], counts: Sequence[AttemptCount]) -> range:
    """Return the shown hours of a day: 6 to 18 o'clock, and earlier from the first attempt."""
    shown = [
        place
        for place, (hour, count) in enumerate(zip(clock, counts, strict=True))
        if hour in _OFFICE_HOURS or any(count)
    ]
    return range(min(shown), max(shown) + 1)


def hour_bars(clock: Sequence[int], counts: Sequence[AttemptCount]) -> list[HourBars]:
    """Return the bars of some hours: failed attempts are on top of the delivered."""
    most = max((sum(each) for each in counts), default=0) or 1
    step, unit = 100 / len(counts), _HOUR_HEIGHT / most
    every = 2 if len(counts) > _MOST_NAMED else 1
    found = []
    for place, (hour, count) in enumerate(zip(clock, counts, strict=True)):
        x = f"{(place + (1 - _HOUR_SHARE) / 2) * step:.2f}%"
        top, bars_of_hour = _HOUR_HEIGHT, []
        for kind, number in (("bar", count.delivered), ("bad", count.failed)):
            if number:
                height = min(top, max(_LEAST, number * unit))
                top -= height
                width = f"{step * _HOUR_SHARE:.2f}%"
                bars_of_hour.append(Bar(kind, x, width, f"{top:.1f}", f"{height:.1f}"))
        middle = f"{(place + 0.5) * step:.2f}%"
        found.append(HourBars(f"{hour}", place % every == 0, middle, count, bars_of_hour))
    return found
