"""The drug of a request: its number, text, strength, form, and its dispense request."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from gateway_rx_queue.drugs.strengths import all_fit, read_strengths
from gateway_rx_queue.fhir.bundle import Bundle, Entry
from gateway_rx_queue.fhir.validation import Resource, refused
from gateway_rx_queue.fhir.values import (
    concept_text,
    days_of,
    earliest_day,
    latest_day,
    number,
    shown,
)

_DIN: Final = "ca-hc-din"
_NPN: Final = "ca-hc-npn"
_SUBSTITUTION: Final = "v3-substanceadminsubstitution"
_ALLOWED: Final = frozenset({"E", "EC", "BC", "G", "TE", "TB", "TG", "F"})
_NOT_ALLOWED: Final = frozenset({"N"})


class Mapped(NamedTuple):
    """Fields of a medication, and the names of elements left out. ``remarks`` are warnings."""

    fields: dict[str, Any]
    held: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()


def drug(bundle: Bundle, request: Entry) -> Mapped:
    """Return the drug itself. Raises ``InvalidInput`` for one that was entered in error."""
    concept: Resource | None = request.resource.get("medicationCodeableConcept")
    held: list[tuple[str, str]] = []
    medication: Resource = {}
    if concept is None:
        target = bundle.target(request, "medicationReference")
        medication = target.entry.resource if target.entry else {}
        concept = medication.get("code")
        if target.ambiguous:
            held.append(("medicationReference", "it fits several resources of the Bundle"))
    if medication.get("status") in {"entered-in-error", "inactive"}:
        raise refused(f"its Medication is {medication['status']}", "medicationReference")
    reference: Resource = request.resource.get("medicationReference") or {}
    dins = _numbers(concept, _DIN)
    if isinstance(reference.get("identifier"), dict):
        dins = dins or _numbers({"coding": [_as_coding(reference["identifier"])]}, _DIN)
    text = _text(concept) or reference.get("display")
    ingredients = medication.get("ingredient") or []
    names = [_ingredient(bundle, request, each) for each in ingredients]
    named = [each for each in names if each]
    if named and not dins and not _names_all(text, named):
        text = f"{text}: {', '.join(named)}" if text else ", ".join(named)
    held.extend(_held_of(medication, concept, text))
    strengths = [_strength(each) for each in ingredients]
    return Mapped(
        {
            "din": dins[0] if len(dins) == 1 else None,
            "din_candidates": dins if len(dins) > 1 else None,
            "npn": next(iter(_numbers(concept, _NPN)), None),
            "drug_text": text,
            "strength": " / ".join(filter(None, strengths)) or None,
            "form": concept_text(medication.get("form")),
        },
        tuple(held),
    )


def _as_coding(identifier: Resource) -> Resource:
    return {"system": identifier.get("system"), "code": identifier.get("value")}


def _numbers(concept: Resource | None, system: str) -> list[str]:
    """Return the different codes of a naming system."""
    found = [
        str(each["code"])
        for each in (concept or {}).get("coding") or []
        if str(each.get("system") or "").lower().endswith(system) and each.get("code")
    ]
    return list(dict.fromkeys(found))


def _text(concept: Resource | None) -> str | None:
    """Return the text, else the DIN's display, else a display with a strength, else any."""
    if (concept or {}).get("text"):
        return str((concept or {})["text"])
    codings = (concept or {}).get("coding") or []
    shown_ones = [each for each in codings if each.get("display")]
    by_din = [e for e in shown_ones if str(e.get("system") or "").lower().endswith(_DIN)]
    strong = [each for each in shown_ones if read_strengths(str(each["display"]))]
    for each in (*(e for e in by_din if e in strong), *strong, *by_din, *shown_ones):
        return str(each["display"])
    return None


def _names_all(text: str | None, names: Sequence[str]) -> bool:
    return text is not None and all(name.casefold() in text.casefold() for name in names)


def _ingredient(bundle: Bundle, request: Entry, ingredient: Resource) -> str | None:
    said = concept_text(ingredient.get("itemCodeableConcept"))
    if said is None and ingredient.get("itemReference"):
        source = request._replace(resource={**request.resource, **ingredient})
        target = bundle.target(source, "itemReference")
        entry = target.entry
        said = concept_text((entry.resource if entry else {}).get("code"))
        said = said or ingredient["itemReference"].get("display")
    strength = _strength(ingredient)
    if said and strength and not read_strengths(said):
        return f"{said} {strength}"
    return said


def _strength(ingredient: Resource) -> str | None:
    ratio = ingredient.get("strength") or {}
    above, below = ratio.get("numerator") or {}, ratio.get("denominator") or {}
    if above.get("value") is None:
        return None
    unit = below.get("unit") or below.get("code")
    per = "" if unit in {None, "1", "{tbl}", "{capsule}"} else f"/{shown(below).removeprefix('1 ')}"
    return shown({**above, "unit": above.get("unit") or above.get("code")}) + per


def _held_of(
    medication: Resource, concept: Resource | None, text: str | None
) -> Iterator[tuple[str, str]]:
    if medication.get("amount"):
        yield "Medication.amount", shown((medication["amount"] or {}).get("numerator"))
    if medication.get("batch"):
        yield "Medication.batch", "a batch is asked for"
    said = [each.strength for each in read_strengths(text or "")]
    for coding in (concept or {}).get("coding") or []:
        other = [each.strength for each in read_strengths(str(coding.get("display") or ""))]
        if said and other and not (all_fit(said, other) or all_fit(other, said)):
            yield "medicationCodeableConcept.coding.display", str(coding["display"])


def dispense(request: Resource) -> Mapped:
    """Return quantity, days, refills and validity; part fills and intervals are held."""
    said: Resource = request.get("dispenseRequest") or {}
    quantity: Resource = said.get("quantity") or {}
    held: list[tuple[str, str]] = []
    remarks: list[str] = []
    if quantity.get("comparator"):
        held.append(("dispenseRequest.quantity.comparator", shown(quantity)))
    supply = said.get("expectedSupplyDuration")
    days = days_of(supply, "dispenseRequest.expectedSupplyDuration")
    if supply and days.days is None:
        held.append(("dispenseRequest.expectedSupplyDuration", shown(supply)))
    if days.remark:
        remarks.append(days.remark)
    fill: Resource = said.get("initialFill") or {}
    if fill:
        both = (shown(fill.get("quantity")), shown(fill.get("duration")))
        held.append(("dispenseRequest.initialFill", ", ".join(filter(None, both))))
    if said.get("dispenseInterval"):
        held.append(("dispenseRequest.dispenseInterval", shown(said["dispenseInterval"])))
    amount = number(quantity, "dispenseRequest.quantity")
    fields = {
        "quantity": amount,
        "quantity_unit": quantity.get("unit") or quantity.get("code"),
        "days_supply": days.days,
        "refills": said.get("numberOfRepeatsAllowed"),
        **_validity(said.get("validityPeriod") or {}),
    }
    no_substitution, why = _no_substitution(request.get("substitution") or {})
    held.extend(why)
    return Mapped(fields | {"no_substitution": no_substitution}, tuple(held), tuple(remarks))


def _validity(period: Resource) -> dict[str, Any]:
    start, end = latest_day(period.get("start")), earliest_day(period.get("end"))
    # For a partial date, use the days that are certainly included: the latest start, the earliest
    # end.
    return {
        "valid_from": start.isoformat() if start else None,
        "valid_until": end.isoformat() if end else None,
    }


def _no_substitution(substitution: Resource) -> tuple[bool | None, list[tuple[str, str]]]:
    allowed = substitution.get("allowedBoolean")
    if allowed is not None:
        return not allowed, []
    concept = substitution.get("allowedCodeableConcept")
    if not concept:
        return None, []
    for coding in concept.get("coding") or []:
        if str(coding.get("system") or "").lower().endswith(_SUBSTITUTION):
            if coding.get("code") in _NOT_ALLOWED:
                return True, []
            if coding.get("code") in _ALLOWED:
                return False, []
    return None, [("substitution.allowedCodeableConcept", concept_text(concept) or "")]
