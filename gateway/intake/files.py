"""Take files in: clean them in the sandbox, store them sealed, and open them again.

A file belongs to a subject (a package or an object of a plugin) and is visible to the same callers.
The audit trail records who added, opened, revoked or removed a file.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock
from gateway.errors import Conflict, GatewayError, InvalidInput, NotFound, Problem, Unavailable
from gateway.model.account import Caller
from gateway.model.audit import AuditEntry, Kind, PatientKeys
from gateway.model.change import Change
from gateway.model.file import IMAGES_ONLY, FileOwner, KeptFile, StoredFile
from gateway.model.ids import new_id
from gateway.model.submission import Idempotency
from gateway.model.wire import encode
from gateway.storage.database import Database
from gateway.storage.files.cleaning import Cleaned, clean, is_installed, need_extra
from gateway.storage.files.links import FileLinks
from gateway.storage.files.spool import NewFile, SealedSpool
from gateway.storage.files.store import (
    FileFilter,
    FilePart,
    FileStore,
    delete_files,
    delete_files_of,
)
from gateway.storage.stores.audit import AuditTrail
from gateway.storage.stores.changes import note_changes
from gateway.storage.stores.clear_columns import now_proved
from gateway.storage.stores.idempotency import (
    KeyedRequest,
    StoredResponse,
    keyed_request,
    split_replays,
    store_responses,
)
from gateway.storage.stores.packages import PackageStore

_AT_ONCE: Final = 2
"""Files that are cleaned at the same time: each may take a core and a GB of memory."""
_MOST_WAITING: Final = 16
_NO_FILE: Final = "There is no such file."
_LINK_ENDED: Final = "This link has expired or was revoked; ask the pharmacy to send it again."
_MAX_REF: Final = 255


class FileIntake:
    """Keeps, lists and opens files. One per process; close it at the end."""

    def __init__(  # noqa: PLR0913 - the parts it reads, writes and asks
        self,
        database: Database,
        store: FileStore,
        packages: PackageStore,
        audit: AuditTrail,
        links: FileLinks,
        clock: Clock,
        *,
        public_url: str,
        folder: Path,
        installed: Callable[[str], bool] = is_installed,
    ) -> None:
        self.folder = folder
        self.links = links
        self._database = database
        self._store = store
        self._packages = packages
        self._audit = audit
        self._clock = clock
        self._base = public_url.rstrip("/")
        self._installed = installed
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="files")
        self._waiting = 0

    def close(self) -> None:
        """Wait for the files that are being cleaned."""
        self._pool.shutdown()

    def need_extra(self) -> None:
        """Raise ``MissingExtra`` unless the libraries that clean files are installed."""
        need_extra(self._installed)

    async def owner_of_package(
        self, caller: Caller, package_id: str, *, adding: bool = True
    ) -> FileOwner:
        """Return a package as the owner of files.

        Raises ``NotFound``, and ``Conflict`` for an erased one that a file is added to.
        """
        async with self._database.read() as connection:
            package = await self._packages.get(connection, caller, package_id)
        if package is None:
            raise NotFound("There is no such package.")
        if adding and package.purged:
            raise Conflict("The package was erased at its age; it takes no files any more.")
        keys = self._packages.patient_keys(package)
        return FileOwner(package.id, package.account_id, package.mode, package.site, keys)

    async def keep(
        self, caller: Caller, owner: FileOwner, new: NewFile, key: str | None = None
    ) -> KeptFile:
        """Clean and store a file; returns after the commit.

        ``key`` is an idempotency key: the same request again gets the first response. Raises
        ``UnsupportedMedia``, ``TooLarge`` or ``InvalidInput`` for a refused file, ``Unavailable``
        while too many are being read.
        """
        self.need_extra()
        if new.event_ref is not None and not 1 <= len(new.event_ref) <= _MAX_REF:
            problem = Problem(f"event_ref takes 1 to {_MAX_REF} characters", field="event_ref")
            raise InvalidInput("The file can't be kept.", [problem])
        request = self._request(caller, owner, new, key)
        if request is not None and (replay := await self._replay(request)) is not None:
            return replay
        cleaned = await self._clean(new.spool)
        try:
            return await self._keep(caller, owner, new, cleaned, request)
        finally:
            cleaned.close()

    async def page(self, caller: Caller, wanted: FileFilter) -> Sequence[StoredFile]:
        """Return files, newest first, without their content."""
        async with self._database.read() as connection:
            return await self._store.page(connection, caller, wanted)

    async def get(self, caller: Caller, file_id: str) -> StoredFile:
        """Return a file's description; raises ``NotFound``."""
        async with self._database.read() as connection:
            found = await self._store.get(connection, caller, file_id)
        if found is None:
            raise NotFound(_NO_FILE)
        return found

    async def by_link(self, token: str) -> tuple[StoredFile, str]:
        """Return the file that a link opens, and the destination it was made for.

        Raises ``NotFound`` for a link that isn't ours, has expired or was revoked, or whose
        destination was removed.
        """
        link = self.links.read(token)
        if link is None:
            raise NotFound(_NO_FILE)
        if link.expires_at <= self._clock.now():
            raise NotFound(_LINK_ENDED)
        async with self._database.read() as connection:
            found = await self._store.linked(connection, link.file_id, link.destination_id)
        if found is None or (found.links_after is not None and link.made_at <= found.links_after):
            raise NotFound(_LINK_ENDED)
        return found, link.destination_id

    async def open(
        self, file: StoredFile, reader: Caller | str, part: FilePart = "content"
    ) -> AsyncIterator[bytes]:
        """Return a file's bytes, piece by piece; the view is audited before this returns.

        ``reader`` is a caller, or the id of the destination that a link was made for.
        """
        patient = await self._patient_of(file)
        if isinstance(reader, Caller):
            entry = _entry(reader, "reveal", "file.viewed", file, patient)
        else:
            entry = AuditEntry(
                file.account_id,
                reader,
                "file.viewed",
                file.id,
                patient,
                kind="disclose",
                fields=("image",),
                site=file.site,
                purpose="delivery",
            )
        await self._audit.note([entry])
        return self._store.content(self._database, file, part)

    async def revoke_links(self, caller: Caller, file_id: str) -> StoredFile:
        """Revoke every link to a file that exists so far."""
        file = await self.get(caller, file_id)
        patient = await self._patient_of(file)
        entry = _entry(caller, "change", "file.links_revoked", file, patient)
        async with self._database.begin() as connection:
            now = self._clock.now()
            await self._store.revoke_links(connection, file.account_id, file.id, now)
            await self._audit.record(connection, [entry], now)
        return file

    async def remove(self, caller: Caller, file_id: str) -> StoredFile:
        """Delete a file for good."""
        file = await self.get(caller, file_id)
        patient = await self._patient_of(file)
        entry = _entry(caller, "change", "file.removed", file, patient)
        async with self._database.begin() as connection:
            now = self._clock.now()
            await delete_files(connection, [(file.account_id, file.id)])
            await self._audit.record(connection, [entry], now)
            await note_changes(connection, [_changed(file)], now)
        return file

    async def erase(
        self, connection: AsyncConnection, subjects: Collection[tuple[str, str]]
    ) -> int:
        """Delete the files of each ``(account id, subject)`` in the caller's transaction."""
        return await delete_files_of(connection, subjects)

    def url(self, file_id: str) -> str:
        """Return the address of a file for a caller with a key."""
        return f"{self._base}/api/files/{file_id}"

    async def _clean(self, sent: SealedSpool) -> Cleaned:
        if self._waiting >= _MOST_WAITING:
            raise Unavailable("Many files are being read; nothing was stored. Send it again soon.")
        self._waiting += 1
        work = self._pool.submit(clean, sent, self.folder)
        try:
            return await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            work.add_done_callback(_discard)
            raise
        finally:
            self._waiting -= 1

    async def _keep(
        self,
        caller: Caller,
        owner: FileOwner,
        new: NewFile,
        cleaned: Cleaned,
        request: KeyedRequest | None,
    ) -> KeptFile:
        if new.kind in IMAGES_ONLY and not cleaned.media_type.startswith("image/"):
            text = f"a {new.kind} is an image: JPEG, PNG or WebP"
            raise InvalidInput("The file can't be kept.", [Problem(text, field="file")])
        ref = None if new.event_ref is None else hashlib.sha256(new.event_ref.encode()).digest()
        async with self._database.begin() as connection:
            now = self._clock.now()
            answers, _ = await split_replays(connection, [request], now)
            if answers:
                return _replayed(answers[0])
            file = StoredFile(
                id=new_id("file", now),
                account_id=owner.account_id,
                mode=owner.mode,
                site=owner.site,
                subject=owner.subject,
                kind=new.kind,
                media_type=cleaned.media_type,
                size_bytes=cleaned.content.size,
                thumbnail_bytes=cleaned.thumbnail.size,
                created_at=now,
                actor=caller.actor,
            )
            parts: list[tuple[FilePart, SealedSpool]] = [("content", cleaned.content)]
            parts += [("thumbnail", cleaned.thumbnail)] if cleaned.thumbnail.size else []
            await self._store.add(connection, file, ref, parts)
            if new.kind in IMAGES_ONLY:
                await now_proved(connection, owner.account_id, owner.subject)
            answer = encode(
                {
                    "file_id": file.id,
                    "url": self.url(file.id),
                    "kind": file.kind,
                    "media_type": file.media_type,
                    "size_bytes": file.size_bytes,
                    **cleaned.facts,
                }
            )
            if request is not None:
                stored = StoredResponse(request.key, request.request_digest, answer)
                await store_responses(connection, [stored], now)
            entry = _entry(caller, "create", "file.added", file, owner.patient)
            await self._audit.record(connection, [entry], now)
            await note_changes(connection, [_changed(file)], now)
        return KeptFile(answer, replayed=False)

    @staticmethod
    def _request(
        caller: Caller, owner: FileOwner, new: NewFile, key: str | None
    ) -> KeyedRequest | None:
        if key is None:
            return None
        parts = (owner.subject, new.kind, new.event_ref or "", new.digest.hex())
        digest = hashlib.sha256("\n".join(("files", *parts)).encode()).digest()
        return keyed_request(caller, Idempotency(key, digest))

    async def _replay(self, request: KeyedRequest) -> KeptFile | None:
        async with self._database.begin() as connection:
            answers, _ = await split_replays(connection, [request], self._clock.now())
        return _replayed(answers[0]) if answers else None

    async def _patient_of(self, file: StoredFile) -> PatientKeys:
        """Return the values that find the patient's record; for a plugin's object only its id."""
        job = Caller(file.account_id, file.mode, "gateway", kind="job")
        async with self._database.read() as connection:
            package = await self._packages.get(connection, job, file.subject)
        if package is None or package.purged:
            return PatientKeys(package_id=file.subject)
        return self._packages.patient_keys(package)


def _changed(file: StoredFile) -> Change:
    """Return a change of the file's subject; for a plugin's object no page listens."""
    return Change("packages", file.account_id, file.mode, file.site, [file.subject])


def _entry(
    caller: Caller, kind: Kind, action: str, file: StoredFile, patient: PatientKeys
) -> AuditEntry:
    return AuditEntry.by(
        caller,
        kind,
        action,
        file.id,
        patient=patient,
        fields=("image",),
        site=file.site,
        purpose="delivery" if file.kind in IMAGES_ONLY else "care",
    )


def _replayed(answer: bytes | GatewayError) -> KeptFile:
    if isinstance(answer, GatewayError):
        raise answer
    return KeptFile(answer, replayed=True)


def _discard(work: "Future[Cleaned]") -> None:
    """Delete the cleaned file of a request that has ended."""
    if not work.cancelled() and work.exception() is None:
        work.result().close()
