"""The page for Prometheus: the counters of this gateway's processes, and the backlog.

Public: it contains numbers, ids and fixed words only. The page is generated at most once a
second.
"""

import asyncio
import logging
import math
import shutil
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Final, get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import from_epoch_ms
from gateway.errors import StorageError
from gateway.health.readiness import Readiness
from gateway.model.delivery import DestinationState
from gateway.observability.metrics import (
    ENDPOINT,
    OUTCOMES,
    Counter,
    Family,
    Gauge,
    Histogram,
    Labels,
    Metrics,
    Rows,
    Snapshot,
)
from gateway.runtime import Gateway
from gateway.storage.stores.backlog import Backlog, BacklogReader
from gateway.storage.stores.installation import BACKUP_FAILED, LAST_BACKUP, read_fact
from gateway.version import __version__, build_id

_log = logging.getLogger(__name__)

_KEPT_SECONDS: Final = 1.0


class MetricsPage(Collector):
    """The page of one gateway, with its own registry."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._families: Sequence[Metric] = ()
        self._turn = asyncio.Lock()
        self._text = b""
        self._kept_until = 0.0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    async def text(self) -> bytes:
        """Return the page, at most a second old."""
        clock = self._gateway.clock
        async with self._turn:
            if not self._text or clock.monotonic_seconds() >= self._kept_until:
                self._families = [each async for each in self._gathered()]
                # Slow with thousands of endpoints, so off the event loop.
                self._text = await asyncio.to_thread(generate_latest, self._registry)
                self._kept_until = clock.monotonic_seconds() + _KEPT_SECONDS
            return self._text

    def collect(self) -> Iterable[Metric]:
        """Return the families gathered for this page to the registry."""
        return self._families

    async def _gathered(self) -> AsyncIterator[Metric]:
        gateway, known = self._gateway, None
        backlog = await _read(gateway.backlog)
        if backlog is not None:
            known = backlog.queues.keys()
            gateway.metrics.retain_endpoints(known)
        shared = gateway.shared_metrics
        snapshots = (
            {"": gateway.metrics.snapshot()} if shared is None else await shared.all_processes()
        )
        for metric in _counted(gateway.metrics, snapshots, known):
            yield metric
        yield InfoMetricFamily(
            "gateway", "The running version.", {"version": __version__, "build": build_id()}
        )
        yield await _attention(gateway)
        yield _gauge(
            "gateway_database_up", "1 while the database answers, else 0.", backlog is not None
        )
        free_bytes = await asyncio.to_thread(_free_bytes, gateway.settings.gateway.data_dir)
        if free_bytes is not None:
            yield _gauge("gateway_disk_free_bytes", "Free disk space of data_dir.", free_bytes)
        if backlog is not None:
            for metric in await _backup(gateway):
                yield metric
            for metric in _backlog(backlog):
                yield metric
            for metric in _work_queues(backlog):
                yield metric


def _counted(
    metrics: Metrics, snapshots: Mapping[str, Snapshot], known: Collection[str] | None
) -> Iterator[Metric]:
    """Yield the counted metrics; with several processes, with the label ``process``."""
    for family in metrics.families():
        rows = [
            (((*labels, process) if process else labels), numbers)
            for process, snapshot in snapshots.items()
            for labels, numbers in _known(family, snapshot, known)
        ]
        labels = family.labels if "" in snapshots else (*family.labels, "process")
        match family:
            case Histogram():
                yield _histogram(family, labels, rows)
            case Counter() | Gauge(grows=True):
                yield _counter(family, labels, rows)
            case Gauge():
                gauge = GaugeMetricFamily(family.name, family.meaning, labels=labels)
                for each, [number] in rows:
                    gauge.add_metric(each, number)
                yield gauge


def _known(family: Family, snapshot: Snapshot, known: Collection[str] | None) -> Rows:
    """Leave out deleted endpoints; start at 0 in processes that deliver.

    Prometheus sees no increase in a counter that first appears at 1.
    """
    rows = snapshot.get(family.name, ())
    if known is None or ENDPOINT not in family.labels:
        return rows
    present: dict[Labels, Sequence[float]] = {}
    if family.name == "gateway_deliveries" and snapshot.get("gateway_engine_sweep_age_seconds"):
        present = {(endpoint, outcome): (0,) for endpoint in known for outcome in OUTCOMES}
    present.update((labels, numbers) for labels, numbers in rows if labels[0] in known)
    return list(present.items())


def _backlog(backlog: Backlog) -> Iterator[Metric]:
    """Return the backlog metrics of each endpoint."""
    by_state = GaugeMetricFamily("gateway_endpoints", "Endpoints by state.", labels=("state",))
    due = GaugeMetricFamily(
        "gateway_deliveries_due",
        "Due deliveries; counting stops at a limit.",
        labels=(ENDPOINT,),
    )
    age = GaugeMetricFamily(
        "gateway_queue_age_seconds",
        "How long the oldest delivery that could be sent now has been due.",
        labels=(ENDPOINT,),
    )
    failing = GaugeMetricFamily(
        "gateway_endpoint_failing_seconds",
        "How long an active endpoint has only failed; 0 when healthy.",
        labels=(ENDPOINT,),
    )
    breaker = GaugeMetricFamily(
        "gateway_endpoint_breaker_open",
        "1 while the endpoint's circuit breaker is open.",
        labels=(ENDPOINT,),
    )
    held = GaugeMetricFamily(
        "gateway_endpoint_held_seconds",
        "Time until deliveries resume: open breaker, or Retry-After.",
        labels=(ENDPOINT,),
    )
    states = [queue.state for queue in backlog.queues.values()]
    for state in get_args(DestinationState):
        by_state.add_metric((state,), states.count(state))
    for name, queue in backlog.queues.items():
        failing_since = queue.failing_since if queue.state == "active" else None
        due.add_metric((name,), queue.due)
        age.add_metric((name,), _seconds(queue.oldest_due_at, backlog.read_at))
        failing.add_metric((name,), _seconds(failing_since, backlog.read_at))
        breaker.add_metric((name,), queue.breaker == "open")
        held.add_metric((name,), _seconds(backlog.read_at, queue.held_until or backlog.read_at))
    return iter((by_state, due, age, failing, breaker, held))


async def _attention(gateway: Gateway) -> Metric:
    """Return the plugins' checks of what a person has to look at."""
    metric = GaugeMetricFamily(
        "gateway_check_ok",
        "0 while a check that a person has to see to fails, else 1; gateway status has the detail.",
        labels=("check",),
    )
    for name, report in (await Readiness(gateway).advisory_reports()).items():
        metric.add_metric((name,), report.healthy)
    return metric


async def _backup(gateway: Gateway) -> list[Metric]:
    """Return the age of the last backup; of PostgreSQL's own nothing is known."""
    try:
        async with gateway.database.read() as connection:
            made = await read_fact(connection, LAST_BACKUP)
            failed = await read_fact(connection, BACKUP_FAILED)
    except (SQLAlchemyError, OSError, StorageError):  # gateway_database_up says so
        return []
    age_seconds = math.inf
    if made is not None:
        age_seconds = _seconds(from_epoch_ms(int(made)), gateway.clock.now())
    elif gateway.database.dialect == "postgresql":
        return []
    return [
        _gauge(
            "gateway_backup_age_seconds",
            "Time since the last gateway backup; +Inf on SQLite when none was made.",
            age_seconds,
        ),
        _gauge(
            "gateway_backup_failed", "1 when the last gateway backup failed.", failed is not None
        ),
    ]


def _work_queues(backlog: Backlog) -> Iterator[Metric]:
    """Yield the depths of the plugins' queues."""
    items = GaugeMetricFamily(
        "gateway_work_queue_items",
        "Items of a plugin's queue: due, waiting (due later), leased (in work), dead letters; "
        "each stops counting at 10,000.",
        labels=("queue", "state"),
    )
    age = GaugeMetricFamily(
        "gateway_work_queue_age_seconds",
        "How long the oldest item that could be in work has been due.",
        labels=("queue",),
    )
    for name, depth in backlog.work_queues.items():
        for state in ("due", "waiting", "leased", "dead"):
            items.add_metric((name, state), getattr(depth, state))
        age.add_metric((name,), _seconds(depth.claimable_since, backlog.read_at))
    return iter((items, age))


def _seconds(since: datetime | None, at: datetime) -> float:
    return 0.0 if since is None else max(0.0, (at - since).total_seconds())


def _gauge(name: str, meaning: str, number: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=number)


def _counter(family: Family, labels: Labels, rows: Rows) -> Metric:
    counter = CounterMetricFamily(family.name, family.meaning, labels=labels)
    for each, [number] in rows:
        counter.add_metric(each, number)
    return counter


def _histogram(family: Histogram, labels: Labels, rows: Rows) -> Metric:
    histogram = HistogramMetricFamily(family.name, family.meaning, labels=labels)
    bounds = [*map(str, family.bounds), "+Inf"]
    for each, (*numbers, total) in rows:
        if len(numbers) == len(bounds):  # else: a process of another version, with other bounds
            histogram.add_metric(each, list(zip(bounds, accumulate(numbers), strict=True)), total)
    return histogram


async def _read(reader: BacklogReader) -> Backlog | None:
    """Read the backlog; ``None`` if the database fails: the rest of the page works without it."""
    try:
        return await reader.read()
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        _log.warning("the backlog can't be read: %s", type(error).__name__)
        return None


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
