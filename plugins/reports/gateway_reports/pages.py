"""The pages Reports: the day's money and its closing, signature log, returns, manifest."""

from collections.abc import Sequence
from datetime import date
from typing import Final

from gateway.plugin import (
    Action,
    Download,
    Gateway,
    InvalidInput,
    Page,
    PageRequest,
    Problem,
    SeeOther,
    Template,
    day_at,
)
from gateway_reports.closing import Closing
from gateway_reports.manifest import LAYOUTS, Layout, csv_of
from gateway_reports.money import day_money
from gateway_reports.returns import Returns
from gateway_reports.schema import day_out
from gateway_reports.signatures import checked_numbers, pasted_numbers, signature_log
from gateway_reports.site_day import SiteDay, currency_of, site_day, sites_of

_CSV: Final = "text/csv; charset=utf-8"
_SIGNATURES: Final = ("reports.signatures", "reveal.contact", "reveal.rx")
_MANIFEST: Final = ("packages.read", "reveal.contact")
_CLOSING: Final = ("day.close", "reports.money")
_WITHIN_DAYS: Final = 3
_RETURNS: Final = 100


class ReportPages:
    """The handlers; each calls what the API calls."""

    def __init__(self, gateway: Gateway, closing: Closing, returns: Returns) -> None:
        self._gateway = gateway
        self._closing = closing
        self._returns = returns

    def pages(self) -> Sequence[Page]:
        """Return the pages."""
        return [
            Page(
                path="reports",
                title="Reports",
                permission="reports.money",
                handler=self._day,
                section="orders",
                order=80,
                icon="i-moon",
                actions=(
                    Action(path="close", permission=_CLOSING, handler=self._close),
                    Action(path="reopen", permission=_CLOSING, handler=self._reopen),
                ),
            ),
            Page(
                path="reports/signatures",
                title="Signature log",
                permission=_SIGNATURES,
                handler=self._ask_for_signatures,
                parent="reports",
                actions=(
                    Action(path="", permission=_SIGNATURES, handler=self._signatures),
                    Action(
                        path="file",
                        permission=_SIGNATURES,
                        handler=self._signatures_file,
                        step_up=True,
                    ),
                ),
            ),
            Page(
                path="reports/returns",
                title="Returns due",
                permission="packages.read",
                handler=self._returns_due,
                parent="reports",
            ),
            Page(
                path="reports/manifest",
                title="Manifest",
                permission=_MANIFEST,
                handler=self._ask_for_manifest,
                parent="reports",
                actions=(
                    Action(path="", permission=_MANIFEST, handler=self._manifest),
                    Action(
                        path="file",
                        permission=_MANIFEST,
                        handler=self._manifest_file,
                        step_up=True,
                    ),
                ),
            ),
        ]

    async def _day(self, request: PageRequest) -> Template:
        sites = sites_of(self._gateway, request.caller)
        if len(sites) > 1 and request.site is None:
            return Template("reports/choose_site.html", {"codes": sites, "back": "reports"})
        day = site_day(self._gateway, request.caller, request.site, _day_of(request))
        money = await day_money(self._gateway, request.caller, day)
        closed = await self._closing.find(request.caller, day)
        return Template(
            "reports/day.html",
            {
                "shown": day_out(day, money, closed),
                "currency": currency_of(self._gateway, request.caller.account_id, day.site),
                "closed": closed,
                "is_over": request.now >= day.day.ends_at,
                "newest": day_at(day.day.zone, request.now).date.isoformat(),
            },
        )

    async def _close(self, request: PageRequest) -> SeeOther:
        day = await self._chosen(request)
        form = await request.form()
        await self._closing.close(request.caller, day, form.get("note"))
        return SeeOther(_place(day), toast=request.text("The day is closed"))

    async def _reopen(self, request: PageRequest) -> SeeOther:
        day = await self._chosen(request)
        await self._closing.reopen(request.caller, day)
        return SeeOther(_place(day), toast=request.text("The day is open again"))

    async def _chosen(self, request: PageRequest) -> SiteDay:
        form = await request.form()
        return site_day(
            self._gateway,
            request.caller,
            form.get("site") or request.site,
            _read_day(form.get("day")),
        )

    async def _ask_for_signatures(self, request: PageRequest) -> Template:
        del request
        return Template("reports/signatures.html", {"log": None, "numbers": ""})

    async def _signatures(self, request: PageRequest) -> Template:
        form = await request.form()
        numbers = form.get("numbers")
        log = await signature_log(
            self._gateway,
            request.caller,
            checked_numbers(pasted_numbers(numbers)),
            _read_day(form.get("since"), "since"),
            _read_day(form.get("until"), "until"),
        )
        return Template("reports/signatures.html", {"log": log, "numbers": numbers})

    async def _signatures_file(self, request: PageRequest) -> Download:
        form = await request.form()
        log = await signature_log(
            self._gateway,
            request.caller,
            checked_numbers(pasted_numbers(form.get("numbers"))),
            _read_day(form.get("since"), "since"),
            _read_day(form.get("until"), "until"),
        )
        return Download("signature-log.csv", _CSV, log.as_csv().encode())

    async def _returns_due(self, request: PageRequest) -> Template:
        after = request.query.get("after")
        found, more = await self._returns.page(
            request.caller, request.site, within_days=_WITHIN_DAYS, after=after, limit=_RETURNS
        )
        path = "reports/returns"
        return Template(
            "reports/returns.html",
            {
                "returns": found,
                "ahead": _WITHIN_DAYS,
                "oldest": request.url(path) if after else "",
                "next": request.url(path, after=more) if more else "",
            },
        )

    async def _ask_for_manifest(self, request: PageRequest) -> Template:
        del request
        return Template("reports/manifest.html", {"stops": None, "layouts": LAYOUTS})

    async def _manifest(self, request: PageRequest) -> Template:
        form = await request.form()
        driver = form.get("driver").strip() or None
        stops = await self._gateway.manifests.with_drivers(request.caller, request.site, driver)
        currency = currency_of(self._gateway, request.caller.account_id, request.site)
        return Template(
            "reports/manifest.html",
            {"stops": stops, "layouts": LAYOUTS, "driver": driver or "", "currency": currency},
        )

    async def _manifest_file(self, request: PageRequest) -> Download:
        form = await request.form()
        driver = form.get("driver").strip() or None
        stops = await self._gateway.manifests.with_drivers(request.caller, request.site, driver)
        return Download("manifest.csv", _CSV, csv_of(stops, _layout(form.get("layout"))).encode())


def _day_of(request: PageRequest) -> date | None:
    """Return the day that the address names; after a mistake, the one that was sent."""
    return _read_day(request.query.get("day") or request.given.get("day"))


def _read_day(text: str, field: str = "day") -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        problem = Problem("expected a day such as 2026-04-19", field=field)
        raise InvalidInput("There is no such day.", [problem]) from error


def _layout(name: str) -> Layout:
    if name not in LAYOUTS:
        problem = Problem(f"expected one of {', '.join(LAYOUTS)}", field="layout")
        raise InvalidInput("There is no such layout.", [problem])
    return name  # type: ignore[return-value]  # one of them


def _place(day: SiteDay) -> str:
    return f"reports?day={day.day.date.isoformat()}" + (f"&site={day.site}" if day.site else "")
