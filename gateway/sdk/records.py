"""Records that hooks return: batches, sinks, jobs, health checks.

A record holds data and async callables. The core calls the callables with a deadline and
records the outcome; a hook itself is quick and never waits.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.errors import Problem
from gateway.model.account import Caller
from gateway.model.delivery import ClaimedDelivery, Destination, Outcome


@dataclass(frozen=True, slots=True)
class Batch:
    """Deliveries for one destination, to be attempted now.

    ``settings`` is the destination's own, converted to the sink's settings type.
    ``timeout_seconds`` is the deadline of each attempt, from connecting to the last byte.
    """

    destination: Destination
    settings: Any
    deliveries: Sequence[ClaimedDelivery]
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Sink:
    """A transport that delivers events to destinations of its ``kind``.

    ``deliver(batch)`` attempts every delivery of the batch, at most ``max_batch`` of them, and
    returns an :class:`Outcome` for each; a missing outcome counts as failed. Up to
    ``max_in_flight`` calls (a setting of the destination) run concurrently. ``public`` names the
    fields of ``settings`` that every plugin may see in ``route_events``; never name a secret.
    ``group`` is the group of commands that show and enable one of its destinations, ``page`` the
    path of the page that shows one, without its id: health and attention name them as the remedy.
    """

    kind: str
    settings: type[msgspec.Struct]
    deliver: Callable[[Batch], Awaitable[Sequence[Outcome]]]
    max_batch: int = 1
    public: tuple[str, ...] = ()
    group: str = "destinations"
    page: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Periodic work: ``run`` is called every ``every_seconds`` while the gateway runs.

    The next run begins that long after the last one ended, so runs don't overlap in a process. With
    ``once_per_cluster`` they don't overlap in the whole installation, and the interval counts from
    the last run of any process, also across a restart: use it for calls to another system that
    should happen once. After a process is killed, another runs the job half a minute later: a run
    may be repeated. ``plugin`` is set by the gateway.
    """

    name: str
    run: Callable[[], Awaitable[None]]
    every_seconds: float
    once_per_cluster: bool = False
    plugin: str = field(default="", compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The result of a health check. ``detail`` is one sentence for the operator.

    ``command`` is the remedy, which ``gateway status`` shows when it isn't healthy. ``message``
    with ``{…}`` for its ``values`` is the detail as the catalogs have it, where the page Plugins
    and health shows it in another language; a value may be a ``datetime``, a ``timedelta`` or a
    number, which is formatted for the reader.
    """

    healthy: bool
    detail: str
    command: str | None = None
    message: str = field(default="", compare=False, repr=False)
    values: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A check for ``/health/ready``, ``gateway check`` and ``gateway status``; takes up to 5 s.

    Without ``decides_readiness`` it is left out of ``/health/ready``. That is for problems of a
    person, such as a failed file, with which the gateway still accepts orders.
    """

    name: str
    check: Callable[[], Awaitable[HealthReport]]
    decides_readiness: bool = True


TIMES: Final = "\u00d7"
"""The sign between how many and what, in a detail of an attention item."""


@dataclass(frozen=True, slots=True)
class AttentionDetail:
    """A part of what is known of an :class:`AttentionItem`, without patient data.

    ``message`` with ``{…}`` for its ``values`` is translated by the plugin's catalog; times among
    them are written in the reader's way. A ``count`` of it stands in front, with :data:`TIMES`.
    """

    message: str
    values: Mapping[str, str | datetime] = field(default_factory=dict)
    count: int | None = None


@dataclass(frozen=True, slots=True)
class AttentionItem:
    """A problem that needs a person, in one sentence without patient data.

    ``kind`` and ``subject`` identify it while it lasts: two items never share them. ``since`` is
    the time it began, ``command`` the command that shows more or solves it. ``page`` is the
    dashboard's page for it (``endpoints/dst_1``), ``button`` the words of the button that leads
    there; ``count`` is the number of affected rows, ``is_bad`` means a failure. ``message`` with
    ``{…}`` for its ``values`` is the text as the plugin's catalog has it: pages show it in the
    reader's language, and ``button`` as well. ``details`` are shown below it, in a line: how many
    of which kind, since when, what comes next.
    """

    kind: str
    subject: str
    text: str
    since: datetime | None = None
    site: str | None = None
    command: str | None = None
    page: str | None = None
    button: str | None = None
    count: int = 1
    is_bad: bool = False
    message: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    details: Sequence[AttentionDetail] = ()


ATTENTION: Final = "gateway.attention"
"""The extension point of attention sources."""
PLACES: Final = "gateway.places"
"""The extension point of :class:`PlaceRules`: rules of places for ``[[sites]] rules``."""


SOURCES: Final = "gateway.sources"
"""The extension point of :class:`OrderSource`: the words of pages for sources of orders."""
TOPICS: Final = "gateway.topics"
"""The extension point of :class:`~gateway.model.change.Topic`: topics by which pages refresh."""


@dataclass(frozen=True, slots=True)
class OrderSource:
    """Words for a ``source`` of orders, such as ``OrderSource("csv", "Import")``.

    ``name`` is the ``source`` that the plugin passes to intake; ``words`` are translated by the
    plugin's catalog. A source without words is shown by its name.
    """

    name: str
    words: str


@dataclass(frozen=True, slots=True)
class AttentionSource:
    """Finds what needs a person. ``find(caller)`` takes up to 5 s and reports the present state.

    Callers without ``permission`` don't get its items. A source combines into one item what a
    person would handle together (``"3 prescriptions wait for review"``).
    """

    name: str
    permission: str
    find: Callable[[Caller], Awaitable[Sequence[AttentionItem]]]


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """An installed plugin, enabled or not, and the distribution that provides it.

    ``problem`` says why an enabled plugin could not be loaded; ``details`` has each of its reasons
    with its place in gateway.toml. ``remarks`` are faults that didn't stop it from loading.
    """

    name: str
    distribution: str
    version: str
    enabled: bool = False
    problem: str | None = None
    settings_file: Path | None = field(default=None, repr=False)
    """Its sample of gateway.toml, which ``gateway init`` includes."""
    details: Sequence[Problem] = field(default=(), repr=False, compare=False)
    remarks: Sequence[str] = ()
