"""How an address answers: JSON in the one form the gateway speaks."""

from collections.abc import Mapping
from typing import Any, Final

from litestar import Response
from litestar.background_tasks import BackgroundTask

from gateway.model.wire import encode

JSON: Final = "application/json; charset=utf-8"


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
