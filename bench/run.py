"""Measure this machine: `make bench`, or `python bench/run.py --help`.

Prints what it measures and writes it into docs/performance.md, where a part that was not
run keeps the figures that it had. How each figure comes about stands there in plain words.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import attacks
import bigrun
import capacity
import cost
import csv_import
import day
import delivery
import history
import intake
import killed
import latency
import page
import pages
import peer
import profile_of_order
import rx_queue
import scaling
import small
import soak
from aims import GOALS, aims_table, beside_base
from machine import LOAD, facts
from part import Part, Plan
from stage import Stage
from table import Aim, Table

# A new measurement is one more line here, and its place in performance.md.template.
PARTS: Final[Sequence[Part]] = (
    intake.PART,
    delivery.PART,
    latency.PART,
    scaling.PART,
    history.PART,
    soak.PART,
    bigrun.PART,
    csv_import.PART,
    rx_queue.PART,
    cost.PART,
    attacks.PART,
    pages.PART,
    capacity.PART,
    day.PART,
    day.HOUR,
    small.PART,
    killed.PART,
    profile_of_order.PART,
)


def main() -> None:
    """Do what the command line says."""
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="gateway-bench-", dir=options.folder) as folder:
        known = facts(Path(folder))
        print("".join(f"{name}: {value}\n" for name, value in known.items()), flush=True)
        usual = [each for each in PARTS if not each.only_asked]
        beside = [peer.part(options.peer, options.peer_calls)] if options.peer else None
        aims: list[Aim] = []
        for part in beside or options.only or usual:
            rounds = 1 if options.quick else options.rounds or part.rounds
            plan = Plan(
                rounds=rounds,
                quick=options.quick,
                seconds=options.seconds,
                events=options.events,
            )
            print(f"({part.letter}) {part.name}", flush=True)
            began = time.monotonic()
            measure = partial(part.measure, Stage(Path(folder)), plan)
            if options.base:
                tables, beside_it = beside_base(part, plan, options.base.resolve(), measure)
            else:
                tables, beside_it = measure(), ()
            print(f"  {time.monotonic() - began:.0f} s\n")
            for table in tables:
                print(table.as_text(), flush=True)
            aims += [*beside_it, *(aim for table in tables for aim in table.aims)]
            if not (options.quick or options.peer):
                page.write(tables, _stamp(known, rounds), known)
                page.write([_aims(aims)])
    if not options.peer:
        print(_aims(aims).as_text())
    if options.quick or options.peer:
        print("docs/performance.md is left as it is: --quick and --peer are for looking.")
    else:
        print("Written to docs/performance.md.")


def _aims(found: Sequence[Aim]) -> Table:
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    return aims_table(found, today, GOALS, page.PAGE.read_text("utf-8"))


def chosen(words: str, parts: Sequence[Part] = PARTS) -> list[Part]:
    """Return the parts that ``words`` names by letter or name, with commas between.

    Raises ``argparse.ArgumentTypeError`` when there is no such part.
    """
    found = []
    for word in words.split(","):
        named = [part for part in parts if word.strip() in (part.letter, part.name)]
        if not named:
            there = ", ".join(f"{part.letter} ({part.name})" for part in parts)
            sentence = f"there is no part {word!r}; there are {there}"
            raise argparse.ArgumentTypeError(sentence)
        found += named
    return found


def _stamp(known: Mapping[str, str], rounds: int) -> str:
    times = "once" if rounds == 1 else f"in {rounds} rounds"
    return (
        f"Measured {times} on {datetime.now(UTC):%Y-%m-%d}: gateway {known['gateway']}, "
        f"{known['processor']}, others' load {known[LOAD]}."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the gateway on this machine.")
    parser.add_argument("--quick", action="store_true", help="each part short; writes nothing")
    parser.add_argument(
        "--only",
        type=chosen,
        metavar="PARTS",
        help="; ".join(f"{part.letter}: {part.name}" for part in PARTS) + " (commas between)",
    )
    parser.add_argument("--seconds", type=float, help="how long each measurement presses")
    parser.add_argument("--events", type=int, help="how many events a measurement takes")
    parser.add_argument("--rounds", type=int, help="how often (default: each part's own)")
    parser.add_argument(
        "--base",
        type=Path,
        metavar="CHECKOUT",
        help="another commit, with a .venv: measured beside ours where a goal is a multiple of it",
    )
    parser.add_argument("--peer", metavar="URL", help="measure only another program, beside ours")
    parser.add_argument(
        "--peer-calls",
        type=Path,
        default=peer.CALLS,
        metavar="FILE",
        help="how it is asked (default: %(default)s)",
    )
    parser.add_argument("--folder", help="where to put the databases (default: the system's)")
    return parser


if __name__ == "__main__":
    main()
