"""(i) How fast prescriptions go through twenty agents, next to the bare claim statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, Final

from part import Part, Plan
from setups import POSTGRESQL, SQLITE, Setup, possible
from stage import Stage, database_in
from table import Table, rate

AGENTS: Final = 20
_JOBS: Final = 100_000
_QUICK_JOBS: Final = 5_000
_PLUGIN: Final = "\n[plugins.rx_queue]\n"
_MOST_BARE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRound:
    """One round on one database; ``fewest`` and ``most`` are jobs that one agent wrote.

    The bare statement runs on SQLite alone. CPU is the gateway's, without the database's server.
    """

    submitted_per_second: float
    written_per_second: float
    bare_per_second: float | None
    cpu_ms: float
    agent_cores: float
    fewest: int
    most: int


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Measure round by round, on both databases."""
    jobs = plan.events or (_QUICK_JOBS if plan.quick else _JOBS)
    found = {
        setup.name: plan.each_round(
            partial(_measure_round, stage, setup, jobs), f"{PART.name}-{setup.name.split(',')[0]}"
        )
        for setup in possible((SQLITE, POSTGRESQL))
    }
    return [_table(jobs, found)]


def _measure_round(stage: Stage, setup: Setup, jobs: int, name: str) -> QueueRound:
    """Queue all jobs, copy the database for the bare loop, let the agents write all."""
    with (
        stage.ground(name, setup, more=_PLUGIN) as made,
        stage.running(made, setup) as gateway,
    ):
        job = {"port": gateway.port, "key": made.keys[0], "jobs": jobs, "agents": AGENTS}
        submitted = stage.ask("rx_agents.py", {**job, "what": "submit"})
        assert submitted["jobs"] == jobs, f"{submitted['jobs']} of {jobs} were taken in"
        bare = None if setup.postgresql else _bare(stage, name, made.folder / "bare.db")
        before = gateway.cpu_seconds()
        written = stage.ask("rx_agents.py", {**job, "what": "write"})
        used = gateway.cpu_seconds() - before
        left = gateway.run_sql("SELECT count(*) FROM rx_jobs WHERE state <> 'completed'")
    assert written["twice_in_flight"] == 0, "a job or a patient was in two hands at once"
    assert written["written_twice"] == 0, "a job was handed out again after its report"
    assert left == [(0,)], f"{left} jobs were left behind"
    return QueueRound(
        submitted_per_second=jobs / submitted["seconds"],
        written_per_second=jobs / written["seconds"],
        bare_per_second=bare and bare["jobs"] / bare["seconds"],
        cpu_ms=1000 * used / jobs,
        agent_cores=written["cpu_seconds"] / written["seconds"],
        fewest=written["by_agent"][0],
        most=written["by_agent"][-1],
    )


def _bare(stage: Stage, name: str, into: Any) -> dict[str, float]:
    found: dict[str, float] = stage.ask(
        "bare_claims.py",
        {
            "rows_from": str(database_in(stage.folder / name)),
            "into": str(into),
            "seconds": _MOST_BARE_SECONDS,
        },
    )
    return found


def _table(jobs: int, found: Mapping[str, Sequence[QueueRound]]) -> Table:
    rows = []
    for name, rounds in found.items():
        bare = [each.bare_per_second for each in rounds if each.bare_per_second is not None]
        rows.append(
            (
                name,
                rate(rounds, lambda each: each.submitted_per_second),
                rate(rounds, lambda each: each.written_per_second),
                f"{median(each.cpu_ms for each in rounds):.2f}",
                rate(bare, float) if bare else "",
                f"{min(each.fewest for each in rounds):,} to {max(each.most for each in rounds):,}",
                f"{max(each.agent_cores for each in rounds):.2f}",
            )
        )
    return Table(
        "rx_queue",
        f"{jobs:,} prescriptions, {AGENTS} agents",
        (
            "",
            "taken in, jobs/s",
            "leased, written and reported, jobs/s",
            "CPU ms a job",
            "bare claims, jobs/s",
            "of one agent, fewest to most",
            "cores that the agents used",
        ),
        rows,
    )


PART: Final = Part("i", "prescriptions", measure)
