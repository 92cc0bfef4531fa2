"""``gateway restore``: restore a backup into SQLite or PostgreSQL."""

from pathlib import Path

import click

from gateway.cli.backup import keyring_of, print_progress, summary
from gateway.cli.opening import read_settings
from gateway.sdk.cli import Session, command


@command("restore")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Only check the file; no database is touched.")
@click.option("--force", is_flag=True, help="Replace what the database holds.")
async def restore(session: Session, *, file: Path, check: bool, force: bool) -> None:
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
    if check:
        manifest = restoring.check()
    else:
        manifest = await restoring.into(gateway.settings.database.url, force=force)
    session.record({"file": str(file), **summary(manifest)})
    session.say("The backup is whole." if check else "Restored; start the gateway again.")
