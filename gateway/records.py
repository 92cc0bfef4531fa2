"""What hooks hand over: records that say what a plugin brings.

A record holds data and async callables. The core calls those with a deadline and
writes down how it went; a hook itself is quick and never waits.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Column, MetaData, Row, Table
from sqlalchemy.ext.asyncio import AsyncConnection

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
class SealedColumn:
    """A column of sealed values, so that a new seal key reaches them too.

    ``key`` names the columns that tell the table's rows apart; ``row_id`` returns what a
    row's value was sealed for.
    """

    table: Table
    column: str
    key: tuple[str, ...]
    row_id: Callable[[Row[Any]], str]


@dataclass(frozen=True, slots=True)
class WaitColumn:
    """A column of moments (ms since 1970) that something waits for: when it is due, or free.

    When the clock is set back, those that lie ahead are brought forward by as much, to the
    present at most. Where it is when a lease ends, ``lease_seconds`` is the longest one: no
    lease is cut short that may have been taken just now.
    """

    column: Column[Any]
    lease_seconds: float = 0.0


Unresolved = Callable[[AsyncConnection, Collection[str]], Awaitable[Collection[str]]]
"""Of these ids, those of things that are not over yet."""


@dataclass(frozen=True, slots=True)
class PluginTables:
    """A plugin's own tables: their metadata, and the folder of its Alembic migrations.

    The first migration names the plugin as its branch label and has no parent. ``sealed``
    lists every column that holds what ``gateway.sealer`` sealed.

    ``unresolved`` is given ids that events are about, and returns those of your own things
    that are not over yet: as long as they aren't, housekeeping leaves what was told of them
    alone, whatever its age.

    ``waits`` lists the columns of moments that something waits for.
    """

    metadata: MetaData
    migrations: Path
    sealed: Sequence[SealedColumn] = ()
    unresolved: Unresolved | None = None
    waits: Sequence[WaitColumn] = ()


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
