"""(i) How fast prescriptions go through twenty agents, next to the bare claim statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from part import Part, Plan
from setups import SQLITE
from stage import Stage, database_in
from table import Table, rate, ratio

AGENTS: Final = 20
_JOBS: Final = 100_000
_QUICK_JOBS: Final = 5_000
_PLUGIN: Final = "\n[plugins.rx_queue]\n"
_MOST_BARE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRound:
    """One round. ``fewest`` and ``most`` are jobs that one agent wrote."""

    submitted_per_second: float
    written_per_second: float
    bare_per_second: float
    agent_cores: float
    fewest: int
    most: int

    @property
    def written_ratio(self) -> float:
        """Return the queue's part of what the bare statement does."""
        return self.written_per_second / self.bare_per_second


def measure(stage: Stage, plan: Plan) -> list[Table]:
    """Measure round by round."""
    jobs = plan.events or (_QUICK_JOBS if plan.quick else _JOBS)
    return [_table(jobs, plan.each_round(lambda name: measure_round(stage, name, jobs), PART.name))]


def measure_round(stage: Stage, name: str, jobs: int) -> QueueRound:
    """Queue all jobs, copy the database for the bare loop, let the agents write all."""
    with SQLITE.configuration(1) as usual:
        made = stage.prepare(name, usual + _PLUGIN)
    with stage.running(made, SQLITE) as gateway:
        job = {"port": gateway.port, "key": made.keys[0], "jobs": jobs, "agents": AGENTS}
        submitted = stage.ask("rx_agents.py", {**job, "what": "submit"})
        assert submitted["jobs"] == jobs, f"{submitted['jobs']} of {jobs} were taken in"
        bare = _bare(stage, name, made.folder / "bare.db")
        written = stage.ask("rx_agents.py", {**job, "what": "write"})
        left = gateway.run_sql("SELECT count(*) FROM rx_jobs WHERE state <> 'completed'")
    assert written["twice_in_flight"] == 0, "a job or a patient was in two hands at once"
    assert written["written_twice"] == 0, "a job was handed out again after its report"
    assert left == [(0,)], f"{left} jobs were left behind"
    return QueueRound(
        submitted_per_second=jobs / submitted["seconds"],
        written_per_second=jobs / written["seconds"],
        bare_per_second=bare["jobs"] / bare["seconds"],
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


def _table(jobs: int, rounds: Sequence[QueueRound]) -> Table:
    fewest = min(each.fewest for each in rounds)
    most = max(each.most for each in rounds)
    return Table(
        "rx_queue",
        f"{jobs:,} prescriptions, {AGENTS} agents",
        ("", "gateway", "bare claims", "ratio"),
        [
            (
                "taken in, batches of 100, jobs/s",
                rate(rounds, lambda each: each.submitted_per_second),
                "",
                "",
            ),
            (
                "leased, written and told of, jobs/s",
                rate(rounds, lambda each: each.written_per_second),
                rate(rounds, lambda each: each.bare_per_second),
                ratio(rounds, lambda each: each.written_ratio),
            ),
            ("jobs of one agent, fewest and most", f"{fewest:,} to {most:,}", "", ""),
            (
                "cores that the agents used",
                f"{max(each.agent_cores for each in rounds):.2f}",
                "",
                "",
            ),
        ],
    )


PART: Final = Part("i", "prescriptions", measure)
