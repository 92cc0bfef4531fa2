"""The page Held messages: messages that a plugin couldn't use, to handle again or erase.

It lists every plugin's inbox, without bodies, which may contain patient data.
"""

from typing import Final, NamedTuple

from gateway.dashboard.registry import needs
from gateway.errors import InvalidInput
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest
from gateway.sdk.pages import Action, Page, SeeOther, Template
from gateway.storage.stores.held_messages import HeldMessages
from gateway.storage.stores.inbox_items import InboxItems

_READ: Final = "packages.read"
_CHANGE: Final = "orders.amend"
_STATES: Final = ("held", "dead")
_MOST: Final = 100
_LONGEST: Final = 100


class Elsewhere(NamedTuple):
    """A plugin whose held messages have a page of their own."""

    plugin: str
    title: str
    href: str


def inbox_pages(gateway: Gateway) -> list[Page]:
    """Return the page."""
    page = InboxPage(gateway)
    return [
        Page(
            path="inbox",
            title="Held messages",
            permission=_READ,
            handler=page.show,
            parent="plugins",
            actions=(
                Action(path="release", permission=_CHANGE, handler=page.release),
                Action(path="discard", permission=_CHANGE, handler=page.discard),
            ),
        )
    ]


class InboxPage:
    """Lists held and dead messages, releases one, and erases one."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._decisions = HeldMessages(gateway, InboxItems(gateway))

    async def show(self, request: PageRequest) -> Template:
        """Show held and dead messages of one plugin, or of all, newest first."""
        plugin = request.query.get("plugin")[:_LONGEST]
        before = request.query.get("before")[:_LONGEST] or None
        items = InboxItems(self._gateway, plugin or None)
        elsewhere = {} if plugin else self._elsewhere(request)
        async with self._gateway.database.read() as connection:
            found = await items.page(
                connection,
                request.caller,
                states=_STATES,
                limit=_MOST + 1,
                before=before,
                besides=elsewhere,
            )
            others = [
                Elsewhere(name, request.text(page.title), request.url(page.path))
                for name, page in elsewhere.items()
                if await InboxItems(self._gateway, name).page(
                    connection, request.caller, states=_STATES, limit=1
                )
            ]
        shown, older = found[:_MOST], ""
        if len(found) > _MOST:
            older = request.url("inbox", plugin=plugin, before=shown[-1].id)
        return Template(
            "inbox.html",
            {
                "items": shown,
                "elsewhere": others,
                "plugin": plugin,
                "may_change": request.caller.may(_CHANGE),
                "older": older,
                "newer": request.url("inbox", plugin=plugin) if before else "",
            },
        )

    def _elsewhere(self, request: PageRequest) -> dict[str, Page]:
        """Return the visible pages that list their own plugin's held messages."""
        return {
            plugin: page
            for plugin, pages in self._gateway.hooks.pages()
            for page in pages
            if page.shows_held and all(map(request.caller.may, needs(page.permission)))
        }

    async def release(self, request: PageRequest) -> SeeOther:
        """Make a message due again; the server handles it within two seconds."""
        item_id, plugin = await _chosen(request)
        await self._decisions.release(request.caller, item_id)
        return SeeOther(_back(plugin), toast=request.text("The message is handled again."))

    async def discard(self, request: PageRequest) -> SeeOther:
        """Erase a message for good."""
        item_id, plugin = await _chosen(request)
        await self._decisions.discard(request.caller, item_id)
        return SeeOther(_back(plugin), toast=request.text("The message is erased."))


async def _chosen(request: PageRequest) -> tuple[str, str]:
    form = await request.form()
    item_id = form.get("id")
    if not item_id:
        raise InvalidInput("Choose a message.")
    return item_id, form.get("plugin")[:_LONGEST]


def _back(plugin: str) -> str:
    return f"inbox?plugin={plugin}" if plugin.isidentifier() else "inbox"
