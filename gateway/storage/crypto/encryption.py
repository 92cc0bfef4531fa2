"""Sealing (envelope encryption): patient data at rest can't be read without the master key.

A sealed value is laid out as::

    1 byte   version, 1
    2 bytes  number of the seal key, big-endian
    24 bytes nonce
    n bytes  AES-256-GCM ciphertext, as long as the plaintext
    16 bytes tag

Its associated data is the first three bytes, the table, a NUL and the row id, so
a value moved to another row or table doesn't open.

Why 24 bytes of nonce: with 12 random bytes one AES-GCM key is good for 2^32 values (NIST SP
800-38D, section 8.3), and all processes would have to count them together, across restarts. Here
the first half of the nonce derives a key for this value alone and the second half is that key's GCM
nonce; 2^80 values stay safe without a count. This is XAES-256-GCM, https://c2sp.org/XAES-256-GCM,
unchanged. It costs 12 bytes and about 1 µs a value.

Every nonce comes directly from the operating system: a buffer in this process would save 0.04 µs
and would have to be cleared at every fork. A call that seals many values would save only 9 %.
"""

import hashlib
import hmac
import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from gateway.errors import SealError
from gateway.storage.crypto.keyring import Keyring, derived_key, missing_seal_key

VERSION = 1
BLIND_INDEX_BYTES = 16
LEDGER_BYTES = 32

_HEADER_BYTES = 3
_NONCE_BYTES = 24
_NONCE_END = _HEADER_BYTES + _NONCE_BYTES
_TAG_BYTES = 16
_BLOCK_BYTES = 16
_HASH_BLOCK_BYTES = 64


class ExtendedNonceCipher:
    """XAES-256-GCM under one 32-byte key: AES-256-GCM with nonces of 24 bytes."""

    __slots__ = ("_aes", "_mask")

    def __init__(self, key: bytes) -> None:
        # The key derivation encrypts single blocks under a secret key; no data is ever encrypted
        # this way.
        self._aes = Cipher(AES(key), ECB()).encryptor()  # noqa: S305
        # CMAC's subkey K1 (NIST SP 800-38B, section 6.1): double in GF(2^128).
        doubled = int.from_bytes(self._aes.update(bytes(_BLOCK_BYTES))) << 1
        k1 = ((doubled ^ 0x87) if doubled >> 128 else doubled) & (2**128 - 1)
        blocks = (b"\x00\x01X\x00" + bytes(12)) + (b"\x00\x02X\x00" + bytes(12))
        self._mask = int.from_bytes(blocks) ^ (k1 << 128 | k1)

    def at(self, nonce: bytes) -> AESGCM:
        """Return the cipher for ``nonce[:12]``; its own nonce is ``nonce[12:]``."""
        half = int.from_bytes(nonce[:12])
        return AESGCM(self._aes.update(((half << 128 | half) ^ self._mask).to_bytes(32)))


class Sealer:
    """Seals and opens values, and computes blind indexes, with the keys of one keyring.

    Threads may share it, and it survives a fork. ``reload`` reads the keyring again; it is called
    for a value with an unknown key number, after another process rotated the keys.
    """

    __slots__ = (
        "_active",
        "_active_header",
        "_active_id",
        "_chains",
        "_ciphers",
        "_index",
        "_index_key",
        "_ledger",
        "_reload",
        "_searches",
    )

    def __init__(self, keyring: Keyring, reload: Callable[[], Keyring] | None = None) -> None:
        self._reload = reload
        self._adopt(keyring)

    def _adopt(self, keyring: Keyring) -> None:
        self._ciphers = {
            seal_id: ExtendedNonceCipher(derived_key(key, "rx-gateway seal v1"))
            for seal_id, key in keyring.seal_keys
        }
        self._chains = {
            seal_id: hmac.new(derived_key(key, "rx-gateway audit chain v1"), digestmod="sha256")
            for seal_id, key in keyring.seal_keys
        }
        self._active_id = keyring.active_id
        self._active = self._ciphers[self._active_id]
        self._active_header = bytes((VERSION, *self._active_id.to_bytes(2)))
        self._index_key = keyring.index_key
        index_key = derived_key(keyring.index_key, "rx-gateway blind index v1")
        self._index = _KeyedHash(index_key)
        self._searches = tuple(
            _KeyedHash(derived_key(key, "rx-gateway blind index v1")) for key in keyring.search_keys
        )
        ledger_key = derived_key(keyring.index_key, "rx-gateway disclosure ledger v1")
        self._ledger = hashlib.blake2b(key=ledger_key, digest_size=LEDGER_BYTES)

    def seal(self, plaintext: bytes, *, table: str, row_id: str) -> bytes:
        """Seal a value for one row of one table with the newest key; 43 bytes longer."""
        nonce = os.urandom(_NONCE_BYTES)
        header = self._active_header
        return (
            header
            + nonce
            + self._active.at(nonce).encrypt(
                nonce[12:], plaintext, _associated_data(header, table, row_id)
            )
        )

    def unseal(self, sealed: bytes, *, table: str, row_id: str) -> bytes:
        """Open a value sealed for this row of this table, with the key that sealed it.

        Raises SealError if that key is missing, or the value was moved or changed.
        """
        seal_id = key_id_of(sealed)
        if seal_id not in self._ciphers and self._reload is not None:
            self._adopt(self._reload())
        cipher = self._ciphers.get(seal_id)
        if cipher is None:
            raise missing_seal_key(seal_id)
        nonce = sealed[_HEADER_BYTES:_NONCE_END]
        place = _associated_data(sealed[:_HEADER_BYTES], table, row_id)
        try:
            return cipher.at(nonce).decrypt(nonce[12:], sealed[_NONCE_END:], place)
        except InvalidTag:
            raise SealError(
                f"a sealed value in {table} doesn't open: it was changed, moved from another row, "
                "or sealed under another master key; restore the row or the master key from backup"
            ) from None

    def needs_resealing(self, sealed: bytes) -> bool:
        """Return whether a value was sealed with another key than the newest."""
        return key_id_of(sealed) != self._active_id

    @property
    def active_id(self) -> int:
        """The number of the key for sealing and for the chain of the audit trail."""
        return self._active_id

    def chain_digest(self, seal_id: int, content: bytes) -> bytes:
        """Return the HMAC-SHA256 of the audit trail's chain under the key of number ``seal_id``.

        The key is derived from that seal key and used for nothing else: access to the database
        alone doesn't reveal it, and rows from before a rotation verify with the retired key.
        """
        if seal_id not in self._chains and self._reload is not None:
            self._adopt(self._reload())
        chain = self._chains.get(seal_id)
        if chain is None:
            raise missing_seal_key(seal_id)
        mac = chain.copy()
        mac.update(content)
        return mac.digest()

    def mac(self, purpose: str, content: bytes) -> bytes:
        """Return the HMAC-SHA256 of ``content`` under a key of its own for ``purpose``.

        It stays the same after a rotation: it is derived from the index key.
        """
        key = derived_key(self._index_key, f"rx-gateway {purpose} v1")
        return hmac.digest(key, content, "sha256")

    def ledger_digest(self, content: bytes) -> bytes:
        """Return the keyed hash of one row of the disclosure ledger; the same after a rotation.

        Keyed BLAKE2b (RFC 7693), because every attempt is hashed and an HMAC takes twice the time.
        """
        mac = self._ledger.copy()
        mac.update(content)
        return mac.digest()

    def blind_index(self, field: str, account_id: str, value: str) -> bytes:
        """Return the 16 bytes by which a value is found: a keyed one-way hash, for exact matches.

        The same value gives other bytes in another field or account, and the
        same bytes after a rotation. Fold case and spaces before calling.
        """
        return _index(self._index, field, account_id, value)

    def search_index(self, field: str, account_id: str, value: str) -> bytes:
        """Return the blind index under the newest index key, by which packages are searched."""
        return _index(self._searches[0], field, account_id, value)

    def search_indexes(self, field: str, account_id: str, value: str) -> tuple[bytes, ...]:
        """Return the blind indexes under every index key, the newest first: for the audit alone."""
        return tuple(_index(each, field, account_id, value) for each in self._searches)


class _KeyedHash:
    """HMAC-SHA256 (RFC 2104) under a key of at most 64 bytes, for short texts.

    An imported order needs seven of them. Both inner hashes begin with a block that depends on the
    key only, so they are computed once. ``hmac.HMAC.copy`` does the same in nearly twice the time.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(_HASH_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(each ^ 0x36 for each in block))
        self._outer = hashlib.sha256(bytes(each ^ 0x5C for each in block))

    def digest(self, content: bytes) -> bytes:
        """Return the 32 bytes of ``content``."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(content)
        outer.update(inner.digest())
        return outer.digest()


def _index(keyed: _KeyedHash, field: str, account_id: str, value: str) -> bytes:
    # Lengths in front keep ("ab", "c") and ("a", "bc") apart. "surrogatepass": invalid text is
    # simply not found.
    scoped = f"{len(field)}:{field}{len(account_id)}:{account_id}{value}"
    return keyed.digest(scoped.encode("utf-8", "surrogatepass"))[:BLIND_INDEX_BYTES]


def key_id_of(sealed: bytes) -> int:
    """Return the number of the key a value was sealed with; SealError if it isn't one."""
    if len(sealed) < _NONCE_END + _TAG_BYTES or sealed[0] != VERSION:
        raise SealError(
            "a stored value isn't sealed in a form this version knows: it was damaged, "
            "or written by a newer gateway; restore it or upgrade"
        )
    return sealed[1] << 8 | sealed[2]


def _associated_data(header: bytes, table: str, row_id: str) -> bytes:
    """Bind a value to its place; a table name contains no NUL, so the first NUL ends it."""
    if "\0" in table:
        raise SealError("a table's name can't hold a NUL character")
    return header + f"{table}\0{row_id}".encode()
