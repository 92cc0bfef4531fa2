"""Sign a webhook in each of the three formats, exactly as receivers verify it.

=========== ================================= ============================== ==================
format      header                            what is signed                 the HMAC key
=========== ================================= ============================== ==================
scriptrun   ``t=<unix>,v1=<hex>``             ``<t>.<raw body>``             the secret as shown
autorx      ``<hex>`` or ``<base64>``         ``<raw body>``                 the secret as shown
standard    ``v1,<base64>``, space separated  ``<id>.<unix>.<raw body>``     the base64 after
                                                                             ``whsec_``, decoded
standard,   ``v1a,<base64>``, space separated ``<id>.<unix>.<raw body>``     none: ed25519 with the
``v1a``                                                                      private key
=========== ================================= ============================== ==================

Every MAC is HMAC-SHA256 (RFC 2104). A timestamp is that of the attempt, in whole
seconds since 1970; a body is the exact bytes that are sent. All functions are pure.

Sources: the ScriptRun and AutoRx webhook pages;
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import secrets
from functools import lru_cache
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.plugin import InvalidInput

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of secrets, not a secret
PRIVATE_KEY_PREFIX = "whsk_"
PUBLIC_KEY_PREFIX = "whpk_"

_SECRET_BYTES = 32
_SEED_BYTES = 32


def new_secret() -> str:
    """Make a signing secret: ``whsec_`` and 32 random bytes in standard base64, padded.

    All three formats take this shape.
    """
    return SECRET_PREFIX + _base64(secrets.token_bytes(_SECRET_BYTES))


def sign_scriptrun(secret: str, timestamp: int, body: bytes, next_secret: str | None = None) -> str:
    """Return the value of ``X-ScriptRun-Signature``: ``t=<timestamp>,v1=<hex>``.

    While the secret is being rotated (``next_secret`` is given) it is
    ``t=…,v1=<new>,v1=<in use>``. The order matters: the verifier printed on the
    vendor's page turns the header into an object with ``Object.fromEntries``,
    which keeps the last ``v1``, and that receiver still holds the secret in use.
    """
    message = b"%d.%b" % (timestamp, body)
    in_use = _mac(secret.encode(), message).hex()
    if next_secret is None:
        return f"t={timestamp},v1={in_use}"
    following = _mac(next_secret.encode(), message).hex()
    return f"t={timestamp},v1={following},v1={in_use}"


def sign_autorx(secret: str, body: bytes, encoding: Literal["hex", "base64"] = "hex") -> str:
    """Return the value of ``X-AutoRx-Signature``: the MAC of the body alone, hex or base64.

    The header holds one signature; while the secret is being rotated, call this
    again with the next one for ``X-AutoRx-Signature-Next``.
    """
    mac = _mac(secret.encode(), body)
    return mac.hex() if encoding == "hex" else _base64(mac)


def sign_standard(
    secret: str, message_id: str, timestamp: int, body: bytes, next_secret: str | None = None
) -> str:
    """Return the value of ``webhook-signature``: ``v1,<base64>``.

    While the secret is being rotated (``next_secret`` is given) it is
    ``v1,<in use> v1,<new>``: every published verifier tries the whole list, and
    one that reads only the first entry still holds the secret in use.

    Raises InvalidInput when what follows ``whsec_`` is not base64 or is empty.
    """
    message = _standard_message(message_id, timestamp, body)
    in_use = _base64(_mac(_standard_key(secret), message))
    if next_secret is None:
        return f"v1,{in_use}"
    following = _base64(_mac(_standard_key(next_secret), message))
    return f"v1,{in_use} v1,{following}"


def new_signing_secret(signature: Literal["v1", "v1a"]) -> str:
    """Make an endpoint's signing secret, which the receiver gets, or a private key."""
    return new_private_key() if signature == "v1a" else new_secret()


def new_private_key() -> str:
    """Make an ed25519 key for :func:`sign_standard_asymmetric`: ``whsk_<base64 of 32 bytes>``."""
    return PRIVATE_KEY_PREFIX + _base64(Ed25519PrivateKey.generate().private_bytes_raw())


def public_key_of(private_key: str) -> str:
    """Return the ``whpk_<base64>`` public key that a receiver verifies with.

    Raises InvalidInput as :func:`sign_standard_asymmetric` does.
    """
    return PUBLIC_KEY_PREFIX + _base64(_ed25519_key(private_key).public_key().public_bytes_raw())


def sign_standard_asymmetric(
    private_key: str, message_id: str, timestamp: int, body: bytes, next_key: str | None = None
) -> str:
    """Return the value of ``webhook-signature`` made with ed25519 (RFC 8032): ``v1a,<base64>``.

    While the key is being rotated (``next_key`` is given) it lists both, as
    :func:`sign_standard` does, which signs the same bytes. A private key is ``whsk_`` and the
    base64 of the 32-byte seed, or of the seed and the public key together (64 bytes): the
    specification leaves this open, and published libraries use either.

    Raises InvalidInput when the key is neither, or its two halves don't match.
    """
    message = _standard_message(message_id, timestamp, body)
    keys = [private_key] if next_key is None else [private_key, next_key]
    return " ".join(f"v1a,{_base64(_ed25519_key(each).sign(message))}" for each in keys)


@lru_cache(maxsize=1024)
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def _mac(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA256; the prepared key is cached, which halves the time."""
    mac = _keyed(key).copy()
    mac.update(message)
    return mac.digest()


def _standard_message(message_id: str, timestamp: int, body: bytes) -> bytes:
    return b"%b.%d.%b" % (message_id.encode(), timestamp, body)


def _standard_key(secret: str) -> bytes:
    key = _from_base64(secret.removeprefix(SECRET_PREFIX))
    if not key:
        raise InvalidInput(
            "The signing secret is not base64 after whsec_; rotate it to get a usable one."
        )
    return key


@lru_cache(maxsize=1024)
def _ed25519_key(private_key: str) -> Ed25519PrivateKey:
    raw = _from_base64(private_key.removeprefix(PRIVATE_KEY_PREFIX))
    seed, public = raw[:_SEED_BYTES], raw[_SEED_BYTES:]
    if len(seed) == _SEED_BYTES:
        key = Ed25519PrivateKey.from_private_bytes(seed)
        if public in (b"", key.public_key().public_bytes_raw()):
            return key
    raise InvalidInput(
        "The private key is not an ed25519 key in base64 after whsk_; "
        "give 32 bytes (the seed) or 64 (the seed and its public key)."
    )


def _base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


def _from_base64(text: str) -> bytes:
    """Decode standard base64, padded or not; return ``b""`` for anything else."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:  # binascii.Error, or characters outside ASCII
        return b""
