"""The pages outside the shell: Welcome, Sign in, Invitation, Lock, Confirm, one's own factors.

They work as plain links and forms; passkeys, one-time links and the lock need the script.
"""

from http import HTTPStatus
from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, SkipValidation
from litestar.response import Redirect
from markupsafe import Markup

from gateway.auth.enrolment import Choice
from gateway.auth.sessions import SignedIn
from gateway.auth.sign_in import Begun, Browser
from gateway.auth.web_origin import local_path
from gateway.dashboard.cookies import begin_session, end_session, put_cookie
from gateway.dashboard.forms import FORM, form_of
from gateway.dashboard.oidc_pages import oidc_handlers
from gateway.dashboard.rendering import (
    HEADERS,
    LANGUAGE_COOKIE,
    SHORTCUTS_COOKIE,
    STEPS_COOKIE,
    THEME_COOKIE,
    THEMES,
    Layout,
    given_again,
)
from gateway.errors import GatewayError, InvalidInput
from gateway.model.permission import ANY_CALLER
from gateway.model.person import LANGUAGES
from gateway.runtime import Gateway
from gateway.sdk.page_request import DASHBOARD as _HOME

_PUBLIC: Final = {"public": True, "session": True, "page": True}
_OWN: Final = {"permission": ANY_CALLER, "session": True, "page": True, "media": FORM}
_FRESH: Final = {**_OWN, "step_up": True}
_ME: Final = f"{_HOME}/me"
_YEAR_SECONDS: Final = 365 * 86_400

Asked = Request[Any, Any, State]
AnyBrowser = NamedDependency[SkipValidation[Browser]]
Own = NamedDependency[SkipValidation[SignedIn]]


def entrance(gateway: Gateway, layout: Layout) -> list[HTTPRouteHandler]:
    """Make the routes."""
    return [
        *_static(layout),
        *_preferring(),
        *_enrolling(gateway, layout),
        *_signing_in(gateway, layout),
        *_confirming(gateway, layout),
        *_own_factors(gateway, layout),
        *oidc_handlers(gateway, layout),
    ]


def _static(layout: Layout) -> list[HTTPRouteHandler]:
    @get("/static/{name:path}", opt={"public": True})
    async def static(request: Asked, name: FromPath[str]) -> Response[bytes]:
        answer = layout.assets.answer(request, name.strip("/"))
        for header, value in HEADERS.items():
            answer.headers.setdefault(header, value)
        return answer

    return [static]


def _preferring() -> list[HTTPRouteHandler]:
    """Make the preferences of this browser: cookies without secrets."""

    @post("/language", opt=_PUBLIC)
    async def language(request: Asked, browser: AnyBrowser) -> Response[Any]:
        form = await _form(request)
        answer = _to(local_path(form.get("next"), _HOME))
        if form.get("language") in LANGUAGES:
            put_cookie(answer, LANGUAGE_COOKIE, form["language"], "", max_age=_YEAR_SECONDS)
        del browser
        return answer

    @post("/preferences", opt=_PUBLIC)
    async def preferences(request: Asked, browser: AnyBrowser) -> Response[Any]:
        form = await _form(request)
        answer = _to(local_path(form.get("next"), _HOME))
        if form.get("theme") in {*THEMES, "system"}:
            put_cookie(answer, THEME_COOKIE, form["theme"], "", max_age=_YEAR_SECONDS)
        for name in (SHORTCUTS_COOKIE, STEPS_COOKIE):
            if form.get(name) in {"on", "off"}:
                put_cookie(answer, name, form[name], "", max_age=_YEAR_SECONDS)
        del browser
        return answer

    return [language, preferences]


def _enrolling(gateway: Gateway, layout: Layout) -> list[HTTPRouteHandler]:
    enrolment = gateway.identity.enrolment

    @get("/welcome", opt=_PUBLIC)
    async def welcome(request: Asked) -> Response[Any]:
        if not await enrolment.needs_owner():
            return _to("/dashboard/sign-in")
        return layout.page(request, "welcome.html")

    @post("/welcome", opt=_PUBLIC)
    async def begin_owner(request: Asked) -> Response[Any]:
        form = await _form(request)
        try:
            set_up = await enrolment.begin_owner(
                form.get("code", ""), form.get("name", ""), form.get("email", "")
            )
        except GatewayError as error:
            given = given_again(form, "name", "email")
            return _again(layout, request, "welcome.html", error, given=given)
        return _set_up_page(layout, request, set_up)

    @get("/invitation", opt=_PUBLIC)
    async def invitation(request: Asked) -> Response[Any]:
        return layout.page(request, "invitation.html")

    @post("/invitation", opt=_PUBLIC)
    async def begin_invitation(request: Asked) -> Response[Any]:
        form = await _form(request)
        try:
            set_up = await enrolment.begin_invitation(form.get("token", ""), form.get("name", ""))
        except GatewayError as error:
            given = given_again(form, "name")
            return _again(layout, request, "invitation.html", error, given=given)
        return _set_up_page(layout, request, set_up)

    @post("/enrol", opt=_PUBLIC)
    async def finish(request: Asked, browser: AnyBrowser) -> Response[Any]:
        form = await _form(request)
        choice = Choice(password=form.get("password", ""), code=form.get("code", ""))
        token = form.get("token", "")
        try:
            made = await enrolment.finish(token, choice, browser)
        except InvalidInput as error:
            set_up = await enrolment.again(token)
            return _set_up_page(layout, request, set_up, error=error)
        answer = layout.page(request, "codes.html", codes=made.recovery_codes, next=_HOME)
        begin_session(answer, browser.origin, made.begun)
        return answer

    return [welcome, begin_owner, invitation, begin_invitation, finish]


def _signing_in(gateway: Gateway, layout: Layout) -> list[HTTPRouteHandler]:
    identity = gateway.identity
    place = ", ".join(each.name for each in gateway.settings.sites[:2]) or "rx-gateway"

    @get("/sign-in", opt=_PUBLIC)
    async def sign_in(request: Asked) -> Response[Any]:
        if await identity.enrolment.needs_owner():
            return _to("/dashboard/welcome")
        target = local_path(request.query_params.get("next"), _HOME)
        return layout.page(request, "sign_in.html", next=target, place=place, locked_as=None)

    @get("/lock", opt=_PUBLIC)
    async def lock(request: Asked, browser: AnyBrowser) -> Response[Any]:
        signed_in = await identity.sessions.find(browser.session)
        if signed_in is not None:
            await identity.sessions.lock(signed_in.row)
        return layout.page(
            request,
            "sign_in.html",
            next=local_path(request.query_params.get("next"), _HOME),
            place=place,
            locked_as=None if signed_in is None else signed_in.person_name,
        )

    @post("/sign-in", opt=_PUBLIC)
    async def with_password(request: Asked, browser: AnyBrowser) -> Response[Any]:
        form = await _form(request)
        target = local_path(form.get("next"), _HOME)
        try:
            begun = await identity.sign_in.with_password(
                form.get("email", ""), form.get("password", ""), form.get("code", ""), browser
            )
        except GatewayError as error:
            given = given_again(form, "email")
            more = {"given": given, "next": target, "place": place, "locked_as": None}
            return _again(layout, request, "sign_in.html", error, **more)
        return _begun(browser, begun, target)

    @post("/sign-out", opt=_PUBLIC)
    async def sign_out(browser: AnyBrowser) -> Response[Any]:
        await identity.sessions.end(browser.session)
        answer = _to("/dashboard/sign-in")
        end_session(answer, browser.origin)
        return answer

    return [sign_in, lock, with_password, sign_out]


def _confirming(gateway: Gateway, layout: Layout) -> list[HTTPRouteHandler]:
    identity = gateway.identity

    @get("/confirm", opt=_OWN)
    async def confirm(request: Asked, signed_in: Own) -> Response[Any]:
        target = local_path(request.query_params.get("next"), _HOME)
        return layout.page(
            request,
            "confirm.html",
            next=target,
            language=signed_in.language,
            at_company=signed_in.row.method == "oidc",
        )

    @post("/confirm", opt=_OWN)
    async def confirmed(request: Asked, browser: AnyBrowser, signed_in: Own) -> Response[Any]:
        form = await _form(request)
        target = local_path(form.get("next"), _HOME)
        try:
            await identity.sign_in.step_up_with_password(
                signed_in, form.get("password", ""), form.get("code", ""), browser
            )
        except GatewayError as error:
            more = {"next": target, "language": signed_in.language, "at_company": False}
            return _again(layout, request, "confirm.html", error, **more)
        return _to(target)

    return [confirm, confirmed]


def _own_factors(gateway: Gateway, layout: Layout) -> list[HTTPRouteHandler]:
    identity = gateway.identity

    @get("/me/factors", opt=_FRESH)
    async def factors(request: Asked, signed_in: Own) -> Response[Any]:
        set_up = await identity.enrolment.begin_own(signed_in.row.person_id)
        return _set_up_page(layout, request, set_up, own=True, language=signed_in.language)

    @post("/me/factors", opt=_FRESH)
    async def add(request: Asked, browser: AnyBrowser, signed_in: Own) -> Response[Any]:
        row, form = signed_in.row, await _form(request)
        choice = Choice(password=form.get("password", ""), code=form.get("code", ""))
        token = form.get("token", "")
        try:
            codes = await identity.enrolment.add_own(
                row.person_id, row.account_id, token, choice, browser
            )
        except InvalidInput as error:
            set_up = await identity.enrolment.again(token)
            return _set_up_page(
                layout, request, set_up, own=True, error=error, language=signed_in.language
            )
        return layout.page(
            request, "codes.html", codes=codes, next=_ME, language=signed_in.language
        )

    return [factors, add]


def _set_up_page(
    layout: Layout,
    request: Asked,
    set_up: Any,
    *,
    own: bool = False,
    error: GatewayError | None = None,
    language: str | None = None,
) -> Response[Any]:
    secret: str = set_up.secret
    lang = language or layout.language_of(request)
    groups = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
    return layout.page(
        request,
        "set_up.html",
        200 if error is None else 400,
        language=lang,
        set_up=set_up,
        secret=groups,
        qr=Markup(set_up.qr),  # noqa: S704 - made by segno, of no text of others
        role=set_up.role and layout.text(lang, set_up.role.replace("_", " ")),
        own=own,
        open=error is not None,
        problem=None if error is None else error.message,
        details=() if error is None else [each.message for each in error.details],
    )


def _again(
    layout: Layout, request: Asked, template: str, error: GatewayError, **context: Any
) -> Response[Any]:
    """Show a form again with its problem and the typed text, without passwords and codes."""
    return layout.page(
        request,
        template,
        400,
        problem=error.message,
        details=[each.message for each in error.details],
        **context,
    )


def _begun(browser: Browser, begun: Begun, target: str) -> Response[Any]:
    answer = _to(target)
    begin_session(answer, browser.origin, begun)
    return answer


def _to(target: str) -> Response[Any]:
    return Redirect(target, status_code=int(HTTPStatus.SEE_OTHER), headers=dict(HEADERS))  # type: ignore[arg-type]  # any 3xx


async def _form(request: Asked) -> dict[str, str]:
    """Read a form's fields; raises ``InvalidInput`` for one that is malformed or too large."""
    return dict((await form_of(request)).pairs())
