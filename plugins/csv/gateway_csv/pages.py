"""The Import page: drop a file, correct its reading, import it, undo the import."""

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from gateway.plugin import (
    REVEAL_CONTACT,
    REVEAL_RX,
    Action,
    Badge,
    Caller,
    Download,
    InvalidInput,
    NotFound,
    Page,
    PageRequest,
    SeeOther,
    Template,
)
from gateway_csv.check_schema import CellChange, CheckChange, RepairOut
from gateway_csv.columns.column_mappings import DEFAULT_SENDER, IGNORE
from gateway_csv.columns.headers import METADATA
from gateway_csv.details import Details, FoundColumn, Options
from gateway_csv.page_words import (
    DELIMITER_WORDS,
    FIELD_WORDS,
    ORIGIN_WORDS,
    STATE_WORDS,
    certainty,
    field_words,
    plainly,
)
from gateway_csv.read.encoding import NAMED
from gateway_csv.schema import ImportOut
from gateway_csv.service import ImportService
from gateway_csv.settings import CsvSettings
from gateway_csv.steps import ImportSteps
from gateway_csv.store import Stored
from gateway_csv.uploads import WRAPPING_BYTES, upload_of

_LISTED: Final = 20
_ROWS_MENDED: Final = 20
_ROWS_NAMED: Final = 3
_CELLS_SAID: Final = 4
_REVEAL: Final = ("imports.run", REVEAL_CONTACT, REVEAL_RX)
_UNDO: Final = ("imports.run", "packages.update")
_AT_WORK: Final = frozenset({"reading", "waiting", "running", "undoing"})
_ENDED: Final = frozenset({"done", "failed", "stopped", "interrupted", "undone"})


class ImportPages:
    """The pages, over the same services as the routes."""

    def __init__(self, service: ImportService, steps: ImportSteps, settings: CsvSettings) -> None:
        self._service = service
        self._steps = steps
        self._most_bytes = settings.max_file_bytes + WRAPPING_BYTES

    def pages(self) -> list[Page]:
        """Return the list with the drop zone, the page of one import, and its rejected rows."""
        run = "imports.run"
        return [
            Page(
                path="import",
                title="Import",
                section="orders",
                order=20,
                icon="i-import",
                permission=run,
                handler=self._list,
                badge=self._badge,
                actions=(
                    Action(
                        path="",
                        permission=run,
                        handler=self._upload,
                        upload_bytes=self._most_bytes,
                        limit="orders",
                    ),
                ),
            ),
            Page(
                path="import/{import_id}",
                title="Import orders",
                parent="import",
                permission=run,
                handler=self._one,
                actions=(
                    Action(path="check", permission=run, handler=self._correct),
                    Action(path="start", permission=run, handler=self._start, limit="orders"),
                    Action(path="repair", permission=run, handler=self._repair),
                    Action(path="reveal", permission=_REVEAL, handler=self._reveal),
                    Action(path="stop", permission=run, handler=self._stop),
                    Action(path="discard", permission=run, handler=self._discard),
                    Action(path="undo", permission=_UNDO, handler=self._undo),
                ),
            ),
            Page(
                path="import/{import_id}/rejected",
                title="Rejected rows",
                parent="import",
                permission=_REVEAL,
                handler=self._rejected,
            ),
        ]

    async def _badge(self, caller: Caller) -> Badge | None:
        count = len(await self._service.store.with_rejected(caller))
        return Badge(count, "with rows left out", "warn") if count else None

    async def _list(self, request: PageRequest) -> Template:
        cursor = request.query.get("cursor") or None
        found = await self._steps.page(request.caller, _LISTED, cursor)
        rows = [
            {
                "item": each,
                "state": _state(each.state, request),
                "origin": request.text(ORIGIN_WORDS[each.origin]),
                "at": datetime.fromisoformat(each.started_at),
            }
            for each in found.imports
        ]
        context = {"rows": rows, "older": found.next_cursor, "is_first": cursor is None}
        return Template("csv/imports.html", context)

    async def _upload(self, request: PageRequest) -> SeeOther:
        upload = await upload_of(request.http, optional=True)
        pasted = upload.fields.get("pasted", "")
        file, name = upload.file, upload.name
        if not name and pasted.strip():
            file, name = io.BytesIO(pasted.encode()), None
        elif not name:
            raise InvalidInput(request.text("Choose a file, or paste a table."))
        options = Options(
            site=request.site or upload.fields.get("site") or None,
            sender=upload.fields.get("sender", "").strip() or DEFAULT_SENDER,
        )
        checked = await self._steps.upload(request.caller, file, name, options)
        return SeeOther(f"import/{checked.import_id}")

    async def _one(self, request: PageRequest) -> Template:
        return await self._shown(request)

    async def _reveal(self, request: PageRequest) -> Template:
        await self._steps.samples(request.caller, request.path["import_id"])
        return await self._shown(request, is_revealed=True)

    async def _shown(self, request: PageRequest, *, is_revealed: bool = False) -> Template:
        found = await self._found(request)
        details = found.details
        context: dict[str, Any] = {
            "id": found.id,
            "row": found.row,
            "state": found.state,
            "shown_state": _state(found.state, request),
            "origin": request.text(ORIGIN_WORDS[found.origin]),
            "details": details,
            "report": found.outcome.report,
            "error": plainly(found.outcome.error or "", request.text),
            "is_revealed": is_revealed,
            "seen_at": request.now,
            "started_at": found.started_at,
            "repairs": [],
            "sender": "",  # files that were not uploaded on this page have no details
            "file_size": None,
        }
        if details is not None:
            context["repairs"] = [
                _Repair.of(each, details, request, is_revealed=is_revealed)
                for each in details.repairs
            ]
            context["sender"] = details.options.sender
            context["file_size"] = details.file_bytes
        if found.state in _AT_WORK:
            context["waiting"] = await self._service.store.waiting_before(found.id)
            return Template("csv/import_running.html", context)
        if found.state == "read" or (found.state == "failed" and found.row.dry_run):
            return Template(
                "csv/import_check.html", context | _checked(found, request, is_revealed)
            )
        context["undo"] = None
        if details is not None and not found.row.dry_run and found.state in _ENDED:
            context["undo"] = await self._steps.undo(request.caller, found.id, dry_run=True)
        context["sums"] = _sums(found.row, request)
        context["may_start"] = found.origin == "upload" and found.state in {"stopped", "failed"}
        return Template("csv/import_done.html", context)

    async def _found(self, request: PageRequest) -> Stored:
        found = await self._service.store.read(request.path["import_id"], request.caller)
        if found is None:
            raise NotFound(request.text("There is no such import, or it is too old to be kept."))
        return found

    async def _correct(self, request: PageRequest) -> SeeOther:
        change = await self._change(request)
        import_id = request.path["import_id"]
        await self._steps.correct(request.caller, import_id, change or CheckChange())
        return SeeOther(f"import/{import_id}", toast=request.text("Checked again."))

    async def _start(self, request: PageRequest) -> SeeOther:
        """Start the import, unless there are new corrections: then show the new numbers first."""
        import_id = request.path["import_id"]
        change = await self._change(request)
        if change is not None:
            await self._steps.correct(request.caller, import_id, change)
            toast = request.text("Checked again with your corrections. Nothing is imported yet.")
            return SeeOther(f"import/{import_id}", toast=toast)
        await self._steps.start(request.caller, import_id)
        return SeeOther(f"import/{import_id}")

    async def _change(self, request: PageRequest) -> CheckChange | None:
        """Return the changes in the form of the check; ``None`` for none."""
        form, found = await request.form(), await self._found(request)
        details = found.details
        if details is None:
            return None
        options, understood = details.options, details.understood
        changes: dict[str, Any] = {}
        for name in ("sheet", "encoding", "delimiter", "dates"):
            said = (form.get(name) or None) if name in form else getattr(options, name)
            if said != getattr(options, name):
                changes[name] = said
        if "hidden_shown" in form and ("hidden" in form) != options.hidden:
            changes["hidden"] = "hidden" in form
        columns = [] if understood is None else understood.columns
        letter, _, confirmed = form.get("confirm").partition("=")
        chosen: dict[str, str] = {}
        for each in columns:
            said = form.get(f"column-{each.letter}")
            if each.letter == letter:
                said = confirmed
            if said and (each.asked or said != (each.field or IGNORE)):
                chosen[each.header] = said
        if chosen:
            changes["columns"] = chosen
        return CheckChange(**changes) if changes else None

    async def _repair(self, request: PageRequest) -> SeeOther:
        """Put values into cells: one for each row with a value, or one for all rows."""
        import_id, form = request.path["import_id"], await request.form()
        column = form.get("column")
        cells: list[CellChange] = []
        details = (await self._found(request)).details
        repairs = [] if details is None else details.repairs
        for each in repairs:
            if each.column != column:
                continue
            for row in each.rows[:_ROWS_MENDED]:
                value = form.get(f"row-{row}").strip()
                if value:
                    cells.append(CellChange(rows=[row], column=column, value=value))
        if not cells:
            raise InvalidInput(request.text("Type a value for at least one row."))
        await self._steps.correct(request.caller, import_id, CheckChange(cells=cells))
        toast = request.ntext(
            "{n} cell corrected and checked.", "{n} cells corrected and checked.", len(cells)
        )
        return SeeOther(f"import/{import_id}", toast=toast)

    async def _stop(self, request: PageRequest) -> SeeOther:
        import_id = request.path["import_id"]
        await self._steps.stop(request.caller, import_id)
        return SeeOther(f"import/{import_id}")

    async def _discard(self, request: PageRequest) -> SeeOther:
        await self._steps.discard(request.caller, request.path["import_id"])
        return SeeOther(
            "import", toast=request.text("The file was discarded; nothing was imported.")
        )

    async def _undo(self, request: PageRequest) -> SeeOther:
        import_id = request.path["import_id"]
        done = await self._steps.undo(request.caller, import_id, dry_run=False)
        toast = request.ntext("{n} package cancelled.", "{n} packages cancelled.", done.cancelled)
        return SeeOther(f"import/{import_id}", toast=toast)

    async def _rejected(self, request: PageRequest) -> Download:
        found = await self._found(request)
        if not found.row.dry_run:
            await self._service.store.note_rejected_seen(found.id)
        parts = self._service.store.rejected_parts(found.id)
        return Download("rejected-rows.csv", "text/csv; charset=utf-8", parts)


class _Repair(NamedTuple):
    """A reason why rows are rejected, as the page shows it."""

    repair: RepairOut
    message: str
    fix: str
    rows: str
    input_type: str
    cells: list[tuple[int, str, str]]
    """The rows that can be corrected here; if revealed, with the cell and the row's others."""

    @classmethod
    def of(
        cls, repair: RepairOut, details: Details, request: PageRequest, *, is_revealed: bool
    ) -> "_Repair":
        """Return a repair in the reader's words."""
        place = _place_of(repair, details)
        broken = {each.row: each.cells for each in details.broken}
        cells: list[tuple[int, str, str]] = []
        for row in repair.rows[:_ROWS_MENDED] if place is not None else ():
            found = broken.get(row, []) if is_revealed else []
            others = [each for i, each in enumerate(found) if each and i != place]
            cell = found[place] if place is not None and place < len(found) else None
            cells.append((row, cell or "", " · ".join(others[:_CELLS_SAID])))
        more = repair.count - _ROWS_NAMED
        named = ", ".join(map(str, repair.rows[:_ROWS_NAMED]))
        rows = request.text("{rows} and {n} more", rows=named, n=more) if more > 0 else named
        types = {"delivery_date": "date", "patient_phone": "tel", "patient_email": "email"}
        return cls(
            repair=repair,
            message=plainly(repair.message, request.text),
            fix=plainly(repair.fix or "", request.text),
            rows=rows,
            input_type=types.get(repair.field or "", "text"),
            cells=cells,
        )


def _place_of(repair: RepairOut, details: Details) -> int | None:
    columns = [] if details.understood is None else details.understood.columns
    return next((i for i, each in enumerate(columns) if each.letter == repair.column), None)


def _state(state: str, request: PageRequest) -> tuple[str, str, str]:
    glyph, kind, words = STATE_WORDS[state]  # type: ignore[index]  # it is one of them
    return glyph, request.text(words), kind


def _checked(found: Stored, request: PageRequest, is_revealed: bool) -> dict[str, Any]:
    details = found.details
    assert details is not None  # noqa: S101 - an upload has them
    understood, options = details.understood, details.options
    report = found.outcome.report
    text = request.text
    columns = [] if understood is None else understood.columns
    asked = [each for each in columns if each.asked]
    likely = [each for each in columns if each.field is None and each.looks_like and not asked]
    question = details.question
    return {
        "understood": understood,
        "columns": [_column(each, details, request, is_revealed) for each in columns],
        "fields": [(name, text(words)) for name, words in FIELD_WORDS.items()],
        "ignored": sum(each.field is None for each in columns),
        "asked": asked,
        "likely": likely,
        "questions": 1 if asked else len(likely),
        "likely_words": [(each, field_words(each.looks_like or "", text)) for each in likely],
        "question": None if question is None else plainly(question.message, text),
        "question_details": []
        if question is None
        else [said for each in question.details if (said := plainly(each, text))],
        "counts": _counts(report, request),
        "good": 0 if report is None else report.created,
        "encoding_options": [(each, each) for each in NAMED],
        "sheet_options": [(each, each) for each in (understood.sheets if understood else [])],
        "date_hint": _date_hint(details, request),
        "delimiters": [(mark, text(name)) for mark, name in DELIMITER_WORDS.items()],
        "options": options,
        "remarks": _remarks(report, request),
    }


def _date_hint(details: Details, request: PageRequest) -> str:
    """Return the order of the file's own dates in words."""
    dates = None if details.understood is None else details.understood.dates
    if dates is None or not dates.either + dates.day_first + dates.month_first:
        return ""
    if dates.order is None:
        return request.text("The file's dates don't say which: choose one.")
    if dates.order == "day-first":
        return request.text("Read with the day first.")
    return request.text("Read with the month first.")


def _column(
    column: FoundColumn,
    details: Details,
    request: PageRequest,
    is_revealed: bool,
) -> dict[str, Any]:
    shown = column.out()
    extra = f"{METADATA}{column.header}"[:100]
    current = column.field or IGNORE
    return {
        "letter": column.letter,
        "header": column.header,
        "samples": [each for each in (column.samples if is_revealed else shown.samples) if each],
        "current": "" if column.asked else current,
        "is_off": column.field is None and not column.asked and not column.looks_like,
        "extra": current if current.startswith(METADATA) else extra,
        "extra_words": field_words(
            current if current.startswith(METADATA) else extra, request.text
        ),
        "sure": certainty(column, details.options.sender, request.text),
        "likely": column.looks_like if column.field is None and not column.asked else None,
        "likely_words": field_words(column.looks_like or "", request.text),
    }


def _counts(report: ImportOut | None, request: PageRequest) -> list[dict[str, Any]]:
    """Return the counts of a check, each row in exactly one, without zeros."""
    if report is None:
        return []
    text = request.text
    there = report.duplicates
    others = (
        ("c2", report.repeated, "s-off", "", text("Twice in the file"), text("made once")),
        ("c3", report.bagged, "s-new", "", text("In a bag"), text("with another row's package")),
        ("c1", there, "s-off", "", text("Here already"), text("imported before, left out")),
        (
            "c2",
            report.skipped,
            "s-off",
            "",
            text("Skipped"),
            text("delivered, cancelled or hidden"),
        ),
    )
    counts = [("c5", report.created, "s-done", "ok", text("Good"), text("become packages"))]
    counts += [each for each in others if each[1]]
    bad = text("left out, yours to correct")
    counts.append(("cb", report.rejected, "s-fail", "bad", text("Problems"), bad))
    names = ("bar", "count", "glyph", "kind", "name", "words")
    shown = [dict(zip(names, each, strict=True)) for each in counts]
    if not report.rejected:
        shown[-1]["kind"] = ""
    return shown


def _sums(row: Any, request: PageRequest) -> list[tuple[str, str, str, int]]:
    """Return the counts of an import that has ended, each row in exactly one."""
    text = request.text
    counts = [
        ("s-done", "ok", text("Good"), row.created),
        ("s-off", "", text("Here already"), row.duplicates),
        ("s-off", "", text("Twice in the file"), row.repeated or 0),
        ("s-new", "", text("In a bag"), row.bagged or 0),
        ("s-off", "", text("Skipped"), row.skipped or 0),
        ("s-fail", "bad", text("Problems"), row.rejected),
    ]
    return [each for each in counts if each[3] or each[0] == "s-done"]


def _remarks(report: ImportOut | None, request: PageRequest) -> Sequence[str]:
    """Return the assumptions about the whole file, in the reader's language."""
    if report is None:
        return []
    return [
        plainly(each.message, request.text)
        for each in report.warnings
        if each.row is None and each.column is None
    ]
