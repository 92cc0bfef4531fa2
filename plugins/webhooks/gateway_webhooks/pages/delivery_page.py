"""The page Deliveries: failed, pending and exhausted ones, with each attempt beside them."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gateway.plugin import (
    Action,
    Delivery,
    Destination,
    Gateway,
    Page,
    PageRequest,
    SeeOther,
    Template,
)
from gateway_webhooks.deliveries import Deliveries
from gateway_webhooks.delivery_routes import delivery_filter
from gateway_webhooks.endpoints import Endpoints
from gateway_webhooks.pages.endpoint_page import title_of, wants
from gateway_webhooks.pages.inspector import Inspector
from gateway_webhooks.pages.words import Shown, delivery_state

_ROWS: Final = 25
_VIEWS: Final = {"failed": "failed", "waiting": "pending", "exhausted": "exhausted", "all": None}
_FILTERS: Final = ("endpoint", "event", "answer", "package")
_ANSWERS: Final = ("4xx", "5xx", "timeout", "connect", "dns", "tls")


class Row(NamedTuple):
    """A delivery in the list."""

    delivery: Delivery
    state: Shown
    endpoint: str
    url: str
    is_shown: bool


class DeliveryPages:
    """Handlers of the page Deliveries."""

    def __init__(
        self, gateway: Gateway, endpoints: Endpoints, deliveries: Deliveries, inspector: Inspector
    ) -> None:
        self._gateway = gateway
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._inspector = inspector

    def pages(self) -> list[Page]:
        """Return the page."""
        read = "webhooks.read"
        return [
            Page(
                path="deliveries",
                title="Deliveries",
                permission=read,
                handler=self._show,
                section="webhooks",
                order=20,
                icon="i-send",
                actions=(
                    Action(path="resend", permission="deliveries.resend", handler=self._resend),
                    Action(path="reveal", permission=read, handler=self._reveal),
                ),
            )
        ]

    async def _show(self, request: PageRequest) -> Template:
        query = request.query
        return await self._page(request, query.get("delivery"), query.get("attempt"))

    async def _page(
        self, request: PageRequest, delivery_id: str, number: str, *, revealed: bool = False
    ) -> Template:
        view = request.query.get("view", "failed")
        view = view if view in _VIEWS else "failed"
        filters = {name: request.query.get(name) for name in _FILTERS}
        filters = {name: value for name, value in filters.items() if value}
        context: dict[str, Any] = {
            "view": view,
            "views": tuple(_VIEWS),
            "filters": filters,
            "own": {**filters, "view": view},
        }
        endpoints = await self._endpoints.list(request.caller)
        if wants(request, "views", "log"):
            async with self._gateway.database.read() as connection:
                counts = await self._gateway.delivery_log.counts(connection, request.caller)
            context["counts"] = counts._asdict()
        if wants(request, "list", "log"):
            context |= await self._rows(request, endpoints, view, filters, delivery_id)
        if wants(request, "insp", "log"):
            context["insp"] = None
            if delivery_id:
                context["insp"] = await self._inspector.shown(
                    request, delivery_id, number, revealed=revealed
                )
        return Template("webhooks/deliveries.html", context)

    async def _rows(
        self,
        request: PageRequest,
        endpoints: Any,
        view: str,
        filters: Mapping[str, str],
        delivery_id: str,
    ) -> Mapping[str, Any]:
        names: dict[str, str] = {each.id: title_of(each) for each in endpoints}
        given = filters.get("answer", "")
        is_status = given[:1].isdigit()
        before = request.query.get("before") or None
        wanted = delivery_filter(
            limit=_ROWS,
            state=_VIEWS[view],
            endpoint=filters.get("endpoint"),
            event=filters.get("event"),
            package=filters.get("package", "").strip() or None,
            status=given if is_status else None,
            error=given if given and not is_status else None,
            cursor=before,
        )
        found, older = await self._deliveries.search(request.caller, wanted)
        place: dict[str, Any] = {**filters, "view": view, **({"before": before} if before else {})}
        rows = [
            Row(
                each,
                delivery_state(each, request.text),
                names.get(each.destination_id, request.text("Removed endpoint")),
                request.url("deliveries", delivery=each.id, **place),
                each.id == delivery_id,
            )
            for each in found
        ]
        return {
            "rows": rows,
            "older": older,
            "is_older": before is not None,
            "endpoints": self._choices(endpoints),
            "events": sorted(each.type for each in self._gateway.catalog()),
            "answers": _ANSWERS,
        }

    @staticmethod
    def _choices(endpoints: list[Destination]) -> list[tuple[str, str]]:
        return [(each.id, title_of(each)) for each in endpoints]

    async def _resend(self, request: PageRequest) -> SeeOther:
        form = await request.form()
        delivery, _ = await self._endpoints.resend(request.caller, form.get("delivery"))
        path = f"deliveries?view=all&package={delivery.subject}&delivery={delivery.id}"
        return SeeOther(path, request.text("Sent again; its answer shows here."))

    async def _reveal(self, request: PageRequest) -> Template:
        form = await request.form()
        return await self._page(request, form.get("delivery"), form.get("attempt"), revealed=True)
