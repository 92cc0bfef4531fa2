"""The one table of permissions, roles and presets of scopes.

A key's scopes are permissions. A preset is expanded when a key is made, so that a later version
never adds a permission to an existing key. Only ``legacy`` is stored by its name: keys from before
scopes existed have it until they are narrowed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from gateway.errors import InvalidInput, Problem
from gateway.model.permission import Permission, Role

_CARE: Final[tuple[Role, ...]] = ("manager", "pharmacist")
_ROAD: Final[tuple[Role, ...]] = ("manager", "pharmacist", "dispatcher")
_TECHNICAL: Final[tuple[Role, ...]] = ("manager", "integrator")

CORE: Final[tuple[Permission, ...]] = (
    Permission("orders.create", "Send orders.", _CARE),
    Permission("orders.amend", "Correct orders, release held ones.", _CARE),
    Permission("packages.read", "See packages and their timelines, masked.", _ROAD),
    Permission("reveal.contact", "See names, addresses, phone numbers, notes.", _ROAD),
    Permission("reveal.rx", "See rx numbers, drugs and prescribers.", _CARE),
    Permission("packages.update", "Report what happened to a package.", _ROAD),
    Permission("files.proof", "See photos and signatures of deliveries.", _ROAD),
    Permission("files.rx", "See scanned labels and fax pages.", _CARE),
    Permission("rx.submit", "Send prescriptions to the queue.", ("manager",)),
    Permission("rx.read", "See the prescription queue, masked.", _CARE),
    Permission("rx.review", "Correct, approve and reject prescriptions.", _CARE),
    Permission("rx.agent", "Lease prescriptions in full and report their results.", ("manager",)),
    Permission("webhooks.read", "See endpoints, deliveries and attempts.", _TECHNICAL),
    Permission("webhooks.manage", "Add and change endpoints and their secrets.", _TECHNICAL),
    Permission("deliveries.resend", "Send deliveries again.", _TECHNICAL),
    Permission("events.read", "See events, masked.", _TECHNICAL),
    Permission("imports.run", "Import spreadsheets.", _CARE),
    Permission("labels.scan", "Scan printed labels.", _CARE),
    Permission("reports.money", "See and export reports of copays.", _ROAD),
    Permission(
        "reports.signatures",
        "See and export signature logs.",
        ("manager", "pharmacist", "privacy_officer"),
    ),
    Permission(
        "reports.access",
        "See and export who saw a patient's record.",
        ("manager", "pharmacist", "privacy_officer"),
    ),
    Permission("day.close", "Close the day.", _CARE),
    Permission("keys.manage", "Create and revoke keys.", _TECHNICAL),
    Permission("people.manage", "Invite people and change their roles.", ("manager",)),
    Permission("audit.read", "Read the audit trail.", ("manager", "privacy_officer")),
    Permission("settings.read", "See the settings, without secrets.", ("manager",)),
    Permission("records.break_glass", "Open one record for 30 minutes, with a reason.", _ROAD),
)
"""The core's permissions. An owner has all of them, and those of plugins."""

ROLES: Final[tuple[Role, ...]] = (
    "owner",
    "manager",
    "pharmacist",
    "dispatcher",
    "integrator",
    "privacy_officer",
)

LEGACY: Final = "legacy"
LEGACY_SCOPES: Final = frozenset(
    {
        "orders.create",
        "orders.amend",
        "packages.read",
        "reveal.contact",
        "reveal.rx",
        "packages.update",
        "rx.submit",
        "rx.read",
        "rx.review",
        "rx.agent",
        "webhooks.read",
        "webhooks.manage",
        "deliveries.resend",
        "events.read",
        "imports.run",
    }
)
"""The permissions of every key before scopes existed."""

ALL: Final = "all"
DEFAULT_PRESET: Final = "orders"
_ORDERS: Final = frozenset({"orders.create", "packages.read", "packages.update"})
PRESETS: Final[Mapping[str, frozenset[str]]] = {
    "orders": _ORDERS,
    "integration": _ORDERS | {"reveal.contact", "reveal.rx"},
    "agent": frozenset({"rx.agent"}),
    "webhooks": frozenset({"webhooks.read", "webhooks.manage", "deliveries.resend"}),
    LEGACY: LEGACY_SCOPES,
}
"""Presets of scopes; ``all`` is every permission that exists when the key is made."""

_BY_COMMAND_LINE: Final = ("people.", "keys.", "audit.", "reports.", "records.")


def only_by_command_line(permission: str) -> bool:
    """Return whether only the command line may make a key with ``permission``.

    These are people, keys, audit and exports, reports included; emergencies are for people.
    """
    return permission.startswith(_BY_COMMAND_LINE)


class Permissions:
    """The permissions of one gateway: the core's, and those of its plugins."""

    def __init__(self, plugins: Iterable[Permission] = ()) -> None:
        self.table: tuple[Permission, ...] = (*CORE, *plugins)
        self.names = frozenset(each.name for each in self.table)

    def of_role(self, role: Role) -> frozenset[str]:
        """Return the permissions of a role."""
        if role == "owner":
            return self.names
        return frozenset(each.name for each in self.table if role in each.roles)

    def scopes(self, given: Sequence[str]) -> frozenset[str]:
        """Return the permissions that scopes and presets stand for.

        Raises ``InvalidInput`` for an unknown one, and for ``legacy``, which can't be given.
        """
        presets = {**PRESETS, ALL: self.names}
        del presets[LEGACY]
        unknown = [each for each in given if each not in presets and each not in self.names]
        if unknown or not given:
            known = ", ".join([*presets, *sorted(self.names)])
            raise InvalidInput(
                "A scope is a permission or a preset; name at least one.",
                [Problem(f"there is no scope of that name; there are {known}", field="scopes")],
            )
        return frozenset[str]().union(*(presets.get(each, {each}) for each in given))


def stored(scopes: frozenset[str]) -> str:
    """Return the text of a key's scopes, as its row has them: sorted, with spaces between."""
    return " ".join(sorted(scopes))


def permissions_of(scopes: str) -> frozenset[str]:
    """Return the permissions of a key's stored scopes; those of an absent plugin have no effect."""
    return LEGACY_SCOPES if scopes == LEGACY else frozenset(scopes.split())
