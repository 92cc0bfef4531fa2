"""Time-ordered ids: a prefix for the kind, and a UUIDv7 (RFC 9562, section 5.7).

``pkg_`` package, ``evt_`` event, ``dst_`` destination, ``dlv_`` delivery, ``key_`` API key.
Being time-ordered they append to an index instead of scattering over it.
"""

import os
from datetime import datetime

from gateway.clock import to_epoch_ms

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62
_RANDOM_A = ((1 << 12) - 1) << 64
_RANDOM_B = (1 << 62) - 1


def new_id(prefix: str, at: datetime) -> str:
    """Return ``prefix`` + ``_`` + 32 hex digits whose first 48 bits are ``at`` in milliseconds."""
    return new_ids(prefix, to_epoch_ms(at), 1)[0]


def new_ids(prefix: str, at_epoch_ms: int, count: int) -> list[str]:
    """Return ``count`` ids of one time, with one read of the system's randomness."""
    noise = os.urandom(10 * count)
    head = (at_epoch_ms << 80) | _VERSION_7 | _VARIANT
    ids = []
    for start in range(0, 10 * count, 10):
        random = int.from_bytes(noise[start : start + 10], "big")
        number = head | ((random << 2) & _RANDOM_A) | (random & _RANDOM_B)
        ids.append(f"{prefix}_{number:032x}")
    return ids


def first_id(prefix: str, at: datetime) -> str:
    """Return the smallest id of the time ``at``: later ids sort after it."""
    return f"{prefix}_{to_epoch_ms(at) << 80:032x}"
