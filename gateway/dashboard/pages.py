"""The core's first pages: Welcome, Sign in, Invitation, Lock, Confirm and Me.

They work as plain links and forms; passkeys, one-time links and the lock need the script.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, SkipValidation
from litestar.response import Redirect

from gateway.auth.enrolment import Choice
from gateway.auth.people import Maker
from gateway.auth.sessions import SignedIn
from gateway.auth.sign_in import Begun, Browser
from gateway.auth.web_origin import local_path
from gateway.dashboard.cookies import begin_session, end_session, put_cookie
from gateway.dashboard.layout import HEADERS, LANGUAGE_COOKIE, Layout, given_again
from gateway.errors import GatewayError, InvalidInput, NotFound, TooLarge
from gateway.model.permission import ANY_CALLER
from gateway.model.person import LANGUAGES, Factor
from gateway.runtime import Gateway

_HOME: Final = "/dashboard"
_ME: Final = "/dashboard/me"
_FORM: Final = ("application/x-www-form-urlencoded",)
_PUBLIC: Final = {"public": True, "session": True, "page": True}
_OWN: Final = {"permission": ANY_CALLER, "session": True, "page": True, "media": _FORM}
_FRESH: Final = {**_OWN, "step_up": True}
_MAX_FORM_BYTES: Final = 64 * 1024
_MAX_FIELDS: Final = 50
_YEAR_SECONDS: Final = 365 * 86_400

Asked = Request[Any, Any, State]
AnyBrowser = NamedDependency[SkipValidation[Browser]]
Own = NamedDependency[SkipValidation[SignedIn]]


def dashboard_router(gateway: Gateway, layout: Layout) -> Router:
    """Make the pages below ``/dashboard``."""
    handlers: list[HTTPRouteHandler] = [
        *_static(layout),
        *_enrolling(gateway, layout),
        *_signing_in(gateway, layout),
        *_confirming(gateway, layout),
        *_me(gateway, layout),
        *_own_factors(gateway, layout),
    ]
    return Router(_HOME, route_handlers=handlers, include_in_schema=False)


def _static(layout: Layout) -> list[HTTPRouteHandler]:
    @get("/static/{name:str}", opt={"public": True})
    async def static(name: FromPath[str]) -> Response[bytes]:
        if name not in layout.files:
            raise NotFound("No such file.")
        media, content = layout.files[name]
        headers = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
        return Response(content, media_type=media, headers=headers)

    @post("/language", opt=_PUBLIC)
    async def language(request: Asked, browser: AnyBrowser) -> Response[Any]:
        form = await _form(request)
        answer = _to(local_path(form.get("next"), _HOME))
        if form.get("language") in LANGUAGES:
            put_cookie(answer, LANGUAGE_COOKIE, form["language"], "", max_age=_YEAR_SECONDS)
        del browser
        return answer

    return [static, language]


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
        answer = layout.page(request, "codes.html", codes=made.recovery_codes)
        begin_session(answer, browser.origin, made.begun)
        return answer

    return [welcome, begin_owner, invitation, begin_invitation, finish]


def _signing_in(gateway: Gateway, layout: Layout) -> list[HTTPRouteHandler]:
    identity = gateway.identity
    place = ", ".join(each.name for each in gateway.settings.sites[:2]) or "rx-gateway"

    @get("/", opt=_OWN)
    async def home(signed_in: Own) -> Response[Any]:
        del signed_in
        return _to(_ME)

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

    return [home, sign_in, lock, with_password, sign_out]


def _confirming(gateway: Gateway, layout: Layout) -> list[HTTPRouteHandler]:
    identity = gateway.identity

    @get("/confirm", opt=_OWN)
    async def confirm(request: Asked, signed_in: Own) -> Response[Any]:
        target = local_path(request.query_params.get("next"), _HOME)
        return layout.page(request, "confirm.html", next=target, language=signed_in.language)

    @post("/confirm", opt=_OWN)
    async def confirmed(request: Asked, browser: AnyBrowser, signed_in: Own) -> Response[Any]:
        form = await _form(request)
        target = local_path(form.get("next"), _HOME)
        try:
            await identity.sign_in.step_up_with_password(
                signed_in, form.get("password", ""), form.get("code", ""), browser
            )
        except GatewayError as error:
            return _again(
                layout, request, "confirm.html", error, next=target, language=signed_in.language
            )
        return _to(target)

    return [confirm, confirmed]


def _me(gateway: Gateway, layout: Layout) -> list[HTTPRouteHandler]:
    identity = gateway.identity

    @get("/me", opt=_OWN)
    async def me(request: Asked, signed_in: Own) -> Response[Any]:
        row, now = signed_in.row, gateway.clock.now()
        async with gateway.database.begin() as connection:
            kept = await identity.parts.store.take_draft(connection, row.person_id, _ME, now)
        draft = {} if kept is None else msgspec.json.decode(kept, type=dict[str, str])
        return await _me_page(gateway, layout, request, signed_in, draft)

    @post("/me", opt=_OWN)
    async def save(request: Asked, signed_in: Own) -> Response[Any]:
        form = await _form(request)
        try:
            await identity.people.rename(
                signed_in.row.person_id, form.get("name", ""), form.get("language")
            )
        except InvalidInput as error:
            return await _me_page(gateway, layout, request, signed_in, {}, error)
        return _to(_ME)

    @post("/me/sessions/end", opt=_OWN)
    async def end(request: Asked, signed_in: Own) -> Response[Any]:
        row, form = signed_in.row, await _form(request)
        maker = Maker(row.person_id, row.account_id)
        await identity.people.end_session(maker, row.person_id, form.get("id", ""))
        return _to(_ME)

    @post("/me/account", opt=_OWN)
    async def account(request: Asked, signed_in: Own) -> Response[Any]:
        form = await _form(request)
        await identity.people.switch_account(signed_in.row, form.get("account", ""))
        return _to(_ME)

    return [me, save, end, account]


def _own_factors(gateway: Gateway, layout: Layout) -> list[HTTPRouteHandler]:
    identity = gateway.identity

    @post("/me/passkeys/remove", opt=_FRESH)
    async def remove(request: Asked, signed_in: Own) -> Response[Any]:
        row, form = signed_in.row, await _form(request)
        try:
            await identity.people.remove_passkey(row.person_id, row.account_id, form.get("id", ""))
        except GatewayError as error:
            return await _me_page(gateway, layout, request, signed_in, {}, error)
        return _to(_ME)

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
        return layout.page(request, "codes.html", codes=codes, language=signed_in.language)

    return [remove, factors, add]


async def _me_page(
    gateway: Gateway,
    layout: Layout,
    request: Asked,
    signed_in: SignedIn,
    draft: dict[str, str],
    error: GatewayError | None = None,
) -> Response[Any]:
    row, people = signed_in.row, gateway.identity.people
    person_id = row.person_id
    language = signed_in.language or layout.language_of(request)
    async with gateway.database.read() as connection:
        own = await gateway.identity.parts.people.factors_of(connection, person_id)
        person = await gateway.identity.parts.people.get(connection, person_id)
    sessions = await people.sessions(person_id)
    accounts = await people.accounts_of(person_id)
    names = {each.code: each.name for each in gateway.settings.sites}
    now = gateway.clock.now()
    return layout.page(
        request,
        "me.html",
        200 if error is None else 400,
        language=language,
        locks_in=max(1, int((signed_in.locks_at - now).total_seconds())),
        person_name=signed_in.person_name,
        role=layout.text(language, signed_in.membership.role.replace("_", " ")),
        sites=[names.get(each, each) for each in signed_in.membership.sites or ()],
        lacks_factor=signed_in.lacks_factor,
        has_login=person is not None and person.login is not None,
        draft=_Draft(draft),
        factors=_ways(layout, language, own),
        sessions=[
            {
                "id": each.id,
                "browser": each.agent,
                "is_this": each.id == row.id,
                "seen": _shown(each.seen_at),
            }
            for each in sessions
        ],
        accounts=[
            {
                "account": each.account_id,
                "role": layout.text(language, each.role.replace("_", " ")),
                "is_this": each.account_id == row.account_id,
            }
            for each in accounts
        ],
        problem=None if error is None else error.message,
        details=() if error is None else [each.message for each in error.details],
    )


class _Draft(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _ways(layout: Layout, language: str, own: list[Factor]) -> list[dict[str, Any]]:
    def text(message: str) -> str:
        return layout.text(language, message)

    left = sum(each.kind == "recovery" and each.used_at is None for each in own)
    labels = {"password": text("Password"), "totp": text("Code from your authenticator")}
    ways = sum(each.kind in {"passkey", "totp"} for each in own)
    rows = [
        {
            "id": each.id,
            "label": labels.get(each.kind, each.name),
            "since": _shown(each.used_at or each.created_at),
            "removable": each.kind == "passkey" and ways > 1,
        }
        for each in own
        if each.kind != "recovery"
    ]
    if left:
        label = text("Recovery codes")
        rows.append({"id": "", "label": label, "since": f"{left} / 10", "removable": False})
    return rows


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
        role=set_up.role and layout.text(lang, set_up.role.replace("_", " ")),
        own=own,
        open=error is not None,
        problem=None if error is None else error.message,
        details=() if error is None else [each.message for each in error.details],
    )


def _again(
    layout: Layout, request: Asked, template: str, error: GatewayError, **context: Any
) -> Response[Any]:
    """Show a form again with what is wrong; what was typed stays, but passwords and codes."""
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
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in _FORM:
        raise InvalidInput("Send the form as a browser does.")
    body = await request.body()
    if len(body) > _MAX_FORM_BYTES:
        raise TooLarge("The form is larger than 64 KB.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise InvalidInput("The form is malformed.") from error
    return dict(pairs)
