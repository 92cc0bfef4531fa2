"""Context variables with ids that log lines carry: request, destination, delivery.

They hold for the task that sets them and the tasks it starts. Shared work (a batch, a lane)
starts in a context of its own; otherwise it would log the ids of the first caller.
"""

from contextvars import ContextVar
from typing import Final

request_id: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
destination_id: Final[ContextVar[str | None]] = ContextVar("destination_id", default=None)
delivery_id: Final[ContextVar[str | None]] = ContextVar("delivery_id", default=None)

traceparent: Final[ContextVar[str | None]] = ContextVar("traceparent", default=None)
"""The position of the request's span, if it is traced; see :mod:`gateway.observability.tracing`."""

IDS: Final = (request_id, destination_id, delivery_id)

FIELDS_OF: Final = "fields_in_order"
"""The attribute of a log record that has all its fields already, in the order of a line."""
