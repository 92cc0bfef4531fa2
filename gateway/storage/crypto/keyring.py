"""The master keys: their text form and the key file.

One *index* key makes the blind indexes and never changes, so that look-ups find old rows. Numbered
*seal* keys seal the values: the highest number seals, and all of them unseal. In text, newlines or
commas separate::

    index <base64 of 32 bytes>
    seal-1 <base64 of 32 bytes>
    seal-2 <base64 of 32 bytes>
    index-2 <base64 of 32 bytes>

``index-N`` lines exist after a new index key was made: the highest makes the indexes by which
packages are searched, and the others find older rows of the audit trail. The index that recognises
an order always uses the first one.

The database can be read only with this text: back it up, and not beside the database. A master key
is never used itself; a key is derived from it for each purpose (:func:`derived_key`).
"""

import base64
import binascii
import contextlib
import os
import re
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import ConfigurationError, SealKeyMissing

KEY_BYTES = 32
HIGHEST_SEAL_ID = 0xFFFF  # two bytes in the header of every sealed value

_INDEX = "index"
_SEAL = re.compile(r"seal-([1-9][0-9]{0,4})", re.ASCII)
_NEXT_INDEX = re.compile(r"index-([2-9]|[1-9][0-9]{1,3})", re.ASCII)


def derived_key(master_key: bytes, purpose: str) -> bytes:
    """Derive the 32-byte key for one purpose from a master key (HKDF-SHA256, RFC 5869).

    No salt: the master key is uniformly random already (RFC 5869, section 3.1).
    """
    hkdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose.encode())
    return hkdf.derive(master_key)


@dataclass(frozen=True, slots=True, repr=False)
class Keyring:
    """The index key and every seal key, ``(number, 32 bytes)``, lowest number first."""

    index_key: bytes
    seal_keys: tuple[tuple[int, bytes], ...]
    next_index_keys: tuple[tuple[int, bytes], ...] = ()

    @classmethod
    def generate(cls) -> Self:
        """Make a new index key and a new seal key number 1."""
        return cls(secrets.token_bytes(KEY_BYTES), ((1, secrets.token_bytes(KEY_BYTES)),))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form; blank lines don't matter.

        Raises ConfigurationError, which names the line (commas count as line ends) and its fault,
        and shows no part of the line.
        """
        found: dict[str, bytes] = {}
        line_of: dict[bytes, int] = {}
        for number, line in enumerate(re.split(r"[\n,]", text), start=1):
            if not line.strip():
                continue
            where = f"master key, line {number}"
            name, key = _parse_line(line, where)
            if name in found:
                kind = "index" if name.startswith(_INDEX) else "seal"
                text = (
                    "there is an index key already; keep one"
                    if name == _INDEX
                    else f"there is {'an' if kind == 'index' else 'a'} {name} already; "
                    f"give each {kind} key its own number"
                )
                raise ConfigurationError(f"{where}: {text}")
            if key in line_of:
                raise ConfigurationError(
                    f"{where}: the same key is on line {line_of[key]}; "
                    "every line needs a key of its own"
                )
            line_of[key] = number
            found[name] = key
        if _INDEX not in found:
            raise ConfigurationError("master key: the index line is missing; restore it")
        seal_keys = _numbered(_SEAL, found)
        if not seal_keys:
            raise ConfigurationError("master key: there is no seal line; restore at least one")
        return cls(found[_INDEX], seal_keys, _numbered(_NEXT_INDEX, found))

    def to_text(self) -> str:
        """Write the text form, one key a line. Secret: for the key file only."""
        named = [(_INDEX, self.index_key)]
        named += [(f"seal-{seal_id}", key) for seal_id, key in self.seal_keys]
        named += [(f"{_INDEX}-{number}", key) for number, key in self.next_index_keys]
        return "".join(f"{name} {base64.b64encode(key).decode()}\n" for name, key in named)

    def rotated(self) -> Self:
        """Add a new seal key for sealing; all existing ones still unseal."""
        seal_id = self.active_id + 1
        if seal_id > HIGHEST_SEAL_ID:
            raise ConfigurationError(
                f"master key: seal-{HIGHEST_SEAL_ID} is the last possible seal key"
            )
        new = (seal_id, secrets.token_bytes(KEY_BYTES))
        return type(self)(self.index_key, (*self.seal_keys, new), self.next_index_keys)

    def with_new_index(self) -> Self:
        """Add a new index key for searches; the others find old audit rows."""
        number = self.next_index_keys[-1][0] + 1 if self.next_index_keys else 2
        new = (number, secrets.token_bytes(KEY_BYTES))
        return type(self)(self.index_key, self.seal_keys, (*self.next_index_keys, new))

    @property
    def search_keys(self) -> tuple[bytes, ...]:
        """The index keys that searches have used, the newest first."""
        return (*(key for _, key in reversed(self.next_index_keys)), self.index_key)

    @property
    def active_id(self) -> int:
        """The number of the key that seals: the highest."""
        return self.seal_keys[-1][0]

    @property
    def seal_ids(self) -> tuple[int, ...]:
        """The numbers of all seal keys, lowest first."""
        return tuple(seal_id for seal_id, _ in self.seal_keys)

    def seal_key(self, seal_id: int) -> bytes:
        """Return one seal key; SealError names the number if it isn't here."""
        key = dict(self.seal_keys).get(seal_id)
        if key is None:
            raise missing_seal_key(seal_id)
        return key

    def fingerprint(self) -> str:
        """Return 16 hex digits that identify this keyring.

        It stays the same across rotations and doesn't reveal the keys. It is stored in the database
        and compared at every start, so that a lost and newly made key file is noticed before a
        value is sealed with it.
        """
        return derived_key(self.index_key, "rx-gateway fingerprint v1")[:8].hex()

    def __repr__(self) -> str:
        """Show the fingerprint and the numbers, no key."""
        return f"<Keyring {self.fingerprint()} seal_ids={list(self.seal_ids)}>"


def missing_seal_key(seal_id: int) -> SealKeyMissing:
    """Make the error that names the missing seal key."""
    return SealKeyMissing(
        f"seal key number {seal_id} is missing: put its seal-{seal_id} line back "
        "into the master key and restart"
    )


def load(path: Path) -> Keyring:
    """Read a key file.

    Raises ConfigurationError if it is missing, can't be read or understood, or
    (on POSIX) if users other than its owner may read or change it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except OSError as error:
        text = f"can't be read ({error.strerror}); give the gateway's user access to it"
        if isinstance(error, FileNotFoundError):
            text = "is not there; put back the copy that you keep of it (no backup holds it)"
        raise ConfigurationError(f"{path}: the master key {text}") from error
    if sys.platform != "win32" and mode & 0o077:
        raise ConfigurationError(
            f"{path}: others than its owner may read or change the master key "
            f"(mode {mode:04o}); run: chmod 600 {path}"
        )
    try:
        # "replace": a decoding error would contain the file's content.
        return Keyring.parse(content.decode("utf-8-sig", "replace"))
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error.message}") from error


def load_or_create(path: Path) -> Keyring:
    """Read the key file; create it at the first start: mode 0600, in a 0700 directory.

    Any number of processes may start at once: one of them makes the key, all of them return it. The
    file appears only when it is complete, and is on disk before this returns. Raises
    ConfigurationError as :func:`load` does.
    """
    if not os.path.lexists(path):
        _create(path)
    return load(path)


def save(path: Path, keyring: Keyring) -> None:
    """Replace the key file in one step, with the same owner and mode 0600; on disk on return.

    Refuses to overwrite another key of the same name (the file of another installation, or of a
    second rotation): the values sealed with it could never be read again. Raises
    ConfigurationError.
    """
    path = path.resolve()  # a symbolic link stays; the key that it points to is replaced
    if path.exists():
        _refuse_to_lose_a_key(path, load(path), keyring)
    try:
        with _written_beside(path, keyring) as temporary:
            if sys.platform != "win32" and path.exists():
                owner = path.stat()
                # root may rotate the key, and the service must be able to read it
                if owner.st_uid != os.geteuid():
                    os.chown(temporary, owner.st_uid, owner.st_gid)
            temporary.replace(path)
        flush_names_to_disk(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


def _numbered(pattern: re.Pattern[str], found: dict[str, bytes]) -> tuple[tuple[int, bytes], ...]:
    """Return the keys whose names match, ``(number, key)``, lowest number first."""
    return tuple(
        sorted(
            (int(name[1]), key) for text, key in found.items() if (name := pattern.fullmatch(text))
        )
    )


def _parse_line(line: str, where: str) -> tuple[str, bytes]:
    """Return the name of a key and the key."""
    name, _, encoded = line.strip().partition(" ")
    seal = _SEAL.fullmatch(name)
    is_index = name == _INDEX or _NEXT_INDEX.fullmatch(name) is not None
    if not is_index and (seal is None or int(seal[1]) > HIGHEST_SEAL_ID):
        raise ConfigurationError(
            f"{where}: expected 'index' or 'seal-<number from 1 to {HIGHEST_SEAL_ID}>', "
            "a space and the key"
        )
    try:
        key = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):  # ValueError: not even ASCII
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"{where}: expected the base64 of {KEY_BYTES} bytes (44 characters) after the name"
        )
    return name, key


def _refuse_to_lose_a_key(path: Path, present: Keyring, wanted: Keyring) -> None:
    saved = dict(wanted.seal_keys)
    saved_indexes = dict(wanted.next_index_keys)
    if (
        present.index_key != wanted.index_key
        or any(saved.get(seal_id, key) != key for seal_id, key in present.seal_keys)
        or any(saved_indexes.get(number, key) != key for number, key in present.next_index_keys)
    ):
        raise ConfigurationError(
            f"{path}: holds other keys than the ones to be saved, under the same names; nothing "
            "was changed. Run the command again, or move the file to a safe place first"
        )


def _create(path: Path) -> None:
    directory = path.parent
    try:
        new = [each for each in (directory, *directory.parents) if not each.exists()]
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            _written_beside(path, Keyring.generate()) as temporary,
            contextlib.suppress(FileExistsError),  # another process was first: use its key
        ):
            if sys.platform == "win32":
                temporary.rename(path)  # never overwrites on that system
            else:
                path.hardlink_to(temporary)
        for each in (directory, *(made.parent for made in new)):
            flush_names_to_disk(each)
    except OSError as error:
        raise _unwritable(path, error) from error


@contextlib.contextmanager
def _written_beside(path: Path, keyring: Keyring) -> Iterator[Path]:
    """Write a new file into the same directory; deleted at the end unless it was renamed."""
    # mkstemp opens with O_EXCL and mode 0600.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(keyring.to_text().encode())
            file.flush()
            flush_to_disk(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{path}: the master key can't be written ({error.strerror}); make its directory writable "
        "for the gateway's user, on a disk that knows hard links, or set the master key yourself"
    )


def flush_to_disk(descriptor: int) -> None:
    """Flush an open file's bytes to the disk itself.

    On macOS fsync leaves them in the drive's cache; F_FULLFSYNC doesn't, where the volume
    knows it (https://developer.apple.com/library/archive/documentation/System/Conceptual/ManPages_iPhoneOS/man2/fsync.2.html).
    """
    if sys.platform == "darwin":
        import fcntl

        with contextlib.suppress(OSError):  # a volume on the network may not
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def flush_names_to_disk(directory: Path) -> None:
    """Make a new name in a directory survive power loss; Windows has no such call."""
    if sys.platform != "win32":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            flush_to_disk(descriptor)
        finally:
            os.close(descriptor)
