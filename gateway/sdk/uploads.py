"""Files over HTTP, received and sent in pieces, never in memory as a whole.

::

    return await keep_upload(gateway.files, caller, owner, request, key, ("fax_page",))
    return await file_response(gateway.files, file, caller)

Litestar's own form would spool a file to disk in clear.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec
from litestar import Request, Response
from litestar.response import Stream
from multipart import (  # type: ignore[import-untyped]  # it comes without types
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
)

from gateway.errors import InvalidInput, Problem, TooLarge, UnsupportedMedia
from gateway.model.account import Caller
from gateway.model.file import MAX_FILE_BYTES, FileKind, FileOwner, StoredFile
from gateway.sdk.http import idempotency_key, json_response
from gateway.sdk.protocols import FileKeeper
from gateway.storage.files.spool import NewFile, SealedSpool

MAX_UPLOAD_BYTES: Final = MAX_FILE_BYTES + 100_000
"""A file with the overhead of multipart."""

MULTIPART: Final = "multipart/form-data"
_FILE: Final = "file"
_MAX_PARTS: Final = 16
_MAX_TEXT_BYTES: Final = 4096
_FLUSH_BYTES: Final = 256 * 1024
_HOW: Final = 'Send the file as multipart/form-data, in a part called "file".'


class Upload(NamedTuple):
    """A sent file, and the text parts beside it. ``digest`` is the file's SHA-256."""

    spool: SealedSpool
    fields: Mapping[str, str]
    digest: bytes


async def keep_upload(
    files: FileKeeper,
    caller: Caller,
    owner: FileOwner,
    request: Request[Any, Any, Any],
    key: str | None,
    kinds: tuple[str, ...],
) -> Response[bytes]:
    """Read an upload of one of ``kinds``, store the file, and return the response (201)."""
    idempotency_key(key, b"")  # refuses a malformed one before the body is read
    async with received(request, files.folder) as upload:
        kind = upload.fields.get("kind", kinds[0] if len(kinds) == 1 else "")
        if kind not in kinds:
            problem = Problem(f"kind must be one of {', '.join(kinds)}", field="kind")
            raise InvalidInput("The file can't be kept.", [problem])
        ref = upload.fields.get("event_ref")
        new = NewFile(cast("FileKind", kind), upload.spool, upload.digest, ref)
        done = await files.keep(caller, owner, new, key)
    headers = {"Idempotent-Replayed": "true"} if done.replayed else None
    return json_response(msgspec.Raw(done.answer), 201, headers)


async def file_response(
    files: FileKeeper, file: StoredFile, reader: Caller | str, *, thumbnail: bool = False
) -> Stream:
    """Return a file as a download; its name is its id. The view is audited.

    ``reader`` is the caller, or the id of the destination whose link it is.
    """
    if thumbnail and not file.thumbnail_bytes:
        raise InvalidInput("This file has no thumbnail; open the file itself.")
    content = await files.open(file, reader, "thumbnail" if thumbnail else "content")
    size = file.thumbnail_bytes if thumbnail else file.size_bytes
    name = f"{file.id}-small.jpg" if thumbnail else file.name
    return Stream(
        content,
        headers={
            "Content-Type": "image/jpeg" if thumbnail else file.media_type,
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Length": str(size),
            "Cross-Origin-Resource-Policy": "same-origin",
        },
    )


class Sent(NamedTuple):
    """A form with files: the chosen files, by the name of their field, and its texts."""

    files: Mapping[str, Upload]
    fields: Mapping[str, str]


@asynccontextmanager
async def received_form(
    request: Request[Any, Any, Any], names: Collection[str], folder: Path | None = None
) -> AsyncIterator[Sent]:
    """Read a form whose files are in the fields ``names``, each of which may be left empty.

    The files are deleted when the block ends. Raises ``InvalidInput`` for a malformed body,
    ``TooLarge`` for a file of more than 10 MB.
    """
    async with AsyncExitStack() as stack:
        spools = {name: stack.enter_context(SealedSpool(MAX_FILE_BYTES, folder)) for name in names}
        reader = await _read(request, spools)
        files = {
            name: Upload(spool, reader.fields, await asyncio.to_thread(spool.finish))
            for name, spool in spools.items()
            if spool.size
        }
        yield Sent(files, reader.fields)


@asynccontextmanager
async def received(
    request: Request[Any, Any, Any], folder: Path | None = None
) -> AsyncIterator[Upload]:
    """Read the body; the file is deleted when the block ends.

    Raises ``InvalidInput`` for a body that is malformed or has no file, ``TooLarge`` for a file
    of more than 10 MB.
    """
    with SealedSpool(MAX_FILE_BYTES, folder) as spool:
        reader = await _read(request, {_FILE: spool})
        if spool.size == 0:
            raise InvalidInput(_HOW)
        yield Upload(spool, reader.fields, await asyncio.to_thread(spool.finish))


async def _read(request: Request[Any, Any, Any], spools: Mapping[str, SealedSpool]) -> "_Reader":
    """Read a body into ``spools``, by the name of the part; each name may occur once."""
    media, options = request.content_type
    if media != MULTIPART:
        raise UnsupportedMedia(_HOW)
    reader = _Reader(spools)
    try:
        boundary = options.get("boundary", "").encode()
        with PushMultipartParser(boundary, max_segment_count=_MAX_PARTS) as parser:
            async for chunk in request.stream():
                for event in parser.parse(chunk):
                    reader.take(event)
                    if isinstance(event, MultipartSegment):
                        await reader.flush(1)
                await reader.flush(_FLUSH_BYTES)
    except (MultipartError, UnicodeError) as error:
        raise InvalidInput("The multipart body is malformed.") from error
    await reader.flush(1)
    return reader


class _Reader:
    """Sorts the parser's results into files and text parts."""

    def __init__(self, spools: Mapping[str, SealedSpool]) -> None:
        self._spools = spools
        self._pending = bytearray()
        self._into: SealedSpool | None = None
        self._text = bytearray()
        self._name = ""
        self._seen: set[str] = set()
        self.fields: dict[str, str] = {}

    def take(self, event: Any) -> None:
        """Take a part's head, some of its content, or its end."""
        if isinstance(event, MultipartSegment):
            self._name = event.name
            self._text.clear()
            if self._name in self._spools:
                if self._name in self._seen:
                    raise InvalidInput("Send one file at a time.")
                self._seen.add(self._name)
        elif event:
            self._add(event)
        elif self._name not in self._spools:
            self.fields[self._name] = self._text.decode()

    def _add(self, data: bytes | bytearray) -> None:
        if self._name in self._spools:
            self._into = self._spools[self._name]
            self._pending += data
            return
        self._text += data
        if len(self._text) > _MAX_TEXT_BYTES:
            raise TooLarge(f"A text part takes at most {_MAX_TEXT_BYTES // 1024} KB.")

    async def flush(self, least_bytes: int) -> None:
        """Write the buffered bytes of a file when they fill a piece."""
        if self._into is not None and len(self._pending) >= least_bytes:
            data = bytes(self._pending)
            self._pending.clear()
            await asyncio.to_thread(self._into.write, data)
