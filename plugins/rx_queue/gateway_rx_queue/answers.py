"""What the addresses have in common: how an answer is written, how big a page is."""

from typing import Any, Final

from litestar import Response

from gateway.plugin import InvalidInput, encode

_MAX_PAGE: Final = 100


def json_answer(
    body: Any, status_code: int = 200, headers: dict[str, str] | None = None
) -> Response[bytes]:
    """Answer with ``body`` as the wire has it."""
    media_type = "application/json; charset=utf-8"
    return Response(encode(body), media_type=media_type, status_code=status_code, headers=headers)


def page_size(limit: int) -> int:
    """Return how many to show; raises ``InvalidInput`` outside of 1 to 100."""
    if not 1 <= limit <= _MAX_PAGE:
        raise InvalidInput(f"limit must be between 1 and {_MAX_PAGE}.")
    return limit
