"""Permissions: the words that routes, pages, keys and roles share.

The table of the core's permissions, roles and presets is :mod:`gateway.auth.roles`.
"""

from typing import Final, Literal

import msgspec

Role = Literal["owner", "manager", "pharmacist", "dispatcher", "integrator", "privacy_officer"]
"""What a person is in an account; one role for each account."""

ANY_CALLER: Final = "any"
"""What a route names whose answer holds nothing of an account: every valid key may call it."""

REVEAL_CONTACT: Final = "reveal.contact"
"""Names, addresses and phone numbers are shown in full."""

REVEAL_RX: Final = "reveal.rx"
"""Rx numbers, drugs and prescribers are shown in full."""

REVEALING: Final = frozenset({REVEAL_CONTACT, REVEAL_RX})
"""The permissions without which patient data is masked."""


class Permission(msgspec.Struct, frozen=True):
    """A permission: its name, its meaning for the People page, and the roles that have it.

    The name of a plugin's begins with the plugin's name: ``acme_erp.sync``. An owner has every
    permission; a key has one only when it was created or changed with it.
    """

    name: str
    meaning: str
    roles: tuple[Role, ...] = ()
