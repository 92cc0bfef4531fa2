"""Break things on purpose and write down what happened: `make faults`.

Runs every experiment of this folder, as often as asked for, and prints what each found; with
``--write`` the table goes into docs/explanation/reliability.md. Ends with 1, and leaves the
page alone, when one fails.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Final

import pytest

_HERE: Final = Path(__file__).parent
_ROOT: Final = _HERE.parents[2]
_TEMPLATE: Final = _HERE / "reliability.md.template"
_PAGE: Final = _ROOT / "docs" / "explanation" / "reliability.md"
# In the order of the page.
_EXPERIMENTS: Final = (
    "test_killed_processes.py",
    "test_born_claimed.py",
    "test_suspended_processes.py",
    "test_servers_away.py",
    "test_storage_in_trouble.py",
    "test_lost_files.py",
    "test_hostile_clients.py",
    "test_bad_endpoints.py",
    "test_clock_and_names.py",
)
_COLUMNS: Final = (
    "fault",
    "what was done",
    "accepted",
    "stored",
    "events",
    "delivered",
    "exhausted",
    "duplicates",
    "seconds to recover",
)
_COUNTS: Final = 6


class Collector:
    """Picks the rows and the reasons for leaving some out from pytest's reports."""

    def __init__(self) -> None:
        self.rows: list[Sequence[object]] = []
        self.left_out: list[str] = []

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple):
            self.left_out.append(report.longrepr[2].removeprefix("Skipped: "))
        if report.when == "call" and report.passed:
            for name, row in report.user_properties:
                if name == "row":
                    self.rows.append(row)
                    print(f"\n  {_as_text(row)}", end=" ", flush=True)


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Break things and see that nothing is lost.")
    parser.add_argument("--rounds", type=int, default=1, help="default: 1")
    parser.add_argument("--write", action="store_true", help="write reliability.md")
    options = parser.parse_args()
    rounds = options.rounds
    os.environ["FAULTS"] = "all"
    found: list[Sequence[object]] = []
    left_out: dict[str, None] = {}
    for number in range(1, rounds + 1):
        print(f"Round {number} of {rounds}:", flush=True)
        collector = Collector()
        words = ["--quiet", "--no-header", "--rootdir", str(_ROOT), "-c", f"{_ROOT}/pyproject.toml"]
        code = pytest.main([*words, *(str(_HERE / each) for each in _EXPERIMENTS)], [collector])
        if code:
            return 1
        found += collector.rows
        left_out |= dict.fromkeys(collector.left_out)
    if options.write:
        _write_page(_summed(found), list(left_out), rounds)
        print(f"Written to {_PAGE.relative_to(_ROOT)}.")
    else:
        print(f"Nothing was lost. ARGS=--write puts the table into {_PAGE.relative_to(_ROOT)}.")
    return 0


def _summed(rows: Iterable[Sequence[object]]) -> list[Sequence[object]]:
    """Put the rounds' rows of the same experiment together: counts added, the slowest time."""
    known: dict[tuple[object, ...], Sequence[object]] = {}
    for row in rows:
        name, counts, seconds = tuple(row[:2]), row[2:-1], row[-1]
        if name in known:
            before = known[name]
            counts = [a + b for a, b in zip(before[2:-1], counts, strict=True)]
            seconds = max(before[-1], seconds)
        known[name] = (*name, *counts, seconds)
    return list(known.values())


def _cells(row: Sequence[object]) -> list[str]:
    *told, seconds = row
    texts = [f"{each:,}" if isinstance(each, int) else str(each) for each in told]
    return [*texts, f"{seconds:.1f}"]


def _as_text(row: Sequence[object]) -> str:
    facts = zip(_COLUMNS[2:], _cells(row)[2:], strict=True)
    return f"{row[0]}: " + ", ".join(f"{name} {value}" for name, value in facts)


def _write_page(rows: Iterable[Sequence[object]], left_out: Sequence[str], rounds: int) -> None:
    table = [_COLUMNS, ("---", "---", *["---:"] * (_COUNTS + 1)), *map(_cells, rows)]
    missing = "".join(f"\nLeft out on the machine that wrote this: {each}.\n" for each in left_out)
    text = Template(_TEMPLATE.read_text("utf-8")).substitute(
        table="\n".join(f"| {' | '.join(row)} |" for row in table),
        rounds="one round" if rounds == 1 else f"{rounds} rounds",
        left_out=missing,
    )
    _PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
