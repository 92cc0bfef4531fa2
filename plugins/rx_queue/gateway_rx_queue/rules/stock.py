"""The stock rules in their order, and those of single fields. Pure.

Each takes a case and yields findings: reasons for review, impossible checks, or what it read. Two
rules may disagree about a field; the reviewer sees both.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from gateway_rx_queue.extension_points import Finding, RxCase
from gateway_rx_queue.model import NotChecked, Reason
from gateway_rx_queue.rules.controlled import controlled
from gateway_rx_queue.rules.drug import drug_identity, drug_name, quantity_unit, strength
from gateway_rx_queue.rules.high_alert import high_alert
from gateway_rx_queue.rules.patient_history import allergies, repeats
from gateway_rx_queue.rules.supply import supply

Rule = Callable[[RxCase], Iterator[Finding]]

_MAX_REFILLS: Final = 52
_MAX_DAYS_WITH_REFILLS: Final = 800
_OLDEST_YEARS: Final = 125


def required_fields(case: RxCase) -> Iterator[Finding]:
    """Require the fields without which a prescription can't be filled."""
    patient, drug = case.prescription.patient, case.prescription.medication
    named = (patient.last_name or patient.first_name) and patient.dob
    if not (patient.external_patient_id or patient.health_number or named):
        yield Reason(
            code="patient_not_found",
            field="patient",
            message="Nothing identifies the patient: an id, a health number, or name and date "
            "of birth.",
        )
    prescriber = case.prescription.prescriber
    if not (prescriber.name or prescriber.licence_number):
        text = "The prescriber is missing."
        yield Reason(code="prescriber_not_found", field="prescriber", message=text)
    if drug.quantity is None:
        text = "The quantity is missing."
        yield Reason(code="quantity_missing", field="medication.quantity", message=text)
    if not drug.sig:
        yield Reason(code="sig_missing", field="medication.sig", message="Directions are missing.")
    if drug.refills is None or drug.refills < 0:
        text = "The refills are missing; say 0 where there are none."
        yield Reason(code="refills_missing", field="medication.refills", message=text)
    if drug.written_date is None:
        yield Reason(
            code="illegible_field",
            field="medication.written_date",
            message="The date on which it was written is missing.",
        )


def instructions(case: RxCase) -> Iterator[Finding]:
    """Hold elements without a field, and the prescriber's notes: only a person reads them."""
    yield from case.prescription.unmapped
    if case.prescription.medication.notes:
        yield Reason(
            code="unmapped_instruction",
            field="medication.notes",
            message="The prescriber's note has to be read.",
        )


def confidence(case: RxCase) -> Iterator[Finding]:
    """Hold every field of which the sender is not sure enough."""
    least = case.thresholds.min_confidence
    for field, sure in sorted(case.prescription.confidence.items()):
        if sure < least:
            yield Reason(
                code="low_confidence",
                field=field,
                message="The sender is not sure enough of this field.",
                evidence={"confidence": sure, "threshold": least},
            )


def demographics(case: RxCase) -> Iterator[Finding]:
    """Compare the date of birth with the calendar."""
    dob = case.prescription.patient.dob
    if dob is None:
        yield NotChecked("the date of birth is missing")
    elif dob > case.today or dob.year < case.today.year - _OLDEST_YEARS:
        text = "The date of birth is in the future, or too long ago."
        yield Reason(code="demographics_mismatch", field="patient.dob", message=text)


def refills(case: RxCase) -> Iterator[Finding]:
    """Compare the refills with their limits."""
    drug = case.prescription.medication
    if drug.refills is None:
        yield NotChecked("the refills are missing")
        return
    days = drug.days_supply or 0
    if drug.refills > _MAX_REFILLS or (drug.refills + 1) * days > _MAX_DAYS_WITH_REFILLS:
        yield Reason(
            code="refills_implausible",
            field="medication.refills",
            message="So many refills last for more than two years.",
            evidence={"refills": drug.refills, "days_supply": drug.days_supply},
        )


def written_date(case: RxCase) -> Iterator[Finding]:
    """Compare the dates of the prescription with today."""
    drug = case.prescription.medication
    if drug.valid_from is not None and drug.valid_from > case.today:
        yield Reason(
            code="not_yet_valid",
            field="medication.valid_from",
            message="It must not be filled before this date.",
            evidence={"valid_from": drug.valid_from.isoformat()},
        )
    if drug.valid_until is not None and drug.valid_until < case.today:
        yield Reason(
            code="stale_written_date",
            field="medication.valid_until",
            message="It was valid until this date only.",
            evidence={"valid_until": drug.valid_until.isoformat()},
        )
    written = drug.written_date
    if written is None:
        yield NotChecked("the date on which it was written is missing")
        return
    oldest = case.today - timedelta(days=case.thresholds.max_written_age_days)
    if written < oldest or written > case.today + timedelta(days=1):
        yield Reason(
            code="stale_written_date",
            field="medication.written_date",
            message="It was written too long ago, or is dated later than today.",
            evidence={"not_before": oldest.isoformat()},
        )


STOCK_RULES: Final[dict[str, Rule]] = {
    "required_fields": required_fields,
    "instructions": instructions,
    "drug_identity": drug_identity,
    "drug_name": drug_name,
    "strength": strength,
    "quantity_unit": quantity_unit,
    "confidence": confidence,
    "demographics": demographics,
    "supply": supply,
    "refills": refills,
    "high_alert": high_alert,
    "repeats": repeats,
    "written_date": written_date,
    "controlled": controlled,
    "allergies": allergies,
}
"""Every stock rule by name, in the order of the reports."""
