"""Forms of fields that a browser sends: read once, with limits. Files use other routes."""

from typing import Any, Final
from urllib.parse import parse_qsl

from litestar import Request
from litestar.datastructures import State

from gateway.errors import InvalidInput, TooLarge
from gateway.sdk.page_request import Query

FORM: Final = ("application/x-www-form-urlencoded",)
MAX_FORM_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 2000


class FormReader:
    """Reads a form once and returns it any number of times."""

    def __init__(self, http: Request[Any, Any, State]) -> None:
        self._http = http
        self._read: Query | None = None

    async def read(self) -> Query:
        """Return the fields; errors as of :func:`form_of`."""
        if self._read is None:
            self._read = await form_of(self._http)
        return self._read


async def form_of(http: Request[Any, Any, State]) -> Query:
    """Read a form's fields; raises ``InvalidInput`` for one that is malformed or too large."""
    media = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in FORM:
        raise InvalidInput("Send the form as a browser does.")
    body = await http.body()
    if len(body) > MAX_FORM_BYTES:
        raise TooLarge("The form is larger than 64 KB.")
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise InvalidInput("The form is malformed.") from error
    if "\0" in "".join(value for _, value in pairs):
        raise InvalidInput("The form is malformed.")
    return Query(pairs)
