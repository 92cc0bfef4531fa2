"""Multipart bodies with bounds: a few parts, text parts in UTF-8 and small.

Litestar decodes a text part in whatever encoding the part names, on the event loop;
Python's punycode decoder is quadratic, so that 1.6 MB block it for two minutes. Files are
spooled to disk and have the limit of their route.
"""

from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, Final

from litestar import Request
from litestar.datastructures import FormMultiDict, UploadFile
from litestar.enums import RequestEncodingType
from litestar.types import Empty
from multipart import (  # type: ignore[import-untyped]  # it comes without types
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
)

from gateway.errors import InvalidInput, TooLarge

_MAX_PARTS: Final = 20
_MAX_TEXT_BYTES: Final = 64 * 1024
_CHARSETS: Final = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})


class BoundedRequest(Request[Any, Any, Any]):
    """Litestar's request, whose form has bounds."""

    async def form(self) -> FormMultiDict:
        """Return the form; raises ``InvalidInput`` for one that is malformed or too large."""
        media, options = self.content_type
        if media == RequestEncodingType.MULTI_PART and self._connection_state.form is Empty:
            boundary = options.get("boundary", "")
            self._connection_state.form = await _parse(self.stream(), boundary)
        return await super().form()


async def _parse(stream: AsyncIterator[bytes], boundary: str) -> dict[str, Any]:
    fields: defaultdict[str, list[Any]] = defaultdict(list)
    part: UploadFile | bytearray = bytearray()
    name = ""
    try:
        with PushMultipartParser(boundary.encode(), max_segment_count=_MAX_PARTS) as parser:
            async for chunk in stream:
                for event in parser.parse(chunk):
                    if isinstance(event, MultipartSegment):
                        name, part = event.name, _begin(event)
                    elif event:
                        await _add(part, event)
                    else:  # the end of the part
                        fields[name].append(await _end(part))
    except (MultipartError, UnicodeError) as error:
        await _close(part, fields)
        raise InvalidInput("The multipart body is malformed.") from error
    except InvalidInput:
        await _close(part, fields)
        raise
    return {name: values if len(values) > 1 else values[0] for name, values in fields.items()}


def _begin(segment: MultipartSegment) -> UploadFile | bytearray:
    if segment.filename:
        return UploadFile(
            content_type=segment.content_type or "text/plain",
            filename=segment.filename,
            headers=dict(segment.headerlist),
        )
    if (segment.charset or "").lower() not in _CHARSETS:
        raise InvalidInput("Send the text parts of a multipart body in UTF-8.")
    return bytearray()


async def _add(part: UploadFile | bytearray, data: bytes | bytearray) -> None:
    if isinstance(part, UploadFile):
        await part.write(bytes(data))
        return
    part.extend(data)
    if len(part) > _MAX_TEXT_BYTES:
        raise TooLarge(f"A text part of a multipart body takes {_MAX_TEXT_BYTES // 1024} KB.")


async def _end(part: UploadFile | bytearray) -> UploadFile | str:
    if isinstance(part, UploadFile):
        await part.seek(0)
        return part
    return part.decode()


async def _close(part: UploadFile | bytearray, fields: dict[str, list[Any]]) -> None:
    for each in [part, *(value for values in fields.values() for value in values)]:
        if isinstance(each, UploadFile):
            await each.close()
