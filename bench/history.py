"""What stored history costs: the gateway's questions with nothing stored, and with very much."""

from collections.abc import Sequence
from typing import Final

from delivery import seed
from intake import BATCH
from part import Part, Plan
from setups import POSTGRESQL, SQLITE, Setup, possible
from stage import Sink, Stage
from table import Aim, Table

SIZES: Final = (0, 100_000, 1_000_000)
ENDPOINTS: Final = 10
AIM: Final = 1.5
_RECENT_ORDERS: Final = 2 * BATCH

Times = list[dict[str, float]]


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Measure on each database."""
    sizes = SIZES[:-1] if plan.quick else SIZES
    if plan.events:
        sizes = (0, plan.events)
    with stage.sink() as sink:
        rounds = plan.each_round(
            lambda name: [
                (setup, measure_setup(stage, sink, f"{name} {setup.name}", setup, sizes))
                for setup in possible((SQLITE, POSTGRESQL))
            ],
            PART.name,
        )
    return [_table(sizes, [one for each in rounds for one in each])]


def measure_setup(stage: Stage, sink: Sink, name: str, setup: Setup, sizes: Sequence[int]) -> Times:
    """Let a gateway deliver a little, then ask its database with more and more history in it."""
    with stage.ground(name, setup) as made:
        with stage.running(made, setup) as gateway:
            for server in range(ENDPOINTS):
                gateway.add_endpoint(sink.url("/count", server), "active")
            sink.reset()
            seed(stage, gateway, _RECENT_ORDERS, 0)
            sink.wait_for(_RECENT_ORDERS * ENDPOINTS)
            gateway.add_endpoint(sink.url("/count"), "paused")
        job = {"config": str(made.folder / "gateway.toml"), "sizes": sizes, "turns": 30}
        times: Times = stage.ask("history_queries.py", job)
        return times


def _table(sizes: Sequence[int], measured: Sequence[tuple[Setup, Times]]) -> Table:
    columns = ["milliseconds", "nothing"]
    for size in sizes[1:]:
        columns += [f"{size:,}", "ratio"]
    rows = []
    slowest = (0.0, "")
    for setup, times in measured:
        for name, before in times[0].items():
            row = [f"{setup.name.partition(',')[0]}: {name}", f"{before:.1f}"]
            for each in times[1:]:
                row += [f"{each[name]:.1f}", f"{each[name] / before:.2f}"]
                slowest = max(slowest, (each[name] / before, row[0]))
            rows.append(row)
    return Table(
        "history",
        f"Stored deliveries; aim: no ratio above {AIM}",
        columns,
        rows,
        (
            Aim(
                f"nothing takes more than {AIM} times as long with history: statements, "
                f"{sizes[-1]:,} deliveries",
                f"{slowest[0]:.2f} times ({slowest[1]})",
                slowest[0] <= AIM,
            ),
        ),
    )


PART: Final = Part("e", "history", measure)
