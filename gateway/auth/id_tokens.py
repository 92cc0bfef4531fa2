"""The signatures of ID tokens and the keys of a provider, by ``joserfc``.

Imported with the first token: most gateways have no provider, and ``joserfc`` is two megabytes.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, KeySet

_ALGORITHMS: Final = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "Ed25519",
]  # fmt: skip
_MAX_HEADER_BYTES: Final = 4096
_MAX_KEYS: Final = 50
_PUBLIC_KEYS: Final = frozenset({"RSA", "EC", "OKP"})

# What a token or a key that isn't what it should be makes joserfc and msgspec raise.
UNREADABLE: Final = (JoseError, msgspec.MsgspecError, ValueError, TypeError, KeyError)


def claims_of(id_token: str, keys: KeySet) -> Mapping[str, Any]:
    """Return the claims of a token that one of ``keys`` has signed; raises ``UNREADABLE``."""
    registry = jws.JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False)
    registry.max_header_length = _MAX_HEADER_BYTES  # some providers put a certificate there
    signed = jws.deserialize_compact(id_token, keys, registry=registry)
    # Not joserfc.jwt: json.loads would take NaN for a time.
    return msgspec.json.decode(signed.payload or b"", type=dict[str, Any])


def usable(given: list[dict[str, Any]]) -> KeySet:
    """Return the public keys for signatures; others, and those that can't be read, are left out."""
    keys = []
    for each in given[:_MAX_KEYS]:
        if each.get("kty") not in _PUBLIC_KEYS or each.get("use", "sig") != "sig":
            continue
        try:
            keys.append(JWKRegistry.import_key(each))
        except UNREADABLE:
            continue
    return KeySet(keys)
