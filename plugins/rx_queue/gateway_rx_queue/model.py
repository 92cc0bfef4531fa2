"""A prescription and its parts, a reason for review, the catalog's entry of a drug. Pure."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

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
    "din_name_mismatch",
    "veterinary_product",
    "quantity_unit",
    "refills_implausible",
    "high_alert",
    "unmapped_instruction",
    "not_yet_valid",
    "patient_deceased",
)
"""The documented reasons for review; rules and writers may add codes of their own."""


class Patient(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The patient. ``province`` is the issuer of the health number, as in ``ON``."""

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
    """The prescriber. ``licence_type`` is the college or register: ``CPSO``, ``NPI``."""

    name: str | None = None
    licence_type: str | None = None
    licence_number: str | None = None
    phone: str | None = None
    fax: str | None = None


class Medication(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One drug. ``din``, ``npn`` and ``pin`` are strings of digits: leading zeros count.

    ``din_candidates`` are the DINs between which the sender could not decide. ``notes`` are the
    prescriber's notes to the pharmacy, ``indication`` says what it is for. The prescription may be
    filled from ``valid_from`` to ``valid_until``, both included.
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
    notes: str | None = None
    indication: str | None = None
    valid_from: date | None = None
    valid_until: date | None = None


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A value that the reviewer can choose for the field, with a label."""

    value: str
    label: str = ""
    evidence: Mapping[str, Any] = {}


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a prescription needs review.

    ``code`` is lower case with underscores (see ``REASON_CODES``). It is published in events,
    so it must not contain patient data. ``message`` is one sentence for the reviewer,
    ``candidates`` are possible values of ``field``, ``evidence`` is the input of the rule; these
    are stored encrypted and shown to callers that may read the prescription.
    """

    code: str
    message: str = ""
    field: str | None = None
    candidates: tuple[Choice, ...] = ()
    evidence: Mapping[str, Any] = {}
    rule: str | None = None


class NotChecked(msgspec.Struct, frozen=True):
    """A rule's statement that a check wasn't possible, and the reason.

    ``why`` may contain patient data: it is stored encrypted, and shown like ``Reason.message``.
    """

    why: str


class Checked(msgspec.Struct, frozen=True):
    """A rule's statement of what it read, when it found no reason for review."""

    what: str


class RuleReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of one rule: checked and fine, reasons, or not checked, with the details."""

    rule: str
    result: Literal["fine", "reason", "not_checked"]
    codes: tuple[str, ...] = ()
    detail: str = ""


class Prescription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One drug for one patient, as the writer receives it.

    ``confidence`` is the sender's certainty of a field, 0 to 1, by dotted name:
    ``{"medication.din": 0.98}``. ``unmapped`` are the parts of the original that have no field
    here: the reviewer sees them, and the writer receives them.
    """

    patient: Patient = Patient()
    prescriber: Prescriber = Prescriber()
    medication: Medication = Medication()
    source: str = "api"
    external_id: str | None = None
    confidence: Mapping[str, float] = {}
    unmapped: tuple[Reason, ...] = ()


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """An ingredient of a product: ``250`` ``MG`` per ``5`` ``ML``; ``""`` if unknown."""

    ingredient: str
    amount: str = ""
    unit: str = ""
    per_amount: str = ""
    per_unit: str = ""


class Drug(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of the drug catalog.

    ``parts`` are its ingredients with their strengths. ``product_class`` is Health Canada's class
    (``Human``, ``Veterinary``, …), ``status`` the reason why it isn't ``active``.
    """

    din: str
    name: str
    ingredients: tuple[str, ...] = ()
    strength: str = ""
    form: str = ""
    schedules: tuple[str, ...] = ()
    active: bool = True
    parts: tuple[Part, ...] = ()
    product_class: str = ""
    status: str = ""


class EarlierFill(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier prescription for the same patient; ``ingredients`` are the catalog's."""

    queue_id: str
    state: str
    created_on: date
    filled_on: date | None = None
    written_date: date | None = None
    days_supply: int | None = None
    din: str | None = None
    drug_text: str | None = None
    ingredients: tuple[str, ...] = ()


class AllergyGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Drugs that share an allergy, or an effect that is prescribed once.

    ``names`` are the names of the group in allergy lists, English and French (``penicillin``,
    ``sulfamides``), ``members`` the ingredients. ``related`` are ingredients outside the group
    that may cross-react. With ``one_at_a_time`` two members at once are a duplicate therapy;
    without ``is_allergy`` the group means only that.
    """

    name: str
    members: tuple[str, ...]
    names: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    one_at_a_time: bool = False
    is_allergy: bool = True


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """The thresholds of the stock rules, for one site."""

    min_confidence: float = 0.85
    supply_tolerance: float = 0.5
    max_days_supply: int = 366
    max_written_age_days: int = 365
    duplicate_days: int = 7
    early_refill_share: float = 0.75
    skip_reasons: tuple[str, ...] = ()
