"""(c) How long it takes from an order that was accepted to the webhook that tells of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from part import Part, Plan
from stage import Sink, Stage
from table import Table, percentiles

RATES: Final = (50, 200)
_PERCENT: Final = (50, 95, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Milliseconds at the 50th, 95th and 99th percentile, at one rate.

    ``from_accepted`` begins when the caller has the answer, ``from_sent`` when its request
    came up; both end when the sink has the webhook.
    """

    rate: int
    events: int
    from_accepted: tuple[float, ...]
    from_sent: tuple[float, ...]
    answer: tuple[float, ...]
    load_late_ms: float


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Measure round by round."""
    seconds = plan.seconds or (4.0 if plan.quick else 10.0)
    with stage.sink() as sink:
        rounds = plan.each_round(lambda name: measure_round(stage, sink, name, seconds), PART.name)
    return [_table(rounds)]


def measure_round(stage: Stage, sink: Sink, name: str, seconds: float) -> list[Latencies]:
    """Measure every rate on one gateway, after a short warm-up."""
    with stage.gateway(name) as gateway:
        gateway.add_endpoint(sink.url("/keep"), "active")
        measured = []
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
            measured.append(_latencies(rate, load, arrived))
    return measured[1:]


def _latencies(rate: int, load: dict[str, Any], arrived: dict[str, float]) -> Latencies:
    begun, answered = load["begun"], load["answered"]
    return Latencies(
        rate=rate,
        events=len(arrived),
        from_accepted=_percentiles([arrived[each] - answered[each] for each in arrived]),
        from_sent=_percentiles([arrived[each] - begun[each] for each in arrived]),
        answer=_percentiles([answered[each] - begun[each] for each in arrived]),
        load_late_ms=load["late_seconds"] * 1000,
    )


def _percentiles(seconds: Sequence[float]) -> tuple[float, ...]:
    ordered = sorted(seconds)
    return tuple(
        ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000 for percent in _PERCENT
    )


def _table(rounds: Sequence[Sequence[Latencies]]) -> Table:
    return Table(
        "latency",
        "From order to webhook, milliseconds at p50 / p95 / p99",
        ("", "accepted to delivered", "sent to delivered", "sent to accepted", "aim"),
        [
            (
                f"{each[0].rate} orders/s",
                percentiles([one.from_accepted for one in each]),
                percentiles([one.from_sent for one in each]),
                percentiles([one.answer for one in each]),
                "p95 ≤ 25" if each[0].rate == RATES[-1] else "",
            )
            for each in zip(*rounds, strict=True)
        ],
    )


PART: Final = Part("c", "latency", measure, rounds=3)
