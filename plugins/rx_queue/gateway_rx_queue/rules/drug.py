"""The stock rule of the drug's identity. Pure."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

from gateway_rx_queue.extension_points import RxCase
from gateway_rx_queue.model import Choice, Drug, Reason

_DIN: Final = re.compile(r"[0-9]{8}", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]{5,7}", re.ASCII)
_STRENGTH: Final = re.compile(r"(\d+(?:[.,]\d+)?)\s*(mcg|µg|mg|g|ml|iu|units?|%)", re.IGNORECASE)
_MOST_CANDIDATES: Final = 20


def drug_identity(case: RxCase) -> Iterator[Reason]:
    """RuleRunner the number that the drug goes by, against the catalog where there is one."""
    drug = case.prescription.medication
    if drug.pin and not drug.din:
        text = "A pseudo-DIN is defined by each pharmacy; a person has to match it."
        yield Reason(code="pin_needs_review", field="medication.pin", message=text)
    elif drug.din_candidates:
        yield _ambiguous(case, "The sender could not decide between these.", drug.din_candidates)
    elif drug.din is None:
        if drug.npn is None:
            yield from _without_number(case)
        elif not _DIN.fullmatch(drug.npn):
            text = "An NPN has eight digits."
            yield Reason(code="drug_not_found", field="medication.npn", message=text)
    elif not _DIN.fullmatch(drug.din):
        padded = drug.din.zfill(8) if _DIGITS.fullmatch(drug.din) else None
        yield Reason(
            code="drug_not_found",
            field="medication.din",
            message="A DIN has eight digits.",
            candidates=(Choice(padded, "with its leading zeros"),) if padded else (),
        )
    elif case.catalog_loaded:
        yield from _in_catalog(case)


def _without_number(case: RxCase) -> Iterator[Reason]:
    if case.named_drugs:
        named = [drug.din for drug in case.named_drugs]
        yield _ambiguous(case, "There is no DIN; these products fit the text.", named)
        return
    text = "There is no DIN" + (
        ", and no product in the catalog fits the text." if case.catalog_loaded else "."
    )
    yield Reason(code="drug_not_found", field="medication.din", message=text)


def _in_catalog(case: RxCase) -> Iterator[Reason]:
    written, entry = case.prescription.medication, case.drug
    if entry is None:
        text = "The catalog has no product with this DIN."
        choices = tuple(_choice(drug) for drug in case.named_drugs[:_MOST_CANDIDATES])
        yield Reason(
            code="drug_not_found", field="medication.din", message=text, candidates=choices
        )
        return
    if not entry.active:
        choices = tuple(
            _choice(drug) for drug in case.named_drugs[:_MOST_CANDIDATES] if drug.din != entry.din
        )
        yield Reason(
            code="din_discontinued",
            field="medication.din",
            message=f"{entry.name} is no longer sold.",
            candidates=choices,
        )
    said = strengths(written.strength or written.drug_text or "")
    listed = strengths(entry.strength) | strengths(entry.name)
    if said and listed and not said & listed:
        yield Reason(
            code="strength_mismatch",
            field="medication.strength",
            message="The text names another strength than the DIN.",
            evidence={"catalog": entry.strength, "written": sorted(said)},
        )


def _ambiguous(case: RxCase, message: str, dins: Sequence[str]) -> Reason:
    known = {drug.din: drug for drug in case.named_drugs}
    choices = tuple(
        _choice(known[din]) if din in known else Choice(din) for din in dins[:_MOST_CANDIDATES]
    )
    prior = next((fill for fill in case.earlier if fill.filled_on), None)
    evidence = {} if prior is None else {"prior_fill": prior.queue_id}
    return Reason(
        code="din_ambiguous",
        field="medication.din",
        message=message,
        candidates=choices,
        evidence=evidence,
    )


def _choice(drug: Drug) -> Choice:
    label = " ".join(part for part in (drug.name, drug.strength, drug.form) if part)
    return Choice(drug.din, label)


def strengths(text: str) -> frozenset[str]:
    """Return the strengths that a text names, as ``20mg``; grams and micrograms as milligrams."""
    found = set()
    for number, unit in _STRENGTH.findall(text):
        amount, name = Decimal(number.replace(",", ".")), unit.casefold().rstrip("s")
        factor = {"g": Decimal(1000), "mcg": Decimal("0.001"), "µg": Decimal("0.001")}.get(name)
        if factor is not None:
            amount, name = amount * factor, "mg"
        found.add(f"{amount.normalize():f}{name}")
    return frozenset(found)
