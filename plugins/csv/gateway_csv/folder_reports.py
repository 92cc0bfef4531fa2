"""The files beside a file of the watched folder: its report, and its rejected rows."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

from gateway_csv.mapping import Reading
from gateway_csv.rejected import Rejection, header_line, rejected_lines
from gateway_csv.report import Report
from gateway_csv.schema import RowProblem

_WHAT_TO_DO: Final = (
    "What is wrong (correct it in the file .rejected.csv, and put that into the folder):"
)


class RejectedFile:
    """Writes rejected rows to a file, which exists only if a row is rejected."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        """Start again: the file of an earlier attempt is deleted."""
        self._path.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()

    async def write(self, rejections: Sequence[Rejection], reading: Reading) -> None:
        """Write these rows."""
        if self._file is None:
            self._file = self._path.open("w", encoding="utf-8", newline="")
            self._file.write(header_line(reading))
        self._file.write(rejected_lines(rejections, reading))

    def move_to(self, target: Path, *, like: Path) -> None:
        """Move it to ``target``, with the permissions of the file ``like``."""
        if self._path.exists():
            shutil.copymode(like, self._path)
            self._path.replace(target)


def written_report(report: Report, error: str | None) -> str:
    """Return the report as text for a person; the contents of cells are masked."""
    if error is not None:
        lines = ["This file could not be imported.", error]
        if report.created:
            lines.append(f"{report.created} packages had been created by then.")
        return "\n".join(lines) + "\n"
    out = report.out()
    lines = [report.summary()]
    if out.ignored_columns:
        lines.append(f"Ignored columns: {', '.join(out.ignored_columns)}")
    if out.errors:
        lines += ["", _WHAT_TO_DO, *map(_line, out.errors)]
    if out.warnings:
        lines += ["", "Remarks:", *map(_line, out.warnings)]
    return "\n".join(lines) + "\n"


def _line(problem: RowProblem) -> str:
    place = [f"row {problem.row}"] if problem.row is not None else []
    place += [f"column {problem.column}"] if problem.column else []
    said = [f"expected {problem.expected}"] if problem.expected else []
    said += [f"found {problem.found}"] if problem.found else []
    said += [problem.fix] if problem.fix else []
    more = f" ({'; '.join(said)})" if said else ""
    return f"- {', '.join(place)}{': ' if place else ''}{problem.message}{more}"
