"""What a page answers when it can't be shown: a redirect to what helps, or a sentence."""

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlsplit

from litestar import Request, Response
from litestar.response import Redirect

from gateway.auth.web_origin import WebOrigin, local_path
from gateway.dashboard.layout import HEADERS, Layout, here
from gateway.errors import GatewayError, NotAuthenticated, SessionLocked, StepUpRequired

_HOME: Final = "/dashboard"
_WAYS: Final[tuple[tuple[type[GatewayError], str], ...]] = (
    (SessionLocked, "/dashboard/lock"),
    (NotAuthenticated, "/dashboard/sign-in"),
    (StepUpRequired, "/dashboard/confirm"),
)


class Refusals:
    """Answers for pages; kept in the application's state."""

    def __init__(self, layout: Layout, origin: WebOrigin) -> None:
        self._layout = layout
        self._origin = origin

    def answer(
        self, request: Request[Any, Any, Any], error: GatewayError, status: int
    ) -> Response[Any]:
        """Return a redirect to the right address, to signing in or confirming, or a page."""
        place = self._origin.judge(request.scope["scheme"], request.headers.get("host", ""))
        if place.leads_to is not None:
            return _redirect(place.leads_to + here(request), HTTPStatus.TEMPORARY_REDIRECT)
        if place.refusal is None:
            for kind, way in _WAYS:
                if isinstance(error, kind):
                    back = here(request) if request.method == "GET" else _page_of(request)
                    return _redirect(f"{way}?next={quote(back, safe='/')}")
        return self._layout.page(
            request,
            "refused.html",
            status,
            problem=error.message,
            details=[each.message for each in error.details],
        )


def _redirect(target: str, status: HTTPStatus = HTTPStatus.SEE_OTHER) -> Response[Any]:
    # A redirect is followed by the same page's rules, so it has the same headers.
    return Redirect(target, status_code=int(status), headers=dict(HEADERS))  # type: ignore[arg-type]  # any 3xx


def _page_of(request: Request[Any, Any, Any]) -> str:
    """Return the page that a form was sent from, by its Referer."""
    path = urlsplit(request.headers.get("referer", "")).path
    return local_path(path, _HOME)
