"""The table of aims: every goal, what was measured of it last, and whether it is reached.

Parts measure most goals beside their other side: the spike, the batch API, an empty database. Some
goals are multiples of what an older commit does: a checkout of it (``--base``) runs the same part
before and after ours, so that both share the machine's minutes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from compare import figures_of, measured
from part import Part, Plan
from table import Aim, Table

_PLACE: Final = "aims"
_COLUMNS: Final = ("goal", "measured", "", "when")


class BaseAim(NamedTuple):
    """A goal for figures of a part, beside a figure of the base; they are named as compare does.

    With several figures of ours, each has to reach it.
    """

    goal: str
    part: str
    figure: str
    ours: Sequence[str]
    times: float

    @property
    def is_most(self) -> bool:
        """Whether ours may be so many times the base's at most: less is better."""
        return self.times < 1

    def judged(self, ours: Mapping[str, float], base: float) -> Aim:
        """Judge what was measured."""
        ratios = {name: ours[name] / base for name in self.ours if name in ours}
        worst = (max if self.is_most else min)(ratios.values())
        found = " / ".join(f"{each:.2f} times" for each in ratios.values())
        is_reached = worst <= self.times if self.is_most else worst >= self.times
        return Aim(self.goal, f"{found} ({base:,.4g})", is_reached)


BASE_AIMS: Final = (
    BaseAim(
        "single orders/s, 64 connections ≥ 2.2 times the base's",
        "intake",
        "intake · one order a request, orders/s · gateway",
        ("intake · one order a request, orders/s · gateway",),
        2.2,
    ),
    BaseAim(
        "deliveries/s of a backlog, SQLite, 10 endpoints ≥ 1.3 times the base's",
        "delivery",
        "delivery · SQLite, embedded 10 endpoints · gateway",
        ("delivery · SQLite, embedded 10 endpoints · gateway",),
        1.3,
    ),
    BaseAim(
        "accepted to delivered with a worker at 50/s, p50 ≤ 0.2 times the base's",
        "latency",
        "latency · PostgreSQL, Redis, 1 worker, 50 orders/s · accepted to delivered · p50",
        ("latency · PostgreSQL, Redis, 1 worker, 50 orders/s · accepted to delivered · p50",),
        0.2,
    ),
    BaseAim(
        "agents' jobs/s, SQLite and PostgreSQL ≥ 4 times the base's on SQLite",
        "prescriptions",
        "rx_queue · leased, written and told of, jobs/s · gateway",
        (
            "rx_queue · SQLite, embedded · leased, written and reported, jobs/s",
            "rx_queue · PostgreSQL, embedded · leased, written and reported, jobs/s",
        ),
        4.0,
    ),
)


# All of them, in this order; one that ends with an ellipsis stands for those that begin so.
GOALS: Final = (
    "accepted to delivered, p50 ≤ 1.8 times the spike's + 0.2 ms: …",
    "accepted to delivered, p95 ≤ 1.8 times the spike's + 0.2 ms: …",
    BASE_AIMS[2].goal,
    "sent to accepted, p50 ≤ 1.8 times the spike's: …",
    "CPU an order ≤ 1.7 times the spike's: …",
    BASE_AIMS[0].goal,
    BASE_AIMS[1].goal,
    "a worker killed on PostgreSQL: its deliveries move within 5 s",
    "a worker killed on PostgreSQL: sent twice ≤ in flight + answered in 50 ms",
    "an idle worker, PostgreSQL and Redis ≤ 0.02 cores",
    BASE_AIMS[3].goal,
    "rows/s of a CSV import ≥ 0.8 times the batch API's orders/s",
    "idle memory of serve ≤ 85 MB: …",
    "gateway --help ≤ 0.35 s of CPU",
    "nothing takes more than 1.5 times as long with history: …",
    "a small machine: serve is ready within 10 s",
    "a small machine, 50 orders/s: sent to delivered, p95 ≤ 250 ms",
)


def beside_base(
    part: Part, plan: Plan, base: Path, measure: Callable[[], Sequence[Table]]
) -> tuple[Sequence[Table], Sequence[Aim]]:
    """Measure a part between two rounds of the base's own; returns also what is aimed at."""
    wanted = [each for each in BASE_AIMS if each.part == part.name]
    if not wanted:
        return measure(), ()
    options = {"seconds": plan.seconds, "events": plan.events, "quick": plan.quick}
    print(f"  {part.name} of {base} …", flush=True)
    sides = [measured(base, part.name, options)]
    tables = measure()
    print(f"  {part.name} of {base}, again …", flush=True)
    sides.append(measured(base, part.name, options))
    ours = {name: found for name, (found, _) in figures_of(_plain(tables)).items()}
    return tables, [
        each.judged(ours, median(side[each.figure][0] for side in sides))
        for each in wanted  # without PostgreSQL or Redis a figure of either is missing
        if all(each.figure in side for side in sides) and any(name in ours for name in each.ours)
    ]


def _plain(tables: Iterable[Table]) -> list[dict[str, object]]:
    return [asdict(table) for table in tables]


def aims_table(found: Sequence[Aim], day: str, goals: Sequence[str], page: str = "") -> Table:
    """Return the table: ``goals`` first, in their order, and what ``page`` has of those not found.

    A goal that ends with ``…`` stands for all that begin so: those of each rate or database.
    """
    rows = _earlier(page)
    rows |= {each.goal: (each.found, each.verdict, day) for each in found}
    ordered = []
    for goal in goals:
        named = [name for name in rows if _is_of(name, goal)]
        ordered += [(name, *rows.pop(name)) for name in named] or [(goal, "", "not measured", "")]
    return Table(
        _PLACE, "Aims", _COLUMNS, [*ordered, *((name, *row) for name, row in rows.items())]
    )


def _is_of(name: str, goal: str) -> bool:
    return name.startswith(goal[:-1]) if goal.endswith("…") else name == goal


def _earlier(page: str) -> dict[str, tuple[str, ...]]:
    """Return the rows of the aims in docs/performance.md by goal, but those not measured."""
    block = page.partition(f"<!-- {_PLACE}: begin -->")[2].partition(f"<!-- {_PLACE}: end -->")[0]
    rows = [line.strip("| ").split(" | ") for line in block.splitlines() if line.startswith("|")]
    return {
        row[0]: tuple(row[1:])
        for row in rows[2:]
        if len(row) == len(_COLUMNS) and row[2] != "not measured"
    }
