"""The report on an import, gathered while it runs; it stays small however large the file is."""

from typing import Final

from gateway_csv.read.rows import Row
from gateway_csv.schema import ImportOut, RowProblem

MOST_TOLD: Final = 1000
"""So many errors, and so many warnings, are told one by one; all are counted."""


_MORE_ERRORS: Final = "more errors; the file of rejected rows has them all"


class Report:
    """Counts, ids and problems. ``rejected`` counts rows, ``errors`` are what is wrong in them."""

    def __init__(self) -> None:
        self.rows = 0
        self.rows_done = 0
        self.created = 0
        self.duplicates = 0
        self.rejected = 0
        self.ignored_columns: list[str] = []
        self._package_ids: list[str] = []
        self._assumptions: list[RowProblem] = []
        self._warnings: list[RowProblem] = []
        self._errors: list[RowProblem] = []
        self._untold_warnings = 0
        self._untold_errors = 0

    def assume(self, message: str, column: str | None = None) -> None:
        """Say what was taken for granted about the whole file, or one of its columns."""
        self._assumptions.append(RowProblem(message=message, column=column))

    def warn(self, message: str, row: Row) -> None:
        """Say something about a row that stops nothing."""
        self.add_warning(RowProblem(message=message, row=row.number))

    def add_warning(self, problem: RowProblem) -> None:
        """Add a remark."""
        if len(self._warnings) < MOST_TOLD:
            self._warnings.append(problem)
        else:
            self._untold_warnings += 1

    def add_error(self, problem: RowProblem) -> None:
        """Add a reason why a row was rejected."""
        if len(self._errors) < MOST_TOLD:
            self._errors.append(problem)
        else:
            self._untold_errors += 1

    def add_created(self, package_id: str | None) -> None:
        """Count a row that made a package; in a dry run it has no id."""
        self.created += 1
        if package_id is not None:
            self._package_ids.append(package_id)

    @property
    def is_failure(self) -> bool:
        """Whether nothing came of the file: no row of it was any good."""
        return bool(self.rejected) and not (self.created or self.duplicates)

    def summary(self, *, dry_run: bool = False) -> str:
        """Say it all in one line."""
        rows = "1 row" if self.rows == 1 else f"{self.rows} rows"
        created = f"{self.created} {'would be ' if dry_run else ''}created"
        return f"{rows}: {created}, {self.duplicates} imported before, {self.rejected} rejected."

    def out(self) -> ImportOut:
        """Return the report as it is sent; warnings first say what holds for the whole file."""
        before = []
        if self.duplicates:
            rows = "1 row was" if self.duplicates == 1 else f"{self.duplicates} rows were"
            before.append(
                RowProblem(message=f"{rows} imported before: no second package was made of them")
            )
        return ImportOut(
            created=self.created,
            package_ids=list(self._package_ids),
            warnings=[
                *before,
                *self._assumptions,
                *sorted(self._warnings, key=lambda each: each.row or 0),
                *_untold(self._untold_warnings, "more remarks"),
            ],
            errors=[*self._errors, *_untold(self._untold_errors, _MORE_ERRORS)],
            ignored_columns=list(self.ignored_columns),
            rows=self.rows,
        )


def _untold(count: int, what: str) -> list[RowProblem]:
    if not count:
        return []
    return [RowProblem(message=f"and {count} {what}")]
