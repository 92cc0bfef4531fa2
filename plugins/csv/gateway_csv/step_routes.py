"""The routes of an import in steps: upload, check, correct, start, stop, undo, list."""

from typing import Any

from litestar import Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, RawBody, SkipValidation

from gateway.plugin import (
    REVEAL_CONTACT,
    REVEAL_RX,
    Caller,
    PageLimit,
    decode,
    json_response,
    page_size,
)
from gateway_csv.check_schema import CheckChange, CheckOut, SamplesOut
from gateway_csv.columns.column_mappings import checked_sender
from gateway_csv.details import Options
from gateway_csv.schema import ImportsOut, ProgressOut, UndoOut
from gateway_csv.settings import BagsBy, CsvSettings, DayOrder
from gateway_csv.steps import ImportSteps
from gateway_csv.uploads import WRAPPING_BYTES, upload_of

Steps = NamedDependency[SkipValidation[ImportSteps]]


def step_routes(settings: CsvSettings) -> list[HTTPRouteHandler]:
    """Return the handlers, below ``/api/packages``."""
    return [
        _upload(settings),
        list_imports,
        show_check,
        correct_check,
        reveal_samples,
        start_import,
        stop_import,
        undo_import,
        discard_import,
    ]


def _upload(settings: CsvSettings) -> Any:
    """Make the upload's handler: its largest body is a setting."""

    @post(
        "/imports",
        status_code=201,
        tags=["Orders"],
        summary="Check a spreadsheet before it is imported",
        request_max_body_size=settings.max_file_bytes + WRAPPING_BYTES,
        opt={
            "permission": "imports.run",
            "limit": "orders",
            "media": ("multipart/form-data",),
            "answer": CheckOut,
        },
    )
    async def upload_file(  # noqa: PLR0913, PLR0917 - one for each query parameter
        request: Request[Any, Any, Any],
        caller: NamedDependency[Caller],
        steps: Steps,
        site: FromQuery[str | None] = None,
        dates: FromQuery[DayOrder | None] = None,
        sender: FromQuery[str | None] = None,
        hidden: FromQuery[bool] = False,
        bags: FromQuery[BagsBy | None] = None,
    ) -> Response[bytes]:
        r"""Upload a CSV, TSV, .xlsx, .xls or .ods file; it is read and rehearsed, nothing is kept.

        The answer says what each column was taken for, and what an import would do with each row.
        Correct what is wrong with `PATCH …/check`, then start the import. A large file is still
        `reading` when the answer comes: ask again with `GET …/check`. The file is kept sealed, for
        a day at most. `site`, `dates`, `sender`, `hidden`, `bags` and a part `columns` are as for
        `POST /api/packages/import`.

        ```bash
        curl -X POST $GATEWAY/api/packages/imports -H "X-API-Key: $KEY" -F "file=@orders.csv"
        ```
        """
        upload = await upload_of(request)
        options = Options(
            site=site or None,
            sender=checked_sender(sender),
            dates=dates,
            columns=upload.columns,
            hidden=hidden,
            bags=bags,
        )
        checked = await steps.upload(caller, upload.file, upload.name, options)
        headers = {"Location": f"/api/packages/imports/{checked.import_id}"}
        return json_response(checked, 201, headers)

    return upload_file


@get(
    "/imports",
    tags=["Orders"],
    summary="List imports",
    opt={"permission": "imports.run", "answer": ImportsOut},
)
async def list_imports(
    caller: NamedDependency[Caller],
    steps: Steps,
    cursor: FromQuery[str | None] = None,
    limit: PageLimit = 50,
) -> Response[bytes]:
    """List the imports of the last day, the newest first; those of the watched folder are in it.

    ```bash
    curl $GATEWAY/api/packages/imports -H "X-API-Key: $KEY"
    ```
    """
    return json_response(await steps.page(caller, page_size(limit), cursor))


@get(
    "/imports/{import_id:str}/check",
    tags=["Orders"],
    summary="Show what was understood of a file",
    opt={"permission": "imports.run", "answer": CheckOut},
)
async def show_check(
    import_id: FromPath[str], caller: NamedDependency[Caller], steps: Steps
) -> Response[bytes]:
    """Show the check of an upload: columns, counts, and the rows that need a repair by reason.

    Samples show their shape only. A file that can't be imported as it is has a `question`.

    ```bash
    curl $GATEWAY/api/packages/imports/$UPLOAD/check -H "X-API-Key: $KEY"
    ```
    """
    return json_response(await steps.check(caller, import_id))


@patch(
    "/imports/{import_id:str}/check",
    tags=["Orders"],
    summary="Correct what was understood of a file",
    opt={"permission": "imports.run", "limit": "orders", "body": CheckChange, "answer": CheckOut},
)
async def correct_check(
    import_id: FromPath[str], body: RawBody, caller: NamedDependency[Caller], steps: Steps
) -> Response[bytes]:
    r"""Choose the sheet, the encoding, the order of dates, columns, or the values of cells.

    `columns` names fields by header, `null` takes a choice back; a choice is remembered for the
    `sender` once the file is imported. `cells` puts a value into one column of some rows. The file
    is checked again, and the answer is the new check.

    ```bash
    curl -X PATCH $GATEWAY/api/packages/imports/$UPLOAD/check -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"dates": "day-first", "columns": {"Zone": "ignore"}}'
    ```
    """
    return json_response(await steps.correct(caller, import_id, decode(body, CheckChange)))


@post(
    "/imports/{import_id:str}/samples",
    status_code=200,
    tags=["Orders"],
    summary="Reveal the samples of a file",
    opt={"permission": ("imports.run", REVEAL_CONTACT, REVEAL_RX), "answer": SamplesOut},
)
async def reveal_samples(
    import_id: FromPath[str], caller: NamedDependency[Caller], steps: Steps
) -> Response[bytes]:
    """Show the samples, and the rows that need a repair, in full. The look is audited.

    ```bash
    curl -X POST $GATEWAY/api/packages/imports/$UPLOAD/samples -H "X-API-Key: $KEY"
    ```
    """
    return json_response(await steps.samples(caller, import_id))


@post(
    "/imports/{import_id:str}/start",
    status_code=202,
    tags=["Orders"],
    summary="Import a file that was checked",
    opt={"permission": "imports.run", "limit": "orders", "answer": ProgressOut},
)
async def start_import(
    import_id: FromPath[str], caller: NamedDependency[Caller], steps: Steps
) -> Response[bytes]:
    """Import the good rows in the background; `GET …/{id}` says how far it is.

    It goes on after a restart of the gateway, and makes no package twice. An import that was
    stopped goes on from where it was.

    ```bash
    curl -X POST $GATEWAY/api/packages/imports/$UPLOAD/start -H "X-API-Key: $KEY"
    ```
    """
    return json_response(await steps.start(caller, import_id), 202)


@post(
    "/imports/{import_id:str}/stop",
    status_code=202,
    tags=["Orders"],
    summary="Stop an import",
    opt={"permission": "imports.run", "answer": ProgressOut},
)
async def stop_import(
    import_id: FromPath[str], caller: NamedDependency[Caller], steps: Steps
) -> Response[bytes]:
    """Stop a running import after the rows that are being stored. What is in stays in.

    An import that has ended stays as it ended.

    ```bash
    curl -X POST $GATEWAY/api/packages/imports/$IMPORT/stop -H "X-API-Key: $KEY"
    ```
    """
    return json_response(await steps.stop(caller, import_id), 202)


@post(
    "/imports/{import_id:str}/undo",
    status_code=200,
    tags=["Orders"],
    summary="Undo an import",
    opt={"permission": ("imports.run", "packages.update"), "answer": UndoOut},
)
async def undo_import(
    import_id: FromPath[str],
    caller: NamedDependency[Caller],
    steps: Steps,
    dry_run: FromQuery[bool] = False,
) -> Response[bytes]:
    """Cancel the packages of an import that are still `created`; `stays` counts the others.

    With `dry_run=true` nothing is cancelled. What was cancelled can be imported again. A large undo
    goes on in the background: `state` is `undoing` until it is `undone`.

    ```bash
    curl -X POST "$GATEWAY/api/packages/imports/$IMPORT/undo?dry_run=true" -H "X-API-Key: $KEY"
    ```
    """
    return json_response(await steps.undo(caller, import_id, dry_run=dry_run))


@delete(
    "/imports/{import_id:str}",
    status_code=204,
    tags=["Orders"],
    summary="Discard an upload",
    opt={"permission": "imports.run"},
)
async def discard_import(
    import_id: FromPath[str], caller: NamedDependency[Caller], steps: Steps
) -> None:
    """Delete an upload that was not imported, with its file.

    ```bash
    curl -X DELETE $GATEWAY/api/packages/imports/$UPLOAD -H "X-API-Key: $KEY"
    ```
    """
    await steps.discard(caller, import_id)
