"""The routes: upload a file, ask how far an import is, fetch its rejected rows."""

from typing import Any, Final

from litestar import Request, Response, Router, get, post
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, SkipValidation
from litestar.response import Stream

from gateway.plugin import (
    REVEAL_CONTACT,
    REVEAL_RX,
    Caller,
    Conflict,
    NotFound,
    json_response,
)
from gateway_csv.columns.column_mappings import checked, checked_sender
from gateway_csv.jobs import Job
from gateway_csv.schema import ImportOut, ProgressOut, StartedOut
from gateway_csv.service import ImportService
from gateway_csv.settings import BagsBy, CsvSettings, DayOrder
from gateway_csv.step_routes import step_routes
from gateway_csv.steps import ImportSteps
from gateway_csv.uploads import WRAPPING_BYTES, upload_of

_AT_WORK: Final = frozenset({"reading", "waiting", "running"})
OpenService = NamedDependency[SkipValidation[ImportService]]
"""The import service of an open gateway, as a handler asks for it."""


def router(service: ImportService, steps: ImportSteps, settings: CsvSettings) -> Router:
    """Make the routes over services whose gateway is open when they are called."""
    return Router(
        "/api/packages",
        route_handlers=[
            _import_file(settings),
            show_import,
            fetch_rejected_rows,
            *step_routes(settings),
        ],
        dependencies={
            "service": Provide(lambda: service, sync_to_thread=False),
            "steps": Provide(lambda: steps, sync_to_thread=False),
        },
    )


def _import_file(settings: CsvSettings) -> Any:
    """Make the upload's handler: its largest body is a setting."""

    @post(
        "/import",
        status_code=200,
        tags=["Orders"],
        summary="Import a spreadsheet",
        request_max_body_size=settings.max_file_bytes + WRAPPING_BYTES,
        opt={
            "permission": "imports.run",
            "limit": "orders",
            "media": ("multipart/form-data",),
            "answer": ImportOut,
        },
    )
    async def import_file(  # noqa: PLR0913, PLR0917 - one for each query parameter
        request: Request[Any, Any, Any],
        caller: NamedDependency[Caller],
        service: OpenService,
        site: FromQuery[str | None] = None,
        dry_run: FromQuery[bool] = False,
        again: FromQuery[bool] = False,
        background: FromQuery[bool] = False,
        dates: FromQuery[DayOrder | None] = None,
        sender: FromQuery[str | None] = None,
        hidden: FromQuery[bool] = False,
        bags: FromQuery[BagsBy | None] = None,
    ) -> Response[bytes]:
        r"""Import a CSV, TSV, .xlsx, .xls or .ods file; good rows are kept, bad ones explained.

        With `dry_run=true` nothing is kept and the report is the same. The header
        `X-Import-Id` names the import: `GET /api/packages/imports/{id}` says how far it is, and
        `…/rejected` gives the rejected rows back as a file. With `background=true` the answer
        is 202 and comes at once.

        `site` is for rows that name none. `dates` is `day-first` or `month-first` where dates
        such as 03/04/2026 don't say it. A second part of the body, `columns`, may name columns:
        `{"Pt": "patient_name", "Zone": "ignore"}`; that is remembered for the `sender`. A file in
        which two columns may be the same field is refused until one is named. A row that was
        imported before makes no second package unless `again=true`. Rows that are delivered,
        cancelled or refunded by a status column are skipped, and so are rows that a spreadsheet
        hides, unless `hidden=true`.

        Rows of one order id that name several rx numbers become one package, a bag; with
        `bags=patient` rows without an order id do as well, if they are for the same patient,
        address and date.

        ```bash
        curl -X POST "$GATEWAY/api/packages/import?dry_run=true" -H "X-API-Key: $KEY" \
          -F "file=@orders.csv"
        ```
        """
        upload = await upload_of(request)
        job = Job(
            import_id="",
            caller=caller,
            site=site or None,
            dry_run=dry_run,
            again=again,
            dates=dates,
            sender=checked_sender(sender),
            chosen=checked(upload.columns),
            takes_hidden=hidden,
            bags=bags,
        )
        job = job._replace(import_id=await service.store.begin(caller, dry_run=dry_run))
        headers = {"X-Import-Id": job.import_id}
        if background:
            task = BackgroundTask(service.run_unattended, upload.file, job)
            headers["Location"] = f"/api/packages/imports/{job.import_id}"
            return json_response(StartedOut(job.import_id), 202, headers, task)
        report = await service.run(upload.file, job)
        return json_response(report.out(), headers=headers)

    return import_file


@get(
    "/imports/{import_id:str}",
    tags=["Orders"],
    summary="Ask how far an import is",
    opt={"permission": "imports.run", "answer": ProgressOut},
)
async def show_import(
    import_id: FromPath[str], caller: NamedDependency[Caller], service: OpenService
) -> Response[bytes]:
    """Say how many rows are done; once it is over, `report` is what the upload was answered.

    ```bash
    curl $GATEWAY/api/packages/imports/$IMPORT -H "X-API-Key: $KEY"
    ```
    """
    return json_response(await _visible(service, caller, import_id))


@get(
    "/imports/{import_id:str}/rejected",
    tags=["Orders"],
    summary="Fetch the rejected rows of an import",
    media_type="text/csv",
    opt={"permission": ("imports.run", REVEAL_CONTACT, REVEAL_RX)},
)
async def fetch_rejected_rows(
    import_id: FromPath[str], caller: NamedDependency[Caller], service: OpenService
) -> Stream:
    """Give the rejected rows back as CSV, with a column that says what is wrong with each.

    Correct them in your spreadsheet program and import that file. They are kept for a day.

    ```bash
    curl -o rejected-rows.csv $GATEWAY/api/packages/imports/$IMPORT/rejected -H "X-API-Key: $KEY"
    ```
    """
    found = await _visible(service, caller, import_id)
    if found.state in _AT_WORK:
        raise Conflict("The import is still running; fetch its rejected rows when it is done.")
    if not found.dry_run:
        await service.store.note_rejected_seen(import_id)
    headers = {"Content-Disposition": 'attachment; filename="rejected-rows.csv"'}
    return Stream(
        service.store.rejected_parts(import_id),
        media_type="text/csv; charset=utf-8",
        headers=headers,
    )


async def _visible(service: ImportService, caller: Caller, import_id: str) -> ProgressOut:
    found = await service.store.get(caller, import_id)
    if found is None:
        raise NotFound("There is no such import, or it is too old to be kept.")
    return found
