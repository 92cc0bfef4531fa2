"""A stored file: the photo or signature of a delivery, a label, a fax page."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, NamedTuple

import msgspec

from gateway.model.account import Mode
from gateway.model.audit import NO_PATIENT, PatientKeys

FileKind = Literal["photo", "signature", "label", "fax_page"]

EXTENSIONS: Final[Mapping[str, str]] = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "application/pdf": "pdf",
}
"""The accepted media types, each with the ending of a file's name."""

IMAGES_ONLY: Final[frozenset[str]] = frozenset({"photo", "signature"})
"""Kinds of files that are shown as a picture: no PDF."""

MAX_FILE_BYTES: Final = 10_000_000


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it is stored. ``subject`` is the id of the package or object it belongs to.

    ``thumbnail_bytes`` is 0 where there is no thumbnail. Links that were made up to
    ``links_after`` don't open any more.
    """

    id: str
    account_id: str
    mode: Mode
    site: str | None
    subject: str
    kind: FileKind
    media_type: str
    size_bytes: int
    thumbnail_bytes: int
    created_at: datetime
    actor: str
    links_after: datetime | None = None

    @property
    def name(self) -> str:
        """The file's name: its id, because the sent name may contain a patient's."""
        return f"{self.id}.{EXTENSIONS[self.media_type]}"


class FileOwner(NamedTuple):
    """The subject of a file. ``patient`` names the patient's record in the audit trail."""

    subject: str
    account_id: str
    mode: Mode
    site: str | None
    patient: PatientKeys = NO_PATIENT


class KeptFile(NamedTuple):
    """The stored answer to an upload, as JSON; ``replayed`` if it was given before."""

    answer: bytes
    replayed: bool


def media_type_of(head: bytes) -> str | None:
    """Return the media type by a file's first bytes, ``None`` for one that isn't kept."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return "application/pdf" if head.startswith(b"%PDF-") else None
