"""``gateway storage …``: show disk use, apply retention, compact SQLite."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.opening import read_settings
from gateway.errors import NotFound, StorageError
from gateway.model.wire import timestamp
from gateway.sdk.cli import Session, command

if TYPE_CHECKING:
    from gateway.storage.retention.policy import StepResult

_UNITS: Final = ("bytes", "KB", "MB", "GB", "TB")
_STEP: Final = 1024


class _ShownByDefault(click.Group):
    """A group whose default command is ``show``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default command, unless a command or help is requested."""
        asked = self.commands.keys() | set(ctx.help_option_names)
        return super().parse_args(
            ctx, args if asked & set(args) or _word(args) else ["show", *args]
        )


def _word(args: Sequence[str]) -> bool:
    """Return whether the first argument is a word; click reports an unknown command."""
    return bool(args) and not args[0].startswith("-")


@command("show")
async def show(session: Session) -> None:
    """Show the size of each table, and what the [retention] settings remove, and when."""
    from gateway.storage.backup.write import saved_tables
    from gateway.storage.maintenance.space import extent, table_sizes

    async with session.gateway() as gateway:
        whole = await extent(gateway.database)
        tables = await table_sizes(gateway.database, saved_tables(gateway.hooks.tables()))
        swept = await gateway.housekeeper.sweep(dry_run=True)
        settings = gateway.settings.retention
    session.record(
        {
            "database": gateway.database.dialect,
            "size": _size(session, whole.size_bytes),
            "free": _size(session, whole.free_bytes),
            "gives_space_back": whole.releases_space,
            "retention_enabled": settings.enabled,
            "tables": [
                {
                    "table": each.table,
                    "rows": each.rows,
                    "size": _size(session, each.size_bytes),
                    "oldest": timestamp(each.oldest),
                }
                for each in tables
            ],
            "retention": [_swept_row(session, each, "due") for each in swept],
        }
    )
    if not whole.releases_space:
        session.say(
            "\nThis file never gets smaller: stop the gateway, then gateway storage compact."
        )


@command("prune")
@click.option("--dry-run", is_flag=True, help="Only report what would be removed.")
async def prune(session: Session, *, dry_run: bool) -> None:
    """Apply the [retention] settings now, even if retention is turned off.

    A running gateway does this once an hour. Unfinished work is kept.
    """
    async with session.gateway() as gateway:
        keeper = gateway.housekeeper
        swept = await (keeper.sweep(dry_run=True) if dry_run else keeper.prune(session.actor))
    rows = [_swept_row(session, each, "due" if dry_run else "gone") for each in swept]
    session.table(list(rows[0]), rows)


@command("compact")
async def compact(session: Session) -> None:
    """Rewrite a SQLite file without its free pages. The gateway must not be running.

    Files created by this version shrink by themselves; older ones do after this. It needs free disk
    space of the file's size.
    """
    import sqlite3

    from gateway.storage.database import Database
    from gateway.storage.maintenance import space

    database = Database(read_settings(session.config).database.url)
    path = database.path
    await database.close()
    if path is None:
        session.say("PostgreSQL uses its space again by itself: there is nothing to do.")
        session.record({"database": "postgresql"})
        return
    if not path.is_file():  # opening the gateway would create an empty one
        raise NotFound(f"There is no database at {path} yet.")
    try:
        before, after = space.compact(path)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(
            f"{path} could not be rewritten ({type(error).__name__}) and is unchanged: see "
            "that the disk has as much free space as the file is large."
        ) from error
    session.record(
        {"file": str(path), "before": _size(session, before), "after": _size(session, after)}
    )


def _swept_row(session: Session, each: "StepResult", counted: str) -> Mapping[str, Any]:
    days = None if each.kept is None else each.kept.days
    return {
        "what": each.what,
        "kept_days": days if session.as_json or days else "for ever",
        counted: each.rows,
        "held": each.held,
        "next_at": timestamp(each.next_at),
    }


def _size(session: Session, size_bytes: int | None) -> int | str | None:
    """Return bytes as a number for JSON, as text with a unit otherwise."""
    if session.as_json or size_bytes is None:
        return size_bytes
    size, unit = float(size_bytes), 0
    while size >= _STEP and unit < len(_UNITS) - 1:
        size, unit = size / _STEP, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


storage: Final = _ShownByDefault(
    "storage",
    commands=[show, prune, compact],
    help="Disk use and retention. Without a command: show.",
)
