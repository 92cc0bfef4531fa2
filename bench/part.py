"""A part of the bench: one thing that is measured, alone or with the others.

A module that measures something has a ``PART``, which stands in ``PARTS`` of run.py. The
tables that it returns go to the places of the same names in performance.md.template.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stage import Stage
from table import Table

Measured = TypeVar("Measured")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured.

    ``seconds`` is how long one measurement presses, ``events`` how many of them one takes;
    ``None`` leaves it to the part.
    """

    rounds: int
    quick: bool = False
    seconds: float | None = None
    events: int | None = None

    def each_round(self, measure: Callable[[str], Measured], name: str) -> list[Measured]:
        """Measure once a round, each time with a name of its own."""
        found = []
        for number in range(1, self.rounds + 1):
            print(f"  {name}, round {number} of {self.rounds} …", flush=True)
            found.append(measure(f"{name.replace(' ', '-')}-{number}"))
        return found


@dataclass(frozen=True, slots=True)
class Part:
    """``--only`` takes the letter or the name; ``measure`` returns what is to be shown.

    ``rounds`` are those of a full run; the figures are medians over them. With ``only_asked`` it is
    measured only where it is named: it takes very long.
    """

    letter: str
    name: str
    measure: Callable[[Stage, Plan], Sequence[Table]]
    rounds: int = 1
    only_asked: bool = False
