"""``gateway reports …``: signature log, the day's money and its closing, returns, manifest."""

import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from gateway.plugin import DEFAULT_ACCOUNT, GatewayError, Session, command, reveal_option
from gateway_reports.closing import Closing
from gateway_reports.manifest import LAYOUTS, Layout, csv_of
from gateway_reports.money import NO_DRIVER, day_money
from gateway_reports.returns import Returns
from gateway_reports.schema import DayOut, day_out
from gateway_reports.settings import ReportsSettings
from gateway_reports.signatures import checked_numbers, pasted_numbers, signature_log
from gateway_reports.site_day import site_day

_LINE: Final = (
    "rx_number",
    "fill_number",
    "result",
    "delivered_at",
    "signer_name",
    "signer_relationship",
    "signed",
    "unsigned_reason",
)
_STOP: Final = (
    "driver_id",
    "patient_name",
    "patient_address",
    "patient_phone",
    "prescriptions",
    "copay_amount",
)
_RETURN: Final = ("package_id", "site", "status", "filled_on", "due_on", "days_late")
_MAX_LIST_BYTES: Final = 64 * 1024

_account = click.option("--account", default=DEFAULT_ACCOUNT, show_default=True)
_site = click.option("--site", help="A site's code; needed where there are several.")


class _Day(click.ParamType[date]):
    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: Any, ctx: Any) -> date:
        """Read a day."""
        if isinstance(value, date):
            return value
        try:
            return datetime.strptime(value, "%Y-%m-%d").date()  # noqa: DTZ007 - a day of the site
        except ValueError:
            self.fail("expected a day such as 2026-04-19", param, ctx)


@command("signatures")
@click.argument("rx_numbers", nargs=-1)
@click.option("--list", "listed", type=click.File("rb"), help="A file of rx numbers, - for stdin.")
@click.option("--since", type=_Day(), help="Delivered on this day or later.")
@click.option("--until", type=_Day(), help="Delivered on this day or before.")
@click.option("--csv", "path", type=click.Path(path_type=Path), help="Write a CSV file.")
@_account
@reveal_option
async def signatures(  # noqa: PLR0913 - one for each option
    session: Session,
    *,
    rx_numbers: tuple[str, ...],
    listed: Any,
    since: date | None,
    until: date | None,
    path: Path | None,
    account: str,
    reveal: bool,
) -> None:
    """Make the signature log of RX_NUMBERS, which insurers ask for; it needs --reveal."""
    if not reveal:
        raise GatewayError("A signature log names patients: say --reveal. It is logged.")
    given = list(rx_numbers)
    if listed is not None:
        text = listed.read(_MAX_LIST_BYTES).decode("utf-8", "replace")
        given += pasted_numbers(text)
    async with session.gateway() as gateway:
        caller = session.caller(account, reveal=True)
        log = await signature_log(gateway, caller, checked_numbers(given), since, until)
    if path is not None:
        _write(path, log.as_csv())
        session.record(
            {
                "file": str(path),
                "lines": len(log.lines),
                "unsigned": log.unsigned,
                "not_found": list(log.not_found),
                "sha256": log.digest,
            }
        )
        return
    session.table(_LINE, [_shown(each) for each in log.lines])
    session.say(
        f"{len(log.lines)} lines, {log.unsigned} delivered without a signature, "
        f"{len(log.not_found)} numbers not found. SHA-256 of the CSV: {log.digest}"
    )


@command("day")
@click.option("--day", type=_Day(), help="A day of the site.  [default: today]")
@click.option("--close", is_flag=True, help="Close the day: keep its figures.")
@click.option("--reopen", is_flag=True, help="Open a closed day again.")
@click.option("--note", default="", help="Why money differs; needed to close such a day.")
@_site
@_account
async def day_report(
    session: Session,
    *,
    day: date | None,
    close: bool,
    reopen: bool,
    note: str,
    site: str | None,
    account: str,
) -> None:
    """Show the money that drivers had to collect on a day, and what they collected."""
    if close and reopen:
        raise GatewayError("Say --close or --reopen, not both.")
    async with session.gateway() as gateway:
        caller, closing = session.caller(account), Closing(gateway)
        chosen = site_day(gateway, caller, site, day)
        if close:
            await closing.close(caller, chosen, note)
        if reopen:
            await closing.reopen(caller, chosen)
        money = await day_money(gateway, caller, chosen)
        shown = day_out(chosen, money, await closing.find(caller, chosen))
    if session.as_json:
        session.record(_shown(shown))
    else:
        _say_day(session, shown)


@command("manifest")
@click.option("--driver", help="A driver's id.  [default: all drivers]")
@click.option("--csv", "path", type=click.Path(path_type=Path), help="Write a CSV file.")
@click.option("--layout", type=click.Choice(LAYOUTS), default="plain", show_default=True)
@_site
@_account
@reveal_option
async def manifest_of(
    session: Session,
    *,
    driver: str | None,
    path: Path | None,
    layout: Layout,
    site: str | None,
    account: str,
    reveal: bool,
) -> None:
    """List what drivers have: name, address, phone, copay; no drug. It needs --reveal."""
    if not reveal:
        raise GatewayError("A manifest names patients: say --reveal. It is logged.")
    async with session.gateway() as gateway:
        caller = session.caller(account, reveal=True)
        stops = await gateway.manifests.with_drivers(caller, site, driver)
    if path is not None:
        _write(path, csv_of(stops, layout))
        session.record({"file": str(path), "stops": len(stops), "layout": layout})
        return
    session.table(_STOP, [_shown(each) for each in stops])


def reports_group(settings: ReportsSettings) -> click.Group:
    """Put the commands together under one name."""
    return click.Group(
        "reports",
        commands=[signatures, day_report, _returns(settings), manifest_of],
        help="The evening: signature log, the day's money, returns, manifest.",
    )


def _returns(settings: ReportsSettings) -> click.Command:
    @command("returns")
    @click.option("--within-days", type=click.IntRange(0, 365), default=0, help="Look ahead.")
    @_site
    @_account
    async def returns_due(
        session: Session, *, within_days: int, site: str | None, account: str
    ) -> None:
        """List the undelivered bags that are to go back to stock."""
        async with session.gateway() as gateway:
            found = await Returns(gateway, settings).due(
                session.caller(account), site, within_days=within_days
            )
        session.table(_RETURN, [_shown(each) for each in found])

    return returns_due


def _shown(value: msgspec.Struct) -> dict[str, Any]:
    """Return a record with money as numbers, as the wire has them."""
    shown: dict[str, Any] = msgspec.to_builtins(value, builtin_types=(Decimal,))
    return shown


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner can read; it names patients."""
    path.touch(mode=0o600)
    if sys.platform != "win32":
        path.chmod(0o600)
    path.write_text(text, encoding="utf-8", newline="")


def _say_day(session: Session, shown: DayOut) -> None:
    money = shown.money
    where = f"{shown.site}, " if shown.site else ""
    session.say(f"{where}{shown.day} ({shown.time_zone}, {shown.hours} hours)")
    rows = [
        {
            "driver": each.driver_id or "no driver named",
            "delivered": each.delivered,
            "due": each.due,
            "collected": each.collected,
            **{
                name.replace("_", " "): each.methods.get(name, Decimal("0.00"))
                for name in money.methods
            },
        }
        for each in money.drivers
    ]
    columns = [
        "driver",
        "delivered",
        "due",
        "collected",
        *(m.replace("_", " ") for m in money.methods),
    ]
    session.table(columns, rows)
    session.say(f"due {money.due}, collected {money.collected}, delivered {money.delivered}")
    for each in money.differences:
        got = "nothing reported" if each.collected is None else f"collected {each.collected}"
        who = each.driver_id if each.driver_id != NO_DRIVER else "no driver named"
        session.say(f"differs: {each.package_id} ({who}): due {each.due}, {got}")
    if money.still_out:
        session.say(f"{money.still_out} packages are with drivers now")
    if shown.closed is not None:
        said = f": {shown.closed.note}" if shown.closed.note else ""
        at = f"{shown.closed.closed_at:%Y-%m-%d %H:%M} UTC"
        session.say(f"closed by {shown.closed.closed_by} at {at}{said}")
        if shown.changed_since:
            session.say("reports have come since it was closed: the figures above are newer")
