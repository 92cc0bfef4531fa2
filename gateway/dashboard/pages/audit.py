"""Audit: the trail with filters, its state, its export, and emergencies that wait for a review."""

from datetime import date, datetime, time, timedelta
from typing import Final, NamedTuple, get_args
from urllib.parse import urlencode

from gateway.dashboard.audit_words import KINDS, line_of
from gateway.errors import InvalidInput
from gateway.intake.audit_reports import MOST_VERIFIED
from gateway.model.account import Caller
from gateway.model.audit import Kind
from gateway.model.day import YEARS
from gateway.model.person import Emergency
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest, Query
from gateway.sdk.pages import Action, Badge, Download, Page, SeeOther, Template
from gateway.storage.stores.access_reports import AuditFilter
from gateway.storage.stores.audit_head import AuditState
from gateway.storage.stores.timelines import actors_of

_READ: Final = "audit.read"
_ROWS: Final = 50
_MAX_TEXT: Final = 100
_MAX_SEQUENCE: Final = 2**62


class Chosen(NamedTuple):
    """The filters in the address; days are in the reader's time zone."""

    actor: str
    kind: Kind | None
    action: str
    subject: str
    since: date | None
    until: date | None
    before: int | None

    @property
    def is_narrowed(self) -> bool:
        """Whether there is a filter."""
        return any((self.actor, self.kind, self.action, self.subject, self.since, self.until))

    def query(self, before: int | None = None) -> str:
        """Return the fields of the address."""
        fields = {**self._asdict(), "before": before}
        return urlencode({name: str(value) for name, value in fields.items() if value})

    def filter(self, request: PageRequest, limit: int) -> AuditFilter:
        """Return the filter of the store."""
        return AuditFilter(
            limit,
            before=self.before,
            actor=self.actor or None,
            action=self.action or None,
            kind=self.kind,
            subject=self.subject or None,
            since=_midnight(request, self.since),
            until=_midnight(request, self.until, later=1),
        )


class Waiting(NamedTuple):
    """An emergency that no one has reviewed; ``is_own``: the reader opened it."""

    emergency: Emergency
    who: str
    is_own: bool


def audit_pages(gateway: Gateway) -> list[Page]:
    """Make the page."""
    audit = _Audit(gateway)
    return [
        Page(
            path="audit",
            title="Audit",
            permission=_READ,
            handler=audit.show,
            section="administration",
            order=30,
            icon="i-audit",
            badge=audit.badge,
            actions=(
                Action(path="verify", permission=_READ, handler=audit.verify, limit="reads"),
                Action(path="export", permission=_READ, handler=audit.export, step_up=True),
                Action(path="review", permission=_READ, handler=audit.review),
            ),
        )
    ]


class _Audit:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._reports = gateway.audit_reports

    async def badge(self, caller: Caller) -> Badge | None:
        waiting = await self._gateway.emergencies.page(caller.account_id, unreviewed=True)
        return Badge(len(waiting), "wait for a review", "warn") if waiting else None

    async def show(self, request: PageRequest) -> Template:
        return await self._shown(request, _chosen(request.query))

    async def verify(self, request: PageRequest) -> Template:
        """Verify the trail, and show the page with the result."""
        return await self._shown(request, _chosen(Query()), await self._reports.verify())

    async def export(self, request: PageRequest) -> Download:
        """Return the filtered rows as CSV."""
        chosen = _chosen(await request.form())._replace(before=None)
        rows = await self._reports.export(request.caller, chosen.filter(request, _ROWS))
        return Download("audit.csv", "text/csv; charset=utf-8", rows)

    async def review(self, request: PageRequest) -> SeeOther:
        """Record that this person has reviewed an emergency of another."""
        form = await request.form()
        await self._gateway.emergencies.review(request.caller, form.get("id"))
        return SeeOther("audit", toast=request.text("Reviewed: it is off the list"))

    async def _shown(
        self, request: PageRequest, chosen: Chosen, state: AuditState | None = None
    ) -> Template:
        found = await self._reports.page(request.caller, chosen.filter(request, _ROWS + 1))
        lines = [line_of(request, each, found.names) for each in found.rows[:_ROWS]]
        has_more = len(found.rows) > _ROWS
        last = lines[-1].row.sequence if lines else None
        older = request.url(f"audit?{chosen.query(last)}") if has_more else ""
        async with self._gateway.database.read() as connection:
            actors = await actors_of(connection, request.caller)
        return Template(
            "audit.html",
            {
                "chosen": chosen,
                "lines": lines,
                "older": older,
                "newest": request.url(f"audit?{chosen.query()}") if chosen.before else "",
                "actors": actors,
                "kinds": KINDS,
                "waiting": await self._waiting(request),
                "head": await self._reports.newest(),
                "most_verified": MOST_VERIFIED,
                "state": state,
            },
        )

    async def _waiting(self, request: PageRequest) -> list[Waiting]:
        caller = request.caller
        found = await self._gateway.emergencies.page(caller.account_id, unreviewed=True)
        async with self._gateway.database.read() as connection:
            names = dict(await actors_of(connection, caller)) if found else {}
        return [
            Waiting(each, names.get(each.person_id, each.person_id), each.person_id == caller.actor)
            for each in found
        ]


def _chosen(query: Query) -> Chosen:
    kind = query.get("kind")
    before = query.get("before")
    return Chosen(
        actor=query.get("actor")[:_MAX_TEXT],
        kind=kind if kind in get_args(Kind) else None,  # type: ignore[arg-type]  # one of them
        action=query.get("action").strip()[:_MAX_TEXT],
        subject=query.get("subject").strip()[:_MAX_TEXT],
        since=_day(query.get("since")),
        until=_day(query.get("until")),
        before=int(before) if before.isascii() and before.isdecimal() and _fits(before) else None,
    )


def _fits(number: str) -> bool:
    return len(number) < len(str(_MAX_SEQUENCE))


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("There is no such day.") from error
    if day.year not in YEARS:
        raise InvalidInput("There is no such day.")
    return day


def _midnight(request: PageRequest, day: date | None, later: int = 0) -> datetime | None:
    """Return when a day begins in the reader's time zone."""
    if day is None:
        return None
    return datetime.combine(day + timedelta(days=later), time(), request.formats.tz)
