"""The page Today: what needs a person, the day by status and by hour, the latest news."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from gateway.dashboard.news import News, Newsroom
from gateway.dashboard.package_groups import GROUPS, Group, _
from gateway.model.account import Caller
from gateway.model.permission import ANY_CALLER
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest
from gateway.sdk.pages import Badge, Page, Template
from gateway.sdk.records import TIMES, AttentionDetail, AttentionItem

_LATEST: Final = 9
# The sentences of the core's own attention items; plugins' catalogs have theirs.
_ITEMS: Final = (
    _("The endpoint {name} was disabled because it kept failing."),
    _("The endpoint {name} fails; its webhooks are kept and tried again."),
    _("{count} package failed, came back or broke a rule, and waits for a person."),
    _("{count} packages failed, came back or broke a rule, and wait for a person."),
    _("failed at the door"),
    _("came back"),
    _("coming back"),
    _("broke a rule"),
    _("{count} delivery waits"),
    _("{count} deliveries wait"),
    _("next attempt at {time}"),
    _("The disk of the gateway has only {mb} MB left: make room."),
    _("The last backup is older than {days} days."),
    _("A record was opened in an emergency: another person has to review it."),
    _("The key {name} stopped with the person who made it: keep it or revoke it."),
    _("The check {name} fails ({reason}); the log has the place."),
    _("1 message for the plugin {plugin} waits for a person."),
    _("{count} messages for the plugin {plugin} wait for a person."),
    _("See what happens"),
    _("Show them"),
)
_LOOKED_AT: Final = 40
_RECENTLY: Final = timedelta(days=7)
_FIRST_HOUR: Final = 6
_LAST_HOUR: Final = 18
_CHART_HEIGHT: Final = 84.0
# The badge is computed after the page.
_SAME_PAGE_SECONDS: Final = 0.5
_MOST_FOUND: Final = 100

_SeenBy = tuple[str, str, frozenset[str] | None, frozenset[str]]


class Share(NamedTuple):
    """A group's part of the day: ``x`` and ``width`` in per cent of the bar."""

    group: Group
    number: int
    x: float
    width: float


class Bar(NamedTuple):
    """A rectangle of the chart: ``x`` and ``width`` in per cent, ``y`` and ``height`` in pixels."""

    x: float
    width: float
    y: float
    height: float


class Hour(NamedTuple):
    """What an hour brought, and behind it what it usually brings, if anything.

    ``label`` is the site's clock, shown at ``middle`` (per cent) where it ``is_named``.
    """

    label: str
    number: int
    usual: float
    bar: Bar
    usual_bar: Bar
    middle: float
    is_named: bool


def today_pages(gateway: Gateway) -> list[Page]:
    """Return the page."""
    today = Today(gateway)
    return [
        Page(
            path="",
            title="Today",
            permission=ANY_CALLER,
            handler=today.show,
            section="top",
            order=0,
            icon="i-today",
            badge=today.badge,
            bottom=True,
        )
    ]


class Today:
    """Makes the page."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._newsroom = Newsroom(gateway.hooks)
        self._found: OrderedDict[_SeenBy, tuple[float, Sequence[AttentionItem]]] = OrderedDict()

    async def badge(self, caller: Caller) -> Badge | None:
        """Count what needs a person; on Today itself, the items that the page has just found."""
        found_at, found = self._found.get(_seen_by(caller), (0.0, None))
        is_old = self._gateway.clock.monotonic_seconds() - found_at > _SAME_PAGE_SECONDS
        items = await self._needing(caller) if is_old or found is None else found
        count = sum(each.count for each in items)
        return Badge(count, "need a person", "warn") if count else None

    async def show(self, request: PageRequest) -> Template:
        """Show the page."""
        caller = request.caller
        sees_packages = caller.may("packages.read")
        day = self._gateway.days.day(caller)
        counts = await self._gateway.days.counts(caller, day) if sees_packages else None
        context: dict[str, Any] = {
            "day": day.date,
            "needs": await self._needs(request),
            "counts": counts,
            "news": await self._news(request),
            "shares": [],
            "hours": [],
            "total": 0,
            "delivered": 0,
        }
        if counts is not None:
            usual = await self._gateway.days.usual_deliveries(caller, day)
            context |= {
                "shares": shares_of(counts.by_status),
                "hours": hours_of(list(day.hours()), counts.delivered, usual),
                "has_usual": bool(usual),
                "total": sum(counts.by_status.values()),
                "delivered": counts.by_status.get("completed", 0),
                "at_the_door": sum(counts.delivered),
            }
        return Template("today.html", context, panels=("today", ""))

    async def _needing(self, caller: Caller) -> Sequence[AttentionItem]:
        items = await self._gateway.attention.of(caller)
        self._found[_seen_by(caller)] = self._gateway.clock.monotonic_seconds(), items
        self._found.move_to_end(_seen_by(caller))
        while len(self._found) > _MOST_FOUND:
            self._found.popitem(last=False)
        return items

    async def _needs(self, request: PageRequest) -> list[dict[str, Any]]:
        items = await self._needing(request.caller)
        return [_need(request, each) for each in sorted(items, key=lambda each: not each.is_bad)]

    async def _news(self, request: PageRequest) -> Sequence[News]:
        caller = request.caller
        may = caller.may("packages.read"), caller.may("events.read")
        if not any(may):
            return []
        async with self._gateway.database.read() as connection:
            found = await self._gateway.events.page(
                connection,
                caller,
                limit=_LATEST if all(may) else _LOOKED_AT,
                since=request.now - _RECENTLY,
            )
        shown = [
            each
            for each in found
            if caller.may("packages.read" if each.subject.startswith("pkg_") else "events.read")
        ]
        return [self._newsroom.of(request, each) for each in shown[:_LATEST]]


def _seen_by(caller: Caller) -> _SeenBy:
    return caller.account_id, caller.mode, caller.sites, caller.permissions


def _need(request: PageRequest, item: AttentionItem) -> dict[str, Any]:
    text = request.text(item.message, **item.values) if item.message else item.text
    said = text.removeprefix(f"{item.count} ")  # the number is shown before it
    return {
        "text": said,
        "details": " · ".join(_said(request, each, item.count) for each in item.details),
        "state": "bad" if item.is_bad else "warn",
        "glyph": "s-fail" if item.is_bad else "s-warn",
        "since": item.since,
        "count": None if said == text else item.count,
        "href": None if item.page is None else request.url(item.page),
        "button": request.text(item.button or _("Show it")),
        "command": item.command,
    }


def _said(request: PageRequest, detail: AttentionDetail, of_all: int) -> str:
    """Return a detail in the reader's language; one that is so of all has no number in front."""
    values = {
        name: request.formats.time(value) if isinstance(value, datetime) else value
        for name, value in detail.values.items()
    }
    text = request.text(detail.message, **values)
    if detail.count is None or detail.count == of_all:
        return text
    return f"{request.formats.number(detail.count)}\u00a0{TIMES}\u00a0{text}"


def shares_of(by_status: Mapping[str, int]) -> list[Share]:
    """Return the groups of a day in the order of a delivery, with their place in the bar."""
    counts = [sum(by_status.get(each, 0) for each in group.statuses) for group in GROUPS]
    total = sum(counts) or 1
    shares, x = [], 0.0
    for group, count in zip(GROUPS, counts, strict=True):
        width = 100 * count / total
        shares.append(Share(group, count, round(x, 2), round(width, 2)))
        x += width
    return shares


def hours_of(
    hours: Sequence[datetime], delivered: Sequence[int], usual: Sequence[float] = ()
) -> list[Hour]:
    """Return a bar for each hour from the first delivery to the last, at least 6 to 18 o'clock.

    ``usual`` is what each hour brings on such a weekday; empty where that isn't known.
    """
    usual = usual or [0.0] * len(hours)
    highest = [max(each) for each in zip(delivered, usual, strict=True)]
    busy = [place for place, height in enumerate(highest) if height]
    by_clock = [place for place, at in enumerate(hours) if _FIRST_HOUR <= at.hour <= _LAST_HOUR]
    shown = range(min([*busy, *by_clock]), max([*busy, *by_clock]) + 1)
    most = max(*highest, 1)
    step = 100 / len(shown)
    every = 2 if len(shown) > 8 else 1  # noqa: PLR2004 - a label needs about 3 rem
    return [
        Hour(
            label=f"{hours[place]:%H}".lstrip("0") or "0",
            number=delivered[place],
            usual=usual[place],
            bar=_bar(number * step, step, 0.56, delivered[place] / most),
            usual_bar=_bar(number * step, step, 0.88, usual[place] / most),
            middle=round((number + 0.5) * step, 2),
            is_named=number % every == 0,
        )
        for number, place in enumerate(shown)
    ]


def _bar(x: float, step: float, part: float, share: float) -> Bar:
    """Return the bar of an hour: ``part`` of its width, ``share`` of the chart's height."""
    height = _CHART_HEIGHT * share
    return Bar(
        round(x + step * (1 - part) / 2, 2),
        round(step * part, 2),
        round(_CHART_HEIGHT - height, 1),
        round(height, 1),
    )
