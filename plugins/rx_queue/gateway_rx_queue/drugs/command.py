"""``gateway rx load-drugs``: the drug catalog from Health Canada's extract."""

from pathlib import Path

import click

from gateway.plugin import DEFAULT_ACCOUNT, AuditEntry, InvalidInput, Session, command, to_epoch_ms
from gateway_rx_queue.drugs import catalog as drugs
from gateway_rx_queue.drugs.dpd import Extract


def load_drugs_command() -> click.Command:
    """Return the command."""

    @command("load-drugs")
    @click.argument(
        "files",
        nargs=-1,
        required=True,
        metavar="FILE...",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
    )
    @click.option("--dry-run", is_flag=True, help="Read and count; change nothing.")
    async def load_drugs(session: Session, *, files: tuple[Path, ...], dry_run: bool) -> None:
        """Load the drug catalog from Health Canada's DPD extract.

        FILE is allfiles.zip (products that are sold); name allfiles_ia.zip as well, and DINs
        that are no longer sold are distinguished from unknown ones. The load replaces the
        whole catalog. An incomplete extract is refused.
        """
        extract = Extract()
        for path in files:
            for name, rows in extract.read(path).items():
                session.say(f"{name}: {rows} rows")
        found = list(extract.drugs())
        if not found:
            raise InvalidInput("There is no product with a DIN in this: name allfiles.zip.")
        extract.check()
        active = sum(drug.active for drug in found)
        if not dry_run:
            async with session.gateway() as gateway:
                now = gateway.clock.now()
                entry = AuditEntry(
                    DEFAULT_ACCOUNT, session.actor, "rx.drugs_loaded", "rx_drugs", via="cli"
                )
                async with gateway.database.begin() as connection:
                    await drugs.replace(connection, found, to_epoch_ms(now), extract.dated)
                    await gateway.audit.record(connection, [entry], now)
        dated = extract.dated.isoformat() if extract.dated else None
        session.record({"drugs": len(found), "sold": active, "dated": dated, "dry_run": dry_run})

    return load_drugs
