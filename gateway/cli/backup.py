"""``gateway backup``: everything in one sealed file, while the gateway runs."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.model.wire import timestamp
from gateway.sdk.cli import Session, command
from gateway.storage.backup.format import Manifest
from gateway.storage.crypto.keyring import Keyring, load

if TYPE_CHECKING:
    from gateway.runtime import Gateway

_ROWS_BETWEEN_NEWS: Final = 50_000
_OWN_NAME: Final = re.compile(r"gateway-\d{8}T\d{6}Z\.backup")


@command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    help="Then remove all but the newest N of those without a FILE of their own.",
    metavar="N",
)
async def backup(session: Session, *, file: Path | None, keep: int | None) -> None:
    """Write all that is stored to FILE, as it is at one moment; the gateway goes on working.

    Without FILE it goes to data_dir/backups. It is sealed with the master key, which is NOT
    in it: keep a copy of that in another place. It fits SQLite and PostgreSQL alike.
    """
    from gateway.storage.backup.write import write_backup
    from gateway.storage.stores import audit

    if file is not None and keep is not None:
        raise click.UsageError("--keep is for backups without a FILE: leave one of them out.")
    async with session.gateway() as gateway:
        now = gateway.clock.now()
        folder = gateway.settings.gateway.data_dir / "backups"
        target = file or folder / f"gateway-{now:%Y%m%dT%H%M%SZ}.backup"
        manifest = await write_backup(
            gateway.database, gateway.hooks.tables(), keyring_of(gateway), target, now, tell
        )
        entry = audit.AuditEntry("default", session.actor, "backup.written", target.name)
        await gateway.audit.note([entry])
        where = "the settings" if gateway.settings.security.master_key else gateway.master_key_path
    session.record({"file": str(target), "bytes": target.stat().st_size, **summary(manifest)})
    if manifest.left_out:
        click.echo(
            f"gateway: not in it are the tables of plugins that are off "
            f"({', '.join(manifest.left_out)}): enable them, then make another backup.",
            err=True,
        )
    if keep is not None:
        for old in _own_backups(folder)[:-keep]:
            old.unlink(missing_ok=True)
            click.echo(f"gateway: {old.name} is removed", err=True)
    session.say(f"The master key is not in it: keep a copy of it ({where}) in another place.")


def _own_backups(folder: Path) -> list[Path]:
    """Return the backups that bear a name of our making, oldest first."""
    return sorted(path for path in folder.iterdir() if _OWN_NAME.fullmatch(path.name))


def keyring_of(gateway: "Gateway") -> Keyring:
    """Return the master keys that the settings name; the gateway needn't be open."""
    text = gateway.settings.security.master_key
    return load(gateway.master_key_path) if text is None else Keyring.parse(text)


def tell(table: str, done: int, of: int) -> None:
    """Say on stderr how far it is: at the end of each table, and now and then in a long one."""
    if done == of or done % _ROWS_BETWEEN_NEWS == 0:
        click.echo(f"{table}: {done} of {of} rows", err=True)


def summary(manifest: Manifest) -> dict[str, Any]:
    """Return what a backup says of itself, for a person or a program."""
    return {
        "made_at": timestamp(manifest.created_at),
        "version": manifest.version,
        "from": manifest.dialect,
        "schema": list(manifest.heads),
        "master_key": manifest.keyring,
        "rows": manifest.rows,
        "tables": [{"table": each.name, "rows": each.rows} for each in manifest.tables],
    }
