"""``gateway accounts …``: the plans of accounts and how much of them is used."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click
import msgspec

from gateway.model.csv_text import csv_text
from gateway.model.plan import PlanUsage
from gateway.sdk.cli import Session, command

_COLUMNS: Final = ("account", "plan", "limit_name", "used", "limit", "overage", "resets_at")
_MONTH: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


@command("usage")
@click.option("--month", help="Another month, as 2026-04.  [default: this month]")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for an invoice or a spreadsheet.")
async def usage(session: Session, *, month: str | None, as_csv: bool) -> None:
    """Show how much of its plan each account has used.

    An account without a plan has no limits and isn't listed.
    """
    if month is not None and not _MONTH.fullmatch(month):
        raise click.UsageError("--month takes a year and a month, as 2026-04.")
    async with session.gateway() as gateway, gateway.database.read() as connection:
        found = [
            await gateway.plans.usage(connection, account_id, month)
            for account_id in gateway.plans.accounts
        ]
    rows = [row for each in found for row in _rows(each)]
    if as_csv:
        _print_csv(rows)
    else:
        session.table(_COLUMNS, rows)


def _rows(of: PlanUsage) -> Iterator[Mapping[str, Any]]:
    for limit in of.limits:
        shown = msgspec.to_builtins(limit)
        yield {"account": of.account_id, "plan": of.plan, "overage": of.overage, **shown}


def _print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    lines = [[row.get(name) for name in _COLUMNS] for row in rows]
    sys.stdout.write(csv_text(_COLUMNS, lines, line_end="\n"))


accounts: Final = click.Group(
    "accounts", commands=[usage], help="Accounts: the usage of their plans."
)
