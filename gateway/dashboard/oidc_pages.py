"""Sign-in and confirmation with a company's account: the redirect and the callback."""

from http import HTTPStatus
from typing import Any, Final

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import SkipValidation
from litestar.response import Redirect

from gateway.auth.oidc import Answer, OidcSignIn
from gateway.auth.sign_in import Browser
from gateway.auth.web_origin import cookie_name, local_path
from gateway.dashboard.cookies import begin_session, put_cookie
from gateway.dashboard.rendering import HEADERS, Layout
from gateway.errors import GatewayError, NotFound
from gateway.runtime import Gateway

OIDC_COOKIE: Final = "oidc"
_HOME: Final = "/dashboard"
_PUBLIC: Final = {"public": True, "session": True, "page": True}
_COOKIE_SECONDS: Final = 600

Asked = Request[Any, Any, State]
AnyBrowser = NamedDependency[SkipValidation[Browser]]


def oidc_handlers(gateway: Gateway, layout: Layout) -> list[HTTPRouteHandler]:
    """Make the two pages; without ``[people.oidc]`` they are not found."""
    identity = gateway.identity
    if identity.oidc is not None:
        layout.share(company=identity.oidc.name)

    @get("/oidc", opt=_PUBLIC)
    async def leave(request: Asked, browser: AnyBrowser) -> Response[Any]:
        oidc = _configured(identity.oidc)
        target = local_path(request.query_params.get("next"), _HOME)
        if request.headers.get("sec-fetch-site") == "cross-site":
            return _to(f"{_HOME}/sign-in")  # another site doesn't begin a sign-in
        step_up = None
        if "confirm" in request.query_params:
            step_up = await identity.sessions.read(browser.session)
        try:
            way = await oidc.begin(browser, target, step_up=step_up)
        except GatewayError as error:
            return _refused(gateway, layout, request, error, target)
        answer = _to(way.url)
        put_cookie(answer, OIDC_COOKIE, way.token, browser.origin, max_age=_COOKIE_SECONDS)
        return answer

    @get("/oidc/callback", opt=_PUBLIC)
    async def come_back(request: Asked, browser: AnyBrowser) -> Response[Any]:
        oidc, query = _configured(identity.oidc), request.query_params
        token = request.cookies.get(cookie_name(OIDC_COOKIE, browser.origin))
        given = Answer(query.get("code"), query.get("state"), query.get("iss"), query.get("error"))
        try:
            finished = await oidc.finish(token, given, browser)
        except GatewayError as error:
            answer = _refused(gateway, layout, request, error, _HOME)
        else:
            answer = _to(finished.target)
            if finished.begun is not None:
                begin_session(answer, browser.origin, finished.begun)
        put_cookie(answer, OIDC_COOKIE, "", browser.origin, max_age=0)
        return answer

    return [leave, come_back]


def _refused(
    gateway: Gateway, layout: Layout, request: Asked, error: GatewayError, target: str
) -> Response[Any]:
    """Show the Sign in page with the problem."""
    place = ", ".join(each.name for each in gateway.settings.sites[:2]) or "rx-gateway"
    return layout.page(
        request,
        "sign_in.html",
        400,
        problem=error.message,
        details=[each.message for each in error.details],
        next=target,
        place=place,
        locked_as=None,
    )


def _configured(oidc: OidcSignIn | None) -> OidcSignIn:
    if oidc is None:
        raise NotFound("Signing in with a company's account is not set up ([people.oidc]).")
    return oidc


def _to(target: str) -> Response[Any]:
    return Redirect(target, status_code=int(HTTPStatus.SEE_OTHER), headers=dict(HEADERS))  # type: ignore[arg-type]  # any 3xx
