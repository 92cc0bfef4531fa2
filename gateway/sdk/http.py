"""How an address is asked: the idempotency key of a request, how large a page is wanted."""

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from litestar import Response
from litestar.background_tasks import BackgroundTask
from litestar.params import HeaderParameter

from gateway.errors import InvalidInput
from gateway.model.submission import Idempotency
from gateway.model.wire import encode

_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,255}")
_MAX_PAGE: Final = 100

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(name="Idempotency-Key", description="your own id of this request"),
]
"""The ``Idempotency-Key`` header, as a handler asks for it
(draft-ietf-httpapi-idempotency-key-header)."""


def idempotency_key(key: str | None, request: bytes) -> Idempotency | None:
    """Return a request's idempotency, ``None`` without a key; raises ``InvalidInput``.

    ``request`` is what has to be the same for it to be the same request: the body, and the
    address before it where other addresses take the same body.
    """
    if key is None:
        return None
    if not _VISIBLE.fullmatch(key):
        raise InvalidInput("Idempotency-Key takes 1 to 255 visible ASCII characters.")
    return Idempotency(key, hashlib.sha256(request).digest())


def page_size(limit: int) -> int:
    """Return how many to show; raises ``InvalidInput`` outside of 1 to 100."""
    if not 1 <= limit <= _MAX_PAGE:
        raise InvalidInput(f"limit must be between 1 and {_MAX_PAGE}.")
    return limit


JSON: Final = "application/json; charset=utf-8"


def json_response(
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
