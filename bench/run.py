"""Measure this machine: `make bench`, or `python bench/run.py --help`.

Prints what it measures and, after a full run, writes docs/performance.md. How each figure
comes about stands there in plain words; intake.py, delivery.py and latency.py do it.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import delivery
import intake
import latency
import report
from machine import facts
from stage import Stage

Measured = TypeVar("Measured")

_DELIVERIES: Final = 30_000
_QUICK_DELIVERIES: Final = 10_000
_WHAT: Final = {"a": "intake", "b": "delivery", "c": "latency"}


def main() -> None:
    """Do what the command line says."""
    options = _parser().parse_args()
    only = options.only or "abc"
    rounds = 1 if options.quick else options.rounds
    seconds = options.seconds or (2.0 if options.quick else 3.0)
    latency_seconds = options.seconds or (4.0 if options.quick else 10.0)
    deliveries = _QUICK_DELIVERIES if options.quick else _DELIVERIES
    with tempfile.TemporaryDirectory(prefix="gateway-bench-", dir=options.folder) as folder:
        stage, known = Stage(Path(folder)), facts(Path(folder))
        with stage.sink() as sink:
            ceiling = intake.measure_ceiling(stage, sink, 1.0)
            intakes = _repeat(
                rounds if "a" in only else 0,
                lambda name: intake.measure_round(stage, sink, f"a{name}", seconds),
                "a",
            )
            sent = _repeat(
                rounds if "b" in only else 0,
                lambda name: delivery.measure_round(stage, sink, f"b{name}", deliveries),
                "b",
            )
            waits = _repeat(
                min(rounds, 3) if "c" in only else 0,
                lambda name: latency.measure_round(stage, sink, f"c{name}", latency_seconds),
                "c",
            )
    tables = _tables(ceiling, intakes, sent, waits)
    print()
    for name, value in known.items():
        print(f"{name}: {value}")
    print()
    for table in tables:
        print(table.as_text())
    if options.only or options.quick:
        print("docs/performance.md is left as it is: only a full run writes it.")
        return
    report.write_page(tables, known, f"{rounds} rounds, {min(rounds, 3)} of the last")
    print("Written to docs/performance.md.")


def _repeat(rounds: int, measure: Callable[[str], Measured], what: str) -> list[Measured]:
    found = []
    for number in range(1, rounds + 1):
        print(f"({what}) {_WHAT[what]}, round {number} of {rounds} …", flush=True)
        found.append(measure(str(number)))
    return found


def _tables(
    ceiling: intake.Ceiling,
    intakes: Sequence[intake.IntakeRound],
    sent: Sequence[Sequence[delivery.DeliveryRound]],
    waits: Sequence[Sequence[latency.Latencies]],
) -> list[report.Table]:
    tables = []
    if intakes:
        tables.append(report.intake_table(intakes))
    if sent:
        tables.append(report.delivery_table(sent))
    if waits:
        tables.append(report.latency_table(waits))
    if intakes or sent:
        tables.append(report.fairness_table(ceiling, intakes, sent))
    return tables


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the gateway on this machine.")
    parser.add_argument("--quick", action="store_true", help="one short round; writes nothing")
    parser.add_argument("--only", choices=sorted(_WHAT), help="intake, delivery or latency")
    parser.add_argument("--seconds", type=float, help="how long each measurement presses")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--folder", help="where to put the databases (default: the system's)")
    return parser


if __name__ == "__main__":
    main()
