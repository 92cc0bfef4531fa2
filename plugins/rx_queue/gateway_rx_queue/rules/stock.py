"""The stock rules: when a prescription needs review. Pure.

Each takes a case and yields reasons. Two rules may disagree about a field; the reviewer
sees both.
"""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Final

from gateway_rx_queue.extension_points import RxCase
from gateway_rx_queue.model import EarlierFill, Reason
from gateway_rx_queue.rules.drug import drug_identity
from gateway_rx_queue.rules.sig import daily_use, same_unit
from gateway_rx_queue.schema import LONGEST_SUPPLY_DAYS

Rule = Callable[[RxCase], Iterator[Reason]]

_WORD: Final = re.compile(r"[a-z]{3,}")
# What says nothing of what a drug is made of.
_NOISE: Final = frozenset(
    (
        *("acid", "allergic", "allergy", "cap", "caps", "capsule", "capsules", "drug", "drugs"),
        *("hcl", "hydrochloride", "oral", "sodium", "tab", "tablet", "tablets", "tabs", "the"),
        "with",
    )
)
_CONTROLLED: Final = ("narcotic", "controlled", "targeted", "benzodiazepine", "cdsa")


def required_fields(case: RxCase) -> Iterator[Reason]:
    """Require the fields without which a prescription can't be filled."""
    patient, drug = case.prescription.patient, case.prescription.medication
    named = (patient.last_name or patient.first_name) and patient.dob
    if not (patient.external_patient_id or patient.health_number or named):
        yield Reason(
            code="patient_not_found",
            field="patient",
            message="Nothing says who the patient is: an id, a health number, or name and date "
            "of birth.",
        )
    prescriber = case.prescription.prescriber
    if not (prescriber.name or prescriber.licence_number):
        text = "Nothing says who wrote the prescription."
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


def confidence(case: RxCase) -> Iterator[Reason]:
    """Ask about every field that the sender is not sure enough of."""
    least = case.thresholds.min_confidence
    for field, sure in sorted(case.prescription.confidence.items()):
        if sure < least:
            yield Reason(
                code="low_confidence",
                field=field,
                message="The sender is not sure enough of this field.",
                evidence={"confidence": sure, "threshold": least},
            )


def supply(case: RxCase) -> Iterator[Reason]:
    """RuleRunner quantity times directions against the days that they are to last."""
    drug, limits = case.prescription.medication, case.thresholds
    if drug.quantity is not None and drug.quantity <= 0:
        text = "The quantity is not more than nothing."
        yield Reason(code="quantity_missing", field="medication.quantity", message=text)
        return
    days = drug.days_supply
    if days is None:
        return
    if not 1 <= days <= limits.max_days_supply:
        yield Reason(
            code="days_supply_implausible",
            field="medication.days_supply",
            message=f"It is to last between 1 and {limits.max_days_supply} days.",
            evidence={"days_supply": days},
        )
        return
    use = daily_use(drug.sig) if drug.sig else None
    if use is None or drug.quantity is None or not same_unit(use.unit, drug.quantity_unit):
        return
    shortest = drug.quantity / use.most
    longest = drug.quantity / use.least if use.least else None  # "0-1 tab" may last for ever
    tolerance = Decimal(str(limits.supply_tolerance))
    too_short = days < shortest * (1 - min(tolerance, Decimal(1)))
    if too_short or (longest is not None and days > longest * (1 + tolerance)):
        yield Reason(
            code="days_supply_implausible",
            field="medication.days_supply",
            message="Quantity and directions don't make this many days.",
            evidence={
                "days_supply": days,
                "by_quantity_and_sig": [_shown_days(shortest), _shown_days(longest)],
            },
        )


def _shown_days(days: Decimal | None) -> float | None:
    return None if days is None else round(float(days), 1)


def repeats(case: RxCase) -> Iterator[Reason]:
    """Find the same drug for the same patient, here already or not used up yet."""
    drug, limits = case.prescription.medication, case.thresholds
    for fill in case.earlier:
        if _is_duplicate(case, fill):
            yield Reason(
                code="duplicate_rx",
                message="The same drug for the same patient is here already.",
                evidence={"queue_id": fill.queue_id, "status": fill.state},
            )
            return
    for fill in case.earlier:
        # Some were stored before there was a bound; no date is that far away.
        days = min(fill.days_supply or 0, LONGEST_SUPPLY_DAYS)
        if fill.filled_on is None or days <= 0:
            continue
        soonest = fill.filled_on + timedelta(days=int(days * limits.early_refill_share))
        if case.today < soonest and drug.written_date != fill.written_date:
            yield Reason(
                code="early_refill",
                message="The last fill should not be used up yet.",
                evidence={"queue_id": fill.queue_id, "not_before": soonest.isoformat()},
            )
            return


def _is_duplicate(case: RxCase, fill: EarlierFill) -> bool:
    if fill.state in {"failed", "rejected"}:
        return False
    days = case.thresholds.duplicate_days
    is_open = fill.state in {"queued", "writing", "excepted"}
    recent = case.today - fill.created_on < timedelta(days=days)
    same_paper = (
        fill.written_date is not None
        and fill.written_date == case.prescription.medication.written_date
    )
    return recent and (is_open or same_paper)


def written_date(case: RxCase) -> Iterator[Reason]:
    """Refuse to believe a date that is too long ago, or not here yet."""
    written = case.prescription.medication.written_date
    if written is None:
        return
    oldest = case.today - timedelta(days=case.thresholds.max_written_age_days)
    if written < oldest or written > case.today + timedelta(days=1):
        yield Reason(
            code="stale_written_date",
            field="medication.written_date",
            message="It was written too long ago, or is dated later than today.",
            evidence={"not_before": oldest.isoformat()},
        )


def controlled(case: RxCase) -> Iterator[Reason]:
    """Ask a person about every controlled drug."""
    schedules = " ".join(case.drug.schedules).casefold() if case.drug else ""
    by_catalog = any(word in schedules for word in _CONTROLLED)
    if case.prescription.medication.controlled or by_catalog:
        yield Reason(
            code="controlled_substance",
            field="medication.din",
            message="A controlled drug needs a pharmacist's eyes.",
            evidence={"schedules": list(case.drug.schedules)} if case.drug else {},
        )


def allergies(case: RxCase) -> Iterator[Reason]:
    """Look for the patient's allergies among the drug's names and ingredients."""
    drug, entry = case.prescription.medication, case.drug
    names = [drug.drug_text or "", *((entry.name, *entry.ingredients) if entry else ())]
    words = {word for name in names for word in _WORD.findall(name.casefold())} - _NOISE
    for allergy in case.prescription.patient.allergies:
        if words & set(_WORD.findall(allergy.casefold())):
            yield Reason(
                code="allergy_conflict",
                field="medication.din",
                message="The drug names something that the patient is allergic to.",
                evidence={"allergy": allergy},
            )


STOCK_RULES: Final[dict[str, Rule]] = {
    "required_fields": required_fields,
    "drug_identity": drug_identity,
    "confidence": confidence,
    "supply": supply,
    "repeats": repeats,
    "written_date": written_date,
    "controlled": controlled,
    "allergies": allergies,
}
