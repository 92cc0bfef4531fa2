"""The results of ``gateway check`` and ``gateway status``, and their output."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.errors import Problem
from gateway.health.lines import Line
from gateway.health.preflight import DatabaseState
from gateway.runtime import Gateway
from gateway.sdk.cli import Session


@dataclass(slots=True)
class Findings:
    """The results of all checks. ``file`` is the configuration file, if any.

    ``gateway`` is set after the settings were read, ``database`` after it was reached. ``by_check``
    has the problems of each failed check, for a line that begins with its name; ``commands`` has
    the remedies that plugins gave.
    """

    file: Path | None
    gateway: Gateway | None = None
    database: DatabaseState | None = None
    checks: list[dict[str, Any]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    by_check: dict[str, list[Problem]] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)

    def passed(self, name: str, detail: str) -> None:
        """Record a check that passed."""
        self.checks.append({"name": name, "ok": True, "detail": detail})

    def failed(self, name: str, *problems: Problem, sentence: str | None = None) -> None:
        """Record a check that failed; a problem's ``field`` is its table and key.

        ``sentence`` is shown beside the name, where the problem's own sentence repeats the name.
        """
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        self.checks.append({"name": name, "ok": False, "detail": count})
        self.problems += problems
        own = problems if sentence is None else [Problem(sentence)]
        self.by_check.setdefault(name, []).extend(own)

    def found(self, *lines: Line | None) -> None:
        """Record the results of health checks; the red lines of one part are one failed check."""
        faults: dict[str, list[Problem]] = {}
        for line in filter(None, lines):
            if line.ok:
                self.passed(line.name, line.detail)
            else:
                faults.setdefault(line.name, []).append(Problem(line.detail, field=line.place))
        for name, problems in faults.items():
            self.failed(name, *problems)

    def show(self, session: Session) -> None:
        """Print a line for each result, passed checks first."""
        if session.as_json:
            problems = [self._as_json(problem) for problem in self.problems]
            session.record({"ok": not self.problems, "checks": self.checks, "problems": problems})
            return
        for check in self.checks:
            if check["ok"]:
                session.say(f"ok       {check['name']}: {check['detail']}")
        for problem in self.problems:
            session.say(f"problem  {self._as_text(problem)}")

    def _as_json(self, problem: Problem) -> dict[str, Any]:
        file = {} if self.file is None else {"file": str(self.file)}
        return {**file, "field": problem.field, "message": problem.message}

    def _as_text(self, problem: Problem) -> str:
        if problem.field is None:
            return problem.message
        name = "the configuration" if self.file is None else self.file.name
        return f"{name}: {problem.field}: {problem.message}"
