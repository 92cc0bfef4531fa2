"""The page Shops: the state of each shop, orders that need a person, previews of releases."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.plugin import (
    Action,
    Badge,
    Caller,
    Conflict,
    InvalidInput,
    NotFound,
    Page,
    PageRequest,
    Query,
    SeeOther,
    Template,
)
from gateway_shopify.held_orders import RELEASABLE
from gateway_shopify.page_words import Said, order_said, shop_said, topic_said, updates_said
from gateway_shopify.schema import Release
from gateway_shopify.shop_states import ShopState

if TYPE_CHECKING:
    from gateway_shopify.service import ShopifyService

_READ: Final = "packages.read"
_AMEND: Final = "orders.amend"
# The states that each view lists.
_VIEWS: Final[Mapping[str, tuple[str, ...]]] = {
    "person": ("held", "flagged"),
    "waiting": ("waiting",),
    "aside": ("skipped", "cancelled"),
}
_FIELDS: Final = ("patient_name", "patient_address", "patient_phone")
_LONGEST: Final = 500
_REQUESTS: Final = 5


class Listed(NamedTuple):
    """A shop as the page shows it; times are in the reader's format."""

    shop: ShopState
    said: Said
    updates: Said
    times: Mapping[str, datetime | None]


class Row(NamedTuple):
    """An order of a list; ``problems`` are the reasons of the gateway's own rules."""

    order: Mapping[str, Any]
    said: Said
    at: datetime | None


def shop_pages(service: "ShopifyService") -> list[Page]:
    """Return the page, and that of one order."""
    pages = ShopPages(service)
    return [
        Page(
            path="shops",
            title="Shops",
            permission=_READ,
            handler=pages.show,
            section="orders",
            order=40,
            icon="i-shop",
            badge=pages.badge,
            shows_held=True,
        ),
        Page(
            path="shops/orders/{order_id}",
            title="Order of a shop",
            permission=_READ,
            handler=pages.order,
            parent="shops",
            actions=(
                Action(path="preview", permission=_AMEND, handler=pages.preview),
                Action(path="reveal", permission="reveal.contact", handler=pages.reveal),
                Action(path="release", permission=_AMEND, handler=pages.release),
                Action(path="dismiss", permission=_AMEND, handler=pages.dismiss),
                Action(path="clear", permission=_AMEND, handler=pages.clear),
            ),
        ),
    ]


class ShopPages:
    """Handlers of both pages; all data are masked until a reveal."""

    def __init__(self, service: "ShopifyService") -> None:
        self._service = service

    async def badge(self, caller: Caller) -> Badge | None:
        """Count the orders that need a person."""
        count = sum(each.count for each in await self._service.held.attention(caller))
        return Badge(count, "need a person", "warn") if count else None

    async def show(self, request: PageRequest) -> Template:
        """Show the shops, and the orders of a view."""
        view = request.query.get("view") or "person"
        if view not in _VIEWS:
            raise NotFound("There is no such list.")
        caller, held = request.caller.masked, self._service.held
        rows = [_row(request, each) for each in await held.list(caller, _VIEWS[view])]
        shops = [_listed(request, each) for each in await self._service.states.of(caller)]
        return Template(
            "shopify/shops.html",
            {
                "shops": shops,
                "view": view,
                "rows": rows,
                "counts": {
                    "person": sum(each.shop.held + each.shop.flagged for each in shops),
                    "waiting": sum(each.shop.unpaid for each in shops),
                },
                "requests": await self._requests(request, {each.shop.shop for each in shops}),
                "every_seconds": self._service.settings.reconcile_seconds,
            },
        )

    async def order(self, request: PageRequest) -> Template:
        """Show an order: why it has no package, and the preview of a release."""
        return await self._page(request, _typed(request.given))

    async def preview(self, request: PageRequest) -> Template:
        """Preview a release with the details of the form."""
        return await self._page(request, _typed(await request.form()))

    async def reveal(self, request: PageRequest) -> Template:
        """Show the order as far as this person may see it; that is audited."""
        release = _typed(await request.form())
        found, makes = await self._service.held.reveal(request.caller, _id(request), release)
        return self._template(request, found, makes, release, revealed_at=request.now)

    async def release(self, request: PageRequest) -> SeeOther | Template:
        """Make the previewed package; if the order changed meanwhile, show the new preview."""
        form, caller, order_id = await request.form(), request.caller, _id(request)
        release = _typed(form)
        makes = await self._service.held.preview(caller, order_id, release)
        if makes["outcome"] != "make" or form.get("seen") != makes["digest"]:
            return await self._page(request, release, changed=True)
        done = await self._service.held.release(caller, order_id, release)
        if done["package_id"] is not None:
            toast = request.text("Released: its package is made.")
            return SeeOther(f"packages/{done['package_id']}", toast)
        toast = request.text("Released; its package is made in a moment.")
        if done["state"] == "held" and done["problems"]:
            toast = request.text("It was not made: the gateway's rules refuse it.")
        return SeeOther(f"shops/orders/{order_id}", toast)

    async def dismiss(self, request: PageRequest) -> SeeOther:
        """Dismiss the order."""
        await self._service.held.dismiss(request.caller, _id(request))
        toast = request.text("Set aside. It can still be released, under “No package”.")
        return SeeOther("shops", toast)

    async def clear(self, request: PageRequest) -> SeeOther:
        """Record that a person has handled a flagged order."""
        await self._service.held.clear(request.caller, _id(request))
        return SeeOther("shops", request.text("Seen to."))

    async def _page(
        self, request: PageRequest, release: Release, *, changed: bool = False
    ) -> Template:
        caller, held = request.caller.masked, self._service.held
        found = await held.get(caller, _id(request))
        makes = None
        if found["state"] in RELEASABLE:
            try:
                makes = await held.preview(caller, found["id"], release)
            except Conflict:
                makes = None
        return self._template(request, found, makes, release, changed=changed)

    def _template(
        self,
        request: PageRequest,
        found: Mapping[str, Any],
        makes: Mapping[str, Any] | None,
        release: Release,
        *,
        changed: bool = False,
        revealed_at: datetime | None = None,
    ) -> Template:
        lacks = makes is not None and makes["reason"] in {
            *("no_name", "no_address", "protected_data_missing")
        }
        return Template(
            "shopify/order.html",
            {
                "row": _row(request, found),
                "makes": makes,
                "lacks": lacks,
                "typed": release,
                "is_typed": release != Release(),
                "changed": changed,
                "revealed_at": revealed_at,
                "made_why": "" if makes is None else request.text(makes["why"] or ""),
                "made_problems": [] if makes is None else _texts(request, makes["problems"]),
                "made_warnings": [] if makes is None else _texts(request, makes["warnings"]),
                "problems": _texts(request, found["problems"]),
                "warnings": _texts(request, found["warnings"]),
                "shop_url": f"https://{found['shop']}/admin/orders",
            },
        )

    async def _requests(self, request: PageRequest, shops: set[str]) -> list[dict[str, Any]]:
        found = await self._service.compliance.reports()
        own = [each for each in found if each["shop"] in shops][:_REQUESTS]
        return [
            {
                "id": each["id"],
                "words": topic_said(each["topic"], request.text),
                "shop": each["shop"],
                "at": _moment(each["received_at"]),
                "finished": each["finished_at"] is not None,
            }
            for each in own
        ]


def _typed(form: Query) -> Release:
    """Return the details of a form; raises ``InvalidInput`` for one that is too long."""
    values = {name: form.get(name).strip() or None for name in _FIELDS}
    if any(each is not None and len(each) > _LONGEST for each in values.values()):
        raise InvalidInput("A detail is too long.")
    return Release(**values)


def _row(request: PageRequest, order: Mapping[str, Any]) -> Row:
    return Row(order, order_said(order, request.text), _moment(order["updated_at"]))


def _listed(request: PageRequest, shop: ShopState) -> Listed:
    names = (
        *("connected_at", "last_webhook_at", "last_order_at", "reconciled_to"),
        *("token_expires_at", "uninstalled_at"),
    )
    times = {name: _moment(getattr(shop, name)) for name in names}
    return Listed(shop, shop_said(shop, request.text), updates_said(shop, request.text), times)


def _texts(request: PageRequest, found: Sequence[str]) -> list[str]:
    return [request.text(each) for each in found]


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _id(request: PageRequest) -> str:
    return request.path["order_id"]
