"""What is counted while the gateway works; :mod:`gateway.http.metrics` shows it.

Each gateway has one :class:`Metrics`, and its parts say to it in plain words what they
did. That is a dictionary and an addition, well below a microsecond, and where many
things happen together they are counted together. Numbers change on the event loop's
thread only.

Label values are ids and fixed words, never anything that was sent.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Final, Literal

Labels = tuple[str, ...]
Readings = Iterable[tuple[Labels, float]]
Rows = Sequence[tuple[Labels, Sequence[float]]]
"""What one family says: for each set of label values a number, or the row of a spread."""

Batching = Literal["intake", "tracking", "ledger", "keys", "audit"]

# So many different sets of labels are kept apart; past that, what is new counts as "other".
_MOST_SERIES: Final = 1_000
_MOST_ENDPOINTS: Final = 50_000

ENDPOINT: Final = "endpoint"
OUTCOMES: Final = ("delivered", "failed", "exhausted")

_ATTEMPT_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
_REQUEST_SECONDS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_BATCH_SIZES: Final = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0)


class Family(ABC):
    """Numbers of one name, told apart by the values of their labels."""

    def __init__(self, name: str, meaning: str, labels: Labels = ()) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self._most = _MOST_ENDPOINTS if ENDPOINT in labels else _MOST_SERIES

    @abstractmethod
    def rows(self) -> Rows:
        """Return the numbers as they are now."""

    def _kept_apart(self, labels: Labels, known: Collection[Labels]) -> Labels:
        return labels if len(known) < self._most else ("other",) * len(labels)


class Count(Family):
    """How often something happened: numbers that only grow."""

    def __init__(self, name: str, meaning: str, labels: Labels = ()) -> None:
        super().__init__(name, meaning, labels)
        self.values: dict[Labels, int] = {}

    def add(self, labels: Labels, amount: int = 1) -> None:
        """Count ``amount`` more; 0 makes the number known before anything happened."""
        try:
            self.values[labels] += amount
        except KeyError:
            kept = self._kept_apart(labels, self.values)
            self.values[kept] = self.values.get(kept, 0) + amount

    def keep(self, label: str, known: Collection[str]) -> None:
        """Forget what is told of others than ``known`` by this label."""
        place = self.labels.index(label)
        self.values = {each: n for each, n in self.values.items() if each[place] in known}

    def rows(self) -> Rows:
        """Return the numbers as they are now."""
        return [(labels, (number,)) for labels, number in self.values.items()]


class Spread(Family):
    """How large something was each time: how many stayed within each of ``bounds``.

    A row has one number more than there are bounds, for what was larger, and at its end
    the sum of all.
    """

    def __init__(self, name: str, meaning: str, labels: Labels, bounds: tuple[float, ...]) -> None:
        super().__init__(name, meaning, labels)
        self.bounds = bounds
        self._rows: dict[Labels, list[float]] = {}

    def add(self, labels: Labels, value: float) -> None:
        """Count one that was ``value`` large."""
        row = self._rows.get(labels)
        if row is None:
            kept = self._kept_apart(labels, self._rows)
            row = self._rows.setdefault(kept, [0.0] * (len(self.bounds) + 2))
        row[bisect_left(self.bounds, value)] += 1
        row[-1] += value

    def keep(self, label: str, known: Collection[str]) -> None:
        """Forget what is told of others than ``known`` by this label."""
        place = self.labels.index(label)
        self._rows = {each: row for each, row in self._rows.items() if each[place] in known}

    def rows(self) -> Rows:
        """Return the numbers as they are now."""
        return [(labels, tuple(row)) for labels, row in self._rows.items()]


class Reading(Family):
    """A number that somebody else keeps; ``read`` is set by whoever that is."""

    def __init__(
        self, name: str, meaning: str, labels: Labels = (), *, grows: bool = False
    ) -> None:
        super().__init__(name, meaning, labels)
        self.grows = grows
        self.read: Callable[[], Readings] = tuple

    def rows(self) -> Rows:
        """Return the numbers as they are now."""
        return [(labels, (number,)) for labels, number in self.read()]


class Metrics:
    """Everything that one gateway counts, in one process."""

    def __init__(self) -> None:
        self.orders = Count(
            "gateway_orders", "Orders handed in, by what became of each.", ("source", "outcome")
        )
        self.updates = Count(
            "gateway_updates", "Delivery updates handed in, by what became of each.", ("outcome",)
        )
        self.events = Count("gateway_events", "Events recorded, by type.", ("type",))
        self.deliveries = Count(
            "gateway_deliveries",
            "Tries to deliver: delivered, failed (another follows), exhausted (given up).",
            (ENDPOINT, "outcome"),
        )
        self.attempt_seconds = Spread(
            "gateway_attempt_duration_seconds",
            "How long each try to deliver took.",
            (ENDPOINT,),
            _ATTEMPT_SECONDS,
        )
        self.batch_sizes = Spread(
            "gateway_batch_size",
            "How many items went into one transaction together.",
            ("batcher",),
            _BATCH_SIZES,
        )
        self.requests = Count(
            "gateway_http_requests",
            "Requests answered, by route and status.",
            ("method", "route", "status"),
        )
        self.request_seconds = Spread(
            "gateway_http_request_duration_seconds",
            "From a request's first byte to its answer's last.",
            ("method", "route"),
            _REQUEST_SECONDS,
        )
        self.job_failures = Count(
            "gateway_job_failures", "Runs of a job that ended in an error.", ("name",)
        )
        self.plugin_failures = Reading(
            "gateway_plugin_failures",
            "Calls of a hook that ended in an error and were passed over.",
            ("plugin", "hook"),
            grows=True,
        )
        self.in_flight = Reading(
            "gateway_in_flight", "Deliveries being tried at this moment.", (ENDPOINT,)
        )
        self.sweep_age = Reading(
            "gateway_engine_sweep_age_seconds",
            "How long ago the engine last looked for work that is due; it does so every second.",
        )

    def families(self) -> Sequence[Count | Spread | Reading]:
        """Return everything that is counted."""
        return tuple(vars(self).values())

    def taken(self) -> dict[str, Rows]:
        """Return all numbers as they are now, by family."""
        return {family.name: family.rows() for family in self.families()}

    def orders_taken(self, source: str, outcomes: Iterable[str]) -> None:
        """Note what became of orders that came in together."""
        for outcome, number in _counted(outcomes).items():
            self.orders.add((source, outcome), number)

    def updates_taken(self, outcomes: Iterable[str]) -> None:
        """Note what became of delivery updates that were applied together."""
        for outcome, number in _counted(outcomes).items():
            self.updates.add((outcome,), number)

    def events_recorded(self, types: Iterable[str]) -> None:
        """Note the types of events that were committed together."""
        for event_type, number in _counted(types).items():
            self.events.add((event_type,), number)

    def attempted(
        self, endpoint: str, outcome: Literal["delivered", "failed", "exhausted"], seconds: float
    ) -> None:
        """Note one try to deliver."""
        self.deliveries.add((endpoint, outcome))
        self.attempt_seconds.add((endpoint,), seconds)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note a request that was answered; ``route`` is its template, never its path."""
        self.requests.add((method, route, str(status)))
        self.request_seconds.add((method, route), seconds)

    def batches(self, batcher: Batching) -> Callable[[float], None]:
        """Return what a batcher tells the size of each of its batches to."""
        return partial(self.batch_sizes.add, (batcher,))

    def keep_endpoints(self, known: Collection[str]) -> None:
        """Forget the endpoints that are gone."""
        self.deliveries.keep(ENDPOINT, known)
        self.attempt_seconds.keep(ENDPOINT, known)


def _counted(words: Iterable[str]) -> dict[str, int]:
    """Count each; for the few that come together, quicker than ``collections.Counter``."""
    numbers: dict[str, int] = {}
    for word in words:
        numbers[word] = numbers.get(word, 0) + 1
    return numbers
