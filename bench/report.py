"""The figures, as a person reads them: in a terminal, and in docs/performance.md."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from string import Template
from typing import Final, TypeVar

import delivery
import intake
import latency

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"
_TEMPLATE: Final = Path(__file__).with_name("performance.md.template")

Round = TypeVar("Round")


@dataclass(frozen=True, slots=True)
class Table:
    """A heading, the columns' names and the rows; a cell is what is shown."""

    key: str
    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

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


def intake_table(rounds: Sequence[intake.IntakeRound]) -> Table:
    """Show (a)."""
    return Table(
        "intake",
        "(a) Orders taken in, 64 connections",
        ("", "gateway", "bare inserts", "ratio", "aim"),
        [
            (
                "batches of 100, orders/s",
                _rate(rounds, lambda each: each.batch_orders_per_second),
                _rate(rounds, lambda each: each.bare_batch_orders_per_second),
                _ratio(rounds, lambda each: each.batch_ratio),
                "ratio ≥ 0.5",
            ),
            (
                "one order a request, orders/s",
                _rate(rounds, lambda each: each.single_requests_per_second),
                _rate(rounds, lambda each: each.bare_single_orders_per_second),
                _ratio(rounds, lambda each: each.single_ratio),
                "≥ 2,000/s",
            ),
        ],
    )


def delivery_table(rounds: Sequence[Sequence[delivery.DeliveryRound]]) -> Table:
    """Show (b)."""
    names = ("one endpoint", f"{delivery.MANY} endpoints")
    return Table(
        "delivery",
        "(b) Webhooks delivered, each second",
        ("", "gateway", "bare posts", "ratio", "aim"),
        [
            (
                name,
                _rate(each, lambda one: one.deliveries_per_second),
                _rate(each, lambda one: one.bare_posts_per_second),
                _ratio(each, lambda one: one.ratio),
                "ratio ≥ 0.4",
            )
            for name, each in zip(names, zip(*rounds, strict=True), strict=True)
        ],
    )


def latency_table(rounds: Sequence[Sequence[latency.Latencies]]) -> Table:
    """Show (c)."""
    return Table(
        "latency",
        "(c) From order to webhook, milliseconds at p50 / p95 / p99",
        ("", "accepted to delivered", "sent to delivered", "sent to accepted", "aim"),
        [
            (
                f"{each[0].rate} orders/s",
                _percentiles([one.from_accepted for one in each]),
                _percentiles([one.from_sent for one in each]),
                _percentiles([one.answer for one in each]),
                "p95 ≤ 25" if each[0].rate == latency.RATES[-1] else "",
            )
            for each in zip(*rounds, strict=True)
        ],
    )


def fairness_table(
    ceiling: intake.Ceiling | None,
    intakes: Sequence[intake.IntakeRound],
    deliveries: Sequence[Sequence[delivery.DeliveryRound]],
) -> Table:
    """Show that load generator and sink are not what was measured."""
    rows: list[tuple[str, str, str, str]] = []
    if ceiling and intakes:
        for name, most, rate, cores in (
            (
                "load generator, batches/s",
                ceiling.batches_per_second,
                median(each.batch_orders_per_second for each in intakes) / intake.BATCH,
                median(each.batch_load_cores for each in intakes),
            ),
            (
                "load generator, single requests/s",
                ceiling.singles_per_second,
                median(each.single_requests_per_second for each in intakes),
                median(each.single_load_cores for each in intakes),
            ),
        ):
            rows.append((name, f"{most:,.0f}", f"{most / rate:,.0f}", f"{cores:.2f}"))
    if ceiling and deliveries:
        all_of_them = [one for each in deliveries for one in each]
        most = ceiling.singles_per_second
        fastest = max(one.deliveries_per_second for one in all_of_them)
        cores = median(one.sink_cores for one in all_of_them)
        rows.append(("sink, webhooks/s", f"{most:,.0f}", f"{most / fastest:,.0f}", f"{cores:.2f}"))
    return Table(
        "fairness",
        "Load generator and sink, alone with each other",
        ("", "reaches", "times the gateway", "cores it used"),
        rows,
    )


def write_page(tables: Sequence[Table], facts: Mapping[str, str], rounds: str) -> None:
    """Write docs/performance.md anew."""
    template = Template(_TEMPLATE.read_text("utf-8"))
    named = {table.key: table.as_markdown() for table in tables}
    machine = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    PAGE.write_text(template.substitute(named, machine=machine, rounds=rounds), "utf-8")


def _rate(rounds: Sequence[Round], of: Callable[[Round], float]) -> str:
    return f"{median(of(each) for each in rounds):,.0f}"


def _ratio(rounds: Sequence[Round], of: Callable[[Round], float]) -> str:
    found = [of(each) for each in rounds]
    if len(found) == 1:
        return f"{found[0]:.2f}"
    return f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def _percentiles(found: Sequence[Sequence[float]]) -> str:
    return " / ".join(f"{median(each):.1f}" for each in zip(*found, strict=True))
