"""Parse a multipart body: one file, and the options."""

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec
from litestar import Request
from litestar.datastructures import UploadFile

from gateway.plugin import InvalidInput

WRAPPING_BYTES: Final = 100_000
"""The overhead of multipart for a file."""
_HOW: Final = 'Send the file as multipart/form-data, in a part called "file".'


class Upload(NamedTuple):
    """A sent form: the file, fields by header, the file's name if any, other texts."""

    file: BinaryIO
    columns: dict[str, str]
    name: str | None = None
    fields: Mapping[str, str] = MappingProxyType({})


async def upload_of(request: Request[Any, Any, Any], *, optional: bool = False) -> Upload:
    """Parse the body; raises ``InvalidInput`` for an invalid one.

    An ``optional`` file may be left out: a form's field that was left empty is an empty file.
    """
    try:
        form = await request.form()
    except (UnicodeError, LookupError):  # a part in an encoding that it isn't in, or that is none
        raise InvalidInput(_HOW) from None
    files = form.getall("file", [])
    if len(files) > 1 or not (files or optional):
        raise InvalidInput(_HOW if not files else "Send one file at a time.")
    file = files[0] if files else ""
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    name = (file.filename or None) if isinstance(file, UploadFile) else None
    return Upload(_opened(file), _columns(form.get("columns")), name, fields)


def _opened(file: Any) -> BinaryIO:
    if isinstance(file, UploadFile):
        opened: Any = file.file
        return opened  # type: ignore[no-any-return]  # a spooled file is one in all but type
    return io.BytesIO(str(file).encode())


def _columns(sent: Any) -> dict[str, str]:
    if not isinstance(sent, str) or not sent:
        return {}
    try:
        return msgspec.json.decode(sent, type=dict[str, str])
    except msgspec.DecodeError:
        raise InvalidInput(
            'columns takes a JSON object of headers and fields: {"Pt": "patient_name"}.'
        ) from None
