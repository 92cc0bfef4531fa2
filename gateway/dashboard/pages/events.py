"""The page Events: type, subject, time; and what each type means, with its sample and schema."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from gateway.dashboard.news import News, Newsroom
from gateway.dashboard.package_groups import _
from gateway.errors import NotFound
from gateway.model.event import Event
from gateway.model.masking import masked
from gateway.model.wire import encode
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest
from gateway.sdk.pages import Page, Template

PERMISSION: Final = "events.read"
_PAGE_SIZE: Final = 25
# What the core's event types mean, for the catalogs.
_MEANINGS: Final = (
    _("An order was accepted and kept."),
    _("What the package carries was changed while it was still in the pharmacy."),
    _("The package waits for a driver."),
    _("The package was called off before it was picked up."),
    _("A driver was assigned."),
    _("The driver was taken off; another one is needed."),
    _("The driver has the package."),
    _("The driver is on the way to the patient."),
    _("The driver is at the address."),
    _("The delivery was put off to another time."),
    _("The package is on its way back to the pharmacy."),
    _("The package is back in the pharmacy."),
    _("The driver was there and could not hand the package over."),
    _("The delivery ended without success."),
    _("The patient has the package."),
    _("An endpoint was switched off because it kept failing."),
    _("Nothing got through to an endpoint for a day; after five it is switched off."),
    _("An endpoint that was failing works again."),
    _("The account has used a part of its plan that the plan's notify_at names."),
)


class Line(NamedTuple):
    """An event in the list, with its data as this person may see it."""

    event: Event
    news: News
    data: str


def events_pages(gateway: Gateway) -> list[Page]:
    """Return the list and the page of a type."""
    events = Events(gateway)
    return [
        Page(
            path="events",
            title="Events",
            permission=PERMISSION,
            handler=events.show,
            section="webhooks",
            order=90,
            icon="i-events",
        ),
        Page(
            path="events/types/{type}",
            title="Event type",
            permission=PERMISSION,
            handler=events.show_type,
            parent="events",
        ),
    ]


class Events:
    """Lists events and the catalog of their types."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._newsroom = Newsroom(gateway.hooks)

    async def show(self, request: PageRequest) -> Template:
        """List events, newest first, of one type or of all."""
        types = [each.type for each in self._gateway.catalog()]
        chosen = request.query.get("type")
        chosen = chosen if chosen in types else ""
        before = request.query.get("before")[:100] or None
        async with self._gateway.database.read() as connection:
            found = await self._gateway.events.page(
                connection,
                request.caller,
                limit=_PAGE_SIZE + 1,
                before_id=before,
                event_type=chosen or None,
            )
        shown = found[:_PAGE_SIZE]
        older = None
        if len(found) > _PAGE_SIZE:
            query = {"before": shown[-1].id, **({"type": chosen} if chosen else {})}
            older = request.url(f"events?{urlencode(query)}")
        return Template(
            "events.html",
            {
                "lines": [self._line(request, each) for each in shown],
                "types": types,
                "chosen": chosen,
                "older": older,
                "newest": request.url("events", type=chosen) if before else None,
            },
        )

    async def show_type(self, request: PageRequest) -> Template:
        """Show a type's meaning, a sample of its data and its schema."""
        name = request.path["type"]
        found = next((each for each in self._gateway.catalog() if each.type == name), None)
        if found is None:
            raise NotFound("There is no such event type.")
        return Template(
            "event_type.html",
            {
                "type": found.type,
                "meaning": request.text(found.meaning),
                "sample": _pretty(found.sample),
                "schema": _pretty(found.schema),
            },
            title=found.type,
        )

    def _line(self, request: PageRequest, event: Event) -> Line:
        data: Mapping[str, Any] = masked(request.caller.masked, dict(event.data))
        kept = {name: value for name, value in data.items() if value is not None}
        return Line(event, self._newsroom.of(request, event), _pretty(kept))


def _pretty(value: Any) -> str:
    """Return JSON with a line for each field; an amount keeps its two places."""
    return json.dumps(json.loads(encode(value)), indent=2, ensure_ascii=False)
