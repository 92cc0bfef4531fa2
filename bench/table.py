"""Tables of figures, as a person reads them: in a terminal, and in docs/performance.md."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

Round = TypeVar("Round")


@dataclass(frozen=True, slots=True)
class Aim:
    """A goal, what was measured beside it, and whether it is reached."""

    goal: str
    found: str
    is_reached: bool

    @property
    def verdict(self) -> str:
        """Return the word for it."""
        return "reached" if self.is_reached else "not reached"


@dataclass(frozen=True, slots=True)
class Table:
    """A heading, the columns' names and the rows; a cell is what is shown.

    ``key`` is the table's place in performance.md.template; ``aims`` go to the table of aims.
    """

    key: str
    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    aims: Sequence[Aim] = ()

    def as_text(self) -> str:
        """Draw it for a terminal."""
        cells = [self.columns, *self.rows]
        widths = [max(len(row[place]) for row in cells) for place in range(len(self.columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]
        return "\n".join([self.heading, *(f"  {line}" for line in lines), ""])

    def as_markdown(self) -> str:
        """Draw it for the page."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def rate(rounds: Sequence[Round], of: Callable[[Round], float]) -> str:
    """Show the median of a rate."""
    return f"{median(of(each) for each in rounds):,.0f}"


def ratio(rounds: Sequence[Round], of: Callable[[Round], float]) -> str:
    """Show the median of a ratio and, of several rounds, the lowest and the highest."""
    found = [of(each) for each in rounds]
    if len(found) == 1:
        return f"{found[0]:.2f}"
    return f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def milliseconds_at(percents: Sequence[int], seconds: Sequence[float]) -> tuple[float, ...]:
    """Return the milliseconds below which so many per cent of ``seconds`` are."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return tuple(ordered[min(last, len(ordered) * each // 100)] * 1000 for each in percents)


def percentiles(found: Sequence[Sequence[float]]) -> str:
    """Show the median of each percentile; ``found`` has one entry a round."""
    return " / ".join(f"{median(each):.1f}" for each in zip(*found, strict=True))
