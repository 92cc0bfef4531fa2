"""The stock rules about the patient's history: allergies, duplicates, early refills. Pure."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from gateway_rx_queue.drugs.words import core_words, drug_words, fold, stem, stems
from gateway_rx_queue.extension_points import Finding, RxCase
from gateway_rx_queue.model import AllergyGroup, Checked, EarlierFill, NotChecked, Reason
from gateway_rx_queue.rules.groups import NO_ALLERGIES, NO_DRUGS
from gateway_rx_queue.schema import LONGEST_SUPPLY_DAYS

_LEAST_LETTERS: Final = 4


def ingredient_words(names: Sequence[str], text: str | None) -> frozenset[str]:
    """Return the words of the ingredients, or of the text where no ingredients are known."""
    if names:
        return frozenset().union(*(core_words(name) for name in names))
    return frozenset(drug_words(text or ""))


def _own_words(case: RxCase) -> frozenset[str]:
    drug, entry = case.prescription.medication, case.drug
    words = set(drug_words(drug.drug_text or "")) | set(stems(drug.drug_text or ""))
    if entry is not None:
        words |= set(stems(entry.name)) | ingredient_words(entry.ingredients, None)
    return frozenset(words)


def belongs(words: frozenset[str], members: Sequence[str]) -> bool:
    """Return whether one of ``words`` is a member: a stem, or with ``*`` a beginning."""
    for member in members:
        if member.endswith("*"):
            start = fold(member[:-1])
            if any(word.startswith(start) and len(word) > len(start) for word in words):
                return True
        elif stem(fold(member)) in words:
            return True
    return False


def allergies(case: RxCase) -> Iterator[Finding]:
    """Compare the patient's allergies with the drug: its names, its ingredients, their groups."""
    listed = [each for each in case.prescription.patient.allergies if each.strip()]
    if not listed:
        yield NotChecked("no allergies were sent; that doesn't mean that there are none")
        return
    own = _own_words(case)
    unknown = []
    conflicts = False
    for allergy in listed:
        text = " ".join(fold(allergy).replace("-", " ").split())
        if text.strip(" .") in NO_ALLERGIES:
            continue
        named = frozenset(drug_words(allergy))
        groups = _groups_of(case.allergy_groups, text, named)
        if named & own or _any_member(own, groups):
            conflicts = True
            yield _conflict(allergy, groups)
        elif not groups and not _is_known(case, named, text):
            unknown.append(allergy)
    if unknown:
        yield NotChecked(f"not known as a drug or a group: {', '.join(unknown)}")
    elif case.prescription.medication.drug_text is None and case.drug is None:
        yield NotChecked("neither the text nor the catalog names the drug")
    elif not conflicts:
        yield Checked(f"compared with {len(listed)} allergies")


def _any_member(words: frozenset[str], groups: Sequence[AllergyGroup]) -> bool:
    return any(belongs(words, group.members + group.related) for group in groups)


def _conflict(allergy: str, groups: Sequence[AllergyGroup]) -> Reason:
    evidence: dict[str, object] = {"allergy": allergy}
    if groups:
        evidence["groups"] = [group.name for group in groups]
    return Reason(
        code="allergy_conflict",
        field="medication.din",
        message="The drug, or its group, is one that the patient is allergic to.",
        evidence=evidence,
    )


def _groups_of(
    groups: Sequence[AllergyGroup], text: str, named: frozenset[str]
) -> list[AllergyGroup]:
    padded = f" {text} "
    return [
        group
        for group in groups
        if group.is_allergy
        and (belongs(named, group.members) or any(f" {name} " in padded for name in group.names))
    ]


def _is_known(case: RxCase, named: frozenset[str], text: str) -> bool:
    """Return whether an allergy is known: a drug of the catalog, or a known other cause."""
    if set(text.split()) & NO_DRUGS:
        return True
    return bool(named) and all(case.text_drugs.get(word) for word in named)


def repeats(case: RxCase) -> Iterator[Finding]:
    """Find the same drug, ingredient or class for the same patient, open or not used up yet."""
    drug = case.prescription.medication
    for fill in case.earlier:
        if _is_duplicate(case, fill):
            yield _duplicate("The same drug for the same patient is here already.", fill)
            return
    same, what = _same_therapy(case)
    if same is not None:
        yield _duplicate(f"The patient has {what} already.", same)
        return
    for fill in case.earlier:
        # Some were stored before a limit existed; no date is that far away.
        days = min(fill.days_supply or 0, LONGEST_SUPPLY_DAYS)
        if fill.filled_on is None or days <= 0:
            continue
        soonest = fill.filled_on + timedelta(days=int(days * case.thresholds.early_refill_share))
        if case.today < soonest and drug.written_date != fill.written_date:
            yield Reason(
                code="early_refill",
                message="The last fill should not be used up yet.",
                evidence={"queue_id": fill.queue_id, "not_before": soonest.isoformat()},
            )
            return
    if not case.has_patient:
        yield NotChecked("nothing identifies the patient")
    elif case.drug is None:
        why = "no drug catalog is loaded" if not case.catalog_loaded else "the DIN is not known"
        yield NotChecked(f"{why}: only the same number is found, not another one's ingredients")
    else:
        yield Checked(f"compared with {len(case.earlier) + len(case.others)} earlier prescriptions")


def _duplicate(message: str, fill: EarlierFill) -> Reason:
    evidence = {"queue_id": fill.queue_id, "status": fill.state}
    return Reason(code="duplicate_rx", message=message, evidence=evidence)


def _same_therapy(case: RxCase) -> tuple[EarlierFill | None, str]:
    """Return a recent fill with an ingredient of this drug, or of a class given once."""
    if case.drug is None:
        return None, ""
    own = ingredient_words(case.drug.ingredients, case.prescription.medication.drug_text)
    for fill in case.others:
        if not _is_duplicate(case, fill, any_paper=True):
            continue
        theirs = ingredient_words(fill.ingredients, fill.drug_text)
        shared = own & theirs
        if any(len(word) >= _LEAST_LETTERS for word in shared):
            return fill, "a drug with the same ingredient"
        for group in case.allergy_groups:
            members = group.members if group.one_at_a_time else ()
            if belongs(own, members) and belongs(theirs, members):
                return fill, f"a drug of the same class ({group.name})"
    return None, ""


def _is_duplicate(case: RxCase, fill: EarlierFill, *, any_paper: bool = False) -> bool:
    if fill.state in {"failed", "rejected"}:
        return False
    days = case.thresholds.duplicate_days
    is_open = fill.state in {"queued", "writing", "excepted"}
    recent = case.today - fill.created_on < timedelta(days=days)
    same_paper = any_paper or (
        fill.written_date is not None
        and fill.written_date == case.prescription.medication.written_date
    )
    return recent and (is_open or same_paper)
