"""``gateway csv export``."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TextIO

import click

from gateway.plugin import (
    DEFAULT_ACCOUNT,
    InvalidInput,
    Session,
    TimeOrAgo,
    command,
    resolve_time,
)
from gateway_csv.export import Wanted, export

# The file holds patients' names and addresses: readable by the caller alone.
_MODE: Final = 0o600


def export_command() -> click.Command:
    """Make ``gateway csv export``."""

    @command("export")
    @click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
    @click.option("--site", help="Only this site's packages.")
    @click.option("--status", help="Only packages in this status.")
    @click.option("--since", type=TimeOrAgo(), help="Only packages created since: a time, or 7d.")
    @click.option("--account", default=DEFAULT_ACCOUNT, show_default=True, help="Whose packages.")
    @click.option("--test", "test_mode", is_flag=True, help="Test data, not live.")
    async def export_file(
        session: Session,
        *,
        file: Path,
        site: str | None,
        status: str | None,
        since: datetime | timedelta | None,
        account: str,
        test_mode: bool,
    ) -> None:
        """Write packages to a new CSV FILE, newest first; it can be imported again."""
        caller = session.caller(account, "test" if test_mode else "live")
        with _new_file(file) as out:
            async with session.gateway() as gateway:
                start = None if since is None else resolve_time(since, gateway.clock.now())
                count = await export(gateway, caller, Wanted(site, status, start), out)
        session.record({"exported": count})

    return export_file


@contextmanager
def _new_file(path: Path) -> Iterator[TextIO]:
    """Open a new file; delete it if it can't be finished, because half a list looks complete."""
    try:
        path.touch(_MODE, exist_ok=False)
    except FileExistsError:
        raise InvalidInput("The file is there already: name another one, or delete it.") from None
    except OSError as error:
        raise InvalidInput(
            f"The file can't be written ({error.strerror}): name another one."
        ) from None
    try:
        with path.open("w", encoding="utf-8", newline="") as out:
            yield out
    except BaseException:  # also after Ctrl-C: half an export must not look complete; raised again
        with suppress(OSError):
            path.unlink()
        raise
