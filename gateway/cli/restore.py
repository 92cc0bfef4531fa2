"""``gateway restore``: restore a backup into SQLite or PostgreSQL."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.backup import keyring_of, print_progress, summary
from gateway.cli.opening import read_settings
from gateway.errors import Conflict, NotFound, StorageError
from gateway.sdk.cli import Session, command
from gateway.settings.redaction import REDACTED
from gateway.storage.backup.format import Manifest

if TYPE_CHECKING:
    from gateway.runtime import Gateway


@command("restore")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Only check the file; no database is touched.")
@click.option("--force", is_flag=True, help="Replace what the database holds.")
@click.option(
    "--configuration-to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Only write the gateway.toml of the backup to this new file; no database is touched.",
)
async def restore(
    session: Session, *, file: Path, check: bool, force: bool, configuration_to: Path | None
) -> None:
    """Restore a backup into the configured database. The gateway must not be running.

    The whole file is checked first; it is restored completely or not at all. It needs the
    master key that sealed the backup. Pending deliveries are attempted again.
    """
    from gateway.runtime import Gateway
    from gateway.storage.backup.restore import Restore

    gateway = Gateway(read_settings(session.config))  # not opened: that would create a database
    restoring = Restore(
        source=file,
        keyring=keyring_of(gateway),
        plugins=gateway.hooks.tables(),
        actor=session.actor,
        now=gateway.clock.now(),
        on_progress=print_progress,
    )
    if check or configuration_to is not None:
        manifest = restoring.check()
    else:
        manifest = await restoring.into(gateway.settings.database.url, force=force)
        await _keep_head(gateway)
    if configuration_to is not None:
        _write_configuration(manifest, configuration_to)
    session.record({"file": str(file), **summary(manifest)})
    if configuration_to is not None:
        session.say(f"{configuration_to} is written: put its secrets in ({REDACTED}).")
    else:
        rows = f"{manifest.rows} rows"
        session.say(
            f"The backup is whole: {rows}."
            if check
            else f"Restored {rows}; start the gateway again."
        )


def _write_configuration(manifest: Manifest, target: Path) -> None:
    if manifest.configuration is None:
        raise NotFound("The backup has no gateway.toml: it was made without one.")
    try:
        with target.open("x", encoding="utf-8", newline="\n") as file:
            file.write(manifest.configuration)
    except FileExistsError:
        raise Conflict(f"{target} is there already: name another file.") from None
    except OSError as error:
        raise StorageError(f"{target} can't be written ({error.strerror}).") from error


async def _keep_head(gateway: "Gateway") -> None:
    """Keep the head of the restored audit trail; its newest row names the one before."""
    from gateway.storage.database import Database
    from gateway.storage.stores.audit_chain import read_head
    from gateway.storage.stores.audit_head import FILE_NAME, write_file

    database = Database(gateway.settings.database.url)
    try:
        async with database.read() as connection:
            head = await read_head(connection)
    finally:
        await database.close()
    if head is not None:
        await asyncio.to_thread(write_file, gateway.settings.gateway.data_dir / FILE_NAME, head)
