"""A line of the gateway's state: one part, green or red, its detail, and the command that helps."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from gateway.model.wire import timestamp
from gateway.sdk.records import HealthReport

_NO_VALUES: Final[Mapping[str, object]] = {}
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))


class Line(NamedTuple):
    """One part of the gateway: green or red, and if red the command that helps.

    ``message`` with its ``values`` is the detail for pages, which translate it; empty where the
    detail is a plugin's own sentence. ``place`` is the table and key of gateway.toml that the line
    is about, if it is about one; ``page`` the path of the page that shows more.
    """

    name: str
    ok: bool
    detail: str
    command: str | None = None
    message: str = ""
    values: Mapping[str, object] = _NO_VALUES
    place: str | None = None
    page: str | None = None


def green(name: str, message: str, **values: object) -> Line:
    """Return the line of a part that works; ``message`` has ``{…}`` for the values."""
    return Line(name, ok=True, detail=said(message, values), message=message, values=values)


def red(name: str, command: str, message: str, **values: object) -> Line:
    """Return the line of a part that needs a person, and the command that helps."""
    detail = said(message, values)
    return Line(name, ok=False, detail=detail, command=command, message=message, values=values)


def healthy(message: str, **values: object) -> HealthReport:
    """Return the report of a part that works."""
    return HealthReport(healthy=True, detail=said(message, values), message=message, values=values)


def failing(message: str, command: str | None = None, **values: object) -> HealthReport:
    """Return the report of a part that doesn't work, and the command that helps."""
    return HealthReport(
        healthy=False,
        detail=said(message, values),
        command=command,
        message=message,
        values=values,
    )


def said(message: str, values: Mapping[str, object]) -> str:
    """Return a message with its values as the command line shows them: times in ISO 8601."""
    return message.format(**{name: _shown(value) for name, value in values.items()})


def rounded(age: timedelta) -> str:
    """Return a length of time in its largest unit: ``3 h``."""
    seconds = int(age.total_seconds())
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _shown(value: object) -> object:
    if isinstance(value, datetime):
        return timestamp(value)
    return rounded(value) if isinstance(value, timedelta) else value
