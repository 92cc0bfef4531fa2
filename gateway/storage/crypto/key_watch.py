"""KeyWatch: notices when the master key file is gone or changed while the gateway runs.

A gateway that loses its key file works until it ends, and can't start again. The running process
still has the key in memory: when a request file appears in the same private folder, it writes the
key file again (``gateway seal write-back``).
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from gateway.errors import ConfigurationError
from gateway.storage.crypto.keyring import Keyring, load, save

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 1.0
_RESCUE: Final = "the running gateway still holds it: run gateway seal write-back before it ends"


def write_back_request(path: Path) -> Path:
    """Return the file whose presence asks a running gateway to write the key at ``path``."""
    return path.with_name(f"{path.name}.write-back")


class KeyWatch:
    """Compares a key file with the keyring in memory. ``path`` is None for a key in settings."""

    def __init__(self, path: Path | None, keyring: Keyring) -> None:
        self._path = path
        self._keyring = keyring

    def fault(self) -> str | None:
        """Return what is wrong with the key file, as a sentence for the operator. Reads it."""
        path = self._path
        if path is None:
            return None
        if not path.exists():
            return f"{path.name} was deleted or moved away; {_RESCUE}"
        try:
            present = load(path)
        except ConfigurationError as error:
            return error.message
        if present.index_key != self._keyring.index_key:
            return f"{path.name} holds the key of another installation: move it away; {_RESCUE}"
        lost = sorted(set(self._keyring.seal_ids) - set(present.seal_ids))
        indexes = dict(self._keyring.next_index_keys).keys()
        lost_indexes = sorted(indexes - dict(present.next_index_keys).keys())
        if lost or lost_indexes:
            names = [f"seal-{number}" for number in lost]
            names += [f"index-{number}" for number in lost_indexes]
            return f"{path.name} lost its lines {', '.join(names)}: move it away; {_RESCUE}"
        self._keyring = present  # rotated meanwhile
        return None

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Write the key file again at each request, until the block ends."""
        answers = asyncio.create_task(self._answer())
        try:
            yield
        finally:
            answers.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await answers

    async def _answer(self) -> None:
        while self._path is not None:
            await asyncio.sleep(_LOOK_SECONDS)
            await asyncio.to_thread(self._write_back_if_requested, self._path)

    def _write_back_if_requested(self, path: Path) -> None:
        request = write_back_request(path)
        if not request.exists():
            return
        try:
            if not path.exists():
                save(path, self._keyring)
                _log.warning("the master key file was missing and is written again")
            request.unlink(missing_ok=True)
        except (OSError, ConfigurationError) as error:
            _log.error("the master key can't be written back: %s", error)  # names no key
