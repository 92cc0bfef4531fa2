"""What other plugins may bring to the prescription queue: rules and writers.

A plugin brings them through the hook ``extensions``::

    @hookimpl
    def extensions(self, point):
        if point == RULES:
            return [RxRule("acme", self.review)]
        if point == WRITERS:
            return [RxWriter("acme", self.write)]
        return []

A rule is asked about every prescription before it is stored; a writer carries those that
passed into the pharmacy system, when ``[plugins.rx_queue] writer`` names it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

RULES: Final = "rx_queue.rules"
"""Where :class:`RxRule` records go."""

WRITERS: Final = "rx_queue.writers"
"""Where :class:`RxWriter` records go."""

REASON_CODES: Final = (
    "patient_not_found",
    "patient_ambiguous",
    "demographics_mismatch",
    "prescriber_not_found",
    "drug_not_found",
    "din_ambiguous",
    "din_discontinued",
    "pin_needs_review",
    "strength_mismatch",
    "quantity_missing",
    "days_supply_implausible",
    "refills_missing",
    "sig_missing",
    "illegible_field",
    "low_confidence",
    "duplicate_rx",
    "early_refill",
    "allergy_conflict",
    "controlled_substance",
    "signature_missing",
    "stale_written_date",
    "attachment_missing",
    "rule_failed",
)
"""The reasons for a review that receivers know; a rule or a writer may have others of its own."""


class Patient(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom it is for. ``province`` is the one whose health number it is: ``ON``."""

    external_patient_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    dob: date | None = None
    phone: str | None = None
    address: str | None = None
    health_number: str | None = None
    health_number_version: str | None = None
    province: str | None = None
    allergies: tuple[str, ...] = ()


class Prescriber(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who wrote it. ``licence_type`` is the college or register: ``CPSO``, ``NPI``."""

    name: str | None = None
    licence_type: str | None = None
    licence_number: str | None = None
    phone: str | None = None
    fax: str | None = None


class Medication(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One drug. ``din``, ``npn`` and ``pin`` are strings of digits: leading zeros count.

    ``din_candidates`` are what the sender could not decide between.
    """

    din: str | None = None
    npn: str | None = None
    pin: str | None = None
    din_candidates: tuple[str, ...] = ()
    drug_text: str | None = None
    strength: str | None = None
    form: str | None = None
    quantity: Decimal | None = None
    quantity_unit: str | None = None
    days_supply: int | None = None
    sig: str | None = None
    refills: int | None = None
    no_substitution: bool | None = None
    written_date: date | None = None
    controlled: bool | None = None


class Prescription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One drug for one patient, as it goes to the writer.

    ``confidence`` is how sure the sender is of a field, 0 to 1, by dotted name:
    ``{"medication.din": 0.98}``.
    """

    patient: Patient = Patient()
    prescriber: Prescriber = Prescriber()
    medication: Medication = Medication()
    source: str = "api"
    external_id: str | None = None
    confidence: Mapping[str, float] = {}


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of several answers to choose from: ``value`` for the field, and what it stands for."""

    value: str
    label: str = ""
    evidence: Mapping[str, Any] = {}


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a person has to look at a prescription.

    ``code`` is lower case with underscores (see ``REASON_CODES``) and goes out in events:
    nothing of a patient may stand in it. ``message`` is one sentence for the reviewer,
    ``candidates`` are values for ``field`` to choose from, ``evidence`` is what the rule
    saw; these are kept sealed, and shown to who may see the prescription.
    """

    code: str
    message: str = ""
    field: str | None = None
    candidates: tuple[Choice, ...] = ()
    evidence: Mapping[str, Any] = {}
    rule: str | None = None


class Drug(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of the drug catalog."""

    din: str
    name: str
    ingredients: tuple[str, ...] = ()
    strength: str = ""
    form: str = ""
    schedules: tuple[str, ...] = ()
    active: bool = True


class EarlierFill(msgspec.Struct, frozen=True, kw_only=True):
    """A prescription of the same drug for the same patient that is here already."""

    queue_id: str
    state: str
    created_on: date
    filled_on: date | None = None
    written_date: date | None = None
    days_supply: int | None = None


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """From when on a person is asked, for one site."""

    min_confidence: float = 0.85
    supply_tolerance: float = 0.5
    max_days_supply: int = 366
    max_written_age_days: int = 365
    duplicate_days: int = 7
    early_refill_share: float = 0.75
    skip_reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RxCase:
    """A prescription as a rule is asked about it, with what is known around it.

    ``today`` is the site's date. ``catalog_loaded`` says whether there is a drug catalog;
    ``drug`` is the entry with the prescription's DIN, ``named_drugs`` those whose name and
    strength its text names. ``earlier`` are fills of the same drug, newest first.
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


@dataclass(frozen=True, slots=True)
class RxRule:
    """Looks at prescriptions before they are stored.

    ``review(cases)`` returns, for each case in its order, the reasons why a person has to
    look at it; an empty sequence is no objection. It has 2 seconds. One that raises, or
    takes longer, sends its cases to a person with the reason ``rule_failed``.
    """

    name: str
    review: Callable[[Sequence[RxCase]], Awaitable[Sequence[Sequence[Reason]]]]


@dataclass(frozen=True, slots=True)
class WriteJob:
    """A prescription to be written, once more with the same token if the last try got lost.

    ``attempt`` counts from 1. ``idempotency_token`` is the same for every try to write the
    same thing; what a reviewer changed is another thing.
    """

    queue_id: str
    idempotency_token: str
    attempt: int
    account_id: str
    site: str | None
    prescription: Prescription


class WriteOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one try ended.

    ``completed``: it is in the pharmacy system, with ``din`` if another one was written.
    ``failed``: it will never be, for ``reason``. ``retry``: not now, for ``reason``.
    ``excepted``: a person has to look at it, for ``reasons``.
    """

    outcome: Literal["completed", "failed", "retry", "excepted"]
    din: str | None = None
    reason: str | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class RxWriter:
    """A way into a pharmacy system, for ``[plugins.rx_queue] writer = "<name>"``.

    ``write(jobs)`` is given up to ``max_batch`` jobs of one account, never two of the same
    patient, and returns an outcome for each in their order. It has until the lease ends
    (``lease_seconds``); raising, or taking longer, is a ``retry``. It is called as often at
    a time as ``max_in_flight`` says.
    """

    name: str
    write: Callable[[Sequence[WriteJob]], Awaitable[Sequence[WriteOutcome]]]
    max_batch: int = 1
    max_in_flight: int = field(default=4)
