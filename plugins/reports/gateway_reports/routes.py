"""``/api/reports``: signature log, the day's money and its closing, returns, manifest."""

from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery, RawBody, SkipValidation

from gateway.plugin import Caller, Gateway, InvalidInput, Problem, decode, json_response
from gateway_reports.closing import Closing
from gateway_reports.manifest import LAYOUTS, Layout, csv_of
from gateway_reports.money import ZERO, day_money
from gateway_reports.returns import Returns
from gateway_reports.schema import (
    DayIn,
    DayOut,
    ManifestOut,
    ReturnsOut,
    SignaturesIn,
    SignaturesOut,
    day_out,
)
from gateway_reports.signatures import checked_numbers, signature_log
from gateway_reports.site_day import site_day

_MOST_DAYS_AHEAD: Final = 365


class Reports(NamedTuple):
    """The services of the routes."""

    gateway: Gateway
    closing: Closing
    returns: Returns


Service = NamedDependency[SkipValidation[Reports]]


@post(
    "/signatures",
    tags=["Reports"],
    summary="Make a signature log",
    status_code=200,
    opt={
        "permission": ("reports.signatures", "reveal.contact", "reveal.rx"),
        "body": SignaturesIn,
        "answer": SignaturesOut,
    },
)
async def make_signature_log(
    body: RawBody,
    caller: NamedDependency[Caller],
    reports: Service,
    as_csv: FromQuery[bool] = False,
) -> Response[bytes]:
    r"""Make the signature log of a list of rx numbers; `as_csv=true` answers a file.

    ```bash
    curl $GATEWAY/api/reports/signatures -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"rx_numbers": ["RX-8872341"]}'
    ```
    """
    wanted = decode(body, SignaturesIn)
    numbers = checked_numbers(wanted.rx_numbers)
    log = await signature_log(reports.gateway, caller, numbers, wanted.since, wanted.until)
    if as_csv:
        return _file("signature-log.csv", log.as_csv(), {"X-Content-SHA256": log.digest})
    answer = SignaturesOut(
        lines=log.lines, not_found=log.not_found, unsigned=log.unsigned, digest=log.digest
    )
    return json_response(answer)


@get(
    "/day",
    tags=["Reports"],
    summary="Show a day's money",
    opt={"permission": "reports.money", "answer": DayOut},
)
async def show_day(
    caller: NamedDependency[Caller],
    reports: Service,
    day: FromQuery[date | None] = None,
    site: FromQuery[str | None] = None,
) -> Response[bytes]:
    """Show what drivers were to collect on a day of a site, and what they did; today by default.

    ```bash
    curl $GATEWAY/api/reports/day -H "X-API-Key: $KEY"
    ```
    """
    return json_response(await _day(reports, caller, site, day))


@post(
    "/day/close",
    tags=["Reports"],
    summary="Close a day",
    status_code=200,
    opt={"permission": ("day.close", "reports.money"), "body": DayIn, "answer": DayOut},
)
async def close_day(
    body: RawBody, caller: NamedDependency[Caller], reports: Service
) -> Response[bytes]:
    r"""Close a day: its figures are kept. Where money differs, a note says why.

    ```bash
    curl $GATEWAY/api/reports/day/close -H "X-API-Key: $KEY" \
      -H "Content-Type: application/json" -d '{"day": "2026-04-19"}'
    ```
    """
    wanted = decode(body, DayIn)
    day = site_day(reports.gateway, caller, wanted.site, wanted.day)
    await reports.closing.close(caller, day, wanted.note)
    return json_response(await _day(reports, caller, wanted.site, wanted.day))


@delete(
    "/day/close",
    tags=["Reports"],
    summary="Open a closed day again",
    opt={"permission": ("day.close", "reports.money")},
)
async def reopen_day(
    caller: NamedDependency[Caller],
    reports: Service,
    day: FromQuery[date],
    site: FromQuery[str | None] = None,
) -> None:
    """Open a closed day again, to close it with other figures. Both are in the audit trail.

    ```bash
    curl -X DELETE "$GATEWAY/api/reports/day/close?day=2026-04-19" -H "X-API-Key: $KEY"
    ```
    """
    await reports.closing.reopen(caller, site_day(reports.gateway, caller, site, day))


@get(
    "/returns",
    tags=["Reports"],
    summary="List the returns that are due",
    opt={"permission": "packages.read", "answer": ReturnsOut},
)
async def list_returns(
    caller: NamedDependency[Caller],
    reports: Service,
    site: FromQuery[str | None] = None,
    within_days: FromQuery[int] = 0,
) -> Response[bytes]:
    """List the undelivered bags that are to go back to stock, the oldest first.

    ```bash
    curl "$GATEWAY/api/reports/returns?within_days=2" -H "X-API-Key: $KEY"
    ```
    """
    if not 0 <= within_days <= _MOST_DAYS_AHEAD:
        text = f"expected 0 to {_MOST_DAYS_AHEAD}"
        raise InvalidInput("There is no such list.", [Problem(text, field="within_days")])
    _check_site(reports.gateway, caller, site)
    found = await reports.returns.due(caller, site, within_days=within_days)
    return json_response(ReturnsOut(returns=tuple(found)))


@get(
    "/manifest",
    tags=["Reports"],
    summary="List what drivers have",
    opt={"permission": ("packages.read", "reveal.contact"), "answer": ManifestOut},
)
async def show_manifest(
    caller: NamedDependency[Caller],
    reports: Service,
    site: FromQuery[str | None] = None,
    driver: FromQuery[str | None] = None,
    as_csv: FromQuery[bool] = False,
    layout: FromQuery[str] = "plain",
) -> Response[bytes]:
    """List the packages that a driver has, or all drivers; `as_csv=true` answers a file.

    `layout` is `plain`, or the columns that a route planner imports: `circuit`, `onfleet`,
    `optimoroute`. No drug and no rx number is in it.

    ```bash
    curl "$GATEWAY/api/reports/manifest?as_csv=true&layout=circuit" -H "X-API-Key: $KEY"
    ```
    """
    chosen: Layout = _layout(layout)
    _check_site(reports.gateway, caller, site)
    stops = await reports.gateway.manifests.with_drivers(caller, site, driver)
    if as_csv:
        return _file("manifest.csv", csv_of(stops, chosen), {})
    due = sum((each.copay_amount or ZERO for each in stops), Decimal("0.00"))
    return json_response(ManifestOut(stops=stops, copay_due=due))


async def _day(reports: Reports, caller: Caller, site: str | None, day: date | None) -> DayOut:
    chosen = site_day(reports.gateway, caller, site, day)
    money = await day_money(reports.gateway, caller, chosen)
    return day_out(chosen, money, await reports.closing.find(caller, chosen))


def _layout(name: str) -> Layout:
    _check(name, LAYOUTS, "layout")
    return name  # type: ignore[return-value]  # one of them


def _check(value: str, allowed: tuple[str, ...], field: str) -> None:
    if value not in allowed:
        problem = Problem(f"expected one of {', '.join(allowed)}", field=field)
        raise InvalidInput("There is no such report.", [problem])


def _check_site(gateway: Gateway, caller: Caller, site: str | None) -> None:
    if site is None:
        return
    if not (gateway.sites.known(caller.account_id, site) and caller.sees_site(site)):
        raise InvalidInput("There is no such site here.", [Problem("unknown site", field="site")])


def _file(name: str, text: str, headers: dict[str, str]) -> Response[bytes]:
    given = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        **headers,
    }
    return Response(text.encode(), media_type="text/csv; charset=utf-8", headers=given)


def router(gateway: Gateway, closing: Closing, returns: Returns) -> Router:
    """Build the router. The gateway is open by the time a route is called."""
    reports = Reports(gateway, closing, returns)
    return Router(
        "/api/reports",
        route_handlers=[
            make_signature_log,
            show_day,
            close_day,
            reopen_day,
            list_returns,
            show_manifest,
        ],
        dependencies={"reports": Provide(lambda: reports, sync_to_thread=False)},
    )
