"""The entrance of the kept demo: a one-time code, then a choice of the person to sign in as.

Only the demo adds it to its own gateway, before it opens.
"""

import secrets
from collections.abc import Sequence
from typing import Any, Final

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from litestar.response import Redirect

from gateway.auth.sign_in import Browser
from gateway.dashboard.cookies import begin_session, put_cookie
from gateway.dashboard.forms import form_of
from gateway.dashboard.rendering import HEADERS, Layout, here, html, theme_of
from gateway.demo.staff import STAFF
from gateway.hookspecs import hookimpl
from gateway.model.account import DEFAULT_ACCOUNT
from gateway.model.person import Person
from gateway.runtime import Gateway
from gateway.sdk.page_request import DASHBOARD, Query

PATH: Final = "/demo"
_TICKET: Final = "demo"
_LETTERS: Final = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
_CODE_LETTERS: Final = 8
_PUBLIC: Final = {"public": True, "session": True, "page": True}
AnyBrowser = NamedDependency[SkipValidation[Browser]]


class Entrance:
    """A plugin of the demo's own gateway. ``code`` works once; the browser stays admitted."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._layout: Layout | None = None
        self._staff: Sequence[Person] = ()
        self._is_used = False
        self._ticket = secrets.token_urlsafe(32)
        letters = "".join(secrets.choice(_LETTERS) for _ in range(_CODE_LETTERS))
        self.code = f"{letters[:4]}-{letters[4:]}"

    def admit(self, staff: Sequence[Person]) -> None:
        """Allow sign-ins as these people."""
        self._staff = staff

    @hookimpl
    def http_routers(self) -> Sequence[Router]:
        """Bring the page at ``/demo``."""

        @get("/", opt=_PUBLIC)
        async def choose(request: Request[Any, Any, Any]) -> Response[Any]:
            return self._page(request)

        @post("/", opt=_PUBLIC)
        async def enter(request: Request[Any, Any, Any], browser: AnyBrowser) -> Response[Any]:
            form = dict((await form_of(request)).pairs())
            chosen = next((each for each in self._staff if each.id == form.get("person")), None)
            if not self._is_known(request) and not self._fits(form.get("code", "")):
                return self._page(request, "This code was used, or is another one.")
            if chosen is None:
                return self._page(request, "Choose a person to look as.", form.get("code", ""))
            self._is_used = True
            identity = self._gateway.identity
            async with self._gateway.database.begin() as connection:
                begun = await identity.sign_in.begin_new(
                    connection, chosen, DEFAULT_ACCOUNT, "passkey", browser
                )
            answer = Redirect(DASHBOARD, status_code=303, headers=dict(HEADERS))
            begin_session(answer, browser.origin, begun)
            put_cookie(answer, _TICKET, self._ticket, "")
            return answer

        return [Router(PATH, route_handlers=[choose, enter], include_in_schema=False)]

    def _fits(self, code: str) -> bool:
        typed = "".join(code.upper().split()).replace("-", "").encode()
        return not self._is_used and secrets.compare_digest(
            typed, self.code.replace("-", "").encode()
        )

    def _is_known(self, request: Request[Any, Any, Any]) -> bool:
        held = request.cookies.get(_TICKET, "")
        return secrets.compare_digest(held.encode(), self._ticket.encode())

    def _page(
        self, request: Request[Any, Any, Any], problem: str = "", code: str = ""
    ) -> Response[Any]:
        if self._layout is None:
            self._layout = Layout({"demo": "gateway.demo"})
            self._layout.share(company=None)
        language = self._layout.language_of(request)
        texts = self._layout.texts("demo", language)
        people = [
            (each.id, each.name, texts.gettext(ROLES[member.role]), sites_of(member.sites))
            for each, member in zip(self._staff, STAFF, strict=False)
        ]
        values = {
            "problem": texts.gettext(problem) if problem else None,
            "details": (),
            "given": Query([("code", code)] if code else ()),
            "lang": language,
            "here": here(request),
            "theme": theme_of(request),
            "people": people,
            "is_known": self._is_known(request),
        }
        page = self._layout.render("demo", language, "demo/enter.html", values)
        return html(page, 400 if problem else 200)


def sites_of(codes: Sequence[str] | None) -> str:
    """Return the names of a person's sites, ``""`` for all."""
    return "" if codes is None else ", ".join(SITE_NAMES[each] for each in codes)


SITE_NAMES: Final = {"lakeside": "Lakeside Pharmacy", "queen": "Queen Street Pharmacy"}
ROLES: Final = {
    "owner": "Owner",
    "manager": "Manager",
    "pharmacist": "Pharmacist",
    "dispatcher": "Dispatcher",
    "integrator": "Integrator",
    "privacy_officer": "Privacy officer",
}
