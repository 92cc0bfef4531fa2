"""Where the bars of a chart stand: per cent across, pixels up. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from gateway_webhooks.statistics import Quarter

HEIGHT: Final = 56
_TOP: Final = 5
_SHARE: Final = 0.74
_LEAST: Final = 1.5
_LABELS: Final = 4


class Bar(NamedTuple):
    """A rectangle: ``kind`` is ``bar`` for what was delivered, ``bad`` for what failed."""

    kind: str
    x: str
    width: str
    y: str
    height: str


def bars(quarters: Sequence[Quarter]) -> list[Bar]:
    """Return the bars of an endpoint's quarters: failed ones stand on the delivered."""
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
