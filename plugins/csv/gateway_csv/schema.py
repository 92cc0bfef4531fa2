"""Response bodies: the report on an import, and its progress."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

State = Literal[
    "reading", "read", "waiting", "running", "done", "failed", "stopped", "interrupted", "undoing",
    "undone",
]  # fmt: skip
"""``reading``, ``read``: an upload that is checked, or that waits for its start or a correction;
``waiting``: for its turn; ``stopped``: at a person's request; ``interrupted``: with the gateway."""
Origin = Literal["request", "upload", "folder", "cli"]
"""``request``: one call of ``POST /api/packages/import``; ``upload``: a file in steps."""


class RowProblem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something about a row or about the whole file. ``found`` is masked: its shape only."""

    message: str
    row: Annotated[
        int | None, Meta(description="as a spreadsheet shows it; none: the whole file")
    ] = None
    column: Annotated[str | None, Meta(description="the column's header")] = None
    field: str | None = None
    expected: str | None = None
    found: Annotated[
        str | None, Meta(description="the cell's shape: x for a letter, 9 for a digit")
    ] = None
    fix: str | None = None


class ImportOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a file; in a dry run, the expected one.

    ``rows`` is the sum of ``created`` and of the counts after it; those that are 0 are left out.
    """

    created: int
    package_ids: list[str]
    warnings: list[RowProblem]
    errors: list[RowProblem]
    ignored_columns: list[str]
    rows: Annotated[int, Meta(description="rows that hold an order; blank ones are not counted")]
    duplicates: Annotated[int, Meta(description="rows that were imported before")] = 0
    repeated: Annotated[int, Meta(description="rows that say the same as another of the file")] = 0
    bagged: Annotated[
        int, Meta(description="rows that are a further prescription in another row's bag")
    ] = 0
    skipped: Annotated[
        int, Meta(description="rows that need no package: delivered, cancelled, hidden")
    ] = 0
    rejected: Annotated[int, Meta(description="rows with errors")] = 0


class ProgressOut(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of an import; ``report`` is present when it has ended."""

    import_id: str
    state: State
    dry_run: bool
    rows: int
    rows_done: int
    created: int
    duplicates: int
    rejected: int
    started_at: str
    finished_at: str | None
    error: str | None
    report: ImportOut | None


class StartedOut(msgspec.Struct, frozen=True):
    """The id of an import that runs in the background."""

    import_id: str


class ImportItem(msgspec.Struct, frozen=True, kw_only=True):
    """An import in the list. ``undone`` counts the packages that an undo cancelled."""

    import_id: str
    state: State
    origin: Origin
    file_name: str | None
    dry_run: bool
    rows: int
    rows_done: int
    created: int
    duplicates: int
    rejected: int
    undone: int
    started_at: str
    finished_at: str | None


class ImportsOut(msgspec.Struct, frozen=True):
    """Imports, the newest first."""

    imports: list[ImportItem]
    next_cursor: str | None


class UndoOut(msgspec.Struct, frozen=True, kw_only=True):
    """Packages that an undo cancels or has cancelled; ``stays`` counts the others by status."""

    import_id: str
    state: State
    dry_run: bool
    cancels: int
    cancelled: int
    stays: dict[str, int]
