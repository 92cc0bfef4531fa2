"""A multipart body, taken apart: one file, and what it says of the columns."""

import io
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec
from litestar import Request
from litestar.datastructures import UploadFile

from gateway.plugin import InvalidInput

_HOW: Final = 'Send the file as multipart/form-data, in a part called "file".'


class Upload(NamedTuple):
    """What was sent: the file, and fields by header."""

    file: BinaryIO
    columns: dict[str, str]


async def upload_of(request: Request[Any, Any, Any]) -> Upload:
    """Take the body apart; raises ``InvalidInput`` for one that can't be."""
    try:
        form = await request.form()
    except (UnicodeError, LookupError):  # a part in an encoding that it isn't in, or that is none
        raise InvalidInput(_HOW) from None
    files = form.getall("file", [])
    if len(files) != 1:
        raise InvalidInput(_HOW if not files else "Send one file at a time.")
    [file] = files
    return Upload(_opened(file), _columns(form.get("columns")))


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
