"""``GET /metrics``: what is counted, and what waits, in Prometheus' text format 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/

Public, for there is nothing in it but numbers, ids and fixed words. The page is made at
most once a second, however often it is asked for.
"""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Final, get_args

from litestar import Response, Router, get
from litestar.handlers import HTTPRouteHandler
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

from gateway.model.delivery import DestinationState
from gateway.observability.metrics import (
    ENDPOINT,
    OUTCOMES,
    Count,
    Family,
    Labels,
    Metrics,
    Reading,
    Rows,
    Spread,
)
from gateway.observability.metrics_sharing import Taken
from gateway.runtime import Gateway
from gateway.storage.stores.backlog import Backlog, BacklogReader
from gateway.version import __version__

_log = logging.getLogger(__name__)

_KEPT_SECONDS: Final = 1.0
_MEDIA_TYPE: Final = "text/plain; version=0.0.4"  # Litestar adds the charset


def metrics_router(gateway: Gateway) -> Router:
    """Make ``/metrics``."""
    page = MetricsPage(gateway)

    @get("/metrics", opt={"public": True}, summary="Numbers for Prometheus")
    async def metrics() -> Response[bytes]:
        """Return what is counted since the start, and what waits now, for Prometheus to scrape."""
        return Response(await page.text(), media_type=_MEDIA_TYPE)

    handlers: list[HTTPRouteHandler] = [metrics]
    return Router("/", route_handlers=handlers, tags=["Health"])


class MetricsPage(Collector):
    """One gateway's page, with a registry of its own."""

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
        """Return the page, made now or within the last second."""
        clock = self._gateway.clock
        async with self._turn:
            if not self._text or clock.monotonic_seconds() >= self._kept_until:
                self._families = [each async for each in self._gathered()]
                # With thousands of endpoints it takes a while: others are answered meanwhile.
                self._text = await asyncio.to_thread(generate_latest, self._registry)
                self._kept_until = clock.monotonic_seconds() + _KEPT_SECONDS
            return self._text

    def collect(self) -> Iterable[Metric]:
        """Hand the registry what was gathered for this page."""
        return self._families

    async def _gathered(self) -> AsyncIterator[Metric]:
        gateway, known = self._gateway, None
        backlog = await _read(gateway.backlog)
        if backlog is not None:
            known = backlog.queues.keys()
            gateway.metrics.keep_endpoints(known)
        shared = gateway.shared_metrics
        taken = {"": gateway.metrics.taken()} if shared is None else await shared.of_everybody()
        for metric in _counted(gateway.metrics, taken, known):
            yield metric
        yield InfoMetricFamily("gateway", "Which version runs.", {"version": __version__})
        yield _gauge(
            "gateway_database_up", "1 while the database answers, else 0.", backlog is not None
        )
        free_bytes = await asyncio.to_thread(_free_bytes, gateway.settings.gateway.data_dir)
        if free_bytes is not None:
            yield _gauge(
                "gateway_disk_free_bytes", "Room left on the disk of data_dir.", free_bytes
            )
        if backlog is not None:
            for metric in _waiting(backlog):
                yield metric
            for metric in _work_queues(backlog):
                yield metric


def _counted(
    metrics: Metrics, taken: Mapping[str, Taken], known: Collection[str] | None
) -> Iterator[Metric]:
    """Yield what was counted; with more than one process, each number says whose it is."""
    for family in metrics.families():
        rows = [
            (((*labels, process) if process else labels), numbers)
            for process, numbers_of in taken.items()
            for labels, numbers in _known(family, numbers_of, known)
        ]
        labels = family.labels if "" in taken else (*family.labels, "process")
        match family:
            case Spread():
                yield _histogram(family, labels, rows)
            case Count() | Reading(grows=True):
                yield _counter(family, labels, rows)
            case Reading():
                gauge = GaugeMetricFamily(family.name, family.meaning, labels=labels)
                for each, [number] in rows:
                    gauge.add_metric(each, number)
                yield gauge


def _known(family: Family, taken: Taken, known: Collection[str] | None) -> Rows:
    """Leave out what is told of endpoints that are gone; begin at 0 where deliveries are carried.

    A counter that is first seen at 1 has not grown, for Prometheus: its first step would
    go unnoticed.
    """
    rows = taken.get(family.name, ())
    if known is None or ENDPOINT not in family.labels:
        return rows
    there: dict[Labels, Sequence[float]] = {}
    if family.name == "gateway_deliveries" and taken.get("gateway_engine_sweep_age_seconds"):
        there = {(endpoint, outcome): (0,) for endpoint in known for outcome in OUTCOMES}
    there.update((labels, numbers) for labels, numbers in rows if labels[0] in known)
    return list(there.items())


def _waiting(backlog: Backlog) -> Iterator[Metric]:
    """Yield what waits, for each endpoint that was not removed."""
    by_state = GaugeMetricFamily("gateway_endpoints", "Endpoints by state.", labels=("state",))
    due = GaugeMetricFamily(
        "gateway_deliveries_due",
        "Deliveries that may be tried by now; where there are very many it stops counting.",
        labels=(ENDPOINT,),
    )
    age = GaugeMetricFamily(
        "gateway_queue_age_seconds",
        "How long the oldest delivery that could go out at once has been due.",
        labels=(ENDPOINT,),
    )
    failing = GaugeMetricFamily(
        "gateway_endpoint_failing_seconds",
        "How long an active endpoint has done nothing but fail; 0 when it is well.",
        labels=(ENDPOINT,),
    )
    breaker = GaugeMetricFamily(
        "gateway_endpoint_breaker_open",
        "1 while an endpoint that kept failing is left alone but for one try now and then.",
        labels=(ENDPOINT,),
    )
    held = GaugeMetricFamily(
        "gateway_endpoint_held_seconds",
        "How much longer nothing is sent: its breaker is open, or it asked for a pause.",
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


def _histogram(family: Spread, labels: Labels, rows: Rows) -> Metric:
    histogram = HistogramMetricFamily(family.name, family.meaning, labels=labels)
    bounds = [*map(str, family.bounds), "+Inf"]
    for each, (*numbers, total) in rows:
        if len(numbers) == len(bounds):  # else: a process of another version, with other bounds
            histogram.add_metric(each, list(zip(bounds, accumulate(numbers), strict=True)), total)
    return histogram


async def _read(reader: BacklogReader) -> Backlog | None:
    """Read the backlog, if the database lets us: the rest of the page is told without it."""
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
