"""``gateway audit …``: read and verify the audit trail, and make a patient's reports."""

import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar, get_args

import click
import msgspec

from gateway.cli.opening import account_option, caller_of, one_row
from gateway.errors import InvalidInput, StorageError
from gateway.model.account import Caller
from gateway.model.audit import AuditEntry, Kind
from gateway.model.csv_text import csv_lines, csv_text
from gateway.sdk.cli import Session, TimeOrAgo, command, resolve_time

if TYPE_CHECKING:
    from gateway.runtime import Gateway

_ROWS: Final = ("at", "actor", "action", "kind", "subject", "fields", "outcome")
_ACCESSES: Final = ("at", "actor", "kind", "action", "fields", "purpose", "via", "subject")
_DISCLOSURES: Final = (
    "first_at", "last_at", "count", "recipient_name", "recipient", "what", "fields", "purpose",
)  # fmt: skip
_PAGE: Final = 500
F = TypeVar("F", bound=Callable[..., Any])


def _of_a_patient(function: F) -> F:
    """Add the options that name a patient, and those of the output."""
    options = (
        click.option("--external-patient-id", metavar="ID", help="The sender's id of the patient."),
        click.option("--rx-number", help="A prescription number of the patient."),
        click.option("--patient-phone", help="The telephone number, as +13055551234."),
        click.option("--patient-name", help="The name; --patient-address goes with it."),
        click.option("--patient-address", help="The address; --patient-name goes with it."),
        click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for a letter or a file."),
    )
    for option in reversed(options):
        function = option(function)
    return one_row(function)


@command("list")
@click.option("--actor", help="Only what this key, person or user did.")
@click.option("--action", help="Only this action, such as package.viewed.")
@click.option("--kind", type=click.Choice(get_args(Kind)), help="Only this kind.")
@click.option("--subject", metavar="ID", help="Only what was done to this.")
@click.option("--since", type=TimeOrAgo(), help="Only since: a time, or 24h.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@account_option
async def list_rows(  # noqa: PLR0913 - one for each option
    session: Session,
    *,
    actor: str | None,
    action: str | None,
    kind: str | None,
    subject: str | None,
    since: datetime | timedelta | None,
    limit: int,
    account: str,
) -> None:
    """List the audit trail, newest first: who did what, when, and in whose record."""
    from gateway.storage.stores.access_reports import AuditFilter, as_rows

    caller = caller_of(session, account, test_data=False)
    async with session.gateway() as gateway:
        start = None if since is None else resolve_time(since, gateway.clock.now())
        wanted = AuditFilter(
            limit, actor=actor, action=action, kind=kind, subject=subject, since=start
        )
        async with gateway.database.read() as connection:
            found = await gateway.reports.page(connection, caller, wanted)
        await gateway.audit.note([AuditEntry.by(caller, "list", "audit.listed", "audit")])
    session.table(_ROWS, as_rows(found))


@command("verify")
@click.option("--head", "text", metavar="HEAD", help="A head that you kept, as SEQUENCE:DIGEST.")
async def verify(session: Session, *, text: str | None) -> None:
    """Verify the whole audit trail and the ledger of disclosures. Exits with 1 for a fault.

    --head also checks that the trail still has the row of a head that you kept: from the daily log
    line, data/audit.head or the manifest of a backup. Without it, missing newest rows are found by
    data/audit.head only.
    """
    from gateway.storage.stores.audit_chain import Head, holds
    from gateway.storage.stores.audit_chain import verify as verify_chain
    from gateway.storage.stores.audit_head import FILE_NAME, read_file
    from gateway.storage.stores.disclosures import verify_ledger

    given = None if text is None else Head.parse(text)
    async with session.gateway() as gateway, gateway.database.read() as connection:
        path = gateway.settings.gateway.data_dir / FILE_NAME
        found = await verify_chain(connection, gateway.sealer)
        faults = list(found.faults)
        for head, name in ((given, "the head that was given"), (read_file(path), str(path))):
            if head is not None and not await holds(connection, head):
                faults.append(
                    f"the trail doesn't hold {name}: its newest rows were taken out or changed"
                )
        ledger = await verify_ledger(connection, gateway.sealer)
        if not ledger.is_whole:
            faults.append(
                "the ledger of disclosures is not what the trail says: attempts or folded "
                "disclosures were changed, taken out or put in"
            )
    session.record(
        {
            "ok": not faults,
            "rows": found.rows,
            "without_key": found.unkeyed,
            "ledger_rows": ledger.rows,
            "head": None if found.head is None else str(found.head),
            "faults": faults,
        }
    )
    if faults:
        count = len(faults)
        raise StorageError(
            f"The audit trail has {'1 fault' if count == 1 else f'{count} faults'}: {faults[0]}."
        )


@command("patient")
@_of_a_patient
async def patient(
    session: Session, /, *, as_csv: bool, account: str, test_data: bool, **sought: str | None
) -> None:
    """Show who saw or changed a patient's record: when, what, and why (the access report).

    The patient is named by any value that is known, also after the record was erased. Asking
    is itself recorded.
    """
    from gateway.storage.stores.access_reports import as_rows

    caller = caller_of(session, account, test_data=test_data)
    async with session.gateway() as gateway:
        wanted = _wanted(gateway, caller, sought)
        async with gateway.database.read() as connection:
            found = await gateway.reports.accesses(connection, caller, wanted)
        await _asked(gateway, caller, wanted, "report.access", found)
    _show(session, _ACCESSES, as_rows(found), as_csv=as_csv)


@command("disclosures")
@_of_a_patient
async def disclosures(
    session: Session, /, *, as_csv: bool, account: str, test_data: bool, **sought: str | None
) -> None:
    """Show to whom a patient's data was disclosed (the accounting of disclosures).

    Asking is itself recorded.
    """
    from gateway.storage.stores.access_reports import as_rows

    caller = caller_of(session, account, test_data=test_data)
    async with session.gateway() as gateway:
        wanted = _wanted(gateway, caller, sought)
        async with gateway.database.read() as connection:
            found = await gateway.reports.accounting(connection, caller, wanted)
        await _asked(gateway, caller, wanted, "report.disclosures", found)
    _show(session, _DISCLOSURES, as_rows(found), as_csv=as_csv)


@command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--since", type=TimeOrAgo(), help="Only since: a time, or 30d.")
@account_option
async def export(
    session: Session, *, file: Path, since: datetime | timedelta | None, account: str
) -> None:
    """Write the audit trail to a new CSV FILE, newest first."""
    from gateway.storage.stores.access_reports import AuditFilter, AuditRow, as_rows

    caller = caller_of(session, account, test_data=False)
    count, before = 0, None
    async with session.gateway() as gateway:
        start = None if since is None else resolve_time(since, gateway.clock.now())
        with _new_file(file) as out:
            columns = AuditRow.__struct_fields__
            out.write(csv_text(columns, (), line_end="\n"))
            while True:
                wanted = AuditFilter(_PAGE, before=before, since=start)
                async with gateway.database.read() as connection:
                    found = await gateway.reports.page(connection, caller, wanted)
                if not found:
                    break
                rows = [list(each.values()) for each in as_rows(found)]
                out.write(csv_lines(rows, line_end="\n"))
                count, before = count + len(found), found[-1].sequence
        await gateway.audit.note([AuditEntry.by(caller, "export", "audit.exported", file.name)])
    session.record({"file": str(file), "rows": count})


def _new_file(path: Path) -> TextIO:
    """Open a new file, readable by its owner alone."""
    try:
        path.touch(0o600, exist_ok=False)
    except FileExistsError:
        raise InvalidInput(f"{path} is there already: name another file.") from None
    return path.open("w", encoding="utf-8", newline="")


def _wanted(gateway: "Gateway", caller: Caller, sought: dict[str, str | None]) -> Any:
    from gateway.storage.stores.access_reports import Sought

    country = gateway.sites.country(caller.account_id, None)
    return gateway.reports.wanted(caller.account_id, Sought(**sought), country)


async def _asked(
    gateway: "Gateway", caller: Caller, wanted: Any, action: str, found: Sequence[msgspec.Struct]
) -> None:
    entry = gateway.reports.asked(caller, wanted, action, hits=bool(found))
    await gateway.audit.note([entry])


def _show(
    session: Session, columns: Sequence[str], rows: list[dict[str, Any]], *, as_csv: bool
) -> None:
    if not as_csv:
        session.table(columns, rows)
        return
    lines = [[row[name] for name in columns] for row in rows]
    sys.stdout.write(csv_text(columns, lines, line_end="\n"))


audit: Final = click.Group(
    "audit",
    commands=[list_rows, verify, patient, disclosures, export],
    help="The audit trail: list, verify, reports for patients, export.",
)
