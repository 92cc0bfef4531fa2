"""Compare two commits by their figures: ``make compare BASE=../base ARGS="--only a,b,c"``.

Each round measures the base, this checkout, and the base again, so that all three share the
machine's same minutes. What the base differs by from itself is the spread: a figure of this
checkout that lies outside of it, on the wrong side, is worse. Ends with 1 if one is.

Both checkouts need an environment of their own (``make install-tools``); nothing is written.
"""

import argparse
import itertools
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parents[1]
_ROUND: Final = Path(__file__).with_name("one_round.py")
_PYTHONS: Final = (".venv/bin/python", ".venv/Scripts/python.exe")
_PERCENTILES: Final = ("p50", "p95", "p99")
_NUMBER: Final = re.compile(r"\d[\d,]*(?:\.\d+)?")
# Columns that name a row, that measure something other than the gateway, or that follow from
# the columns beside them.
_NOT_JUDGED: Final = re.compile(
    r"endpoints|bare .*|its client alone|batch API.*|ratio.*|.* to .* %|aim"
)
_PER_SECOND: Final = re.compile(r"/s\b|each second")
_LESS_IS_BETTER: Final = re.compile(r"\bms\b|milliseconds|\bMB\b|\bseconds\b")
_CONFIDENCE: Final = 0.95
_TRIES: Final = 2

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One figure of two commits.

    ``ratio`` is this checkout's median to the base's. ``spread`` is the factor, 1 or more,
    that two sets of the base's own rounds stay within in 19 of 20 cases.
    """

    name: str
    base: float
    here: float
    spread: float
    more_is_better: bool

    @property
    def ratio(self) -> float:
        """Return this checkout's part of the base's figure."""
        return self.here / self.base

    @property
    def verdict(self) -> str:
        """Say on which side of the spread the ratio lies."""
        gain = self.ratio if self.more_is_better else 1 / self.ratio
        if gain * self.spread < 1:
            return "worse than the spread"
        return "better than the spread" if gain > self.spread else "within the spread"


def figures_of(tables: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, bool]]:
    """Return the figures that are judged, by name, and whether more of each is better.

    A cell with several numbers holds percentiles. A figure whose unit (in its column, in the
    table's heading or in its row) doesn't say which way is better isn't judged; nor is what
    the load generator does.
    """
    found = {}
    for table in tables:
        if table["key"].endswith("_fairness"):
            continue
        for row in table["rows"]:
            names = [
                f"{cell} {column}"
                for column, cell in zip(table["columns"], row, strict=True)
                if column in {"", "endpoints", "process"}
            ]
            label = " ".join(each.strip() for each in names)
            for column, cell in list(zip(table["columns"], row, strict=True))[1:]:
                more = _more_is_better(column, table["heading"], row[0])
                if more is None or _NOT_JUDGED.fullmatch(column) or "cores" in row[0]:
                    continue
                for suffix, figure in _numbers(cell):
                    name = " · ".join(filter(None, (table["key"], label, column, suffix)))
                    found[name] = (figure, more)
    return found


def _more_is_better(*units: str) -> bool | None:
    for text in units:
        if _PER_SECOND.search(text):
            return True
        if _LESS_IS_BETTER.search(text):
            return False
    return None


def _numbers(cell: str) -> Iterator[tuple[str, float]]:
    parts = cell.split(" / ")
    if not all(_NUMBER.fullmatch(part) for part in parts):
        return
    for name, part in zip(_PERCENTILES if len(parts) > 1 else ("",), parts, strict=False):
        yield name, float(part.replace(",", ""))


def spread_of(rounds: Sequence[float]) -> float:
    """Return the factor that medians of two halves of ``rounds`` differ by, in 19 of 20 splits.

    Every way of splitting them is tried; an odd one is left out of the larger half in turn.
    """
    half = len(rounds) // 2
    factors = []
    for chosen in itertools.combinations(range(len(rounds)), half):
        others = [rounds[place] for place in range(len(rounds)) if place not in chosen]
        ratio = median(rounds[place] for place in chosen) / median(others)
        factors.append(max(ratio, 1 / ratio))
    factors.sort()
    return factors[math.ceil(len(factors) * _CONFIDENCE) - 1]


def compare(
    base: Sequence[Mapping[str, tuple[float, bool]]],
    here: Sequence[Mapping[str, tuple[float, bool]]],
) -> list[Compared]:
    """Compare the figures that both commits measured in every round, in this checkout's order.

    ``base`` holds twice as many rounds as ``here``. A figure that is 0 somewhere has no ratio
    and is left out.
    """
    compared = []
    for name, (_, more_is_better) in here[0].items():
        if not all(each.get(name, (0.0, True))[0] > 0 for each in (*base, *here)):
            continue
        before = [each[name][0] for each in base]
        compared.append(
            Compared(
                name=name,
                base=median(before),
                here=median(each[name][0] for each in here),
                spread=spread_of(before),
                more_is_better=more_is_better,
            )
        )
    return compared


def as_text(compared: Sequence[Compared]) -> str:
    """Draw the comparison for a terminal."""
    rows = [("figure", "base", "here", "ratio", "spread", "")]
    rows += [
        (
            each.name,
            f"{each.base:,.4g}" if each.base < 1000 else f"{each.base:,.0f}",
            f"{each.here:,.4g}" if each.here < 1000 else f"{each.here:,.0f}",
            f"{each.ratio:.3f}",
            f"{1 / each.spread:.3f} to {each.spread:.3f}",
            each.verdict,
        )
        for each in compared
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def python_of(checkout: Path) -> Path:
    """Return the interpreter of a checkout's own environment; SystemExit when it has none."""
    found = [checkout / each for each in _PYTHONS if (checkout / each).exists()]
    if not found:
        sys.exit(f"{checkout} has no .venv: run make install-tools there")
    return found[0]


def measured(checkout: Path, words: str, plan: Mapping[str, Any]) -> dict[str, tuple[float, bool]]:
    """Return the figures of one round of a checkout's bench; SystemExit when it fails twice."""
    command = [str(python_of(checkout)), str(_ROUND), str(checkout), words, json.dumps(plan)]
    for _ in range(_TRIES):
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)  # noqa: S603 - our own script
        if done.returncode == 0:
            return figures_of(json.loads(done.stdout))
        print(f"A round of {checkout} failed.", file=sys.stderr, flush=True)
    sys.exit(f"The bench of {checkout} fails: see above; make bench runs it alone.")


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Compare this checkout's figures with another's.")
    parser.add_argument("base", type=Path, help="a checkout of the commit to compare with")
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    parser.add_argument("--only", default="a,b,c", help="parts, as make bench takes them")
    parser.add_argument("--seconds", type=float, help="how long each measurement presses")
    parser.add_argument("--events", type=int, help="how many events a measurement takes")
    parser.add_argument("--quick", action="store_true", help="each part short")
    options = parser.parse_args()
    plan = {"seconds": options.seconds, "events": options.events, "quick": options.quick}
    base, here = [], []
    for number in range(1, options.rounds + 1):
        print(f"Round {number} of {options.rounds}", file=sys.stderr, flush=True)
        # The base on both sides: a drift of the machine meets both commits alike.
        base.append(measured(options.base.resolve(), options.only, plan))
        here.append(measured(HERE, options.only, plan))
        base.append(measured(options.base.resolve(), options.only, plan))
    compared = compare(base, here)
    print(as_text(compared))
    worse = [each.name for each in compared if each.verdict.startswith("worse")]
    print(f"\n{len(worse)} of {len(compared)} figures are worse than the spread.")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
