"""What the log lines of this moment are about: ids that the log puts beside its words.

They hold for the task that sets them and the tasks it starts. Work that many share (a
batch, a lane) is started in a context of its own, or it would go under the name of
whoever came first.
"""

from contextvars import ContextVar
from typing import Final

request_id: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
destination_id: Final[ContextVar[str | None]] = ContextVar("destination_id", default=None)
delivery_id: Final[ContextVar[str | None]] = ContextVar("delivery_id", default=None)

traceparent: Final[ContextVar[str | None]] = ContextVar("traceparent", default=None)
"""The position of the request's span, if it is traced; see :mod:`gateway.observability.tracing`."""

IDS: Final = (request_id, destination_id, delivery_id)
