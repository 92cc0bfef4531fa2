"""The queue's extension points: rules, writers and allergy groups of other plugins.

A plugin returns its records from the hook ``extensions``::

    @hookimpl
    def extensions(self, point):
        if point == RULES:
            return [RxRule("acme", self.review)]
        if point == WRITERS:
            return [RxWriter("acme", self.write)]
        if point == ALLERGY_GROUPS:
            return [AllergyGroup(name="acme", members=("acmecillin",))]
        return []

Each rule reviews every prescription before it is stored. The writer that
``[plugins.rx_queue] writer`` names writes those that passed into the pharmacy system.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

import msgspec

from gateway_rx_queue.model import (
    REASON_CODES,
    AllergyGroup,
    Checked,
    Choice,
    Drug,
    EarlierFill,
    Medication,
    NotChecked,
    Part,
    Patient,
    Prescriber,
    Prescription,
    Reason,
    Thresholds,
)

__all__ = [
    "ALLERGY_GROUPS",
    "REASON_CODES",
    "RULES",
    "WRITERS",
    "AllergyGroup",
    "Checked",
    "Choice",
    "Drug",
    "EarlierFill",
    "Medication",
    "NotChecked",
    "Part",
    "Patient",
    "Prescriber",
    "Prescription",
    "Reason",
    "RxCase",
    "RxRule",
    "RxWriter",
    "Thresholds",
    "WriteJob",
    "WriteOutcome",
]

RULES: Final = "rx_queue.rules"
"""The extension point of :class:`RxRule` records."""

WRITERS: Final = "rx_queue.writers"
"""The extension point of :class:`RxWriter` records."""

ALLERGY_GROUPS: Final = "rx_queue.allergy_groups"
"""The extension point of :class:`AllergyGroup` records."""

Finding = Reason | NotChecked | Checked
"""A rule's finding: a reason for review, a check that wasn't possible, or what it read."""


@dataclass(frozen=True, slots=True)
class RxCase:
    """A prescription under review, with its context.

    ``today`` is the site's date. ``catalog_loaded`` says whether there is a drug catalog, of
    ``catalog_date``; ``drug`` is the entry with the prescription's DIN, ``named_drugs`` those whose
    name and strength its text names, ``text_drugs`` the entries by each word of the text.
    ``earlier`` are fills of the same drug, newest first, ``others`` recent ones of other drugs;
    ``has_patient`` is false when nothing identifies the patient.
    """

    queue_id: str
    account_id: str
    site: str | None
    prescription: Prescription
    thresholds: Thresholds
    today: date
    catalog_loaded: bool = False
    drug: Drug | None = None
    named_drugs: Sequence[Drug] = ()
    earlier: Sequence[EarlierFill] = ()
    others: Sequence[EarlierFill] = ()
    text_drugs: Mapping[str, Sequence[Drug]] = field(default_factory=dict)
    allergy_groups: Sequence[AllergyGroup] = ()
    catalog_date: date | None = None
    has_patient: bool = True


@dataclass(frozen=True, slots=True)
class RxRule:
    """Reviews prescriptions before they are stored.

    ``review(cases)`` returns, for each case in order, the reasons for review, and a ``NotChecked``
    for a check that wasn't possible; an empty sequence means checked and fine. The deadline is 2
    seconds for all cases. When the rule raises or exceeds the deadline, its cases are held for
    review with the reason ``rule_failed``.
    """

    name: str
    review: Callable[[Sequence[RxCase]], Awaitable[Sequence[Sequence[Finding]]]]


@dataclass(frozen=True, slots=True)
class WriteJob:
    """A prescription to write, again with the same token when the last attempt was lost.

    ``attempt`` counts from 1. ``idempotency_token`` is the same in every attempt to write the
    same content; a reviewer's approval changes it.
    ``catalog_name`` is the product that the DIN has in the catalog.
    """

    queue_id: str
    idempotency_token: str
    attempt: int
    account_id: str
    site: str | None
    prescription: Prescription
    catalog_name: str | None = None


class WriteOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of one attempt.

    ``completed``: it is in the pharmacy system, with ``din`` if another one was written.
    ``failed``: permanent failure, for ``reason``. ``retry``: temporary failure, for ``reason``;
    the next attempt is ``retry_after_seconds`` away or more, a day at most.
    ``excepted``: it needs review, for ``reasons``.
    """

    outcome: Literal["completed", "failed", "retry", "excepted"]
    din: str | None = None
    reason: str | None = None
    reasons: tuple[Reason, ...] = ()
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RxWriter:
    """Writes into a pharmacy system, for ``[plugins.rx_queue] writer = "<name>"``.

    ``write(jobs)`` receives up to ``max_batch`` jobs of one account, never two of the same
    patient, and returns an outcome for each in their order. Its deadline is the
    end of the lease (``lease_seconds``); an exception or a timeout counts as ``retry``. At most
    ``max_in_flight`` calls run at a time.
    """

    name: str
    write: Callable[[Sequence[WriteJob]], Awaitable[Sequence[WriteOutcome]]]
    max_batch: int = 1
    max_in_flight: int = 4
