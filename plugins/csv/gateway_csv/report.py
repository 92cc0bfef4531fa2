"""The report on an import, built while it runs; it stays small for any file."""

from typing import Final

from gateway_csv.read.rows import Row
from gateway_csv.schema import ImportOut, RowProblem

MOST_LISTED: Final = 1000
"""The maximum of listed errors, and of listed warnings; all are counted."""


_MORE_ERRORS: Final = "more errors; the file of rejected rows has them all"


class Report:
    """Counts, ids and problems; every finished row is in exactly one of the counts.

    ``created`` made a package, ``duplicates`` were imported before, ``repeated`` are in the file
    more than once, ``bagged`` are further prescriptions of another row's bag, ``skipped`` need no
    package (delivered, cancelled, hidden), ``rejected`` have errors. ``bags`` counts the bags.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.rows_done = 0
        self.created = 0
        self.duplicates = 0
        self.repeated = 0
        self.bagged = 0
        self.bags = 0
        self.skipped = 0
        self.rejected = 0
        self.known_by: set[str] = set()
        self.ignored_columns: list[str] = []
        self._package_ids: list[str] = []
        self._assumptions: list[RowProblem] = []
        self._warnings: list[RowProblem] = []
        self._errors: list[RowProblem] = []
        self._unlisted_warnings = 0
        self._unlisted_errors = 0

    def assume(self, message: str, column: str | None = None) -> None:
        """Add an assumption about the whole file, or one of its columns."""
        self._assumptions.append(RowProblem(message=message, column=column))

    def warn(self, message: str, row: Row) -> None:
        """Add a remark about a row."""
        self.add_warning(RowProblem(message=message, row=row.number))

    def add_warning(self, problem: RowProblem) -> None:
        """Add a remark."""
        if len(self._warnings) < MOST_LISTED:
            self._warnings.append(problem)
        else:
            self._unlisted_warnings += 1

    def add_error(self, problem: RowProblem) -> None:
        """Add a reason why a row was rejected."""
        if len(self._errors) < MOST_LISTED:
            self._errors.append(problem)
        else:
            self._unlisted_errors += 1

    def add_created(self, package_id: str | None) -> None:
        """Count a row that made a package; in a dry run it has no id."""
        self.created += 1
        if package_id is not None:
            self._package_ids.append(package_id)

    @property
    def is_failure(self) -> bool:
        """Whether every row has errors."""
        return bool(self.rejected) and not (self.created or self.duplicates or self.skipped)

    def summary(self, *, dry_run: bool = False) -> str:
        """Return the counts in one line."""
        rows = "1 row" if self.rows == 1 else f"{self.rows} rows"
        created = f"{self.created} {'would be ' if dry_run else ''}created"
        counts = [created, f"{self.duplicates} imported before"]
        counts += [f"{self.repeated} in the file twice"] if self.repeated else []
        counts += [f"{self.bagged} in the bag of another row"] if self.bagged else []
        counts += [f"{self.skipped} skipped"] if self.skipped else []
        return f"{rows}: {', '.join(counts)}, {self.rejected} rejected."

    def out(self) -> ImportOut:
        """Return the report for output; warnings begin with those about the whole file."""
        before = []
        if self.duplicates:
            rows = "1 row was" if self.duplicates == 1 else f"{self.duplicates} rows were"
            before.append(
                RowProblem(message=f"{rows} imported before: no second package was made of them")
            )
            if self.created:
                known_by = " or ".join(sorted(self.known_by))
                before.append(
                    RowProblem(
                        message=(f"{self.created} taken as new: by {known_by} not imported before")
                    )
                )
        if self.bags:
            bags = "1 bag holds" if self.bags == 1 else f"{self.bags} bags hold"
            text = f"{bags} the prescriptions of {self.bags + self.bagged} rows"
            before.append(RowProblem(message=text))
        if self.skipped:
            rows = "1 row was" if self.skipped == 1 else f"{self.skipped} rows were"
            before.append(RowProblem(message=f"{rows} skipped: see the remark on each"))
        return ImportOut(
            created=self.created,
            package_ids=list(self._package_ids),
            warnings=[
                *before,
                *self._assumptions,
                *sorted(self._warnings, key=lambda each: each.row or 0),
                *_unlisted(self._unlisted_warnings, "more remarks"),
            ],
            errors=[*self._errors, *_unlisted(self._unlisted_errors, _MORE_ERRORS)],
            ignored_columns=list(self.ignored_columns),
            rows=self.rows,
            duplicates=self.duplicates,
            repeated=self.repeated,
            bagged=self.bagged,
            skipped=self.skipped,
            rejected=self.rejected,
        )


def _unlisted(count: int, what: str) -> list[RowProblem]:
    if not count:
        return []
    return [RowProblem(message=f"and {count} {what}")]
