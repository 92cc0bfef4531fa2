"""``gateway seal …``: rotate the master key that seals patient data."""

import asyncio
from pathlib import Path
from typing import Final

import click

from gateway.cli.opening import read_settings
from gateway.clock import to_epoch_ms
from gateway.errors import ConfigurationError, StorageError
from gateway.model.audit import AuditEntry
from gateway.runtime import Gateway
from gateway.sdk.cli import Session, command
from gateway.storage.crypto.key_watch import write_back_request
from gateway.storage.crypto.keyring import Keyring, load, save
from gateway.storage.crypto.reencryption import Progress, reseal
from gateway.storage.maintenance.reindex import ReindexProgress, reindex
from gateway.storage.stores.installation import KEY_COPIED, note_fact

_ANSWER_SECONDS: Final = 10.0
_ASK_SECONDS: Final = 0.1


@click.group("seal")
def seal() -> None:
    """Rotate the key that seals patient data and secrets.

    First rotate: new values use a new key, old ones stay readable. Then reseal: old values
    are sealed with the new key, too.
    """


@command("status")
async def status(session: Session) -> None:
    """Show the keys, and which one seals new values."""
    async with session.gateway() as gateway:
        keyring = _keyring(gateway)
        session.record(
            {
                "file": str(gateway.master_key_path),
                "fingerprint": keyring.fingerprint(),
                "keys": list(keyring.seal_ids),
                "seals_with": keyring.active_id,
            }
        )


@command("copy")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
async def copy(session: Session, *, file: Path) -> None:
    """Copy the master key to FILE, on another disk than the backups.

    FILE must not exist, and is readable by you only. gateway status reports a key that was
    never copied, or that was rotated since.
    """
    async with session.gateway() as gateway:
        keyring = _keyring(gateway)
        _save_copy(file, keyring)
        at_ms = max(to_epoch_ms(gateway.clock.now()), _changed_at_ms(gateway.master_key_path))
        await note_fact(gateway.database, KEY_COPIED, str(at_ms))
        await _note(session, gateway, "seal.copied")
    session.record({"file": str(file), "fingerprint": keyring.fingerprint()})
    session.say("Keep it apart from the backups: both together can read all data.")


def _save_copy(file: Path, keyring: Keyring) -> None:
    if file.exists():
        raise ConfigurationError(f"{file} exists already: choose another name.")
    save(file, keyring)
    if load(file).fingerprint() != keyring.fingerprint():
        raise StorageError(f"{file} does not hold the key that was written: try another disk.")


def _changed_at_ms(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000 + 1


@command("write-back")
async def write_back(session: Session) -> None:
    """Have the running gateway write its master key file again, after the file was lost.

    The gateway still has the key in memory until it ends. Nothing is overwritten.
    """
    settings = read_settings(session.config)
    path = settings.gateway.data_dir / "master.key"
    if settings.security.master_key is not None:
        raise ConfigurationError(
            "The master key comes from [security] master_key, not from a file."
        )
    if path.exists():
        raise ConfigurationError(f"{path} is there: move it away first if it is not the right one.")
    request = write_back_request(path)
    try:
        request.touch(mode=0o600)
        async with asyncio.timeout(_ANSWER_SECONDS):
            while request.exists() or not path.exists():  # noqa: ASYNC110 - another process answers
                await asyncio.sleep(_ASK_SECONDS)
    except TimeoutError:
        raise ConfigurationError(
            f"No running gateway wrote {path} within {_ANSWER_SECONDS:g} seconds: put back the "
            "copy that you keep of it, with mode 0600."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{request} can't be written ({error.strerror}).") from error
    finally:
        request.unlink(missing_ok=True)
    session.record({"file": str(path), "fingerprint": load(path).fingerprint()})
    session.say("Keep a copy of it in another place: gateway seal copy FILE.")


@command("rotate")
@click.option("--index", "is_index", is_flag=True, help="A new index key, for searches, instead.")
async def rotate(session: Session, *, is_index: bool) -> None:
    """Add a new key to the master key file, and seal new values with it.

    With --index a new index key, by which packages are searched. Restart the gateway, then run
    gateway seal reindex: until then searches don't find the packages there are. Keep the older
    lines: the audit trail is searched and verified with them.

    Back the file up afterwards. A running server uses the new key after a restart, or once
    it reads a value sealed with it.
    """
    async with session.gateway() as gateway:
        present = _keyring(gateway)
        rotated = present.with_new_index() if is_index else present.rotated()
        save(gateway.master_key_path, rotated)
        await _note(session, gateway, "seal.index_rotated" if is_index else "seal.rotated")
    session.record({"file": str(gateway.master_key_path), "seals_with": rotated.active_id})
    then = "reindex" if is_index else "reseal"
    session.say(
        f"Copy it (gateway seal copy FILE), restart the gateway, then run gateway seal {then}."
    )


@command("reindex")
async def reindex_packages(session: Session) -> None:
    """Compute the search indexes of all packages again, with the newest index key.

    It works while the gateway runs, and can be interrupted and repeated.
    """
    done = ReindexProgress(0, 0)
    async with session.gateway() as gateway:
        async for done in reindex(gateway.database, gateway.packages):
            click.echo(f"packages: {done.changed} of {done.seen} indexed again", err=True)
        await _note(session, gateway, "seal.reindexed")
    session.record(done._asdict())


@command("reseal")
async def reseal_values(session: Session) -> None:
    """Seal all values again that an older key sealed.

    It works while the gateway runs, and can be interrupted and repeated.
    """
    totals: dict[str, Progress] = {}
    async with session.gateway() as gateway:
        columns = [each for tables in gateway.hooks.tables() for each in tables.sealed]
        async for progress in reseal(gateway.database, gateway.sealer, columns):
            totals[progress.table] = progress
            if progress.resealed:
                click.echo(
                    f"{progress.table}: {progress.resealed} of {progress.seen} sealed again",
                    err=True,
                )
        await _note(session, gateway, "seal.resealed")
    session.table(("table", "seen", "resealed"), [each._asdict() for each in totals.values()])


def _keyring(gateway: Gateway) -> Keyring:
    if gateway.settings.security.master_key is not None:
        raise ConfigurationError(
            "The master key comes from [security] master_key: add a line seal-N there yourself, "
            "N one higher than the last (gateway seal reseal works as always)."
        )
    return load(gateway.master_key_path)


async def _note(session: Session, gateway: Gateway, action: str) -> None:
    await gateway.audit.note(
        [AuditEntry("default", session.actor, action, "master.key", via="cli")]
    )


for each in (status, copy, write_back, rotate, reseal_values, reindex_packages):
    seal.add_command(each)
