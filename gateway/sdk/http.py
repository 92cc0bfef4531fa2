"""HTTP tools for route handlers: idempotency keys, page sizes, JSON responses."""

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from litestar import Response
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency, Provide
from litestar.params import HeaderParameter, QueryParameter, SkipValidation

from gateway.errors import InvalidInput
from gateway.model.account import Caller
from gateway.model.submission import Idempotency
from gateway.model.wire import encode
from gateway.sdk.protocols import Gateway

_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,255}")
_MAX_PAGE: Final = 100

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(name="Idempotency-Key", description="your own id of this request"),
]
"""Type of a handler parameter that takes the ``Idempotency-Key`` header
(draft-ietf-httpapi-idempotency-key-header)."""

PageLimit = Annotated[
    int, QueryParameter(schema_extra={"minimum": 1, "maximum": _MAX_PAGE}, description="page size")
]
"""Type of a handler parameter ``limit``, which :func:`page_size` checks."""


class Provided(Provide):
    """The provider of an object that is there already.

    It comes after the caller, not beside: for two dependencies that don't wait for each other,
    Litestar starts a task each, a tenth of what a small request costs.
    """

    def __init__(self, value: Any) -> None:
        def give(caller: NamedDependency[SkipValidation[Caller]]) -> Any:
            del caller
            return value

        super().__init__(give, sync_to_thread=False)
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> "Provided":
        """Return itself: Litestar copies routers, and the object stays the plugin's."""
        return self


def provided(value: Any) -> Provide:
    """Return the provider of an object of the plugin's, for routes that need a caller."""
    return Provided(value)


OpenGateway = NamedDependency[SkipValidation[Gateway]]
"""Type of a handler parameter named ``gateway`` that takes the open gateway, where the router
provides it: :func:`provided`."""


def idempotency_key(key: str | None, request: bytes) -> Idempotency | None:
    """Return the idempotency of a request, ``None`` without a key.

    ``request`` identifies the request: its body, prefixed with the path where several
    routes accept the same body. Raises ``InvalidInput`` for a malformed key.
    """
    if key is None:
        return None
    if not _VISIBLE.fullmatch(key):
        raise InvalidInput("Idempotency-Key takes 1 to 255 visible ASCII characters.")
    return Idempotency(key, hashlib.sha256(request).digest())


def page_size(limit: int) -> int:
    """Return the page size; raises ``InvalidInput`` outside 1 to 100."""
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
    """Return ``body`` as a JSON response; ``background`` runs after it was sent."""
    return Response(
        encode(body),
        media_type=JSON,
        status_code=status_code,
        headers=headers,
        background=background,
    )
