"""What hooks hand over: records that say what a plugin brings.

A record holds data and async callables. The core calls those with a deadline and
writes down how it went; a hook itself is quick and never waits.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gateway.model.delivery import ClaimedDelivery, Destination, Outcome


@dataclass(frozen=True, slots=True)
class Batch:
    """Deliveries for one destination, to be tried now.

    ``settings`` is the destination's own, read as the sink's settings type.
    ``timeout_seconds`` is the deadline for each try, from connecting to the last byte.
    """

    destination: Destination
    settings: Any
    deliveries: Sequence[ClaimedDelivery]
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Sink:
    """A way to carry events to a destination.

    ``deliver(batch)`` tries every delivery of the batch, at most ``max_batch`` of them,
    and returns an :class:`Outcome` for each; one that is missing counts as failed. It is
    called as often at a time as the destination's ``max_in_flight`` allows.
    """

    kind: str
    settings: type[msgspec.Struct]
    deliver: Callable[[Batch], Awaitable[Sequence[Outcome]]]
    max_batch: int = 1


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be done again and again while the gateway runs, ``every_seconds``."""

    name: str
    run: Callable[[], Awaitable[None]]
    every_seconds: float


@dataclass(frozen=True, slots=True)
class HealthReport:
    """How a part of the gateway is. ``detail`` is one sentence for the operator."""

    healthy: bool
    detail: str


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A question that ``/health/ready`` and ``gateway check`` ask; answered within 5 seconds."""

    name: str
    check: Callable[[], Awaitable[HealthReport]]


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """A plugin that is there, enabled or not: which distribution brought it, and how it is."""

    name: str
    distribution: str
    version: str
    enabled: bool = False
    problem: str | None = None
    settings_file: Path | None = field(default=None, repr=False)
    """Its annotated part of gateway.toml, for ``gateway init``."""
