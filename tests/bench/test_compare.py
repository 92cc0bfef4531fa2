"""Two commits are compared by medians, and by how far one of them differs from itself."""

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))

import compare  # noqa: E402 - the bench is no package: its modules stand on the path

sys.path.remove(str(BENCH))

INTAKE = {
    "key": "intake",
    "heading": "Orders taken in, 64 connections",
    "columns": ["", "gateway", "bare inserts", "ratio", "aim"],
    "rows": [["batches of 100, orders/s", "13,400", "20,000", "0.67", "ratio ≥ 0.5"]],
}
LATENCY = {
    "key": "latency",
    "heading": "From order to webhook, milliseconds at p50 / p95 / p99",
    "columns": ["", "accepted to delivered", "aim"],
    "rows": [["SQLite, 50 orders/s", "2.5 / 4.0 / 9.0", "p95 ≤ 15"]],
}
DELIVERY = {
    "key": "delivery",
    "heading": "Webhooks delivered, each second",
    "columns": ["", "endpoints", "gateway"],
    "rows": [["SQLite", "1", "900"], ["SQLite", "10", "1,000"]],
}
FAIRNESS = {
    "key": "intake_fairness",
    "heading": "The load generator, alone with the sink",
    "columns": ["", "reaches"],
    "rows": [["load generator, batches/s", "9,000"]],
}


def rounds(*figures, more_is_better=True):
    return [{"rate": (figure, more_is_better)} for figure in figures]


def verdict(base, here, **direction):
    [found] = compare.compare(rounds(*base, **direction), rounds(*here, **direction))
    return found.verdict


def test_a_table_holds_the_gateways_figures_and_which_way_they_are_better():
    assert compare.figures_of([INTAKE, LATENCY, DELIVERY, FAIRNESS]) == {
        "intake · batches of 100, orders/s · gateway": (13_400.0, True),
        "latency · SQLite, 50 orders/s · accepted to delivered · p50": (2.5, False),
        "latency · SQLite, 50 orders/s · accepted to delivered · p95": (4.0, False),
        "latency · SQLite, 50 orders/s · accepted to delivered · p99": (9.0, False),
        "delivery · SQLite 1 endpoints · gateway": (900.0, True),
        "delivery · SQLite 10 endpoints · gateway": (1_000.0, True),
    }


def test_a_figure_is_the_median_of_its_rounds():
    [found] = compare.compare(rounds(100, 90, 110, 100), rounds(50, 80, 60))

    assert (found.base, found.here, found.ratio) == (100, 60, 0.6)


@pytest.mark.parametrize(
    ("figures", "spread"),
    [
        ([100, 100, 100, 100], 1.0),
        ([100, 110], 1.1),  # one against the other, both ways
        ([1, 2, 4], 3.0),  # 1 to the median of 2 and 4; 4 to that of 1 and 2 is 2.67
    ],
)
def test_the_spread_is_what_two_halves_of_the_same_commit_differ_by(figures, spread):
    assert compare.spread_of(figures) == pytest.approx(spread)


def test_the_rarest_twentieth_of_the_splits_is_left_out_of_the_spread():
    # Of 924 splits of twelve rounds 462 put the two outliers together, and none of them moves
    # a median of six beyond its middle: all others are 100.
    assert compare.spread_of([100] * 10 + [1000] * 2) == 1.0


def test_a_difference_within_the_spread_is_no_difference():
    assert verdict([100, 110, 100, 110], [96, 97]) == "within the spread"


def test_fewer_a_second_than_the_spread_allows_is_worse():
    assert verdict([100, 101, 100, 101], [90, 91]) == "worse than the spread"
    assert verdict([100, 101, 100, 101], [110, 111]) == "better than the spread"


def test_more_milliseconds_than_the_spread_allows_are_worse():
    slower, quicker = [110, 111], [90, 91]

    assert verdict([100, 101, 100, 101], slower, more_is_better=False) == "worse than the spread"
    assert verdict([100, 101, 100, 101], quicker, more_is_better=False) == "better than the spread"


def test_a_figure_that_one_of_the_commits_does_not_have_is_left_out():
    assert compare.compare([{}, {}], rounds(1)) == []
    assert compare.compare(rounds(0, 1), rounds(1)) == []


def test_a_checkout_without_an_environment_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(SystemExit, match=r"has no \.venv: run make install-tools there"):
        compare.python_of(tmp_path)
