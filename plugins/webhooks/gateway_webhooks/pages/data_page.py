"""The page for an endpoint's filters and sent fields, with a preview."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from gateway.plugin import (
    Action,
    Destination,
    Gateway,
    InvalidInput,
    NotFound,
    Page,
    PageRequest,
    SeeOther,
    Template,
    encode,
    matches,
)
from gateway_webhooks.disclosure import unfit_field
from gateway_webhooks.endpoints import Endpoints
from gateway_webhooks.mapping import TEST_EVENT_TYPE, settings_of
from gateway_webhooks.pages.data_form import (
    DataForm,
    by_group,
    fields_in,
    form_of,
    read_form,
    rows_of,
)
from gateway_webhooks.pages.endpoint_page import title_of
from gateway_webhooks.pages.inspector import pretty
from gateway_webhooks.pages.words import group_names, routing_names
from gateway_webhooks.schema import EndpointChange, PreviewIn, PreviewOut

_MOST_OFFERED: Final = 25


class Looked(NamedTuple):
    """The result for real events: how many of the newest ``of`` would be sent."""

    events: Sequence[tuple[str, str]]
    would_be_sent: int
    of: int
    shown: PreviewOut | None
    body: str
    taker: str


class DataPages:
    """Handlers of the page."""

    def __init__(self, gateway: Gateway, endpoints: Endpoints) -> None:
        self._gateway = gateway
        self._endpoints = endpoints

    def pages(self) -> list[Page]:
        """Return the page."""
        manage = "webhooks.manage"
        return [
            Page(
                path="endpoints/{endpoint_id}/data",
                title="What it gets",
                permission=manage,
                handler=self._show,
                parent="endpoints",
                actions=(
                    Action(path="", permission=manage, handler=self._save, step_up=True),
                    Action(path="preview", permission=manage, handler=self._preview, limit="reads"),
                ),
            )
        ]

    async def _show(self, request: PageRequest) -> Template:
        endpoint = await self._endpoints.get(request.caller, request.path["endpoint_id"])
        if "learn" in request.given:
            form = read_form(request.given, self._fields(endpoint))
        else:
            form = form_of(settings_of(endpoint))
        return await self._page(request, endpoint, form)

    async def _preview(self, request: PageRequest) -> Template:
        endpoint = await self._endpoints.get(request.caller, request.path["endpoint_id"])
        form = read_form(await request.form(), self._fields(endpoint))
        form.settings()  # raises for a problem, which the page shows
        return await self._page(request, endpoint, form)

    async def _save(self, request: PageRequest) -> SeeOther:
        endpoint = await self._endpoints.get(request.caller, request.path["endpoint_id"])
        form = read_form(await request.form(), self._fields(endpoint))
        change = EndpointChange(**form.settings())
        await self._endpoints.change(request.caller, endpoint.id, change)
        return SeeOther(
            f"endpoints/{endpoint.id}#learns",
            request.text("Changed, for what is sent from now on."),
        )

    async def _page(self, request: PageRequest, endpoint: Destination, form: DataForm) -> Template:
        fields = self._fields(endpoint, [*(form.send or ()), *(old for old, _ in form.renames)])
        conditions, renames = rows_of(form)
        known = routing_names(request.text)
        chosen = [each.field for each in form.conditions]
        context: dict[str, Any] = {
            "endpoint": endpoint,
            "title": title_of(endpoint),
            "form": form,
            "conditions": conditions,
            "renames": renames,
            "fields": fields,
            "sent": fields if form.send is None else form.send,
            "grouped": by_group(fields),
            "groups": group_names(request.text),
            "known": known,
            "others": sorted({*fields, *chosen} - set(known)),
            "looked": await self._looked(request, endpoint, form),
        }
        return Template("webhooks/endpoint_data.html", context, title=title_of(endpoint))

    async def _looked(
        self, request: PageRequest, endpoint: Destination, form: DataForm
    ) -> Looked | None:
        try:
            wanted = form.settings()
        except InvalidInput:
            return None  # the page has already shown the problem
        events = await self._endpoints.recent(request.caller, endpoint)
        filters = wanted["filter_fields"]
        fit = [each for each in events if unfit_field(each, filters) is None]
        ids = {each.id for each in events}
        event_id = form.event if form.event in ids else next((e.id for e in [*fit, *events]), None)
        shown = None
        if event_id is not None:
            try:
                shown = await self._endpoints.preview(
                    request.caller, endpoint.id, PreviewIn(event_id=event_id, **wanted)
                )
            except (InvalidInput, NotFound):
                return None
        offered = [each for each in events if each.id == event_id]
        offered += [each for each in events if each.id != event_id][: _MOST_OFFERED - 1]
        offered.sort(key=lambda each: each.id, reverse=True)
        body = "" if shown is None else pretty(encode(shown.body))
        taker = await self._name_of(request, None if shown is None else shown.only_to)
        named = [
            (each.id, f"{each.type} · {request.formats.moment(each.occurred_at)}")
            for each in offered
        ]
        return Looked(named, len(fit), len(events), shown, body, taker)

    async def _name_of(self, request: PageRequest, endpoint_id: str | None) -> str:
        if endpoint_id is None:
            return ""
        try:
            return title_of(await self._endpoints.get(request.caller, endpoint_id))
        except NotFound:  # of a site that this person doesn't see
            return endpoint_id

    def _fields(self, endpoint: Destination, more: Sequence[str] = ()) -> list[str]:
        types = [
            each
            for each in self._gateway.catalog()
            if each.type != TEST_EVENT_TYPE.type and matches(endpoint.events, each.type)
        ]
        return fields_in(types, more)
