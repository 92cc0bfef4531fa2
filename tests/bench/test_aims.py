"""The table of aims: each goal is there, and what was measured of it last."""

import sys
from dataclasses import asdict
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))

import aims  # noqa: E402 - the bench is no package: its modules stand on the path
import delivery  # noqa: E402
import intake  # noqa: E402
import latency  # noqa: E402
import run  # noqa: E402
import rx_queue  # noqa: E402
from compare import figures_of  # noqa: E402
from setups import ONE_WORKER, POSTGRESQL, SQLITE  # noqa: E402
from table import Aim  # noqa: E402

sys.path.remove(str(BENCH))

INTAKE = intake.IntakeRound(
    batch_orders_per_second=1.0,
    batch_gateway_cores=1.0,
    batch_load_cores=1.0,
    bare_batch_orders_per_second=1.0,
    single_requests_per_second=1.0,
    single_gateway_cores=1.0,
    single_load_cores=1.0,
    bare_single_orders_per_second=1.0,
)
DELIVERED = delivery.DeliveryRound(
    setup=SQLITE,
    endpoints=10,
    gateway=delivery.Pressed(
        deliveries_per_second=1.0, gateway_cores=1.0, sink_cores=1.0, sample=""
    ),
    bare_posts_per_second=1.0,
    guarded_posts_per_second=1.0,
)
TOOK = latency.Latencies(
    setup=ONE_WORKER,
    rate=50,
    events=1,
    from_accepted=(1.0, 2.0, 3.0),
    from_sent=(1.0, 2.0, 3.0),
    answer=(1.0, 2.0, 3.0),
    load_late_ms=0.0,
)
WROTE = rx_queue.QueueRound(
    submitted_per_second=1.0,
    written_per_second=1.0,
    bare_per_second=None,
    cpu_ms=1.0,
    agent_cores=1.0,
    fewest=1,
    most=1,
)
GOALS = ("a ≤ 1", "b of …", "c ≤ 3")


def rows_of(found, page=""):
    return [tuple(row) for row in aims.aims_table(found, "2026-11-30", GOALS, page).rows]


def test_every_goal_is_there_whether_it_was_measured_or_not():
    found = [Aim("c ≤ 3", "4", is_reached=False), Aim("b of SQLite", "2", is_reached=True)]

    assert rows_of(found) == [
        ("a ≤ 1", "", "not measured", ""),
        ("b of SQLite", "2", "reached", "2026-11-30"),
        ("c ≤ 3", "4", "not reached", "2026-11-30"),
    ]


def test_a_goal_that_is_not_measured_again_keeps_what_the_page_has():
    before = aims.aims_table([Aim("a ≤ 1", "0.5", is_reached=True)], "2026-11-01", GOALS)
    page = f"<!-- aims: begin -->\n{before.as_markdown()}\n<!-- aims: end -->"

    assert rows_of([Aim("c ≤ 3", "2", is_reached=True)], page) == [
        ("a ≤ 1", "0.5", "reached", "2026-11-01"),
        ("b of …", "", "not measured", ""),
        ("c ≤ 3", "2", "reached", "2026-11-30"),
    ]


@pytest.mark.parametrize(
    ("times", "ours", "found", "is_reached"),
    [
        (2.2, {"one": 230.0}, "2.30 times (100)", True),
        (2.2, {"one": 210.0}, "2.10 times (100)", False),
        (2.2, {"one": 230.0, "other": 210.0}, "2.30 times / 2.10 times (100)", False),
        (0.2, {"one": 19.0}, "0.19 times (100)", True),
        (0.2, {"one": 19.0, "other": 21.0}, "0.19 times / 0.21 times (100)", False),
    ],
)
def test_a_multiple_of_the_base_is_reached_by_the_worst_of_ours(times, ours, found, is_reached):
    aim = aims.BaseAim("goal", "part", "base", ("one", "other"), times)

    assert aim.judged(ours, 100.0) == Aim("goal", found, is_reached)


def test_figures_of_ours_are_named_as_the_parts_tables_name_them():
    names = figures_of(
        [
            asdict(table)
            for table in (
                intake._table([INTAKE]),
                delivery._table([[DELIVERED]]),
                latency._table([[TOOK]]),
                rx_queue._table(1, {each.name: [WROTE] for each in (SQLITE, POSTGRESQL)}),
            )
        ]
    )

    assert [name for aim in aims.BASE_AIMS for name in aim.ours if name not in names] == []


def test_figures_of_the_base_belong_to_a_part_that_there_is():
    assert {each.part for each in aims.BASE_AIMS} <= {part.name for part in run.PARTS}
