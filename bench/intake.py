"""(a) How fast orders are taken in, next to a bare loop that inserts the same rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from part import Part, Plan
from stage import GatewayServer, Sink, Stage, database_in
from table import Table, rate, ratio

CONNECTIONS: Final = 64
BATCH: Final = 100
_WARM_UP_SECONDS: Final = 1.0
# Orders are numbered, so that the loads of one gateway never meet.
_BATCHES_FROM: Final = 10_000_000
_SINGLES_FROM: Final = 20_000_000
_WARM_UP_FROM: Final = 30_000_000
# The bare loop does the same work, in however long it takes; but not for ever.
_BARE_PATIENCE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What load generator and sink reach together, with no gateway between them."""

    batches_per_second: float
    singles_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeRound:
    """One round. Processor use is in cores: 1.0 is one core, busy all the time."""

    batch_orders_per_second: float
    batch_gateway_cores: float
    batch_load_cores: float
    bare_batch_orders_per_second: float
    single_requests_per_second: float
    single_gateway_cores: float
    single_load_cores: float
    bare_single_orders_per_second: float

    @property
    def batch_ratio(self) -> float:
        """Return the gateway's part of what the bare loop does, both in hundreds."""
        return self.batch_orders_per_second / self.bare_batch_orders_per_second

    @property
    def single_ratio(self) -> float:
        """Return the same for one order at a time."""
        return self.single_requests_per_second / self.bare_single_orders_per_second


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Measure the ceiling once, then round by round."""
    seconds = plan.seconds or (2.0 if plan.quick else 3.0)
    with stage.sink() as sink:
        ceiling = measure_ceiling(stage, sink, 1.0)
        rounds = plan.each_round(lambda name: measure_round(stage, sink, name, seconds), PART.name)
    return [_table(rounds), _fairness(ceiling, rounds)]


def measure_ceiling(stage: Stage, sink: Sink, seconds: float) -> Ceiling:
    """Let the load generator send the same requests to the sink, which does nothing."""
    rates = [
        _load(stage, sink.port, ["sk_live_" + "0" * 48], seconds, size, 0)["answers"] / seconds
        for size in (BATCH, 1)
    ]
    sink.reset()
    return Ceiling(batches_per_second=rates[0], singles_per_second=rates[1])


def measure_round(stage: Stage, sink: Sink, name: str, seconds: float) -> IntakeRound:
    """Measure the gateway, then the bare loop with the rows that the gateway wrote."""
    with stage.gateway(name) as gateway:
        gateway.add_endpoint(sink.url("/count"), "paused")
        warm_up = _load(stage, gateway.port, gateway.keys, _WARM_UP_SECONDS, 1, _WARM_UP_FROM)
        batches = _measured(stage, gateway, seconds, BATCH, _BATCHES_FROM)
        singles = _measured(stage, gateway, seconds, 1, _SINGLES_FROM)
    bare = stage.prepare(f"{name}-bare")
    job = {
        "rows_from": str(gateway.database),
        "into": str(database_in(bare.folder)),
        "steps": [(warm_up["created"] + batches["created"], BATCH), (singles["created"], 1)],
        "seconds": seconds * _BARE_PATIENCE,
    }
    rates = [each["orders"] / each["seconds"] for each in stage.ask("bare_inserts.py", job)]
    return IntakeRound(
        batch_orders_per_second=batches["created"] / batches["seconds"],
        batch_gateway_cores=batches["gateway_cores"],
        batch_load_cores=batches["load_cores"],
        bare_batch_orders_per_second=rates[0],
        single_requests_per_second=singles["created"] / singles["seconds"],
        single_gateway_cores=singles["gateway_cores"],
        single_load_cores=singles["load_cores"],
        bare_single_orders_per_second=rates[1],
    )


def _measured(
    stage: Stage, gateway: GatewayServer, seconds: float, size: int, first: int
) -> dict[str, float]:
    before = gateway.cpu_seconds()
    load = _load(stage, gateway.port, gateway.keys, seconds, size, first)
    used = gateway.cpu_seconds() - before
    assert load["created"] == load["answers"] * size, "every order is new, so each is created"
    return {
        "created": load["created"],
        "seconds": load["seconds"],
        "gateway_cores": used / load["seconds"],
        "load_cores": load["cpu_seconds"] / load["seconds"],
    }


def _load(
    stage: Stage, port: int, keys: list[str], seconds: float, size: int, first: int
) -> dict[str, Any]:
    load: dict[str, Any] = stage.ask(
        "load.py",
        {
            "port": port,
            "keys": keys,
            "seconds": seconds,
            "connections": CONNECTIONS,
            "orders_per_request": size,
            "first_order": first,
        },
    )
    assert not load["statuses"], f"refused: {load['statuses']}"
    return load


def _table(rounds: Sequence[IntakeRound]) -> Table:
    return Table(
        "intake",
        "Orders taken in, 64 connections",
        ("", "gateway", "bare inserts", "ratio"),
        [
            (
                "batches of 100, orders/s",
                rate(rounds, lambda each: each.batch_orders_per_second),
                rate(rounds, lambda each: each.bare_batch_orders_per_second),
                ratio(rounds, lambda each: each.batch_ratio),
            ),
            (
                "one order a request, orders/s",
                rate(rounds, lambda each: each.single_requests_per_second),
                rate(rounds, lambda each: each.bare_single_orders_per_second),
                ratio(rounds, lambda each: each.single_ratio),
            ),
        ],
    )


def _fairness(ceiling: Ceiling, rounds: Sequence[IntakeRound]) -> Table:
    """Show that the load generator is not what was measured."""
    rows = []
    for name, most, reached, cores in (
        (
            "load generator, batches/s",
            ceiling.batches_per_second,
            median(each.batch_orders_per_second for each in rounds) / BATCH,
            median(each.batch_load_cores for each in rounds),
        ),
        (
            "load generator, single requests/s",
            ceiling.singles_per_second,
            median(each.single_requests_per_second for each in rounds),
            median(each.single_load_cores for each in rounds),
        ),
    ):
        rows.append((name, f"{most:,.0f}", f"{most / reached:,.0f}", f"{cores:.2f}"))
    return Table(
        "intake_fairness",
        "The load generator, alone with the sink",
        ("", "reaches", "times the gateway", "cores it used"),
        rows,
    )


PART: Final = Part("a", "intake", measure, rounds=3)
