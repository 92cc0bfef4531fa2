"""Where the log goes, in which form, and what stays out of it.

An entry is one line: time (UTC), level, logger, message, and behind that what it is
about, as far as it is known. With ``format = "json"`` each is an object with those keys.

Patient data stays out because it never gets here: the gateway logs ids, numbers and
words of its own. For what others log, more rules hold: libraries are heard from
"warning" on (below that they tell statements and addresses), only the fields named below
are written, and of an exception only its class and where it happened, never its words.
"""

import importlib.metadata
import logging
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from gateway.observability import log_context
from gateway.plugin_loader import ENTRY_POINT_GROUP
from gateway.settings import LoggingTable

# What an entry may bear beside its message, in this order.
FIELDS: Final = (
    "method", "route", "attempt", "status", "error", "duration_ms", "next_due",
    "request_id", "key_id", "destination_id", "delivery_id", "event_id",
)  # fmt: skip


def log_to_stderr(table: LoggingTable) -> None:
    """Send the log to stderr as ``[logging]`` says; stdout stays for data."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if table.format == "json" else TextLines())
    level = logging.getLevelNamesMapping()[table.level.upper()]
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
    plugins = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    ours = {"gateway", *(each.module.partition(".")[0] for each in plugins)}
    for name in ours:
        logging.getLogger(name).setLevel(level)
    # The root's level doesn't bind a library that set a level of its own.
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or _root(record) in ours)


def _root(record: logging.LogRecord) -> str:
    return record.name.partition(".")[0]


class TextLines(logging.Formatter):
    """An entry for people: its fields stand behind it as ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one entry; where it has an exception, that comes below."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record))
        head = f"{_time(record)} {record.levelname:<7} {record.name}: {_message(record)}{fields}"
        return "\n".join([head, *_exception(record)])


class JsonLines(logging.Formatter):
    """An entry for programs: one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one entry."""
        entry: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **dict(_fields(record)),
        }
        if lines := list(_exception(record)):
            entry["exception"] = "\n".join(lines)
        return msgspec.json.encode(entry).decode()


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    # Below its first line asyncio shows the task that failed, its exception's words included.
    return message.partition("\n")[0] if record.name == "asyncio" else message


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """Yield what the entry is about: what it was given, else what the moment is about."""
    around = {each.name: each.get() for each in log_context.IDS}
    for name in FIELDS:
        value = record.__dict__.get(name, around.get(name))
        if value is not None:
            yield name, value


def _exception(record: logging.LogRecord) -> Iterator[str]:
    """Yield where it happened, line by line, and behind that what kind of exception it was."""
    error = record.exc_info[1] if record.exc_info else None
    while error is not None:
        for frame in traceback.format_tb(error.__traceback__):
            yield frame.rstrip("\n")
        yield f"{type(error).__module__}.{type(error).__qualname__}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
