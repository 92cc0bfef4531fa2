"""docs/performance.md: a part that is measured alone leaves the figures of the others."""

import argparse
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))

import page  # noqa: E402 - the bench is no package: its modules stand on the path
import run  # noqa: E402
from part import Part, Plan  # noqa: E402
from table import Table, percentiles, rate, ratio  # noqa: E402

sys.path.remove(str(BENCH))

TEMPLATE = "On $machine:\n\n$intake\n\nand\n\n$latency\n"
FACTS = {"processor": "2 cores"}


def table(key, figure):
    return Table(key, "Heading", ("", "rate"), [("orders", figure)])


def test_a_place_whose_part_never_ran_says_so():
    text = page.written(TEMPLATE, "", [table("intake", "7")], "Measured on Monday.", FACTS)

    assert "- processor: 2 cores" in text
    assert "Measured on Monday.\n\n|  | rate |\n| --- | --- |\n| orders | 7 |" in text
    assert "<!-- latency: begin -->\n*Not measured yet.*\n<!-- latency: end -->" in text


def test_a_part_that_is_measured_alone_leaves_the_others_as_they_were():
    both = [table("intake", "7"), table("latency", "8")]
    before = page.written(TEMPLATE, "", both, "Measured on Monday.", FACTS)

    after = page.written(TEMPLATE, before, [table("latency", "9")], "Measured on Friday.", FACTS)

    assert after == before.replace("| 8 |", "| 9 |").replace(
        "<!-- latency: begin -->\nMeasured on Monday.",
        "<!-- latency: begin -->\nMeasured on Friday.",
    )


def test_a_new_sentence_of_the_template_reaches_the_page_with_all_figures_kept():
    before = page.written(TEMPLATE, "", [table("intake", "7")], "Measured on Monday.", FACTS)

    after = page.written(f"News. {TEMPLATE}", before)

    assert after == f"News. {before}"


def test_a_table_without_a_place_in_the_template_is_refused():
    with pytest.raises(ValueError, match=r"performance\.md\.template has no place for: soak"):
        page.written(TEMPLATE, "", [table("soak", "7")], "Measured on Monday.", FACTS)


def test_the_page_says_what_its_template_says():
    template = (BENCH / "performance.md.template").read_text("utf-8")
    text = page.PAGE.read_text("utf-8")

    assert page.written(template, text) == text, "run: python bench/page.py"


def test_parts_are_chosen_by_letter_or_by_name():
    assert [part.name for part in run.chosen("c, intake")] == ["latency", "intake"]


def test_a_part_that_is_not_there_is_answered_with_those_that_are():
    parts = [Part("a", "intake", lambda _stage, _plan: [])]

    with pytest.raises(argparse.ArgumentTypeError, match=r"'z'; there are a \(intake\)$"):
        run.chosen("a,z", parts)


def test_no_two_parts_share_a_letter_or_a_name():
    letters = [part.letter for part in run.PARTS]
    names = [part.name for part in run.PARTS]

    assert len(set(letters + names)) == 2 * len(run.PARTS)


def test_each_round_has_a_name_of_its_own():
    assert Plan(rounds=2).each_round(str.upper, "big run") == ["BIG-RUN-1", "BIG-RUN-2"]


def test_figures_are_the_median_of_their_rounds():
    assert rate([1000, 3000, 2000], float) == "2,000"
    assert ratio([0.5, 0.75, 1.0], float) == "0.75 (0.50 to 1.00)"
    assert ratio([0.5], float) == "0.50"
    assert percentiles([(1, 5), (2, 6), (3, 9)]) == "2.0 / 6.0"
