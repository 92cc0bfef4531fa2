"""Responses for pages that can't be shown: a redirect to the remedy, or a sentence."""

import contextlib
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlsplit

from litestar import Request, Response
from litestar.response import Redirect

from gateway.auth.sessions import SIGNED_IN, SignedIn
from gateway.auth.web_origin import WebOrigin, local_path
from gateway.dashboard.page_routes import route_of
from gateway.dashboard.rendering import HEADERS, Layout, here
from gateway.dashboard.serving import PageServer
from gateway.errors import GatewayError, NotAuthenticated, SessionLocked, StepUpRequired
from gateway.model.account import Caller, Mode
from gateway.observability.log_context import request_id
from gateway.sdk.page_request import DASHBOARD

_WAYS: Final[tuple[tuple[type[GatewayError], str], ...]] = (
    (SessionLocked, f"{DASHBOARD}/lock"),
    (NotAuthenticated, f"{DASHBOARD}/sign-in"),
    (StepUpRequired, f"{DASHBOARD}/confirm"),
)


class Refusals:
    """Makes these responses; kept in the application's state."""

    def __init__(self, layout: Layout, origin: WebOrigin, pages: PageServer) -> None:
        self._layout = layout
        self._origin = origin
        self._pages = pages

    def answer(
        self, request: Request[Any, Any, Any], error: GatewayError, status: int
    ) -> Response[Any]:
        """Return a redirect to the right address, to sign-in or confirmation, or an error page."""
        place = self._origin.judge(request.scope["scheme"], request.headers.get("host", ""))
        if place.leads_to is not None:
            return _redirect(place.leads_to + here(request), HTTPStatus.TEMPORARY_REDIRECT)
        if place.refusal is None:
            for kind, way in _WAYS:
                if isinstance(error, kind):
                    back = _here(request) if request.method == "GET" else _page_of(request)
                    return _redirect(f"{way}?next={quote(back, safe='/')}")
        inside = _inside(request)
        if inside is not None:
            return self._pages.refusal(request, *inside, error, status)
        return self._layout.page(
            request,
            "refused.html",
            status,
            problem=error.message,
            details=[each.message for each in error.details],
        )

    def failed(self, request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        """Return the page instead of one that failed unexpectedly; the log has the reference."""
        inside, reference = _inside(request), request_id.get() or ""
        if inside is not None:
            # the shell itself fails: show the error without it
            with contextlib.suppress(Exception):
                return self._pages.failure(request, *inside, type(error).__name__, reference)
        sentence = "The gateway failed unexpectedly; nothing is lost. Try again."
        return self._layout.page(request, "refused.html", 500, problem=sentence)


def _inside(request: Request[Any, Any, Any]) -> tuple[Caller, SignedIn] | None:
    """Return the signed-in person, for a page with the shell around it."""
    signed_in: SignedIn | None = request.scope["state"].get(SIGNED_IN)
    if signed_in is None or route_of(request.scope) is None:
        return None
    is_test = request.url.path.startswith(f"{DASHBOARD}/test")
    mode: Mode = "test" if is_test else "live"
    return signed_in.caller(mode), signed_in


def _redirect(target: str, status: HTTPStatus = HTTPStatus.SEE_OTHER) -> Response[Any]:
    # A redirect is followed by the same page's rules, so it has the same headers.
    return Redirect(target, status_code=int(status), headers=dict(HEADERS))  # type: ignore[arg-type]  # any 3xx


def _here(request: Request[Any, Any, Any]) -> str:
    query = request.url.query
    return here(request) + (f"?{query}" if query else "")


def _page_of(request: Request[Any, Any, Any]) -> str:
    """Return the page that a form was sent from, by its Referer."""
    parts = urlsplit(request.headers.get("referer", ""))
    return local_path(parts.path + (f"?{parts.query}" if parts.query else ""), DASHBOARD)
