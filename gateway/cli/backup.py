"""``gateway backup``: write all data to one sealed file, while the gateway runs."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from sqlalchemy.exc import SQLAlchemyError

from gateway.cli.opening import DEFAULT_FILE
from gateway.clock import to_epoch_ms
from gateway.errors import GatewayError
from gateway.model.audit import AuditEntry
from gateway.model.wire import timestamp
from gateway.sdk.cli import Session, command
from gateway.settings.redaction import redacted
from gateway.storage.backup.format import Manifest, own_backups
from gateway.storage.crypto.keyring import Keyring, load

if TYPE_CHECKING:
    from gateway.runtime import Gateway

_PROGRESS_ROWS: Final = 50_000


@command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    help="Then remove all but the newest N backups in data_dir/backups.",
    metavar="N",
)
async def backup(session: Session, *, file: Path | None, keep: int | None) -> None:
    """Write a consistent backup of all data to FILE, while the gateway runs.

    The default is a file in data_dir/backups. It is sealed with the master key, which it does
    NOT contain: keep a copy of the key elsewhere. gateway.toml is in it, without its secrets. It
    restores into SQLite and PostgreSQL.
    """
    from gateway.storage.stores.installation import (
        BACKUP_FAILED,
        LAST_BACKUP,
        drop_fact,
        note_fact,
    )

    if file is not None and keep is not None:
        raise click.UsageError("--keep is for backups without a FILE: leave one of them out.")
    async with session.gateway() as gateway:
        now = gateway.clock.now()
        folder = gateway.settings.gateway.data_dir / "backups"
        target = file or folder / f"gateway-{now:%Y%m%dT%H%M%SZ}.backup"
        try:
            manifest = await _written(gateway, target, session.config)
        except GatewayError:
            with contextlib.suppress(GatewayError, SQLAlchemyError, OSError):
                await note_fact(gateway.database, BACKUP_FAILED, str(to_epoch_ms(now)))
            raise
        entry = AuditEntry(
            "default", session.actor, "backup.written", target.name, kind="export", via="cli"
        )
        await gateway.audit.note([entry])
        await note_fact(gateway.database, LAST_BACKUP, str(to_epoch_ms(now)))
        await drop_fact(gateway.database, BACKUP_FAILED)
        where = "the settings" if gateway.settings.security.master_key else gateway.master_key_path
    session.record({"file": str(target), "bytes": target.stat().st_size, **summary(manifest)})
    if manifest.left_out:
        click.echo(
            f"gateway: not in it are the tables of plugins that are off "
            f"({', '.join(manifest.left_out)}): enable them, then make another backup.",
            err=True,
        )
    if keep is not None:
        for old in own_backups(folder)[:-keep]:
            old.unlink(missing_ok=True)
            click.echo(f"gateway: {old.name} is removed", err=True)
    session.say(f"The master key is not in it: keep a copy of it ({where}) in another place.")


async def _written(gateway: "Gateway", target: Path, config: Path | None) -> Manifest:
    from gateway.storage.backup.write import write_backup

    return await write_backup(
        gateway.database,
        gateway.hooks.tables(),
        keyring_of(gateway),
        target,
        gateway.clock.now(),
        print_progress,
        configuration=_configuration(config or DEFAULT_FILE),
    )


def _configuration(path: Path) -> str | None:
    """Return gateway.toml without its secrets; the backup is made without it if that fails."""
    if not path.exists():
        return None
    try:
        text, secrets = redacted(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        click.echo(f"gateway: {path} is not in the backup ({reason}): keep a copy of it", err=True)
        return None
    if secrets:
        click.echo(
            f"gateway: {path.name} is in the backup without its secrets ({', '.join(secrets)}): "
            "keep them in another place",
            err=True,
        )
    return text


def keyring_of(gateway: "Gateway") -> Keyring:
    """Return the master keyring of the settings; the gateway may be closed."""
    text = gateway.settings.security.master_key
    return load(gateway.master_key_path) if text is None else Keyring.parse(text)


def print_progress(table: str, done: int, of: int) -> None:
    """Print progress on stderr: at the end of each table, and every 50,000 rows."""
    if of and (done == of or done % _PROGRESS_ROWS == 0):
        click.echo(f"{table}: {done} of {of} rows", err=True)


def summary(manifest: Manifest) -> dict[str, Any]:
    """Return a backup's manifest as output fields, with the tables that have rows."""
    return {
        "made_at": timestamp(manifest.created_at),
        "version": manifest.version,
        "from": manifest.dialect,
        "schema": list(manifest.heads),
        "master_key": manifest.keyring,
        "configuration": manifest.configuration is not None,
        "audit_head": manifest.audit_head,
        "rows": manifest.rows,
        "tables": [
            {"table": each.name, "rows": each.rows} for each in manifest.tables if each.rows
        ],
    }
