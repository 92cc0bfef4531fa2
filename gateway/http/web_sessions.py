"""Requests of browsers: their allowed origins and their person.

A route that begins, reads or changes a session declares ``opt={"session": True}``; an API route
that a signed-in person calls with their cookie declares nothing. Both are served at the origin of
:mod:`gateway.auth.web_origin` alone, and unsafe requests must be of the same origin.
``opt={"step_up": True}`` requires a factor that was shown in the last minutes, and ``opt={"quiet":
True}`` means that a request doesn't count as activity: a page that refreshes itself.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec
from litestar.connection import ASGIConnection
from litestar.datastructures import Headers
from litestar.types import Receive, Scope

from gateway.auth.emergencies import OPEN_RECORDS, Emergencies
from gateway.auth.identity import Identity
from gateway.auth.sessions import SIGNED_IN, SignedIn
from gateway.auth.sign_in import Browser
from gateway.auth.web_origin import WebOrigin, cookie_name, local_path
from gateway.dashboard.forms import FORM, MAX_FIELDS, MAX_FORM_BYTES
from gateway.errors import InvalidInput, NotAllowed, NotAuthenticated
from gateway.model.account import Caller, Mode
from gateway.model.ids import new_id
from gateway.model.permission import REVEALING

_BROWSER: Final = "gateway_browser"
_PLACE: Final = "gateway_place"
MODE_HEADER: Final = "x-gateway-mode"
_TEST_PATH: Final = "/dashboard/test"
_NEVER_KEPT: Final = frozenset({"password", "code", "token"})


class WebSessions:
    """Reads the browser and the person of a request."""

    def __init__(self, identity: Identity, emergencies: Emergencies, origin: WebOrigin) -> None:
        self._sessions = identity.sessions
        self._parts = identity.parts
        self._emergencies = emergencies
        self._origin = origin

    def browser(self, scope: Scope, headers: Headers) -> Browser:
        """Return the browser; raises ``NotAllowed`` at and for other origins."""
        state = scope["state"]
        if _BROWSER in state:
            known: Browser = state[_BROWSER]
            return known
        place = self._origin.judge(scope["scheme"], headers.get("host", ""))
        state[_PLACE] = place
        if place.origin is None:
            refusal = place.refusal or f"Use {place.leads_to}: sign-ins belong to that address."
            raise NotAllowed(refusal)
        method: str = scope["method"]  # type: ignore[typeddict-item]  # only HTTP comes here
        self._origin.refuse_foreign(method, headers, place.origin)
        cookies = ASGIConnection[Any, Any, Any, Any](scope).cookies
        client = scope["client"]
        browser = Browser(
            host="" if client is None else client[0],
            origin=place.origin,
            agent=headers.get("user-agent", ""),
            session=cookies.get(cookie_name("session", place.origin)),
            device=cookies.get(cookie_name("device", place.origin)),
        )
        state[_BROWSER] = browser
        return browser

    async def person(
        self, scope: Scope, headers: Headers, options: Mapping[str, Any]
    ) -> Caller | None:
        """Return the signed-in person as a caller; ``None`` without a session's cookie."""
        cookies = ASGIConnection[Any, Any, Any, Any](scope).cookies
        if not {"session", "__Host-session"} & cookies.keys():
            if options.get("session"):
                self.browser(scope, headers)
                raise NotAuthenticated("No one is signed in here; sign in first.")
            return None
        browser = self.browser(scope, headers)
        is_activity = not (options.get("quiet") or "x-gateway-quiet" in headers)
        signed_in = await self._sessions.read(browser.session, is_activity=is_activity)
        if options.get("step_up"):
            self._sessions.need_fresh_factor(signed_in.row)
        scope["state"][SIGNED_IN] = signed_in
        caller = signed_in.caller(_mode(scope, headers))
        opened = await self._emergencies.open_to(signed_in)
        scope["state"][OPEN_RECORDS] = opened
        # A record that this person opened in an emergency is shown to them in full.
        named = {str(each) for each in scope["path_params"].values()}
        if any(each.subject in named for each in opened):
            return msgspec.structs.replace(caller, permissions=caller.permissions | REVEALING)
        return caller

    async def keep_form(self, scope: Scope, receive: Receive) -> None:
        """Keep the form that a page without a script sent after its session locked.

        Passwords and codes are left out, and so are forms larger than a page's.
        """
        browser: Browser = scope["state"][_BROWSER]
        signed_in = await self._sessions.find(browser.session)
        headers = Headers.from_scope(scope)
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        path = local_path(urlsplit(headers.get("referer", "")).path, "")
        if signed_in is None or media not in FORM or not path:
            return
        fields = _typed(await _read(receive))
        data, row, now = msgspec.json.encode(fields), signed_in.row, self._parts.clock.now()
        if not fields or len(data) > MAX_FORM_BYTES:
            return
        async with self._parts.database.begin() as connection:
            await self._parts.store.keep_draft(
                connection, new_id("dra", now), row.person_id, path, data, row.expires_at
            )


async def _read(receive: Receive) -> bytes:
    """Return a body; empty if it is too large."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        body += message["body"]
        if len(body) > MAX_FORM_BYTES:
            return b""
        if not message["more_body"]:
            return body


def _typed(body: bytes) -> dict[str, str | list[str]]:
    """Return the fields of a form by name, a repeated one as a list."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in _NEVER_KEPT:
            found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def provide_browser(request: ASGIConnection[Any, Any, Any, Any]) -> Browser:
    """Return the browser, for handlers that declare it as a dependency."""
    browser: Browser = request.scope["state"][_BROWSER]
    return browser


def provide_signed_in(request: ASGIConnection[Any, Any, Any, Any]) -> SignedIn:
    """Return the session, for handlers that only people may call."""
    signed_in: SignedIn | None = request.scope["state"].get(SIGNED_IN)
    if signed_in is None:
        raise NotAllowed("This is for a signed-in person; an API key has no session.")
    return signed_in


def leads_to(scope: Scope) -> str | None:
    """Return the origin that a refused request should have used, if any."""
    place = scope.get("state", {}).get(_PLACE)
    return None if place is None else place.leads_to


def _mode(scope: Scope, headers: Headers) -> Mode:
    """Return the mode: of the path on pages, of a header for API calls; live by default."""
    path: str = scope["path"]
    if path == _TEST_PATH or path.startswith(f"{_TEST_PATH}/"):
        return "test"
    given = headers.get(MODE_HEADER, "live")
    if given == "test":
        return "test"
    if given != "live":
        raise InvalidInput("X-Gateway-Mode is live or test.")
    return "live"
