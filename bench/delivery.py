"""(b) How fast webhooks go out, next to a bare loop of the same client."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from intake import BATCH, CONNECTIONS, Ceiling, measure_ceiling
from part import Part, Plan
from stage import SINK_PORTS, GatewayServer, Sink, Stage
from table import Table, rate, ratio

IN_FLIGHT: Final = 32  # an endpoint's default
# The bare loop is quick: it needs more of them to be measured for as long.
_BARE_TIMES: Final = 3
MANY: Final = SINK_PORTS


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRound:
    """One round with so many endpoints. Processor use is in cores."""

    deliveries_per_second: float
    gateway_cores: float
    sink_cores: float
    bare_posts_per_second: float
    bare_cores: float
    bare_sink_cores: float

    @property
    def ratio(self) -> float:
        """Return the gateway's part of what the bare loop does."""
        return self.deliveries_per_second / self.bare_posts_per_second


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Measure the ceiling once, then round by round."""
    deliveries = plan.events or (10_000 if plan.quick else 30_000)
    with stage.sink() as sink:
        ceiling = measure_ceiling(stage, sink, 1.0)
        rounds = plan.each_round(
            lambda name: measure_round(stage, sink, name, deliveries), PART.name
        )
    return [_table(rounds), _fairness(ceiling, [one for each in rounds for one in each])]


def measure_round(stage: Stage, sink: Sink, name: str, deliveries: int) -> list[DeliveryRound]:
    """Measure one endpoint, then many of them, each time ``deliveries`` in all."""
    with stage.gateway(name) as gateway:
        return [
            _measured(stage, gateway, sink, deliveries, endpoints, first)
            for endpoints, first in ((1, 0), (MANY, 500_000))
        ]


def _measured(
    stage: Stage, gateway: GatewayServer, sink: Sink, deliveries: int, endpoints: int, first: int
) -> DeliveryRound:
    urls = [sink.url("/count", server) for server in range(endpoints)]
    ids = [gateway.add_endpoint(url, "paused") for url in urls]
    _seed(stage, gateway, deliveries // endpoints, first)
    sink.reset()
    gateway_cpu, sink_cpu = gateway.cpu_seconds(), sink.cpu_seconds()
    for endpoint_id in ids:
        gateway.switch(endpoint_id, "active")
    report = sink.wait_for(deliveries)
    took = _took(report)
    gateway_cores = (gateway.cpu_seconds() - gateway_cpu) / took
    sink_cores = (sink.cpu_seconds() - sink_cpu) / took
    for endpoint_id in ids:
        gateway.switch(endpoint_id, "disabled")
    sink.reset()
    sink_cpu = sink.cpu_seconds()
    bare = stage.ask(
        "bare_posts.py",
        {
            "urls": urls,
            "request": report["sample"],
            "posts": deliveries * _BARE_TIMES,
            "in_flight": IN_FLIGHT,
        },
    )
    bare_took = _took(sink.wait_for(deliveries * _BARE_TIMES))
    return DeliveryRound(
        deliveries_per_second=deliveries / took,
        gateway_cores=gateway_cores,
        sink_cores=sink_cores,
        bare_posts_per_second=deliveries * _BARE_TIMES / bare_took,
        bare_cores=bare["cpu_seconds"] / bare["seconds"],
        bare_sink_cores=(sink.cpu_seconds() - sink_cpu) / bare_took,
    )


def _took(report: dict[str, Any]) -> float:
    return float(report["last_at"] - report["first_at"])


def _seed(stage: Stage, gateway: GatewayServer, orders: int, first: int) -> None:
    load = stage.ask(
        "load.py",
        {
            "port": gateway.port,
            "keys": gateway.keys,
            "seconds": 120,
            "connections": min(CONNECTIONS, 8),
            "orders_per_request": BATCH,
            "first_order": first,
            "most_requests": orders // BATCH,
        },
    )
    assert load["created"] == orders, "every order is new, so each is created"


def _table(rounds: Sequence[Sequence[DeliveryRound]]) -> Table:
    names = ("one endpoint", f"{MANY} endpoints")
    return Table(
        "delivery",
        "Webhooks delivered, each second",
        ("", "gateway", "bare posts", "ratio", "aim"),
        [
            (
                name,
                rate(each, lambda one: one.deliveries_per_second),
                rate(each, lambda one: one.bare_posts_per_second),
                ratio(each, lambda one: one.ratio),
                "ratio ≥ 0.4",
            )
            for name, each in zip(names, zip(*rounds, strict=True), strict=True)
        ],
    )


def _fairness(ceiling: Ceiling, rounds: Sequence[DeliveryRound]) -> Table:
    """Show that the sink is not what was measured."""
    most = ceiling.singles_per_second
    fastest = max(each.deliveries_per_second for each in rounds)
    cores = median(each.sink_cores for each in rounds)
    return Table(
        "delivery_fairness",
        "The sink, alone with the load generator",
        ("", "reaches", "times the gateway", "cores it used"),
        [("sink, webhooks/s", f"{most:,.0f}", f"{most / fastest:,.0f}", f"{cores:.2f}")],
    )


PART: Final = Part("b", "delivery", measure, rounds=3)
