"""Log output: destination, format, and filters that keep patient data out.

An entry is one line: time (UTC), level, logger, message, and fields such as ids. With
``format = "json"`` each entry is an object with those keys.

The gateway itself logs ids, numbers and fixed words only. Further rules keep the patient data of
libraries out: they log from "warning" on (below that they log statements and addresses), only the
fields named below are written, and an exception is logged with its class and stack, never with its
message.
"""

import importlib.metadata
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TextIO

import msgspec

from gateway.installed_plugins.discovery import ENTRY_POINT_GROUP
from gateway.observability import log_context
from gateway.settings import LoggingTable

# The fields of an entry beside its message, in this order.
FIELDS: Final = (
    "method", "route", "attempt", "status", "error", "cause", "duration_ms", "next_due",
    "request_id", "key_id", "destination_id", "delivery_id", "event_id",
)  # fmt: skip


def log_to_stderr(table: LoggingTable) -> None:
    """Configure logging to stderr by ``[logging]``; stdout is for data."""
    handler = Lines(sys.stderr)
    handler.setFormatter(JsonLines() if table.format == "json" else TextLines())
    level = logging.getLevelNamesMapping()[table.level.upper()]
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
    plugins = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    ours = {"gateway", *(each.module.partition(".")[0] for each in plugins)}
    for name in ours:
        logging.getLogger(name).setLevel(level)
    # The root's level doesn't apply to a library that sets its own.
    # No format of ours names the line, thread or process that an entry comes from; looking them up
    # takes a third of what a line costs ("Optimization" in Python's logging HOWTO).
    logging._srcfile = None  # noqa: SLF001 - as the HOWTO says
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or _root(record) in ours)


def _root(record: logging.LogRecord) -> str:
    return record.name.partition(".")[0]


class Lines(logging.StreamHandler[TextIO]):
    """Writes each entry at once, in one piece."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one entry."""
        try:
            self.stream.write(f"{self.format(record)}\n")
            self.stream.flush()
        except Exception:  # noqa: BLE001 - as logging's own: no log line ends a request
            self.handleError(record)


class TextLines(logging.Formatter):
    """Text format: fields follow the message as ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one entry, with its exception on the lines below."""
        fields = "".join([f" {name}={value}" for name, value in _fields(record)])
        head = f"{_time(record)} {record.levelname:<7} {record.name}: {_message(record)}{fields}"
        return "\n".join([head, *_exception(record)])


class JsonLines(logging.Formatter):
    """JSON format: one object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one entry."""
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
    second, microseconds = divmod(round(record.created * 1_000_000), 1_000_000)
    return f"{_to_the_second(second)}.{microseconds // 1000:03d}Z"


@lru_cache(maxsize=4)
def _to_the_second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().removesuffix("+00:00")


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    # asyncio's further lines show the failed task, including its exception's message.
    return message.partition("\n")[0] if record.name == "asyncio" else message


def _fields(record: logging.LogRecord) -> list[tuple[str, Any]]:
    """Return the fields of the entry, else those of the log context."""
    ready: Mapping[str, Any] | None = record.__dict__.get(log_context.FIELDS_OF)
    if ready is not None:
        return [each for each in ready.items() if each[1] is not None]
    known = {each.name: each.get() for each in log_context.IDS} | record.__dict__
    return [(name, value) for name in FIELDS if (value := known.get(name)) is not None]


def _exception(record: logging.LogRecord) -> Iterator[str]:
    """Yield the stack and the class of the exception and of its causes."""
    error = record.exc_info[1] if record.exc_info else None
    while error is not None:
        for frame in traceback.format_tb(error.__traceback__):
            yield frame.rstrip("\n")
        yield f"{type(error).__module__}.{type(error).__qualname__}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
