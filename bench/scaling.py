"""How much more two workers carry than one, on PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from delivery import Pressed, press
from part import Part, Plan
from setups import ONE_WORKER, TWO_WORKERS, possible
from stage import Sink, Stage
from table import Table, rate, ratio

ENDPOINTS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingRound:
    """The same deliveries, carried by one worker and by two."""

    one: Pressed
    two: Pressed

    @property
    def ratio(self) -> float:
        """Return how many times as much two do."""
        return self.two.deliveries_per_second / self.one.deliveries_per_second


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Measure round by round, one worker and then two."""
    deliveries = plan.events or (6_000 if plan.quick else 30_000)
    if len(possible((ONE_WORKER, TWO_WORKERS))) < len((ONE_WORKER, TWO_WORKERS)):
        return []
    with stage.sink() as sink:
        rounds = plan.each_round(
            lambda name: measure_round(stage, sink, name, deliveries), PART.name
        )
    return [_table(rounds)]


def measure_round(stage: Stage, sink: Sink, name: str, deliveries: int) -> ScalingRound:
    """Measure both, each on a database of its own."""
    found = []
    for setup in (ONE_WORKER, TWO_WORKERS):
        with stage.gateway(f"{name} {setup.workers}", setup) as gateway:
            found.append(press(stage, gateway, sink, deliveries, ENDPOINTS, 0))
    return ScalingRound(one=found[0], two=found[1])


def _table(rounds: Sequence[ScalingRound]) -> Table:
    return Table(
        "scaling",
        f"Webhooks to {ENDPOINTS} endpoints, each second",
        ("", "1 worker", "2 workers", "ratio"),
        [
            (
                "deliveries/s",
                rate(rounds, lambda each: each.one.deliveries_per_second),
                rate(rounds, lambda each: each.two.deliveries_per_second),
                ratio(rounds, lambda each: each.ratio),
            ),
            (
                "cores that server and workers used",
                ratio(rounds, lambda each: each.one.gateway_cores),
                ratio(rounds, lambda each: each.two.gateway_cores),
                "",
            ),
        ],
    )


PART: Final = Part("d", "scaling", measure, rounds=2)
