"""``GET /dashboard/stream``: changes as they happen, for a signed-in person's open pages.

Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). It carries
topics and ids, never a patient's data; a page fetches its own content. It doesn't count as
activity: a session locks while pages are open.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery, SkipValidation
from litestar.response import Stream

from gateway.auth.sessions import SignedIn, cookie_digest
from gateway.auth.sign_in import Browser
from gateway.dashboard.feed import Feed
from gateway.dashboard.rendering import HEADERS
from gateway.model.permission import ANY_CALLER
from gateway.runtime import Gateway

# How long a browser waits before it connects again (ms).
_RETRY: Final = b"retry: 2000\n\n"
_MAX_DIGITS: Final = 18

Own = NamedDependency[SkipValidation[SignedIn]]
AnyBrowser = NamedDependency[SkipValidation[Browser]]


def stream_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    """Make the route below ``/dashboard``; it makes no queries while no page is open."""
    feed = Feed(gateway)

    @get(
        "/stream",
        opt={"permission": ANY_CALLER, "session": True, "quiet": True, "waits": True},
    )
    async def stream(
        request: Request[Any, Any, Any],
        signed_in: Own,
        browser: AnyBrowser,
        after: FromQuery[str | None] = None,
    ) -> Stream:
        # A browser that reconnects automatically sends its place in a header; a script in the URL.
        place = _place(request.headers.get("last-event-id", after))
        return Stream(
            _written(feed, cookie_digest(browser.session or ""), signed_in, place),
            media_type="text/event-stream",
            headers={**HEADERS, "X-Accel-Buffering": "no"},
        )

    return [stream]


async def _written(
    feed: Feed, digest: bytes, signed_in: SignedIn, after: int | None
) -> AsyncIterator[bytes]:
    yield _RETRY
    async with feed.watching(digest, signed_in, after) as watcher:
        async for message in watcher.messages():
            yield message


def _place(given: str | None) -> int | None:
    """Return the place of the last message; ``None`` for an invalid one."""
    if given is None or not given.isascii() or not given.isdigit() or len(given) > _MAX_DIGITS:
        return None
    return int(given)
