"""The pages that add and change an endpoint, rotate its secret, and recover what it missed."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from gateway.plugin import (
    Action,
    Destination,
    EventType,
    Gateway,
    InvalidInput,
    Page,
    PageRequest,
    Problem,
    SeeOther,
    Template,
    matches,
)
from gateway_webhooks.deliveries import Deliveries, fields_of
from gateway_webhooks.endpoints import Endpoints
from gateway_webhooks.mapping import TEST_EVENT_TYPE, settings_of
from gateway_webhooks.pages.endpoint_page import periods, title_of
from gateway_webhooks.pages.words import group_names
from gateway_webhooks.schema import EndpointChange, EndpointIn
from gateway_webhooks.settings import Format
from gateway_webhooks.signing import public_key_of

_COUNTED_EVENTS: Final = 2000
_OVERLAPS: Final = ("1", "24", "72", "0")
_FORMATS: Final[tuple[Format, ...]] = ("scriptrun", "autorx", "standard")


class Choice(NamedTuple):
    """An event type of the catalog: its sample as JSON, and whether it is chosen."""

    event: EventType
    sample: str
    groups: Sequence[str]
    is_chosen: bool


class EndpointForms:
    """Handlers of the pages that change an endpoint."""

    def __init__(self, gateway: Gateway, endpoints: Endpoints, deliveries: Deliveries) -> None:
        self._gateway = gateway
        self._endpoints = endpoints
        self._deliveries = deliveries

    def pages(self) -> list[Page]:
        """Return the pages."""
        manage = "webhooks.manage"
        return [
            Page(
                path="endpoints/new",
                title="New endpoint",
                permission=manage,
                handler=self._new,
                parent="endpoints",
                actions=(Action(path="", permission=manage, handler=self._add, step_up=True),),
            ),
            Page(
                path="endpoints/{endpoint_id}/edit",
                title="Change endpoint",
                permission=manage,
                handler=self._edit,
                parent="endpoints",
                actions=(
                    Action(path="", permission=manage, handler=self._change, step_up=True),
                    Action(path="remove", permission=manage, handler=self._remove, step_up=True),
                ),
            ),
            Page(
                path="endpoints/{endpoint_id}/rotate",
                title="Rotate secret",
                permission=manage,
                handler=self._rotation,
                parent="endpoints",
                actions=(
                    Action(path="", permission=manage, handler=self._rotate, step_up=True),
                    Action(path="finish", permission=manage, handler=self._finish),
                ),
            ),
            Page(
                path="endpoints/{endpoint_id}/recover",
                title="Recover missed events",
                permission="deliveries.resend",
                handler=self._recovery,
                parent="endpoints",
                actions=(Action(path="", permission="deliveries.resend", handler=self._recover),),
            ),
        ]

    # -- adding and changing --------------------------------------------------------------------

    async def _new(self, request: PageRequest) -> Template:
        given = request.given
        chosen = given.all("types") if given.get("which") == "some" else ["*"]
        fields = {
            "url": given.get("url"),
            "description": given.get("description"),
            "format": given.get("format", "scriptrun"),
            "signature": given.get("signature", "v1"),
            "site": given.get("site") or request.site or "",
            "max_per_second": given.get("max_per_second"),
            "ordered": given.get("ordered") == "yes",
        }
        return self._form(request, None, fields, chosen)

    async def _edit(self, request: PageRequest) -> Template:
        endpoint = await self._endpoints.get(request.caller, _id(request))
        settings, given = settings_of(endpoint), request.given
        pace = endpoint.max_per_second
        fields = {
            "url": given.get("url") or settings.url,
            "description": given.get("description") or endpoint.name,
            "format": settings.format,
            "site": endpoint.site or "",
            "max_per_second": given.get("max_per_second") or ("" if pace is None else f"{pace:g}"),
            "ordered": endpoint.ordered,
        }
        chosen = given.all("types") if given.get("which") == "some" else endpoint.events
        return self._form(request, endpoint, fields, chosen)

    def _form(
        self,
        request: PageRequest,
        endpoint: Destination | None,
        fields: Mapping[str, Any],
        chosen: Sequence[str],
    ) -> Template:
        choices = [
            Choice(
                each,
                json.dumps(dict(each.sample), indent=2, ensure_ascii=False, default=str),
                sorted({group for group in fields_of(each).values() if group}),
                matches(tuple(chosen), each.type) and "*" not in chosen,
            )
            for each in self._gateway.catalog()
            if each.type != TEST_EVENT_TYPE.type
        ]
        context = {
            "endpoint": endpoint,
            "title": None if endpoint is None else title_of(endpoint),
            "fields": fields,
            "formats": _FORMATS,
            "gets_all": "*" in chosen,
            "choices": choices,
            "groups": group_names(request.text),
        }
        return Template("webhooks/endpoint_form.html", context)

    async def _add(self, request: PageRequest) -> Template:
        form = await request.form()
        made, secret = await self._endpoints.add(
            request.caller,
            EndpointIn(
                url=form.get("url").strip(),
                format=_format(form.get("format", "scriptrun")),
                signature="v1a" if form.get("signature") == "v1a" else "v1",
                events=_events(form.get("which"), form.all("types")),
                site=form.get("site") or None,
                description=form.get("description").strip(),
                max_per_second=_pace(form.get("max_per_second")),
                ordered=form.get("ordered") == "yes",
            ),
        )
        return _secret(made, secret, is_new=True)

    async def _change(self, request: PageRequest) -> Template | SeeOther:
        form = await request.form()
        changed, secret = await self._endpoints.change(
            request.caller,
            _id(request),
            EndpointChange(
                url=form.get("url").strip(),
                events=_events(form.get("which"), form.all("types")),
                description=form.get("description").strip(),
                max_per_second=_pace(form.get("max_per_second")),
                ordered=form.get("ordered") == "yes",
            ),
        )
        if secret is not None:
            return _secret(changed, secret, is_new=True)
        return SeeOther(f"endpoints/{changed.id}", request.text("Changed."))

    async def _remove(self, request: PageRequest) -> SeeOther:
        form = await request.form()
        endpoint = await self._endpoints.get(request.caller, _id(request))
        if form.get("confirm").strip() != title_of(endpoint):
            text = "type the endpoint's name to remove it"
            raise InvalidInput("Nothing was removed.", [Problem(text, field="confirm")])
        await self._endpoints.remove(request.caller, endpoint.id)
        return SeeOther("endpoints", request.text("Removed; its log stays under Deliveries."))

    # -- rotating -------------------------------------------------------------------------------

    async def _rotation(self, request: PageRequest) -> Template:
        endpoint = await self._endpoints.get(request.caller, _id(request))
        context = {
            "endpoint": endpoint,
            "title": title_of(endpoint),
            "settings": settings_of(endpoint),
            "has_keys": settings_of(endpoint).signature == "v1a",
            "overlaps": _OVERLAPS,
        }
        return Template("webhooks/endpoint_rotate.html", context, title=title_of(endpoint))

    async def _rotate(self, request: PageRequest) -> Template:
        form = await request.form()
        hours = form.get("overlap", "24")
        if hours not in _OVERLAPS:
            text = "choose one of the overlaps"
            raise InvalidInput("The secret was not rotated.", [Problem(text, field="overlap")])
        changed, secret = await self._endpoints.rotate(request.caller, _id(request), float(hours))
        return _secret(changed, secret, is_new=False)

    async def _finish(self, request: PageRequest) -> SeeOther:
        await self._endpoints.finish_rotation(request.caller, _id(request))
        toast = request.text("The new one signs alone.")
        return SeeOther(f"endpoints/{_id(request)}", toast)

    # -- recovering -----------------------------------------------------------------------------

    async def _recovery(self, request: PageRequest) -> Template:
        endpoint = await self._endpoints.get(request.caller, _id(request))
        given = request.given.get("since") or request.query.get("since")
        context: dict[str, Any] = {
            "endpoint": endpoint,
            "title": title_of(endpoint),
            "periods": periods(endpoint, request.now),
            "since": None,
            "counted": None,
        }
        if given and request.problem is None:
            since = _moment(given, request.formats.zone)
            found, _ = await self._endpoints.rehearse_recovery(
                request.caller, endpoint.id, since, None, most=_COUNTED_EVENTS
            )
            context |= {"since": since, "counted": found}
        return Template("webhooks/endpoint_recover.html", context, title=title_of(endpoint))

    async def _recover(self, request: PageRequest) -> SeeOther:
        form = await request.form()
        since = _moment(form.get("since"), request.formats.zone)
        started = await self._endpoints.recover(request.caller, _id(request), since, None)
        return SeeOther(
            f"endpoints/{_id(request)}?recovery={started.id}",
            request.text("Recovery started; it goes on if you leave this page."),
        )


def _id(request: PageRequest) -> str:
    return request.path["endpoint_id"]


def _secret(endpoint: Destination, secret: str, *, is_new: bool) -> Template:
    """Return the page that shows a secret this once; of a key pair the public key only."""
    has_keys = settings_of(endpoint).signature == "v1a"
    context = {
        "endpoint": endpoint,
        "title": title_of(endpoint),
        "settings": settings_of(endpoint),
        "secret": public_key_of(secret) if has_keys else secret,
        "has_keys": has_keys,
        "is_new": is_new,
    }
    return Template("webhooks/endpoint_secret.html", context, title=title_of(endpoint))


def _format(name: str) -> Format:
    for each in _FORMATS:
        if each == name:
            return each
    text = "choose one of the formats"
    raise InvalidInput("The endpoint has faults.", [Problem(text, field="format")])


def _events(which: str, types: Sequence[str]) -> list[str]:
    if which != "some":
        return ["*"]
    if not types:
        text = "choose at least one event, or all of them"
        raise InvalidInput("The endpoint has faults.", [Problem(text, field="types")])
    return list(types)


def _pace(given: str) -> float | None:
    if not given.strip():
        return None
    try:
        return float(given.strip().replace(",", "."))
    except ValueError:
        text = "a number of webhooks a second, such as 5"
        raise InvalidInput(
            "The endpoint has faults.", [Problem(text, field="max_per_second")]
        ) from None


def _moment(given: str, zone: str) -> datetime:
    """Read a time of a form: with a zone, or in the site's."""
    try:
        moment = datetime.fromisoformat(given)
        local = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
        return local.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: a first or last day of the calendar
        text = "a day and time, such as 2026-04-19T08:00"
        problem = Problem(text, field="since")
        raise InvalidInput("The recovery was not started.", [problem]) from None
