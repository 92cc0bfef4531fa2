"""The routes of a prescription's files: its fax pages."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation
from msgspec import Meta

from gateway.plugin import (
    MAX_UPLOAD_BYTES,
    MULTIPART,
    Caller,
    Conflict,
    FileFilter,
    FileOwner,
    IdempotencyKey,
    isoformat,
    json_response,
    keep_upload,
)
from gateway_rx_queue.service import RxService

_KINDS: Final = ("fax_page",)
_MOST_FILES: Final = 100

Service = NamedDependency[SkipValidation[RxService]]


class FaxPageIn(msgspec.Struct, frozen=True, kw_only=True):
    """A page: the parts of a ``multipart/form-data`` body."""

    file: Annotated[bytes, Meta(description="JPEG, PNG, WebP or PDF, at most 10 MB")]


class FaxPageKeptOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored page; an image has a width and height in pixels, a PDF pages."""

    file_id: str
    url: str
    kind: str
    media_type: str
    size_bytes: int
    width: int | None = None
    height: int | None = None
    pages: int | None = None


class FaxPageOut(msgspec.Struct, frozen=True, kw_only=True):
    """A stored page."""

    file_id: str
    url: str
    media_type: str
    size_bytes: int
    created_at: str


class FaxPagesOut(msgspec.Struct, frozen=True):
    """The pages of a prescription, in the order they were sent."""

    files: list[FaxPageOut]


@post(
    "/{queue_id:str}/files",
    status_code=201,
    tags=["Prescriptions"],
    summary="Keep a page of the fax",
    request_max_body_size=MAX_UPLOAD_BYTES,
    opt={
        "permission": "rx.submit",
        "media": (MULTIPART,),
        "body": FaxPageIn,
        "answer": FaxPageKeptOut,
    },
)
async def keep_page(
    queue_id: FromPath[str],
    request: Request[Any, Any, Any],
    caller: NamedDependency[Caller],
    queue: Service,
    key: IdempotencyKey = None,
) -> Response[bytes]:
    r"""Keep an image or a PDF of what a prescription was read from, for those who review it.

    It is sealed, without the metadata it came with, and erased together with the prescription.

    ```bash
    curl -X POST $GATEWAY/api/rx/$QUEUE_ID/files -H "X-API-Key: $KEY" -F file=@page-1.png
    ```
    """
    files = queue.gateway.files
    files.need_extra()
    job = await queue.get(caller, queue_id)
    if job.purged:
        raise Conflict("The prescription was erased at its age; it takes no files any more.")
    owner = FileOwner(job.id, job.account_id, job.mode, job.site, queue.patient_keys(job))
    return await keep_upload(files, caller, owner, request, key, _KINDS)


@get(
    "/{queue_id:str}/files",
    tags=["Prescriptions"],
    summary="List the pages of the fax",
    opt={"permission": "files.rx", "answer": FaxPagesOut},
)
async def list_pages(
    queue_id: FromPath[str], caller: NamedDependency[Caller], queue: Service
) -> Response[bytes]:
    """List the files of a prescription; `GET /api/files/{id}` opens one.

    ```bash
    curl $GATEWAY/api/rx/$QUEUE_ID/files -H "X-API-Key: $KEY"
    ```
    """
    files = queue.gateway.files
    job = await queue.get(caller, queue_id)
    found = await files.page(caller, FileFilter(_MOST_FILES, subject=job.id))
    pages = [
        FaxPageOut(
            file_id=each.id,
            url=files.url(each.id),
            media_type=each.media_type,
            size_bytes=each.size_bytes,
            created_at=isoformat(each.created_at),
        )
        for each in reversed(found)
    ]
    return json_response(FaxPagesOut(pages))
