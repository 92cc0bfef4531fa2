"""The counters, gauges and histograms of one gateway, which ``/metrics`` exports.

Each gateway has one :class:`Metrics`. Updating a metric is a dictionary access and an
addition, about 0.1 µs, without a lock: metrics change on the event loop's thread only.
prometheus_client's own classes take 2 µs and 50 µs an endpoint to collect
(docs/decisions says more); its exposition format is used as it is.

Label values are ids and fixed words, never anything from a request.
"""

import re
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Literal

from gateway.errors import PluginError

Labels = tuple[str, ...]
Samples = Iterable[tuple[Labels, float]]
Rows = Sequence[tuple[Labels, Sequence[float]]]
"""Label values with a number, or with the row of a histogram."""
Snapshot = Mapping[str, Rows]
"""All numbers of one process, by family name."""

Batching = Literal["intake", "tracking", "ledger", "keys", "audit"]

# Label sets per metric; further ones are counted as "other".
_MAX_SERIES: Final = 1_000
_MAX_ENDPOINTS: Final = 50_000

_PLUGIN_METRIC: Final = re.compile(r"gateway_[a-z][a-z0-9]*(?:_[a-z0-9]+)+", re.ASCII)

ENDPOINT: Final = "endpoint"
OUTCOMES: Final = ("delivered", "failed", "exhausted")

_ATTEMPT_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
_REQUEST_SECONDS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_BATCH_SIZES: Final = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0)


class Family(ABC):
    """A metric family: one name, with a number for each set of label values."""

    def __init__(self, name: str, meaning: str, labels: Labels = ()) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self._max_series = _MAX_ENDPOINTS if ENDPOINT in labels else _MAX_SERIES

    @abstractmethod
    def rows(self) -> Rows:
        """Return the current numbers."""

    def _capped(self, labels: Labels, known: Collection[Labels]) -> Labels:
        return labels if len(known) < self._max_series else ("other",) * len(labels)


class Counter(Family):
    """Numbers that only grow."""

    def __init__(self, name: str, meaning: str, labels: Labels = ()) -> None:
        super().__init__(name, meaning, labels)
        self.values: dict[Labels, int] = {}

    def inc(self, labels: Labels, amount: int = 1) -> None:
        """Add ``amount``; 0 creates the series, so that its first increase is visible."""
        try:
            self.values[labels] += amount
        except KeyError:
            kept = self._capped(labels, self.values)
            self.values[kept] = self.values.get(kept, 0) + amount

    def retain(self, label: str, known: Collection[str]) -> None:
        """Remove the series whose ``label`` is not in ``known``."""
        place = self.labels.index(label)
        self.values = {each: n for each, n in self.values.items() if each[place] in known}

    def rows(self) -> Rows:
        """Return the current numbers."""
        return [(labels, (number,)) for labels, number in self.values.items()]


class Histogram(Family):
    """Observations counted in buckets with the upper ``bounds``.

    A row has a count for each bound, one for larger values, and the sum of all values.
    """

    def __init__(self, name: str, meaning: str, labels: Labels, bounds: tuple[float, ...]) -> None:
        super().__init__(name, meaning, labels)
        self.bounds = bounds
        self._rows: dict[Labels, list[float]] = {}

    def observe(self, labels: Labels, value: float) -> None:
        """Count an observation."""
        row = self._rows.get(labels)
        if row is None:
            kept = self._capped(labels, self._rows)
            row = self._rows.setdefault(kept, [0.0] * (len(self.bounds) + 2))
        row[bisect_left(self.bounds, value)] += 1
        row[-1] += value

    def retain(self, label: str, known: Collection[str]) -> None:
        """Remove the series whose ``label`` is not in ``known``."""
        place = self.labels.index(label)
        self._rows = {each: row for each, row in self._rows.items() if each[place] in known}

    def rows(self) -> Rows:
        """Return the current numbers."""
        return [(labels, tuple(row)) for labels, row in self._rows.items()]


class Gauge(Family):
    """Numbers read from their owner, which sets ``read``. ``grows``: exported as a counter."""

    def __init__(
        self, name: str, meaning: str, labels: Labels = (), *, grows: bool = False
    ) -> None:
        super().__init__(name, meaning, labels)
        self.grows = grows
        self.read: Callable[[], Samples] = tuple

    def rows(self) -> Rows:
        """Return the current numbers."""
        return [(labels, (number,)) for labels, number in self.read()]


class Metrics:
    """The metrics of one gateway in one process."""

    def __init__(self) -> None:
        self.orders = Counter(
            "gateway_orders", "Orders received, by outcome.", ("source", "outcome")
        )
        self.updates = Counter(
            "gateway_updates", "Delivery updates received, by outcome.", ("outcome",)
        )
        self.events = Counter("gateway_events", "Events recorded, by type.", ("type",))
        self.deliveries = Counter(
            "gateway_deliveries",
            "Delivery attempts: delivered, failed (a retry follows), exhausted (no retry left).",
            (ENDPOINT, "outcome"),
        )
        self.attempt_seconds = Histogram(
            "gateway_attempt_duration_seconds",
            "Duration of delivery attempts.",
            (ENDPOINT,),
            _ATTEMPT_SECONDS,
        )
        self.batch_sizes = Histogram(
            "gateway_batch_size",
            "Items per transaction.",
            ("batcher",),
            _BATCH_SIZES,
        )
        self.requests = Counter(
            "gateway_http_requests",
            "HTTP requests by route and status.",
            ("method", "route", "status"),
        )
        self.request_seconds = Histogram(
            "gateway_http_request_duration_seconds",
            "From a request's first byte to its response's last.",
            ("method", "route"),
            _REQUEST_SECONDS,
        )
        self.connections = Gauge("gateway_http_connections", "Open HTTP connections.")
        self.connections_refused = Counter(
            "gateway_http_connections_refused",
            "Connections refused, evicted or closed for a cap or a deadline.",
            ("reason",),
        )
        self.loop_blocks = Counter(
            "gateway_event_loop_blocks",
            "Times that the event loop was blocked for more than 100 ms, by function.",
            ("place",),
        )
        self.job_failures = Counter("gateway_job_failures", "Job runs that failed.", ("name",))
        self.plugin_failures = Gauge(
            "gateway_plugin_failures",
            "Hook calls that failed and were skipped.",
            ("plugin", "hook"),
            grows=True,
        )
        self.in_flight = Gauge("gateway_in_flight", "Delivery attempts in flight.", (ENDPOINT,))
        self.sweep_age = Gauge(
            "gateway_engine_sweep_age_seconds",
            "Time since the engine last looked for due work, which it does every second.",
        )

        self._of_plugins: dict[str, Counter] = {}

    def counter(self, name: str, meaning: str, labels: Labels = ()) -> Counter:
        """Return a plugin's counter, the same one for a name that it has made before.

        Raises ``PluginError`` for a name that isn't a metric's, or is one of the gateway's own.
        """
        own = {each.name for each in vars(self).values() if isinstance(each, Family)}
        if not _PLUGIN_METRIC.fullmatch(name) or name in own:
            raise PluginError(f"a plugin can't count {name}: name it gateway_<plugin>_<what>")
        return self._of_plugins.setdefault(name, Counter(name, meaning, labels))

    def families(self) -> Sequence[Counter | Histogram | Gauge]:
        """Return every metric family."""
        own = (
            each for each in vars(self).values() if isinstance(each, Counter | Histogram | Gauge)
        )
        return (*own, *self._of_plugins.values())

    def snapshot(self) -> dict[str, Rows]:
        """Return all current numbers, by family name."""
        return {family.name: family.rows() for family in self.families()}

    def orders_taken(self, source: str, outcomes: Iterable[str]) -> None:
        """Count the orders of a submission by outcome."""
        for outcome, number in _counted(outcomes).items():
            self.orders.inc((source, outcome), number)

    def updates_taken(self, outcomes: Iterable[str]) -> None:
        """Count the delivery updates of a batch by outcome."""
        for outcome, number in _counted(outcomes).items():
            self.updates.inc((outcome,), number)

    def events_recorded(self, types: Iterable[str]) -> None:
        """Count the events of a transaction by type."""
        for event_type, number in _counted(types).items():
            self.events.inc((event_type,), number)

    def attempted(
        self, endpoint: str, outcome: Literal["delivered", "failed", "exhausted"], seconds: float
    ) -> None:
        """Count a delivery attempt."""
        self.deliveries.inc((endpoint, outcome))
        self.attempt_seconds.observe((endpoint,), seconds)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a finished request; ``route`` is its template, never its path."""
        self.requests.inc((method, route, str(status)))
        self.request_seconds.observe((method, route), seconds)

    def loop_blocked(self, place: str) -> None:
        """Count a block of the event loop; ``place`` is a module and a function."""
        self.loop_blocks.inc((place,))

    def batches(self, batcher: Batching) -> Callable[[float], None]:
        """Return an observer of a batcher's batch sizes."""
        return partial(self.batch_sizes.observe, (batcher,))

    def retain_endpoints(self, known: Collection[str]) -> None:
        """Remove the series of deleted endpoints."""
        self.deliveries.retain(ENDPOINT, known)
        self.attempt_seconds.retain(ENDPOINT, known)


def _counted(words: Iterable[str]) -> dict[str, int]:
    """Count words; faster than ``collections.Counter`` for the few of one batch."""
    numbers: dict[str, int] = {}
    for word in words:
        numbers[word] = numbers.get(word, 0) + 1
    return numbers
