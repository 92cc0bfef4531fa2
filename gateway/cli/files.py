"""``gateway files …``: list, save, revoke and remove stored files.

A file that is shown or saved, and each change, is recorded in the audit trail.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, get_args

import click

from gateway.cli.opening import caller_of, many_rows, one_row
from gateway.errors import Conflict, GatewayError, NotFound, StorageError
from gateway.model.file import FileKind, StoredFile
from gateway.model.wire import timestamp
from gateway.sdk.cli import Session, command

if TYPE_CHECKING:
    from gateway.intake.files import FileIntake
    from gateway.model.account import Caller

_COLUMNS: Final = ("created_at", "kind", "media_type", "size_bytes", "subject", "id")
_NOT_HERE: Final = (
    "There is no such file here: gateway files list shows the ids; --test and --account look "
    "elsewhere."
)


@command("list")
@click.option("--of", "subject", metavar="ID", help="Only files of this package or job.")
@click.option("--kind", type=click.Choice(get_args(FileKind)), help="Only files of this kind.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@many_rows
async def list_files(
    session: Session,
    *,
    subject: str | None,
    kind: FileKind | None,
    limit: int,
    site: str | None,
    account: str,
    test_data: bool,
) -> None:
    """List files, newest first, without their content."""
    from gateway.storage.files.store import FileFilter

    caller = caller_of(session, account, test_data=test_data, site=site)
    async with session.gateway() as gateway:
        found = await gateway.files.page(caller, FileFilter(limit, subject=subject, kind=kind))
    session.table(_COLUMNS, [_row(each) for each in found])


@command("save")
@click.argument("file_id", metavar="ID")
@click.argument("target", metavar="PATH", type=click.Path(path_type=Path))
@one_row
async def save(
    session: Session, *, file_id: str, target: Path, account: str, test_data: bool
) -> None:
    """Write a file to PATH, in clear; only you can read it there. PATH may be a folder."""
    caller = caller_of(session, account, test_data=test_data)
    async with session.gateway() as gateway:
        file = await _found(gateway.files, caller, file_id)
        path, written = _created(target, file)
        try:
            async for piece in await gateway.files.open(file, caller):
                written.write(piece)
            written.close()
        except (GatewayError, OSError):
            with suppress(OSError):
                written.close()
                path.unlink()
            raise
    session.record({**_row(file), "saved_to": str(path)})


@command("revoke")
@click.argument("file_id", metavar="ID")
@one_row
async def revoke(session: Session, *, file_id: str, account: str, test_data: bool) -> None:
    """Revoke every link to a file that receivers were sent so far. The file stays.

    A delivery that is sent again later, by hand or by a recovery, has a new link.
    """
    caller = caller_of(session, account, test_data=test_data)
    async with session.gateway() as gateway:
        await _found(gateway.files, caller, file_id)
        file = await gateway.files.revoke_links(caller, file_id)
    session.record({**_row(file), "links": "revoked"})


@command("remove")
@click.argument("file_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Don't ask.")
@one_row
async def remove(
    session: Session, *, file_id: str, yes: bool, account: str, test_data: bool
) -> None:
    """Delete a file for good, such as a photo of the wrong door. It can't be undone."""
    caller = caller_of(session, account, test_data=test_data)
    async with session.gateway() as gateway:
        file = await _found(gateway.files, caller, file_id)
        if not yes:
            click.confirm(f"Delete {file.kind} {file.id} of {file.subject} for good?", abort=True)
        await gateway.files.remove(caller, file_id)
    session.record({**_row(file), "removed": True})


def _created(target: Path, file: StoredFile) -> tuple[Path, IO[bytes]]:
    """Open a new file that only its owner can read."""
    path = target / file.name if target.is_dir() else target
    try:
        # O_EXCL: never write to an existing file, which others may be able to read.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
    except FileExistsError:
        raise Conflict(f"{path} is there already: name another file.") from None
    except OSError as error:
        raise StorageError(f"{path} can't be written: {error.strerror}.") from error
    return path, os.fdopen(descriptor, "wb")


async def _found(files: "FileIntake", caller: "Caller", file_id: str) -> StoredFile:
    try:
        return await files.get(caller, file_id)
    except NotFound:
        raise NotFound(_NOT_HERE) from None


def _row(file: StoredFile) -> Mapping[str, Any]:
    return {
        "id": file.id,
        "kind": file.kind,
        "media_type": file.media_type,
        "size_bytes": file.size_bytes,
        "subject": file.subject,
        "account": file.account_id,
        "mode": file.mode,
        "site": file.site,
        "created_at": timestamp(file.created_at),
        "actor": file.actor,
        "links_revoked_at": timestamp(file.links_after),
    }


_BINARY: Final[int] = getattr(os, "O_BINARY", 0)

files: Final = click.Group(
    "files",
    commands=[list_files, save, revoke, remove],
    help="Photos, signatures and fax pages: list, save, revoke links, remove.",
)
