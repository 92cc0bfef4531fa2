"""Records of the dashboard's pages: what the hooks ``pages`` and ``panels`` return.

::

    Page(path="stock", title="Stock", permission="acme_erp.sync", section="orders",
         handler=self.show, actions=(Action(path="sync", permission="acme_erp.sync",
                                            handler=self.sync),))

The core's own pages use the same records. A handler returns a :class:`Template`, a
:class:`SeeOther` after a change, or a :class:`Download`; the core adds layout, headers, the
permission check, languages and errors. A page works without script; see docs/how-to/add-a-page.md.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from litestar import Response

from gateway.model.account import Caller, Mode
from gateway.sdk.page_request import PageRequest

Section = Literal["top", "orders", "prescriptions", "webhooks", "administration"]
"""A group of the navigation, in this order."""

PanelPlace = Literal["today", "package", "prescription", "endpoint"]
"""A page to which other plugins can add panels."""

PANEL_PLACES: Final[tuple[PanelPlace, ...]] = ("today", "package", "prescription", "endpoint")
_NO_VALUES: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Template:
    """Show a template: ``"acme_erp/stock.html"`` of the plugin ``acme_erp``.

    ``panels`` is the place and the subject (``("package", "pkg_1")``) whose panels the template
    shows. ``title`` replaces the page's own; it is already in the reader's language.
    """

    name: str
    context: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    panels: tuple[PanelPlace, str] | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Undo:
    """A button beside a toast: a POST to ``path`` with ``fields``."""

    path: str
    label: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SeeOther:
    """Redirect to the page at ``path`` (as in ``PageRequest.url``), which shows ``toast`` once.

    ``mode`` is for a redirect to the other of live and test data. ``toast`` is in the reader's
    language and contains no patient data in full.
    """

    path: str
    toast: str = ""
    undo: Undo | None = None
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class Download:
    """A file. ``inline`` shows it in the browser: for images and PDF only."""

    name: str
    media_type: str
    content: bytes | AsyncIterator[bytes]
    inline: bool = False


Answer = Template | SeeOther | Download | Response[Any]
"""What a handler returns. A ``Response`` is sent as it is, with the headers of pages."""

Handler = Callable[[PageRequest], Awaitable[Answer]]
PanelHandler = Callable[[PageRequest, str], Awaitable[Template | None]]


@dataclass(frozen=True, slots=True)
class Badge:
    """A number beside a page's name; ``words`` describe it to a screen reader."""

    count: int
    words: str
    state: Literal["", "warn", "bad"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A change: ``POST`` to ``path`` below the page's own address; ``""`` is that address.

    With ``upload_bytes`` the body is multipart, of at most so many bytes; else it is a form of 64
    KB. ``step_up`` requires a factor that was shown in the last minutes. ``secret`` names fields
    that are never shown again after an error (passwords and codes never are).
    """

    path: str
    permission: str | tuple[str, ...]
    handler: Handler
    step_up: bool = False
    upload_bytes: int = 0
    limit: str = "updates"
    secret: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page at ``/dashboard/<path>``, and at ``/dashboard/test/<path>`` for test data.

    ``path`` has parameters in braces: ``"stock/{item_id}"``. A ``section`` puts it into the
    navigation, by ``order`` and then by title; other pages link to a page without one, which names
    its ``parent``. ``title`` is English; the catalogs translate it. ``icon`` is a symbol of the
    core's sprite. ``badge`` is called at most every two seconds for an account, mode and sites.
    ``bottom`` puts it into the bar at the bottom of a phone, which has room for four.
    ``shows_held`` is for the page that lists the held messages of its plugin's inbox: the core's
    page Held messages then links to it and leaves them out.
    """

    path: str
    title: str
    permission: str | tuple[str, ...]
    handler: Handler
    section: Section | None = None
    order: int = 50
    icon: str = "i-plugin"
    badge: Callable[[Caller], Awaitable[Badge | None]] | None = None
    bottom: bool = False
    parent: str | None = None
    actions: tuple[Action, ...] = ()
    step_up: bool = False
    shows_held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A part of another's page. The handler gets the request and the subject.

    The subject is the id of the package, prescription or endpoint, ``""`` on Today. A handler that
    returns ``None`` shows nothing; one that raises or takes over 300 ms fails alone. ``region`` is
    the id of its element, if that has ``data-live``: it is then refreshed alone.
    """

    name: str
    permission: str | tuple[str, ...]
    handler: PanelHandler
    order: int = 50
    region: str = ""
