"""How long it takes from an order that was accepted to the webhook that tells of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from part import Part, Plan
from setups import ONE_WORKER, SQLITE, Setup, possible
from stage import Sink, Stage
from table import Table, milliseconds_at, percentiles

RATES: Final = (50, 200)
_PERCENT: Final = (50, 95, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Milliseconds at the 50th, 95th and 99th percentile, at one rate.

    ``from_accepted`` begins when the caller has the answer, ``from_sent`` when its request
    came up; both end when the sink has the webhook.
    """

    setup: Setup
    rate: int
    events: int
    from_accepted: tuple[float, ...]
    from_sent: tuple[float, ...]
    answer: tuple[float, ...]
    load_late_ms: float


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Measure round by round."""
    seconds = plan.seconds or (3.0 if plan.quick else 8.0)
    setups = possible((SQLITE, ONE_WORKER))
    with stage.sink() as sink:
        rounds = plan.each_round(
            lambda name: [
                each
                for setup in setups
                for each in measure_round(stage, sink, f"{name} {setup.name}", setup, seconds)
            ],
            PART.name,
        )
    return [_table(rounds)]


def measure_round(
    stage: Stage, sink: Sink, name: str, setup: Setup, seconds: float
) -> list[Latencies]:
    """Measure every rate on one gateway, after a short warm-up."""
    with stage.gateway(name, setup) as gateway:
        gateway.add_endpoint(sink.url("/keep"), "active")
        found = []
        for turn, (rate, duration) in enumerate(
            [(RATES[0], 2.0), *((each, seconds) for each in RATES)]
        ):
            sink.reset()
            job = {
                "port": gateway.port,
                "keys": gateway.keys,
                "seconds": duration,
                "rate": rate,
                "first_order": turn * 100_000,
            }
            load = stage.ask("load.py", job)
            assert not load["statuses"], f"refused: {load['statuses']}"
            arrived = sink.wait_for(load["answers"])["arrived_at"]
            found.append(measured(setup, rate, load, arrived))
    return found[1:]


def measured(setup: Setup, rate: int, load: dict[str, Any], arrived: dict[str, float]) -> Latencies:
    """Return what a load's answers and the sink's arrivals say."""
    begun, answered = load["begun"], load["answered"]
    return Latencies(
        setup=setup,
        rate=rate,
        events=len(arrived),
        from_accepted=milliseconds_at(
            _PERCENT, [arrived[each] - answered[each] for each in arrived]
        ),
        from_sent=milliseconds_at(_PERCENT, [arrived[each] - begun[each] for each in arrived]),
        answer=milliseconds_at(_PERCENT, [answered[each] - begun[each] for each in arrived]),
        load_late_ms=load["late_seconds"] * 1000,
    )


def _aim(measured: Latencies) -> str:
    if measured.rate != RATES[-1]:
        return ""
    return "p95 ≤ 40" if measured.setup.workers else "p95 ≤ 15"


def _table(rounds: Sequence[Sequence[Latencies]]) -> Table:
    return Table(
        "latency",
        "From order to webhook, milliseconds at p50 / p95 / p99",
        ("", "accepted to delivered", "sent to delivered", "sent to accepted", "aim"),
        [
            (
                f"{each[0].setup.name}, {each[0].rate} orders/s",
                percentiles([one.from_accepted for one in each]),
                percentiles([one.from_sent for one in each]),
                percentiles([one.answer for one in each]),
                _aim(each[0]),
            )
            for each in zip(*rounds, strict=True)
        ],
    )


PART: Final = Part("c", "latency", measure, rounds=2)
