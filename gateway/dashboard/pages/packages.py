"""The page Packages: views, filters, exact search, masked rows, and reveals of single ones."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlencode

from gateway.dashboard.news import REASONS, Newsroom, last_digits
from gateway.dashboard.package_groups import BY_NAME, GROUP_OF, GROUPS, VIEW_OF, VIEWS, Group, View
from gateway.dashboard.package_search import PackageSearch
from gateway.dashboard.pages.bag_labels import bag_label_actions
from gateway.dashboard.pages.bulk import bulk_actions
from gateway.errors import NotFound
from gateway.model.account import Caller
from gateway.model.audit import Purpose
from gateway.model.day import YEARS
from gateway.model.masking import masked_package
from gateway.model.order import PRIORITIES
from gateway.model.package import Package
from gateway.model.permission import REVEAL_CONTACT, REVEAL_RX
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest, Query
from gateway.sdk.pages import Action, Badge, Page, SeeOther, Template
from gateway.storage.stores.clear_columns import ClearFilter
from gateway.storage.stores.package_lists import (
    MOST_OF_A_DAY,
    PackageFilter,
    count,
    counts,
    drivers_of_day,
)
from gateway.storage.stores.saved_views import SavedView, ViewOwner

PAGE_SIZE: Final = 25
PERMISSION: Final = "packages.read"
# As much of an address as a request may have.
_LONGEST_QUERY: Final = 4000
_WITH_REASON: Final = ("delivery.failed", "delivery.attempted")
_FLAGS: Final = ("signature", "refrigerated", "controlled")


class Row(NamedTuple):
    """A package in the list, as this person sees it."""

    package: Package
    group: Group
    reason: str
    rx: str
    source: str
    seen_at: datetime | None = None


class Chosen(NamedTuple):
    """The view and the filters in the address."""

    view: View
    groups: tuple[str, ...]
    day: date | None
    source: str | None
    priority: str | None
    driver: str | None
    flag: str | None
    before_id: str | None

    @property
    def is_narrowed(self) -> bool:
        """Whether there is a filter beside the view."""
        return any((self.groups, self.day, self.source, self.priority, self.driver, self.flag))

    def query(self, **changes: str | None) -> list[tuple[str, str]]:
        """Return the fields of the address with ``changes``, without the place in the list."""
        plain: dict[str, str | None] = {
            "view": self.view.name,
            "day": None if self.day is None else self.day.isoformat(),
            "source": self.source,
            "priority": self.priority,
            "driver": self.driver,
            "flag": self.flag,
            **changes,
        }
        return [("is", each) for each in self.groups] + [
            (name, value) for name, value in plain.items() if value
        ]


def packages_pages(gateway: Gateway) -> list[Page]:
    """Return the page."""
    packages = Packages(gateway)
    return [
        Page(
            path="packages",
            title="Packages",
            permission=PERMISSION,
            handler=packages.show,
            section="orders",
            order=0,
            icon="i-box",
            badge=packages.badge,
            bottom=True,
            actions=(
                Action(
                    path="reveal",
                    permission=PERMISSION,
                    handler=packages.reveal,
                    limit="reveals",
                ),
                *bulk_actions(gateway),
                *bag_label_actions(gateway),
            ),
        )
    ]


class Packages:
    """Shows the list, and reveals packages in it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._newsroom = Newsroom(gateway.hooks)
        self._search = PackageSearch(gateway)

    @property
    def _has_imports(self) -> bool:
        """Whether a plugin brings the page that imports spreadsheets."""
        return any(
            each.path == "import"
            for _plugin, pages in self._gateway.hooks.pages()
            for each in pages
        )

    async def badge(self, caller: Caller) -> Badge | None:
        """Count the packages that need a person."""
        wanted = PackageFilter(1, clear=ClearFilter(flag="needs_person"))
        async with self._gateway.database.read() as connection:
            found = await count(connection, caller, wanted)
        return Badge(found.number, "need a person", "bad") if found.number else None

    async def show(self, request: PageRequest) -> Template | SeeOther:
        """Show the list, or the results of a search."""
        token = request.query.get("found")
        if token:
            return await self._found(request, token)
        return await self._list(request, chosen_of(request.query))

    async def reveal(self, request: PageRequest) -> Template | SeeOther:
        """Show one row in full; the list around it stays as it is."""
        form = await request.form()
        package = await self._gateway.histories.reveal(
            request.caller, form.get("id"), purpose_of(request.caller)
        )
        shown = masked_package(request.caller, package)
        [row] = await self._rows(request, [shown], seen_at=request.now)
        if any(each.startswith("row_") for each in request.region):
            return Template("package_row.html", {"row": row, "reveal_at": ""})
        answer = await self.show(request)
        if not isinstance(answer, Template):
            return answer
        rows = [row if each.package.id == package.id else each for each in answer.context["rows"]]
        return Template(answer.name, {**answer.context, "rows": rows})

    async def _list(self, request: PageRequest, chosen: Chosen) -> Template:
        caller = request.caller
        wanted = self._wanted(caller, chosen)
        async with self._gateway.database.read() as connection:
            found = await self._gateway.packages.page(connection, caller, wanted)
            lists = {
                each.name: (self._of_view(caller, each), _most(each))
                for each in VIEWS
                if each.is_counted
            }
            numbers = await counts(connection, caller, [*lists.values()])
            drivers = await drivers_of_day(connection, caller, self._gateway.days.day(caller))
            saved = await self._gateway.saved_views.of(connection, owner_of(request))
        numbers_of = dict(zip(lists, numbers, strict=True))
        masked = caller.masked
        shown = [masked_package(masked, each) for each in found[:PAGE_SIZE]]
        await self._gateway.audit.note(
            self._gateway.packages.views(masked, shown, "package.viewed")
        )
        older = found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None
        return Template(
            "packages.html",
            {
                "chosen": chosen,
                "fields": chosen.query(),
                "views": [(each, numbers_of.get(each.name)) for each in VIEWS],
                **_saved(request, saved, chosen),
                "rows": await self._rows(request, shown),
                "older": None if older is None else _url(request, chosen, before=older),
                "newest": _url(request, chosen) if chosen.before_id else None,
                "clear": request.url("packages", view=chosen.view.name),
                "groups": GROUPS,
                "group_names": [BY_NAME[each].words for each in chosen.groups],
                "sources": _sources(request, self._newsroom, chosen, shown),
                "priorities": PRIORITIES,
                "flags": _FLAGS,
                "drivers": drivers,
                "searched": None,
                "reveal_at": _url(request, chosen, chosen.before_id, "packages/reveal"),
                "has_imports": self._has_imports,
            },
        )

    def _wanted(self, caller: Caller, chosen: Chosen) -> PackageFilter:
        wanted = self._of_view(caller, chosen.view)
        statuses: tuple[str, ...] = tuple(
            each for name in chosen.groups for each in BY_NAME[name].statuses
        )
        if statuses and wanted.statuses:  # the view's, narrowed
            statuses = tuple(each for each in statuses if each in wanted.statuses) or ("none",)
        day = None if chosen.day is None else self._gateway.days.day(caller, chosen.day)
        return wanted._replace(
            limit=PAGE_SIZE + 1,
            before_id=chosen.before_id,
            source=chosen.source,
            statuses=statuses or wanted.statuses,
            day=day or wanted.day,
            clear=ClearFilter(
                priority=chosen.priority,
                driver_id=chosen.driver,
                flag=chosen.view.flag or chosen.flag,
            ),
        )

    def _of_view(self, caller: Caller, view: View) -> PackageFilter:
        day = self._gateway.days.day(caller) if view.of_today else None
        clear = ClearFilter(flag=view.flag)
        return PackageFilter(PAGE_SIZE, statuses=view.statuses, day=day, clear=clear)

    async def _found(self, request: PageRequest, token: str) -> Template | SeeOther:
        """Show the packages that a search finds: a single one is opened, several are listed."""
        text = await request.recall(token)
        if text is None:
            raise NotFound("This search is over: it is kept for 15 minutes. Search again.")
        found = await self._search.packages(request.caller, text, PAGE_SIZE)
        if len(found) == 1:
            return SeeOther(f"packages/{found[0].id}")
        masked = request.caller.masked
        shown = [masked_package(masked, each) for each in found]
        chosen = chosen_of(Query([("view", "all")]))
        return Template(
            "packages.html",
            {
                "chosen": chosen,
                "fields": [("found", token)],
                "views": [(each, None) for each in VIEWS],
                "saved": [],
                "current": None,
                "save_at": None,
                "rows": await self._rows(request, shown),
                "older": None,
                "newest": None,
                "clear": request.url("packages"),
                "groups": GROUPS,
                "group_names": [],
                "sources": _sources(request, self._newsroom, chosen, shown),
                "priorities": PRIORITIES,
                "flags": _FLAGS,
                "drivers": [],
                "searched": text,
                "reveal_at": request.url("packages/reveal", found=token),
                "has_imports": self._has_imports,
            },
        )

    async def _rows(
        self, request: PageRequest, shown: Sequence[Package], seen_at: datetime | None = None
    ) -> list[Row]:
        reasons = await self._reasons(request.caller, shown)
        return [
            Row(
                package=each,
                group=GROUP_OF[each.status],
                reason=request.text(reasons[each.id]) if each.id in reasons else "",
                rx=last_digits(each.order.rx_number),
                source=request.text(self._newsroom.source_words(each.source)),
                seen_at=seen_at,
            )
            for each in shown
        ]

    async def _reasons(self, caller: Caller, shown: Sequence[Package]) -> Mapping[str, str]:
        """Return why packages failed or were only attempted, by package id."""
        wanted = [each.id for each in shown if each.status in {"failed", "attempted"}]
        async with self._gateway.database.read() as connection:
            found = await self._gateway.events.newest_of(connection, caller, wanted, _WITH_REASON)
        reasons = {each: event.data.get("failure_reason") for each, event in found.items()}
        return {each: REASONS[str(why)] for each, why in reasons.items() if why in REASONS}


def chosen_of(query: Query) -> Chosen:
    """Return the view and filters of an address, without unknown values."""
    priority, flag = query.get("priority"), query.get("flag")
    return Chosen(
        view=VIEW_OF.get(query.get("view"), VIEWS[0]),
        groups=tuple(each for each in dict.fromkeys(query.all("is")) if each in BY_NAME),
        day=_day(query.get("day")),
        source=_code(query.get("source")),
        priority=priority if priority in PRIORITIES else None,
        driver=_code(query.get("driver")),
        flag=flag if flag in _FLAGS else None,
        before_id=_code(query.get("before")),
    )


def cleaned(query: str) -> str:
    """Return the address of a list with nothing in it that the list doesn't know."""
    return urlencode(chosen_of(Query(parse_qsl(query[:_LONGEST_QUERY]))).query())


def _code(text: str) -> str | None:
    """Return an id or name to look for; no stored one contains a NUL, and no URL may."""
    return text.replace("\0", "")[:100] or None


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.year in YEARS else None


def _sources(
    request: PageRequest, newsroom: Newsroom, chosen: Chosen, shown: Sequence[Package]
) -> Mapping[str, str]:
    """Return the sources to choose from: those with words, and those of this page.

    They are translated here: a template would take a "%" of the address for a placeholder.
    """
    names = dict.fromkeys([*newsroom.sources, *sorted({each.source for each in shown})])
    codes = [*names, *filter(None, [chosen.source])]
    return {each: request.text(newsroom.source_words(each)) for each in codes}


def purpose_of(caller: Caller) -> Purpose:
    """Return the purpose of a reveal that asks for none: delivery or care."""
    return "care" if caller.may(REVEAL_RX) else "delivery"


def may_reveal(caller: Caller) -> bool:
    """Return whether a reveal shows this caller anything."""
    return caller.may(REVEAL_CONTACT) or caller.may(REVEAL_RX)


def _saved(
    request: PageRequest, saved: Sequence[SavedView], chosen: Chosen
) -> Mapping[str, object]:
    """Return the person's own tabs, which of them is shown, and where this list can be saved."""
    query = urlencode(chosen.query())
    # What an earlier version saved may have values that the list no longer knows.
    current = next((each for each in saved if cleaned(each.query) == query), None)
    can_save = current is None and chosen.is_narrowed
    return {
        "saved": [(each, request.url(f"packages?{each.query}")) for each in saved],
        "current": current,
        "save_at": request.url(f"views/new?{query}") if can_save else None,
    }


def owner_of(request: PageRequest) -> ViewOwner:
    """Return whose saved views of Packages a page shows."""
    return ViewOwner(request.caller.account_id, request.person.id, "packages")


def _most(view: View) -> int:
    return MOST_OF_A_DAY if view.of_today else 999


def _url(
    request: PageRequest, chosen: Chosen, before: str | None = None, path: str = "packages"
) -> str:
    return request.url(f"{path}?{urlencode(chosen.query(before=before))}")
