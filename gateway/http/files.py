"""The routes of files: keep one with a package, open it with a key or by an expiring link."""

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, SkipValidation
from litestar.response import Stream
from msgspec import Meta

from gateway.clock import isoformat
from gateway.intake.files import FileIntake
from gateway.model.account import Caller
from gateway.model.file import IMAGES_ONLY, FileKind, StoredFile
from gateway.model.permission import ANY_CALLER
from gateway.runtime import Gateway
from gateway.sdk.http import IdempotencyKey, json_response
from gateway.sdk.uploads import MAX_UPLOAD_BYTES, MULTIPART, file_response, keep_upload
from gateway.storage.files.store import FileFilter

_PROOF_KINDS: Final = ("photo", "signature")
_MOST_FILES: Final = 100

OpenGateway = NamedDependency[SkipValidation[Gateway]]


class ProofFileIn(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a package: the parts of a ``multipart/form-data`` body."""

    file: Annotated[bytes, Meta(description="JPEG, PNG or WebP, at most 10 MB")]
    kind: Literal["photo", "signature"]
    event_ref: Annotated[
        str | None, Meta(description="the event_ref of the delivery update it belongs to")
    ] = None


class FileKeptOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that was kept. ``width`` and ``height`` are pixels."""

    file_id: str
    url: str
    kind: FileKind
    media_type: str
    size_bytes: int
    width: int | None = None
    height: int | None = None
    pages: int | None = None


class FileOut(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it is kept."""

    file_id: str
    url: str
    kind: FileKind
    media_type: str
    size_bytes: int
    has_thumbnail: bool
    created_at: str


class FilesOut(msgspec.Struct, frozen=True):
    """The files of a package, newest first."""

    files: list[FileOut]


@post(
    "/api/packages/{package_id:str}/files",
    status_code=201,
    tags=["Files"],
    summary="Keep a photo or signature",
    request_max_body_size=MAX_UPLOAD_BYTES,
    opt={
        "permission": "packages.update",
        "media": (MULTIPART,),
        "body": ProofFileIn,
        "answer": FileKeptOut,
    },
)
async def keep_file(
    package_id: FromPath[str],
    request: Request[Any, Any, Any],
    caller: NamedDependency[Caller],
    gateway: OpenGateway,
    key: IdempotencyKey = None,
) -> Response[bytes]:
    r"""Keep a photo or a signature of a package, sealed and without the metadata it came with.

    Name it in a delivery update as `proof.photo_file` or `proof.signature_file`; or give it the
    `event_ref` of an update that comes later, which then names it by itself. Receivers of the
    event get an expiring link to it.

    ```bash
    curl -X POST $GATEWAY/api/packages/$PACKAGE/files -H "X-API-Key: $KEY" \
      -F kind=photo -F file=@photo.jpg
    ```
    """
    files = gateway.files
    files.need_extra()
    owner = await files.owner_of_package(caller, package_id)
    return await keep_upload(files, caller, owner, request, key, _PROOF_KINDS)


@get(
    "/api/packages/{package_id:str}/files",
    tags=["Files"],
    summary="List the files of a package",
    opt={"permission": "files.proof", "answer": FilesOut},
)
async def list_files(
    package_id: FromPath[str], caller: NamedDependency[Caller], gateway: OpenGateway
) -> Response[bytes]:
    """List the photos and signatures of a package, newest first, without their content.

    ```bash
    curl $GATEWAY/api/packages/$PACKAGE/files -H "X-API-Key: $KEY"
    ```
    """
    owner = await gateway.files.owner_of_package(caller, package_id, adding=False)
    wanted = FileFilter(_MOST_FILES, subject=owner.subject)
    found = await gateway.files.page(caller, wanted)
    return json_response(FilesOut([file_out(gateway.files, each) for each in found]))


@get(
    "/api/files/{file_id:str}",
    tags=["Files"],
    summary="Open a file",
    media_type="application/octet-stream",
    opt={"permission": ANY_CALLER},
)
async def open_file(
    file_id: FromPath[str],
    caller: NamedDependency[Caller],
    gateway: OpenGateway,
    thumbnail: FromQuery[bool] = False,
) -> Stream:
    """Open a file, or with `thumbnail=true` a small JPEG of it. Each call is in the audit trail.

    ```bash
    curl -o proof.jpg $GATEWAY/api/files/$FILE -H "X-API-Key: $KEY"
    ```
    """
    file = await gateway.files.get(caller, file_id)
    caller.need("files.proof" if file.kind in IMAGES_ONLY else "files.rx")
    return await file_response(gateway.files, file, caller, thumbnail=thumbnail)


@post(
    "/api/files/{file_id:str}/revoke",
    status_code=200,
    tags=["Files"],
    summary="Revoke the links to a file",
    opt={"permission": "packages.update", "answer": FileOut},
)
async def revoke_links(
    file_id: FromPath[str], caller: NamedDependency[Caller], gateway: OpenGateway
) -> Response[bytes]:
    """Revoke all links to a file that receivers were sent so far. The file stays.

    ```bash
    curl -X POST $GATEWAY/api/files/$FILE/revoke -H "X-API-Key: $KEY"
    ```
    """
    file = await gateway.files.revoke_links(caller, file_id)
    return json_response(file_out(gateway.files, file))


@get(
    "/files/{token:str}",
    tags=["Files"],
    summary="Open a file by its link",
    media_type="application/octet-stream",
    opt={"public": True},
)
async def open_link(token: FromPath[str], gateway: OpenGateway) -> Stream:
    """Open the file of an expiring link, as it stands in a webhook's `proof.photo_url`.

    It needs no key: the link itself opens it, until it expires or is revoked. The audit
    trail names the endpoint that the link was made for.

    ```bash
    curl -o proof.jpg "$PHOTO_URL"
    ```
    """
    file, destination_id = await gateway.files.by_link(token)
    await gateway.limits.take("reads", f"link:{file.id}:{destination_id}")
    return await file_response(gateway.files, file, destination_id)


def file_out(files: FileIntake, file: StoredFile) -> FileOut:
    """Convert a file for its account."""
    return FileOut(
        file_id=file.id,
        url=files.url(file.id),
        kind=file.kind,
        media_type=file.media_type,
        size_bytes=file.size_bytes,
        has_thumbnail=file.thumbnail_bytes > 0,
        created_at=isoformat(file.created_at),
    )


def files_router(gateway: Gateway) -> Router:
    """Return the routes of files."""
    return Router(
        "/",
        route_handlers=[keep_file, list_files, open_file, revoke_links, open_link],
        dependencies={"gateway": Provide(lambda: gateway, sync_to_thread=False)},
    )
