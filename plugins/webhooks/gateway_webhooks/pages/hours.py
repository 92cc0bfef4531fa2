"""The panel of Today: the webhooks of each hour, failed ones on top."""

from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from gateway.plugin import Formats, Gateway, PageRequest, Panel, Template
from gateway_webhooks.endpoints import Endpoints
from gateway_webhooks.pages.charts import hour_bars, shown_hours

_HOUR: Final = timedelta(hours=1)
_REGION: Final = "webhook-hours"


class HoursPanel:
    """Handler of the panel."""

    def __init__(self, gateway: Gateway, endpoints: Endpoints) -> None:
        self._gateway = gateway
        self._endpoints = endpoints

    def panel(self) -> Panel:
        """Return the panel."""
        return Panel(
            name="Webhooks per hour",
            permission="webhooks.read",
            handler=self._show,
            order=20,
            region=_REGION,
        )

    async def _show(self, request: PageRequest, _subject: str) -> Template | None:
        endpoints = await self._endpoints.list(request.caller)
        if not endpoints:
            return None
        moments = hours_of_day(request.formats)
        async with self._gateway.database.read() as connection:
            counts, is_whole = await self._gateway.delivery_log.counts_between(
                connection, request.caller, [each.id for each in endpoints], moments
            )
        at = [request.formats.local(each) for each in moments[:-1]]
        shown = shown_hours([each.hour for each in at], counts)
        context: dict[str, Any] = {
            "region": _REGION,
            "hours": hour_bars([at[each].hour for each in shown], [counts[each] for each in shown]),
            "delivered": sum(each.delivered for each in counts),
            "failed": sum(each.failed for each in counts),
            "is_whole": is_whole,
        }
        return Template("webhooks/hours.html", context)


def hours_of_day(formats: Formats) -> list[datetime]:
    """Return the beginning of each hour of the reader's day, and its end; 23 to 25 hours."""
    midnight = datetime.combine(formats.today, time(), formats.tz)
    next_one = datetime.combine(formats.today + timedelta(days=1), time(), formats.tz)
    at, end = midnight.astimezone(UTC), next_one.astimezone(UTC)
    found = []
    while at < end:
        found.append(at)
        at += _HOUR
    return [*found, end]
