"""Serves pages: permission, request, handler, panels, response, with failures isolated.

A plugin's page or panel that raises or is late is replaced by a note that names the plugin.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import SkipValidation
from litestar.response import Redirect, Stream
from markupsafe import Markup

from gateway.auth.sessions import SignedIn
from gateway.auth.sign_in import Browser
from gateway.dashboard.forms import FormReader
from gateway.dashboard.page_memory import NO_DRAFT, PageMemories, query_of
from gateway.dashboard.page_routes import PageRoutes, route_of
from gateway.dashboard.plugin_output import MAX_PAGE_CHARACTERS, sends_code
from gateway.dashboard.registry import OwnedPage, OwnedPanel, needs
from gateway.dashboard.rendering import HEADERS, Layout, html, packed
from gateway.dashboard.shell import Around, MadePanel, Shell
from gateway.dashboard.toasts import drop_toast, put_toast, take_toast, toast_of
from gateway.errors import (
    GatewayError,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    StepUpRequired,
    StorageError,
)
from gateway.model.account import Caller
from gateway.model.permission import ANY_CALLER
from gateway.runtime import Gateway
from gateway.sdk.formats import Formats
from gateway.sdk.page_request import DASHBOARD, PagePerson, PageRequest, Query, page_url
from gateway.sdk.pages import Action, Answer, Download, Page, SeeOther, Template

REGION_HEADER: Final = "x-gateway-region"
PROBLEM_HEADER: Final = "X-Gateway-Problem"
TOAST_HEADER: Final = "X-Gateway-Toast"
_MAX_QUERY: Final = 4000
_MAX_REGIONS: Final = 10
_OWN_CODE: Final = "it sends a script, handler or style inside the page, which browsers refuse"
_NEVER_AGAIN: Final = ("password", "code", "token")
_SHOWN_INLINE: Final = ("image/jpeg", "image/png", "application/pdf")

# The entrance also has addresses below /me, where the web framework looks no further.
_EVERYWHERE: Final = ("/", "/{rest:path}", "/me", "/me/{rest:path}")

Asked = Request[Any, Any, State]
AnyCaller = NamedDependency[Caller]
AnyBrowser = NamedDependency[SkipValidation[Browser]]
Own = NamedDependency[SkipValidation[SignedIn]]


class PageServer:
    """Serves pages and their actions. ``status_of`` gives the HTTP status of an error."""

    def __init__(
        self, gateway: Gateway, layout: Layout, shell: Shell, status_of: Callable[[Any], int]
    ) -> None:
        self._gateway = gateway
        self._layout = layout
        self._shell = shell
        self._status_of = status_of
        self._seconds = gateway.settings.dashboard.page_ms / 1000
        self.routes = PageRoutes(shell.pages.all.values())
        self._memory = PageMemories(gateway.database, gateway.identity, gateway.clock)

    def handlers(self) -> list[HTTPRouteHandler]:
        """Return the two handlers that serve all pages, for live and for test data."""
        options = {"permission": ANY_CALLER, "session": True, "page": True}
        options["resolve"] = self.routes.resolver()

        @get([*_EVERYWHERE], opt=options)
        async def show(
            request: Asked, caller: AnyCaller, signed_in: Own, browser: AnyBrowser
        ) -> Response[Any]:
            route = route_of(request.scope)
            if route is None or route.owned is None:
                raise _no_such_page()
            return await self._show(route.owned, request, caller, signed_in, browser)

        @post([*_EVERYWHERE], opt=options, request_max_body_size=None)
        async def act(
            request: Asked, caller: AnyCaller, signed_in: Own, browser: AnyBrowser
        ) -> Response[Any]:
            route = route_of(request.scope)
            if route is None or route.owned is None or route.action is None:
                raise _no_such_page()
            return await self._act(route.owned, route.action, request, caller, signed_in, browser)

        return [show, act]

    def request_of(
        self, http: Asked, caller: Caller, signed_in: SignedIn, owned: OwnedPage
    ) -> PageRequest:
        """Return the request for a handler; raises ``NotFound`` for an unknown site."""
        query = Query(_pairs(http.scope["query_string"]))
        sites = self._shell.sites_of(signed_in)
        site = query.get("site") or None
        if site is not None and site not in sites:
            raise NotFound("You have no such site.")
        if site is not None:
            caller = _at_site(caller, site)
        language = self._layout.language_of(http, signed_in.language)
        person = PagePerson(
            signed_in.row.person_id,
            signed_in.person_name,
            signed_in.membership.role,
            language,
            signed_in.membership.sites,
        )
        clock = self._gateway.clock
        return PageRequest(
            caller=caller,
            person=person,
            site=site,
            path={name: str(value) for name, value in http.path_params.items()},
            query=query,
            http=http,
            formats=Formats(language, self._shell.zone_of(sites, site), clock.now),
            texts=self._layout.texts(owned.plugin, language),
            memory=self._memory,
            read_form=FormReader(http).read,
            now=clock.now(),
            region=_regions(http),
        )

    def refusal(
        self, http: Asked, caller: Caller, signed_in: SignedIn, error: GatewayError, status: int
    ) -> Response[Any]:
        """Return the error page for a page that can't be shown."""
        owned = self._owned(http)
        try:
            request = self.request_of(http, caller, signed_in, owned)
        except NotFound:  # an unknown site
            http.scope["query_string"] = b""
            request = self.request_of(http, caller, signed_in, owned)
        return self._refused(owned, replace(request, problem=error), signed_in, status)

    def failure(
        self, http: Asked, caller: Caller, signed_in: SignedIn, reason: str, reference: str
    ) -> Response[Any]:
        """Return the error page for a page that failed unexpectedly."""
        owned = self._owned(http)
        if owned.plugin:
            self._gateway.hooks.page_failed(owned.plugin, "pages", reason)
        request = self.request_of(http, caller, signed_in, owned)
        return self._failed(owned, request, signed_in, HTTPStatus.INTERNAL_SERVER_ERROR, reference)

    def _owned(self, http: Asked) -> OwnedPage:
        """Return the page of a request."""
        route = route_of(http.scope)
        return _NOWHERE if route is None or route.owned is None else route.owned

    async def _show(
        self,
        owned: OwnedPage,
        http: Asked,
        caller: Caller,
        signed_in: SignedIn,
        browser: Browser,
    ) -> Response[Any]:
        if owned.page.step_up and not self._is_fresh(signed_in):
            return _confirm(_here(http))
        if not owned.page.path and signed_in.lacks_factor:
            return _to(f"{DASHBOARD}/me")
        request = self.request_of(http, caller, signed_in, owned)
        draft = NO_DRAFT
        if not request.region:
            draft = await self._memory.take_draft(request.person.id, http.url.path)
            request = replace(request, given=query_of(draft))
        try:
            answer = await self._within(owned, owned.page, request)
        except TimeoutError:
            self._gateway.hooks.page_failed(owned.plugin, "pages", "it took too long")
            return self._failed(owned, request, signed_in, HTTPStatus.SERVICE_UNAVAILABLE)
        around = Around(signed_in, {}, draft=draft)
        return await self._answered(owned, request, answer, around, browser)

    async def _act(
        self,
        owned: OwnedPage,
        action: Action,
        http: Asked,
        caller: Caller,
        signed_in: SignedIn,
        browser: Browser,
    ) -> Response[Any]:
        request = self.request_of(http, caller, signed_in, owned)
        shown_at = page_url(_filled(owned.page.path, request.path), request.mode)
        if action.step_up and not self._is_fresh(signed_in):
            if not action.upload_bytes:
                form = (await request.form()).without((*_NEVER_AGAIN, *action.secret))
                await self._memory.keep_draft(request.person.id, shown_at, form)
            return _confirm(shown_at)
        around = Around(signed_in, {})
        try:
            answer = await action.handler(request)
        except (NotAuthenticated, StepUpRequired, StorageError):
            raise
        except GatewayError as error:
            given = Query() if action.upload_bytes else await request.form()
            given = given.without((*_NEVER_AGAIN, *action.secret))
            again = replace(request, problem=error, given=given)
            try:
                answer = await self._within(owned, owned.page, again)
            except GatewayError:
                raise error from None
            except TimeoutError:
                self._gateway.hooks.page_failed(owned.plugin, "pages", "it took too long")
                status = HTTPStatus.SERVICE_UNAVAILABLE
                return self._failed(owned, request, signed_in, status)
            if not isinstance(answer, Template):
                raise
            answer = replace(answer, status=self._status_of(error))
            return await self._answered(owned, again, answer, around, browser)
        return await self._answered(owned, request, answer, around, browser)

    async def _within(self, owned: OwnedPage, page: Page, request: PageRequest) -> Answer:
        """Call a page's handler; raises ``TimeoutError`` for a slow one of a plugin."""
        if not owned.plugin:
            return await page.handler(request)
        async with _limited(self._seconds):
            return await page.handler(request)

    async def _answered(
        self,
        owned: OwnedPage,
        request: PageRequest,
        answer: Answer,
        around: Around,
        browser: Browser,
    ) -> Response[Any]:
        if isinstance(answer, SeeOther):
            return _onward(request, answer, browser.origin)
        if isinstance(answer, Download):
            return _file(answer)
        if isinstance(answer, Response):
            return _guarded(answer)
        toast = take_toast(request.http)
        if request.region:
            part = await self._part(owned, request, answer, around)
            if part is not None:
                self._note_code(owned, part)
                response = html(part, answer.status, _problem_header(request))
                if toast is not None:
                    response.headers[TOAST_HEADER] = quote(toast.text)
                    drop_toast(response, browser.origin)
                return packed(response, request.http)
        badges = await self._shell.badges.of(
            request.caller, self._shell.pages.visible(request.caller)
        )
        panels = await self._panels(request, answer)
        around = around._replace(
            panels=panels, badges=badges, toast=None if request.region else toast
        )
        page = self._shell.render(owned, request, answer, around)
        if self._note_code(owned, page):
            around = around._replace(refused_code=owned.plugin)
            page = self._shell.render(owned, request, answer, around)
        response = html(page, answer.status)
        if toast is not None and not request.region:
            drop_toast(response, browser.origin)
        return packed(response, request.http)

    async def _part(
        self, owned: OwnedPage, request: PageRequest, answer: Template, around: Around
    ) -> Markup | None:
        """Render the requested regions of the page and its panels.

        Returns ``None`` where the page lacks one. Other panels aren't made, because regions contain
        none.
        """
        named: set[str] = set()
        if answer.panels is not None:
            named = {each.panel.region for each in self._shell.pages.panels[answer.panels[0]]}
        own = tuple(each for each in request.region if each not in named)
        if not (named & set(request.region)):
            return self._shell.part(owned, request, answer, around)
        parts = list(await self._panels(request, answer, request.region))
        if own:
            part = self._shell.part(owned, replace(request, region=own), answer, around)
            if part is None:
                return None
            parts.insert(0, MadePanel(part))
        return Markup("\n").join(parts)

    async def _panels(
        self, request: PageRequest, answer: Template, regions: Collection[str] = ()
    ) -> tuple[MadePanel, ...]:
        """Make the panels of a page that its reader may see, or those of some ``regions``."""
        if answer.panels is None:
            return ()
        place, subject = answer.panels
        wanted = [
            each
            for each in self._shell.pages.panels[place]
            if all(map(request.caller.may, needs(each.panel.permission)))
            and (not regions or each.panel.region in regions)
        ]
        made = await asyncio.gather(*(self._panel(each, request, subject) for each in wanted))
        found = zip(wanted, made, strict=True)
        return tuple(MadePanel(text, each.panel.order) for each, text in found if text)

    async def _made(self, owned: OwnedPanel, request: PageRequest, subject: str) -> Markup:
        """Make a panel; raises what its handler raises, and ``TimeoutError``."""
        plugin = owned.plugin
        texts = self._layout.texts(plugin, request.person.language)
        async with _limited(self._seconds if plugin else None):
            answer = await owned.panel.handler(replace(request, texts=texts), subject)
        return Markup("") if answer is None else self._shell.panel(plugin, request, answer)

    async def _panel(self, owned: OwnedPanel, request: PageRequest, subject: str) -> Markup:
        plugin = owned.plugin
        try:
            made = await self._made(owned, request, subject)
        except Exception as error:  # noqa: BLE001 - a panel fails alone
            reason = "it took too long" if isinstance(error, TimeoutError) else type(error).__name__
        else:
            if not (plugin and sends_code(made)):
                return made
            reason = _OWN_CODE
        self._gateway.hooks.page_failed(plugin or "core", "panels", reason)
        context = {"name": owned.panel.name, "plugin": plugin}
        return self._shell.panel("", request, Template("panel_failed.html", context))

    def _note_code(self, owned: OwnedPage, page: str) -> bool:
        """Return whether a plugin's page contains code; count and log it."""
        if not owned.plugin or not sends_code(page):
            return False
        self._gateway.hooks.page_failed(owned.plugin, "pages", _OWN_CODE)
        return True

    def _refused(
        self, owned: OwnedPage, request: PageRequest, signed_in: SignedIn, status: int
    ) -> Response[Any]:
        response = self._shell.error(owned, request, self._known(request, signed_in), status)
        response.headers.update(_problem_header(request))
        return response

    def _failed(
        self,
        owned: OwnedPage,
        request: PageRequest,
        signed_in: SignedIn,
        status: int,
        reference: str = "",
    ) -> Response[Any]:
        around = self._known(request, signed_in)
        return self._shell.error(
            owned, request, around, status, plugin=owned.plugin, reference=reference
        )

    def _known(self, request: PageRequest, signed_in: SignedIn) -> Around:
        pages = self._shell.pages.visible(request.caller)
        return Around(signed_in, self._shell.badges.kept(request.caller, pages))

    def _is_fresh(self, signed_in: SignedIn) -> bool:
        return self._gateway.identity.sessions.is_fresh(signed_in.row)


@asynccontextmanager
async def _limited(seconds: float | None) -> AsyncIterator[None]:
    """Raise ``TimeoutError`` after this many seconds, also instead of a library's exception."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except Exception as error:
        if limit.expired() and not isinstance(error, TimeoutError):
            raise TimeoutError from error
        raise


async def _nowhere(request: PageRequest) -> Answer:
    del request
    raise _no_such_page()


_NOWHERE: Final = OwnedPage(
    Page(path="", title="Not here", permission=ANY_CALLER, handler=_nowhere)
)


def _no_such_page() -> NotFound:
    return NotFound("There is no such page.")


def _filled(path: str, values: Any) -> str:
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    return path


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        text = query[:_MAX_QUERY].decode("ascii")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError as error:
        raise InvalidInput("The address is malformed.") from error


def _regions(http: Asked) -> tuple[str, ...]:
    names = http.headers.get(REGION_HEADER, "")[:500].split(",")[:_MAX_REGIONS]
    return tuple(filter(None, (each.strip() for each in names)))


def _at_site(caller: Caller, site: str) -> Caller:
    return Caller(
        caller.account_id,
        caller.mode,
        caller.actor,
        frozenset({site}),
        caller.permissions,
        kind=caller.kind,
        name=caller.name,
        session=caller.session,
        trace=caller.trace,
    )


def _here(http: Asked) -> str:
    return http.url.path + (f"?{http.url.query}" if http.url.query else "")


def _confirm(target: str) -> Response[Any]:
    return _to(f"{DASHBOARD}/confirm?next={quote(target, safe='/')}")


def _to(target: str) -> Response[Any]:
    return Redirect(target, status_code=int(HTTPStatus.SEE_OTHER), headers=dict(HEADERS))  # type: ignore[arg-type]  # any 3xx


def _onward(request: PageRequest, answer: SeeOther, origin: str) -> Response[Any]:
    response = _to(request.url(answer.path, mode=answer.mode))
    undo = "" if answer.undo is None else request.url(answer.undo.path)
    toast = toast_of(answer, undo)
    if toast is not None:
        put_toast(response, toast, origin)
    return response


def _problem_header(request: PageRequest) -> dict[str, str]:
    if request.problem is None:
        return {}
    texts = [request.problem.message, *(each.message for each in request.problem.details)]
    return {PROBLEM_HEADER: quote(" ".join(map(request.texts.gettext, texts)))}


def _guarded(answer: Response[Any]) -> Response[Any]:
    """Return a handler's own response with the headers of pages; it can't loosen the policy."""
    name, policy = "Content-Security-Policy", HEADERS["Content-Security-Policy"]
    own = [each for each in answer.headers if each.lower() == name.lower()]
    # Browsers enforce every policy of the list.
    policies = [policy, *(answer.headers.pop(each) for each in own)]
    for header, value in HEADERS.items():
        answer.headers.setdefault(header, value)
    answer.headers[name] = ", ".join(dict.fromkeys(policies))
    answer.headers["X-Content-Type-Options"] = HEADERS["X-Content-Type-Options"]
    is_page = str(answer.media_type).startswith("text/html")
    if is_page and len(answer.content or "") > MAX_PAGE_CHARACTERS:
        raise OverflowError("the page is too large")
    return answer


def _file(answer: Download) -> Response[Any]:
    shown = answer.inline and answer.media_type in _SHOWN_INLINE
    kind = "inline" if shown else "attachment"
    headers = {
        **HEADERS,
        "Content-Disposition": f"{kind}; filename*=UTF-8''{quote(answer.name, safe='')}",
        "Content-Type": answer.media_type,
    }
    if isinstance(answer.content, bytes):
        return Response(answer.content, media_type=answer.media_type, headers=headers)
    return Stream(answer.content, media_type=answer.media_type, headers=headers)
