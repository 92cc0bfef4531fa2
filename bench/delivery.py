"""How fast webhooks go out, next to a bare loop of the same client."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from intake import BATCH, CONNECTIONS, Ceiling, measure_ceiling
from part import Part, Plan
from setups import ONE_WORKER, POSTGRESQL, SQLITE, Setup, possible
from stage import GatewayServer, Sink, Stage
from table import Table, rate, ratio

IN_FLIGHT: Final = 32  # an endpoint's default
ENDPOINTS: Final = (1, 10, 100)
# The bare loop is quick: it needs more of them to be measured for as long.
_BARE_TIMES: Final = 2
# Orders are numbered, so that the loads of one gateway never meet.
_STEP: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """How fast webhooks went out. Processor use is in cores; ``sample`` is one request."""

    deliveries_per_second: float
    gateway_cores: float
    sink_cores: float
    sample: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRound:
    """One setup with so many endpoints, in one round."""

    setup: Setup
    endpoints: int
    gateway: Pressed
    bare_posts_per_second: float
    guarded_posts_per_second: float

    @property
    def ratio(self) -> float:
        """Return the gateway's part of what the bare loop does."""
        return self.gateway.deliveries_per_second / self.bare_posts_per_second

    @property
    def guarded_ratio(self) -> float:
        """Return the gateway's part of what its own client does alone."""
        return self.gateway.deliveries_per_second / self.guarded_posts_per_second


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Measure the ceiling once, then round by round."""
    deliveries = plan.events or (5_000 if plan.quick else 20_000)
    setups = possible((SQLITE, POSTGRESQL, ONE_WORKER))
    with stage.sink() as sink:
        ceiling = measure_ceiling(stage, sink, 1.0)
        rounds = plan.each_round(
            lambda name: [
                each
                for setup in setups
                for each in measure_round(stage, sink, f"{name} {setup.name}", setup, deliveries)
            ],
            PART.name,
        )
    return [_table(rounds), _fairness(ceiling, [one for each in rounds for one in each])]


def measure_round(
    stage: Stage, sink: Sink, name: str, setup: Setup, deliveries: int
) -> list[DeliveryRound]:
    """Measure one endpoint, then more of them, each time about ``deliveries`` in all."""
    measured = []
    with stage.gateway(name, setup) as gateway:
        for step, endpoints in enumerate(ENDPOINTS):
            pressed = press(stage, gateway, sink, deliveries, endpoints, step * _STEP)
            posts = deliveries * _BARE_TIMES
            urls = [sink.url("/count", server) for server in range(endpoints)]
            measured.append(
                DeliveryRound(
                    setup=setup,
                    endpoints=endpoints,
                    gateway=pressed,
                    bare_posts_per_second=post(stage, sink, urls, pressed.sample, posts),
                    guarded_posts_per_second=post(
                        stage, sink, urls, pressed.sample, posts, guarded=True
                    ),
                )
            )
    return measured


def post(
    stage: Stage, sink: Sink, urls: Sequence[str], sample: str, posts: int, *, guarded: bool = False
) -> float:
    """Send ``sample`` so often in a bare loop; returns how many came in each second."""
    sink.reset()
    stage.ask(
        "bare_posts.py",
        {
            "urls": urls,
            "request": sample,
            "posts": posts,
            "in_flight": IN_FLIGHT,
            "guarded": guarded,
        },
    )
    return posts / _took(sink.wait_for(posts))


def press(
    stage: Stage, gateway: GatewayServer, sink: Sink, deliveries: int, endpoints: int, first: int
) -> Pressed:
    """Let deliveries wait for paused endpoints, switch these on, and see how fast they go.

    ``first`` is the number of the first order that is made for it. Afterwards the endpoints
    are disabled.
    """
    for server in range(endpoints):
        gateway.add_endpoint(sink.url("/count", server), "paused")
    orders = max(1, deliveries // endpoints // BATCH) * BATCH
    seed(stage, gateway, orders, first)
    sink.reset()
    gateway_cpu, sink_cpu = gateway.cpu_seconds(), sink.cpu_seconds()
    gateway.switch_all("paused", "active")
    report = sink.wait_for(orders * endpoints)
    took = _took(report)
    pressed = Pressed(
        deliveries_per_second=orders * endpoints / took,
        gateway_cores=(gateway.cpu_seconds() - gateway_cpu) / took,
        sink_cores=(sink.cpu_seconds() - sink_cpu) / took,
        sample=report["sample"],
    )
    gateway.switch_all("active", "disabled")
    return pressed


def seed(stage: Stage, gateway: GatewayServer, orders: int, first: int) -> None:
    """Take in so many new orders, numbered from ``first``."""
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


def _took(report: dict[str, Any]) -> float:
    return float(report["last_at"] - report["first_at"])


def _table(rounds: Sequence[Sequence[DeliveryRound]]) -> Table:
    return Table(
        "delivery",
        "Webhooks delivered, each second",
        ("", "endpoints", "gateway", "its client alone", "ratio", "bare posts", "ratio"),
        [
            (
                each[0].setup.name,
                str(each[0].endpoints),
                rate(each, lambda one: one.gateway.deliveries_per_second),
                rate(each, lambda one: one.guarded_posts_per_second),
                ratio(each, lambda one: one.guarded_ratio),
                rate(each, lambda one: one.bare_posts_per_second),
                ratio(each, lambda one: one.ratio),
            )
            for each in zip(*rounds, strict=True)
        ],
    )


def _fairness(ceiling: Ceiling, rounds: Sequence[DeliveryRound]) -> Table:
    """Show that the sink is not what was measured."""
    most = ceiling.singles_per_second
    fastest = max(each.gateway.deliveries_per_second for each in rounds)
    cores = median(each.gateway.sink_cores for each in rounds)
    return Table(
        "delivery_fairness",
        "The sink, alone with the load generator",
        ("", "reaches", "times the gateway", "cores it used"),
        [("sink, webhooks/s", f"{most:,.0f}", f"{most / fastest:,.0f}", f"{cores:.2f}")],
    )


PART: Final = Part("b", "delivery", measure, rounds=2)
