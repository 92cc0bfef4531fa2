"""The pages Endpoints and Endpoint: health, attempts, a test, a recovery."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from gateway.plugin import (
    Action,
    Attempt,
    AttemptCount,
    AttemptFilter,
    Backlog,
    Badge,
    Caller,
    Destination,
    Gateway,
    NotFound,
    Page,
    PageRequest,
    SeeOther,
    Template,
)
from gateway_webhooks.deliveries import Deliveries
from gateway_webhooks.endpoints import Endpoints
from gateway_webhooks.mapping import missed_since, public_keys, settings_of
from gateway_webhooks.pages.charts import bars, labelled
from gateway_webhooks.pages.data_form import in_words
from gateway_webhooks.pages.inspector import Inspector, stamp
from gateway_webhooks.pages.words import Shown, answer, group_names, health
from gateway_webhooks.schema import EndpointChange

_ATTEMPTS: Final = 25
_COUNTED: Final = 1000
_NO_ATTEMPT: Final = AttemptCount(0, 0)
_CHART_ATTEMPTS: Final = 5000
_MAX_DIGITS: Final = 18


class Listed(NamedTuple):
    """An endpoint in the list."""

    endpoint: Destination
    title: str
    url: str
    state: Shown
    waiting: Backlog
    attempts: int
    success: str


class AttemptRow(NamedTuple):
    """An attempt in a list."""

    id: str
    attempt: Attempt
    answer: Shown
    time: str
    url: str
    is_shown: bool


def title_of(endpoint: Destination) -> str:
    """Return the name that people gave an endpoint, else its host."""
    return endpoint.name or urlsplit(settings_of(endpoint).url).netloc


def wants(request: PageRequest, *regions: str) -> bool:
    """Return whether the request is for the whole page, or for one of these regions."""
    return not request.region or not set(regions).isdisjoint(request.region)


class EndpointPages:
    """Handlers of the pages Endpoints and Endpoint."""

    def __init__(
        self, gateway: Gateway, endpoints: Endpoints, deliveries: Deliveries, inspector: Inspector
    ) -> None:
        self._gateway = gateway
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._inspector = inspector

    def pages(self) -> list[Page]:
        """Return the two pages."""
        manage, resend = "webhooks.manage", "deliveries.resend"
        return [
            Page(
                path="endpoints",
                title="Endpoints",
                permission="webhooks.read",
                handler=self._list,
                section="webhooks",
                order=10,
                icon="i-plug",
                badge=self._failing,
                bottom=True,
            ),
            Page(
                path="endpoints/{endpoint_id}",
                title="Endpoint",
                permission="webhooks.read",
                handler=self._show,
                parent="endpoints",
                actions=(
                    Action(path="test", permission=manage, handler=self._test),
                    Action(path="enable", permission=manage, handler=self._enable),
                    Action(path="pause", permission=manage, handler=self._pause),
                    Action(path="disable", permission=manage, handler=self._disable),
                    Action(path="resend", permission=resend, handler=self._resend),
                    Action(path="reveal", permission="webhooks.read", handler=self._reveal),
                ),
            ),
        ]

    async def _failing(self, caller: Caller) -> Badge | None:
        found = await self._endpoints.list(caller)
        count = sum(_needs_a_person(each) for each in found)
        return Badge(count, "failing", "bad") if count else None

    async def _list(self, request: PageRequest) -> Template:
        listed = []
        found = await self._endpoints.list(request.caller)
        since = request.now - timedelta(hours=24)
        log = self._gateway.delivery_log
        async with self._gateway.database.read() as connection:
            counts = await log.counts_of_each(
                connection, request.caller, [each.id for each in found], since
            )
            for each in found:
                waiting = await log.backlog(connection, each.id, most=_COUNTED)
                state = health(each, waiting, clock=request.formats.time, text=request.text)
                url = settings_of(each).url
                count = counts.get(each.id, _NO_ATTEMPT)
                success = _share(request, count.success)
                listed.append(
                    Listed(each, title_of(each), url, state, waiting, sum(count), success)
                )
        listed.sort(key=lambda each: not _needs_a_person(each.endpoint))
        return Template("webhooks/endpoints.html", {"listed": listed})

    async def _show(self, request: PageRequest) -> Template:
        query = request.query
        return await self._page(request, query.get("delivery"), query.get("attempt"))

    async def _page(
        self,
        request: PageRequest,
        delivery_id: str,
        number: str,
        *,
        revealed: bool = False,
    ) -> Template:
        endpoint = await self._endpoints.get(request.caller, request.path["endpoint_id"])
        context: dict[str, Any] = {
            "endpoint": endpoint,
            "settings": settings_of(endpoint),
            "title": title_of(endpoint),
            "missed_since": missed_since(endpoint),
            "keys": public_keys(settings_of(endpoint)),
            "is_test_result": "test" in request.query,
            "only_failed": request.query.get("view") == "failed",
        }
        if wants(request, "health"):
            context |= await self._health(request, endpoint)
        if wants(request, "attempts", "log"):
            context |= await self._attempts(request, endpoint, delivery_id, number)
        if wants(request, "insp", "log", "health"):
            context["insp"] = None
            if delivery_id:
                context["insp"] = await self._inspector.shown(
                    request, delivery_id, number, revealed=revealed
                )
        if wants(request, "recovery"):
            context["recovery"] = await self._recovery(request)
        if wants(request, "learns"):
            context["learned"] = self._deliveries.learned(endpoint)
            context["groups"] = group_names(request.text)
            context["fits"] = in_words(settings_of(endpoint), request.text)
        return Template("webhooks/endpoint.html", context, title=title_of(endpoint))

    async def _health(self, request: PageRequest, endpoint: Destination) -> Mapping[str, Any]:
        found = await self._deliveries.statistics_of(
            request.caller, endpoint, 24, most=_CHART_ATTEMPTS
        )
        state = health(endpoint, found.waiting, clock=request.formats.time, text=request.text)
        return {
            "state": state,
            "stats": found,
            "bars": bars(found.quarters),
            "labels": labelled(found.quarters),
            "success": _share(request, found.success),
            "chart_words": self._chart_words(request, found.delivered, found.failed),
        }

    @staticmethod
    def _chart_words(request: PageRequest, delivered: int, failed: int) -> str:
        if not delivered + failed:
            return request.text("No attempts in the last 24 hours.")
        return request.text(
            "Attempts in the last 24 hours by quarter hour: {delivered} delivered, {failed} "
            "failed.",
            delivered=request.formats.number(delivered),
            failed=request.formats.number(failed),
        )

    async def _attempts(
        self, request: PageRequest, endpoint: Destination, delivery_id: str, number: str
    ) -> Mapping[str, Any]:
        before = request.query.get("before")
        is_cursor = before.isascii() and before.isdigit() and len(before) <= _MAX_DIGITS
        cursor = int(before) if is_cursor else None
        only_failed = request.query.get("view") == "failed"
        wanted = AttemptFilter(
            _ATTEMPTS + 1, cursor or None, endpoint.id, None, False if only_failed else None
        )
        async with self._gateway.database.read() as connection:
            found = await self._gateway.delivery_log.attempts_page(
                connection, request.caller, wanted
            )
        query: dict[str, Any] = {"view": "failed"} if only_failed else {}
        query |= {"before": before} if cursor else {}
        rows = [
            AttemptRow(
                f"{each.delivery_id}.{each.number}",
                each,
                answer(each, request.text),
                stamp(request.formats, each.started_at),
                request.url(
                    f"endpoints/{endpoint.id}",
                    delivery=each.delivery_id,
                    attempt=str(each.number),
                    **query,
                ),
                each.delivery_id == delivery_id and number in {"", str(each.number)},
            )
            for _, each in found[:_ATTEMPTS]
        ]
        older = str(found[_ATTEMPTS - 1][0]) if len(found) > _ATTEMPTS else ""
        planned = len(self._gateway.settings.delivery.retry_schedule_seconds) + 1
        return {"rows": rows, "older": older, "is_older": bool(cursor), "planned": planned}

    async def _recovery(self, request: PageRequest) -> Any:
        wanted = request.query.get("recovery")
        if not wanted:
            return None
        try:
            return await self._endpoints.recovery(request.caller, wanted)
        except NotFound:
            return None

    # -- actions ----------------------------------------------------------------------------------

    async def _test(self, request: PageRequest) -> SeeOther:
        delivery, attempts = await self._endpoints.test(request.caller, _id(request))
        if not attempts:
            toast = request.text("The test waits; its answer shows here when there is one.")
            return SeeOther(f"endpoints/{_id(request)}", toast)
        path = f"endpoints/{_id(request)}?delivery={delivery.id}&attempt={attempts[-1].number}"
        return SeeOther(f"{path}&test=1")

    async def _enable(self, request: PageRequest) -> SeeOther:
        _, missed = await self._endpoints.enable(request.caller, _id(request))
        toast = request.text("Enabled; pending deliveries are sent now.")
        if missed is None:
            return SeeOther(f"endpoints/{_id(request)}", toast)
        since = missed.strftime("%Y-%m-%dT%H:%M:%SZ")
        return SeeOther(f"endpoints/{_id(request)}?missed={since}", toast)

    async def _pause(self, request: PageRequest) -> SeeOther:
        await self._endpoints.change(request.caller, _id(request), EndpointChange(status="paused"))
        return SeeOther(
            f"endpoints/{_id(request)}", request.text("Paused; its deliveries are kept.")
        )

    async def _disable(self, request: PageRequest) -> SeeOther:
        await self._endpoints.change(
            request.caller, _id(request), EndpointChange(status="disabled")
        )
        return SeeOther(
            f"endpoints/{_id(request)}", request.text("Disabled; nothing is sent any more.")
        )

    async def _resend(self, request: PageRequest) -> SeeOther:
        form = await request.form()
        delivery, _ = await self._endpoints.resend(request.caller, form.get("delivery"))
        path = f"endpoints/{_id(request)}?delivery={delivery.id}"
        return SeeOther(path, request.text("Sent again; its answer shows here."))

    async def _reveal(self, request: PageRequest) -> Template:
        form = await request.form()
        return await self._page(request, form.get("delivery"), form.get("attempt"), revealed=True)


def _share(request: PageRequest, share: float | None) -> str:
    """Return a share in per cent, never rounded up: 99.9% isn't all."""
    if share is None:
        return "—"
    tenths = int(share * 1000)
    return request.formats.percent(tenths / 1000, places=int(tenths % 10 > 0))


def _id(request: PageRequest) -> str:
    return request.path["endpoint_id"]


def _needs_a_person(endpoint: Destination) -> bool:
    is_disabled = endpoint.state == "disabled" and endpoint.state_reason in {"failing", "gone"}
    return is_disabled or (endpoint.state == "active" and endpoint.failing_since is not None)


def periods(endpoint: Destination, now: datetime) -> list[tuple[str, datetime]]:
    """Return the periods that a recovery is offered for: a word for each, and its start."""
    found = [("day", now - timedelta(days=1)), ("week", now - timedelta(days=7))]
    missed = missed_since(endpoint)
    return found if missed is None else [("failing", missed), *found]
