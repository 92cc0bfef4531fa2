"""The page ERP stores, and the panel of a package: its events that the ERP received."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.plugin import (
    Action,
    Badge,
    Caller,
    Delivery,
    DeliveryFilter,
    Destination,
    Gateway,
    InvalidInput,
    NotFound,
    Page,
    PageRequest,
    Panel,
    Permission,
    SeeOther,
    Template,
    Undo,
)
from gateway_acme_erp.sender import SINK
from gateway_acme_erp.stores import connect_store, disconnect_store

STORES: Final = Permission("acme_erp.stores", "See and connect the stores of ACME.", ("manager",))
_MOST: Final = 50
# The events that a store may receive, with words for people.
_EVENTS: Final = {"all": ("*",), "deliveries": ("delivery.*", "package.cancelled")}


class Sent(NamedTuple):
    """An event of a package that a store was sent, or will be."""

    store: str
    delivery: Delivery


class StorePages:
    """Handlers of the page and the panel. They call what the commands call."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def pages(self) -> Sequence[Page]:
        """Return the page, with its actions."""
        return [
            Page(
                path="acme-erp",
                title="ERP stores",
                permission=STORES.name,
                handler=self.show,
                section="orders",
                icon="i-truck",
                badge=self.failing,
                actions=(
                    Action(path="", permission=STORES.name, handler=self.connect),
                    Action(path="disconnect", permission=STORES.name, handler=self.disconnect),
                ),
            )
        ]

    def panel(self) -> Panel:
        """Return the panel of a package's page."""
        return Panel(name="ERP", permission="packages.read", handler=self.beside_package)

    async def failing(self, caller: Caller) -> Badge | None:
        """Count the stores that can't be reached, beside the page's name."""
        count = sum(each.failing_since is not None for each in await self._stores(caller))
        return Badge(count, "stores fail", "bad") if count else None

    async def show(self, request: PageRequest) -> Template:
        """Show the stores, and the form that connects one."""
        choices = [
            ("deliveries", request.text("What happens on the road")),
            ("all", request.text("Everything")),
        ]
        stores = await self._stores(request.caller)
        return Template("acme_erp/stores.html", {"stores": stores, "choices": choices})

    async def connect(self, request: PageRequest) -> SeeOther:
        """Connect a store. An error brings the page back, with what was typed."""
        form = await request.form()
        events = _EVENTS.get(form.get("events"))
        if events is None:
            raise InvalidInput("Choose the events that the store receives.")
        store = form.get("store").strip()
        added = await connect_store(self._gateway, request.caller, store, events, request.site)
        undo = Undo("acme-erp/disconnect", request.text("Undo"), {"id": added.id})
        toast = request.text("Connected: store {store}", store=store)
        return SeeOther("acme-erp", toast, undo)

    async def disconnect(self, request: PageRequest) -> SeeOther:
        """Disconnect a store."""
        form = await request.form()
        try:
            gone = await disconnect_store(self._gateway, request.caller, form.get("id"))
        except NotFound:
            return SeeOther("acme-erp", request.text("It was disconnected already."))
        store = gone.settings["store"]
        return SeeOther("acme-erp", request.text("Disconnected: store {store}", store=store))

    async def beside_package(self, request: PageRequest, package_id: str) -> Template | None:
        """Show a package's events that the ERP received; nothing where it received none."""
        stores = {each.id: each.settings["store"] for each in await self._stores(request.caller)}
        wanted = DeliveryFilter(_MOST, subject=package_id)
        async with self._gateway.database.read() as connection:
            found, _ = await self._gateway.delivery_log.search(connection, request.caller, wanted)
        sent = [
            Sent(stores[each.destination_id], each)
            for each in found
            if each.destination_id in stores
        ]
        return Template("acme_erp/sent.html", {"sent": sent}) if sent else None

    async def _stores(self, caller: Caller) -> list[Destination]:
        async with self._gateway.database.read() as connection:
            return await self._gateway.destinations.list(connection, caller, SINK)
