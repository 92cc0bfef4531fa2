"""The stock rules of the drug: its number, its name, its strength, and its form. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

from gateway_rx_queue.drugs.strengths import Found, Strength, all_fit, fits, read_strengths
from gateway_rx_queue.drugs.words import (
    FAMILIES,
    FORM_WORDS,
    MAKERS,
    MODIFIERS,
    SALTS,
    SYNONYMS,
    core_words,
    drug_words,
    fold,
    stems,
)
from gateway_rx_queue.extension_points import Finding, RxCase
from gateway_rx_queue.model import Checked, Choice, Drug, NotChecked, Reason
from gateway_rx_queue.rules.controlled import CONTROLLED_NAMES, NO_CATALOG, ingredients_of
from gateway_rx_queue.rules.sig import read_sig
from gateway_rx_queue.rules.sig_words import UNITS

_DIN: Final = re.compile(r"[0-9]{8}", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]{5,7}", re.ASCII)
_MAX_CANDIDATES: Final = 20
_LEAST_BRAND_LETTERS: Final = 4
_SOLID: Final = ("tablet", "capsule", "caplet", "lozenge", "pellet")
_LIQUID: Final = ("solution", "suspension", "syrup", "liquid", "elixir", "drops", "emulsion")
_KINDS: Final = {
    **dict.fromkeys(("tablet", "capsule", "lozenge"), "solid"),
    **dict.fromkeys(("ml", "drop", "teaspoon", "tablespoon"), "liquid"),
    **dict.fromkeys(("puff",), "inhaled"),
    **dict.fromkeys(("patch",), "patch"),
}
_SCHEDULED: Final = ("prescription", "narcotic", "controlled", "targeted", "cdsa", "ethical")


def drug_identity(case: RxCase) -> Iterator[Finding]:
    """Check the drug's number, against the catalog if there is one."""
    drug = case.prescription.medication
    if drug.pin and not drug.din:
        text = "A pseudo-DIN is defined by each pharmacy; a person has to match it."
        yield Reason(code="pin_needs_review", field="medication.pin", message=text)
    elif drug.din_candidates:
        yield _ambiguous(case, "The sender could not decide between these.", drug.din_candidates)
    elif drug.din is None:
        yield from _without_number(case) if drug.npn is None else _npn(case)
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
    else:
        yield NotChecked(f"{NO_CATALOG}: the DIN is unverified")


def _without_number(case: RxCase) -> Iterator[Reason]:
    if case.named_drugs:
        named = [drug.din for drug in case.named_drugs]
        yield _ambiguous(case, "There is no DIN; these products fit the text.", named)
        return
    text = "There is no DIN" + (
        ", and no product in the catalog fits the text." if case.catalog_loaded else "."
    )
    yield Reason(code="drug_not_found", field="medication.din", message=text)


def _npn(case: RxCase) -> Iterator[Finding]:
    """Check an NPN: a drug with a DIN isn't a natural health product."""
    if not _DIN.fullmatch(case.prescription.medication.npn or ""):
        text = "An NPN has eight digits."
        yield Reason(code="drug_not_found", field="medication.npn", message=text)
        return
    named = set(drug_words(case.prescription.medication.drug_text or ""))
    scheduled = [
        drug
        for word in sorted(named)
        for drug in case.text_drugs.get(word, ())
        if any(mark in " ".join(drug.schedules).casefold() for mark in _SCHEDULED)
    ]
    if scheduled or named & CONTROLLED_NAMES:
        choices = tuple(_choice(drug) for drug in scheduled[:_MAX_CANDIDATES])
        yield Reason(
            code="drug_not_found",
            field="medication.npn",
            message="The text names a prescription drug, which has a DIN and no NPN.",
            candidates=choices,
        )
    else:
        yield NotChecked("the catalog has no NPNs: the number is unverified")


def _in_catalog(case: RxCase) -> Iterator[Finding]:
    entry = case.drug
    if entry is None:
        text = "The catalog has no product with this DIN."
        choices = tuple(_choice(drug) for drug in case.named_drugs[:_MAX_CANDIDATES])
        yield Reason(
            code="drug_not_found", field="medication.din", message=text, candidates=choices
        )
        return
    if entry.product_class.casefold().startswith("vet"):
        yield Reason(
            code="veterinary_product",
            field="medication.din",
            message=f"{entry.name} is a veterinary product.",
        )
    if not entry.active:
        choices = tuple(
            _choice(drug) for drug in case.named_drugs[:_MAX_CANDIDATES] if drug.din != entry.din
        )
        status = f" ({entry.status.casefold()})" if entry.status else ""
        yield Reason(
            code="din_discontinued",
            field="medication.din",
            message=f"{entry.name} is no longer sold{status}.",
            candidates=choices,
        )
    dated = "" if case.catalog_date is None else f" of {case.catalog_date.isoformat()}"
    yield Checked(f"the catalog{dated} has {_label(entry)}")


def drug_name(case: RxCase) -> Iterator[Finding]:
    """Compare the name in the text with the name and every ingredient of the DIN."""
    drug, entry = case.prescription.medication, case.drug
    if entry is None:
        if drug.din is not None:
            why = NO_CATALOG if not case.catalog_loaded else "the catalog has no such DIN"
            yield NotChecked(f"{why}: the name is not compared with the DIN")
        return
    words = set(drug_words(drug.drug_text or ""))
    if not words:
        yield NotChecked("the text names no drug to compare the DIN with")
        return
    wrong = _name_fault(case, entry, words)
    if wrong is None:
        yield Checked(f"the text names {entry.name}")
        return
    yield Reason(
        code="din_name_mismatch",
        field="medication.din",
        message=f"The DIN is {_label(entry)}: {wrong}.",
        candidates=tuple(
            _choice(each) for each in case.named_drugs[:_MAX_CANDIDATES] if each.din != entry.din
        ),
        evidence={"catalog": entry.name, "ingredients": list(ingredients_of(entry))},
    )


def _name_fault(case: RxCase, entry: Drug, words: set[str]) -> str | None:
    """Return how the names differ, or ``None`` when they name the same drug."""
    parts = {name: core_words(name) for name in ingredients_of(entry)}
    own = frozenset().union(*parts.values()) if parts else frozenset()
    named = [name for name, core in parts.items() if core & words]
    others = _other_ingredients(case, words - own, own, entry)
    if others:
        return f"the text names {', '.join(sorted(others))}"
    raw = set(stems(case.prescription.medication.drug_text or ""))
    name_words = set(stems(entry.name))
    missing = [name for name in parts if name not in named]
    if parts and not missing:
        return None
    brand = {
        word
        for word in name_words - own - MAKERS - SALTS - FORM_WORDS - MODIFIERS
        if len(word) >= _LEAST_BRAND_LETTERS
    }
    if brand & raw:
        in_name = [name for name in missing if parts[name] & name_words]
        if (name_words & MODIFIERS) != (raw & MODIFIERS) or in_name:
            return "the text names another product of the brand"
        return None
    if _same_drug_by_catalog(case, entry, raw):
        return None
    return f"the text doesn't name {', '.join(missing) or entry.name}"


def _other_ingredients(case: RxCase, words: set[str], own: frozenset[str], entry: Drug) -> set[str]:
    """Return the words that name an ingredient which the product doesn't have."""
    known = {meaning for meanings in SYNONYMS.values() for meaning in meanings} | CONTROLLED_NAMES
    in_name = set(stems(entry.name))
    found = set()
    for word in words - in_name - FAMILIES:
        is_known = word in known or any(
            word in core_words(name)
            for drug in case.text_drugs.get(word, ())
            for name in ingredients_of(drug)
        )
        if is_known and word not in own:
            found.add(word)
    return found


def _same_drug_by_catalog(case: RxCase, entry: Drug, words: set[str]) -> bool:
    """Return whether a word of the text is the name of a product with the same ingredients."""
    wanted = {core_words(name) for name in ingredients_of(entry)}
    for word in words:
        for drug in case.text_drugs.get(word, ()):
            same = {core_words(name) for name in ingredients_of(drug)} == wanted
            if same and word in stems(drug.name):
                return True
    return False


def strength(case: RxCase) -> Iterator[Finding]:
    """Compare every strength of the text, and the strength field, with every ingredient's."""
    drug, entry = case.prescription.medication, case.drug
    sources = {"medication.strength": drug.strength, "medication.drug_text": drug.drug_text}
    read = {name: read_strengths(text) for name, text in sources.items() if text}
    said = {name: found for name, found in read.items() if found}
    if len(said) > 1 and not _agree(*said.values()):
        yield _mismatch("The strength and the text name two strengths.", entry, said.values())
        return
    listed = listed_strengths(entry) if entry else []
    if not listed:
        why = NO_CATALOG if not case.catalog_loaded else "the catalog names no strength"
        yield NotChecked(f"{why}: the strength is not compared with the DIN")
    elif not said:
        yield NotChecked("the text names no strength")
    elif entry is not None and not all(
        _is_listed(text, sources[name] or "", entry, listed) for name, text in said.items()
    ):
        yield _mismatch("The text names another strength than the DIN.", entry, said.values())
    elif max(len({each.strength for each in found}) for found in said.values()) < len(listed):
        yield NotChecked("the text doesn't name the strength of every ingredient")
    else:
        yield Checked(f"the strength is that of the DIN ({entry.strength if entry else ''})")


def _agree(first: Sequence[Found], second: Sequence[Found]) -> bool:
    one, other = ([each.strength for each in found] for found in (first, second))
    return all_fit(one, other) or all_fit(other, one)


def _mismatch(message: str, entry: Drug | None, said: Iterable[Sequence[Found]]) -> Reason:
    written = sorted({str(each.strength) for found in said for each in found})
    evidence: dict[str, object] = {"written": written}
    if entry is not None:
        evidence["catalog"] = entry.strength
    return Reason(
        code="strength_mismatch", field="medication.strength", message=message, evidence=evidence
    )


def _is_listed(
    found: Sequence[Found], text: str, entry: Drug, listed: Sequence[tuple[str, Strength]]
) -> bool:
    amounts = [each.strength for each in found]
    if not all_fit(amounts, [part for _, part in listed]):
        return _in_name(amounts, entry)
    words = drug_words(text)
    places = [
        min((words[w] for w in core_words(name) if w in words), default=-1) for name, _ in listed
    ]
    distinct = len(set(places)) == len(places) and -1 not in places
    if len(found) == len(listed) > 1 and distinct:
        order = sorted(range(len(listed)), key=places.__getitem__)
        return all(fits(amounts[rank], listed[which][1]) for rank, which in enumerate(order))
    return True


def _in_name(amounts: Sequence[Strength], entry: Drug) -> bool:
    """Return whether numbers without a unit belong to the product's name: TYLENOL NO. 3."""
    in_name = {each.strength.amount for each in read_strengths(entry.name)}
    return all(each.unit == "" and each.amount in in_name for each in amounts)


def listed_strengths(entry: Drug) -> list[tuple[str, Strength]]:
    """Return the strength of each ingredient that has one."""
    if not entry.parts:
        texts = entry.strength.split(" / ") if entry.strength else [entry.name]
        found = [each.strength for text in texts for each in read_strengths(text)[:1]]
        return [("", each) for each in found if each.unit]
    listed: list[tuple[str, Strength]] = []
    for part in entry.parts:
        text = f"{part.amount} {part.unit}"
        if part.per_unit and part.per_unit.upper() != "AEM":
            text += f"/{_plain(part.per_amount)}{part.per_unit}"
        listed.extend((part.ingredient, each.strength) for each in read_strengths(text)[:1])
    return listed


def _plain(amount: str) -> str:
    """Return an amount for a denominator; an empty one is 1."""
    try:
        return "" if not amount or Decimal(amount) == 1 else amount
    except InvalidOperation:
        return ""


def quantity_unit(case: RxCase) -> Iterator[Finding]:
    """Compare the units of quantity and dose with the product's form."""
    drug, entry = case.prescription.medication, case.drug
    form = _form_kind(entry.form) if entry else None
    if form is None:
        yield NotChecked(NO_CATALOG if not case.catalog_loaded else "the form is not known")
        return
    counted = _KINDS.get(UNITS.get(fold(drug.quantity_unit or "").strip(), ""))
    taken = _KINDS.get(read_sig(drug.sig).unit) if drug.sig else None
    for field, kind in (("medication.quantity_unit", counted), ("medication.sig", taken)):
        if kind is not None and kind != form:
            yield Reason(
                code="quantity_unit",
                field=field,
                message="The unit doesn't fit the form of the product.",
                evidence={"form": entry.form if entry else ""},
            )
            return


def _form_kind(form: str) -> str | None:
    folded = fold(form)
    if any(word in folded for word in _SOLID):
        return "solid"
    if "patch" in folded:
        return "patch"
    if any(word in folded for word in ("aerosol", "inhalation", "spray")):
        return None
    return "liquid" if any(word in folded for word in _LIQUID) else None


def _ambiguous(case: RxCase, message: str, dins: Sequence[str]) -> Reason:
    known = {drug.din: drug for drug in case.named_drugs}
    choices = tuple(
        _choice(known[din]) if din in known else Choice(din) for din in dins[:_MAX_CANDIDATES]
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


def _label(drug: Drug) -> str:
    return " ".join(part for part in (drug.name, drug.strength, drug.form) if part)


def _choice(drug: Drug) -> Choice:
    return Choice(drug.din, _label(drug))
