"""Entries of the audit trail: who did or saw what, in whose record, why and through what.

The words are those of HIPAA 164.312(b), 164.528 and PHIPA s.10.1; the shape follows IHE BALP
(https://profiles.ihe.net/ITI/BALP/). Texts contain ids and fixed words, never patient data: an
entry refers to a patient by blind indexes only (:class:`PatientKeys`).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple, Self

import msgspec

from gateway.model.account import Caller, CallerKind

Kind = Literal[
    "view", "reveal", "list", "search", "create", "change", "export", "print", "disclose",
    "sign_in", "denied",
]  # fmt: skip
FieldGroup = Literal["identity", "contact", "rx", "money", "image", "proof"]
Purpose = Literal[
    "care", "delivery", "payment", "operations", "patient_request", "legal", "emergency"
]
Via = Literal["page", "key", "cli", "job"]

FOLDED_KINDS: Final = frozenset({"view", "reveal", "list", "denied"})
"""Kinds for which repetitions by the same session or key within ten minutes are one entry."""

ALL_OF_AN_ORDER: Final[tuple[FieldGroup, ...]] = ("contact", "identity", "money", "rx")
"""The field groups of a whole order."""
_VIA: Final[dict[CallerKind, Via]] = {"key": "key", "person": "page", "cli": "cli", "job": "job"}
_CLI: Final = "cli:"
_PERSON: Final = "per_"

# The field groups of an event's data, by the keys that it may hold.
_GROUPS: Final[dict[str, FieldGroup]] = {
    "external_patient_id": "identity",
    "patient_id": "identity",
    "patient_name": "identity",
    "date_of_birth": "identity",
    "patient_address": "contact",
    "patient_phone": "contact",
    "patient_email": "contact",
    "rx_number": "rx",
    "rx_numbers": "rx",
    "prescriptions": "rx",
    "din": "rx",
    "reason": "rx",
    "reasons": "rx",
    "copay_amount": "money",
    "copay_collected": "money",
    "copay_method": "money",
    "proof": "proof",
    "signer_name": "proof",
    "photo_url": "image",
    "photo_file": "image",
    "signature_url": "image",
    "signature_file": "image",
}


class PatientKeys(NamedTuple):
    """The values that find a patient's record: the package's id, and blind indexes of others."""

    package_id: str | None = None
    patient: bytes | None = None
    rx: tuple[bytes, ...] = ()
    phone: bytes | None = None
    name_address: bytes | None = None

    def pairs(self) -> Iterator[tuple[str, bytes]]:
        """Yield ``(name, value)`` for each value that is set."""
        if self.package_id is not None:
            yield "package", self.package_id.encode()
        for name, value in (
            ("patient", self.patient),
            *(("rx", each) for each in self.rx),
            ("phone", self.phone),
            ("name_address", self.name_address),
        ):
            if value is not None:
                yield name, value

    @property
    def identity(self) -> bytes | None:
        """The index that identifies the patient: of the patient's id, else of name and address."""
        return self.patient or self.name_address


NO_PATIENT: Final = PatientKeys()


class AuditEntry(msgspec.Struct, frozen=True):
    """An action or a view.

    ``fields`` are the shown groups, ``purpose`` is the reason, ``via`` the interface; ``session``
    is a session's id or empty. ``address`` is the client's and ``detail`` a note: both are sealed.
    ``outcome`` is a word, such as ``done``, ``none`` (a search without hits) or ``denied``.
    """

    account_id: str
    actor: str
    action: str
    subject: str
    patient: PatientKeys = NO_PATIENT
    kind: Kind = "change"
    fields: tuple[FieldGroup, ...] = ()
    site: str | None = None
    purpose: Purpose = "operations"
    via: Via = "job"
    session: str | None = None
    outcome: str = "done"
    address: str | None = None
    detail: str | None = None
    is_read: bool = False
    """Whether a disclosure is a read record, whose repetitions are folded like reveals."""

    @classmethod
    def by(cls, caller: Caller, kind: Kind, action: str, subject: str, **facts: Any) -> Self:
        """Return an entry about ``caller``, with its account, actor, site, interface and session.

        ``facts`` are further fields of the entry, or replace these. A record that is revealed to
        another party's key is a disclosure, whose detail names the party.
        """
        if caller.party is not None and kind == "reveal":
            kind = "disclose"
            facts = {"detail": caller.party, "is_read": True, **facts}
        return cls(
            caller.account_id,
            caller.actor,
            action,
            subject,
            kind=kind,
            **{
                "site": caller.site,
                "via": _VIA[caller.kind],
                "session": caller.session,
                **facts,
            },
        )

    @property
    def is_reveal_to_person(self) -> bool:
        """Whether a record was shown in full to a signed-in person."""
        return self.kind == "reveal" and self.actor.startswith(_PERSON)

    @property
    def fold_key(self) -> tuple[object, ...] | None:
        """The key by which entries within ten minutes are one; ``None`` where each one counts."""
        if self.kind not in FOLDED_KINDS and not self.is_read:
            return None
        return (
            self.account_id, self.session or self.actor, self.action, self.subject, self.kind,
            self.fields, self.purpose, self.outcome, self.patient,
        )  # fmt: skip


def shown_to(caller: Caller) -> tuple[FieldGroup, ...]:
    """Return the field groups of a package that ``caller`` sees; empty where all are masked."""
    groups: list[FieldGroup] = []
    if caller.may("reveal.contact"):
        groups += ["contact", "identity"]
    if caller.may("reveal.rx"):
        groups.append("rx")
    return tuple(groups)


def via_of(actor: str) -> Via:
    """Return the interface of an actor: command line, page, API key, or the gateway itself."""
    if actor.startswith(_CLI):
        return "cli"
    if actor.startswith(_PERSON):
        return "page"
    return "key" if actor.startswith("key_") else "job"


def groups_of(data: Any) -> tuple[FieldGroup, ...]:
    """Return the field groups of an event's data, nested data included, in alphabetical order."""
    return tuple(sorted(set(_groups(data))))


def _groups(data: Any) -> Iterator[FieldGroup]:
    if isinstance(data, dict):
        for name, value in data.items():
            if value is not None and name in _GROUPS:
                yield _GROUPS[name]
            yield from _groups(value)
    elif isinstance(data, Sequence) and not isinstance(data, str | bytes):
        for each in data:
            yield from _groups(each)
