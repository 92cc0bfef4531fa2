"""How an address answers: JSON in the one form the gateway speaks, pages of one size."""

from collections.abc import Mapping
from typing import Any, Final

from litestar import Response
from litestar.background_tasks import BackgroundTask

from gateway.errors import InvalidInput
from gateway.model.wire import encode

JSON: Final = "application/json; charset=utf-8"
_MAX_PAGE: Final = 100


def json_answer(
    body: Any,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    background: BackgroundTask | None = None,
) -> Response[bytes]:
    """Answer with ``body`` as the wire has it; ``background`` is done once it was sent."""
    return Response(
        encode(body),
        media_type=JSON,
        status_code=status_code,
        headers=headers,
        background=background,
    )


def page_size(limit: int) -> int:
    """Return how many to show; raises ``InvalidInput`` outside of 1 to 100."""
    if not 1 <= limit <= _MAX_PAGE:
        raise InvalidInput(f"limit must be between 1 and {_MAX_PAGE}.")
    return limit
