"""Patients and prescribers of FHIR. Ambiguous data become reasons; no local id identifies."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final, NamedTuple

from gateway_rx_queue.fhir.bundle import Bundle, Entry, Target
from gateway_rx_queue.fhir.validation import Resource, refused
from gateway_rx_queue.fhir.values import concept_text, is_current, preferred, texts
from gateway_rx_queue.model import Choice, Reason

# The last part of a naming system's address.
_HEALTH_NUMBER: Final = re.compile(
    r"(?:ca-)?([a-z]{2})-(?:patient-healthcare-id|patient-hcn|health-?card|hcn|phn|jhn)", re.ASCII
)
_LICENCE: Final = re.compile(r"ca-([a-z]{2})-licen[cs]e-([a-z-]{1,40})", re.ASCII)
_COLLEGES: Final[Mapping[tuple[str, str], str]] = {
    ("on", "physician"): "CPSO",
    ("bc", "physician"): "CPSBC",
    ("ab", "physician"): "CPSA",
    ("qc", "physician"): "CMQ",
    ("sk", "physician"): "CPSS",
    ("mb", "physician"): "CPSM",
    ("ns", "physician"): "CPSNS",
    ("nb", "physician"): "CPSNB",
    ("on", "nurse"): "CNO",
    ("on", "pharmacist"): "OCP",
    ("on", "dentist"): "RCDSO",
}
_LICENCE_TYPES: Final = frozenset({"MD", "LN", "NPI", "PRN", "RN", "DN", "NP", "MCT"})
_NOT_LICENCES: Final = frozenset({"EI", "MR", "PI", "AN", "SS", "DL", "PPN", "TAX", "EN"})
_NPI: Final = "us-npi"


class Person(NamedTuple):
    """Fields of a patient or a prescriber, and the reasons for review about them."""

    fields: dict[str, Any]
    reasons: tuple[Reason, ...] = ()


def patient(bundle: Bundle, request: Entry, today: date) -> Person:
    """Return the subject of a request. Raises ``InvalidInput`` if it isn't a patient."""
    subject = request.resource.get("subject") or {}
    target = bundle.target(request, "subject")
    kind = target.entry.kind if target.entry else _kind_of(subject, target)
    if kind not in {"Patient", ""}:
        raise refused(f"the subject is a {kind}: only a patient's order is dispensed", "subject")
    resource = target.entry.resource if target.entry else {}
    reasons = list(_doubts(resource, target))
    identifiers = [*(resource.get("identifier") or [])]
    if isinstance(subject.get("identifier"), Mapping):
        identifiers.append(subject["identifier"])
    fields = _name(resource, today, "patient", reasons)
    if not resource and subject.get("display"):
        fields = _split_display(str(subject["display"]))
    fields |= _health_number(identifiers, today, reasons)
    fields["external_patient_id"] = _patient_id(identifiers, target, today, reasons)
    fields |= _birth_date(resource, reasons)
    fields["phone"] = _telecom(resource, "phone", today)
    fields["address"] = _address(resource, today)
    fields["allergies"] = list(_allergies(bundle, target))
    return Person(fields, tuple(reasons))


def _kind_of(subject: Resource, target: Target) -> str:
    if subject.get("type"):
        return str(subject["type"]).rpartition("/")[2]
    parts = (target.reference or "").split("/")
    return parts[-2] if len(parts) > 1 and parts[-2].isalpha() else ""


def _doubts(resource: Resource, target: Target) -> Iterator[Reason]:
    """Yield reasons why it may be another patient than the referenced one."""
    if target.ambiguous:
        text = "The reference fits several patients of the Bundle."
        yield Reason(code="patient_ambiguous", field="patient", message=text)
    if resource.get("active") is False or any(
        each.get("type") == "replaced-by" for each in resource.get("link") or []
    ):
        text = "The patient's record is inactive, or replaced by another one."
        yield Reason(code="patient_ambiguous", field="patient", message=text)
    if resource.get("deceasedBoolean") is True or resource.get("deceasedDateTime"):
        text = "The patient's record says that the patient has died."
        yield Reason(code="patient_deceased", field="patient", message=text)


def _name(resource: Resource, today: date, who: str, reasons: list[Reason]) -> dict[str, Any]:
    """Return the official name in use; two of them are a reason."""
    found = []
    for name in preferred(resource.get("name") or [], today):
        given = " ".join(texts(name.get("given")))
        family = name.get("family")
        if not family and not given and name.get("text"):
            found.append(_split_display(str(name["text"])))
        else:
            found.append({"first_name": given or None, "last_name": family})
    different = list({repr(each): each for each in found}.values())
    if len(different) > 1:
        reasons.append(
            Reason(
                code="demographics_mismatch" if who == "patient" else "illegible_field",
                field=f"{who}.last_name" if who == "patient" else f"{who}.name",
                message="Several current names are given.",
                candidates=tuple(
                    Choice(" ".join(filter(None, (each["first_name"], each["last_name"]))))
                    for each in different[:10]
                ),
            )
        )
    return dict(different[0]) if different else {"first_name": None, "last_name": None}


def _split_display(text: str) -> dict[str, Any]:
    """Return a name that is one text, unchanged, because its parts are unknown."""
    return {"first_name": None, "last_name": text.strip() or None}


def _is_type(identifier: Resource, *kinds: str) -> bool:
    codings = (identifier.get("type") or {}).get("coding") or []
    return any(each.get("code") in kinds for each in codings)


def _system(identifier: Resource) -> str:
    """Return the last part of the naming system's address."""
    return str(identifier.get("system") or "").lower().rpartition("/")[2]


def _health_number(
    identifiers: list[Resource], today: date, reasons: list[Reason]
) -> dict[str, Any]:
    found = {}
    for identifier in identifiers:
        province = _HEALTH_NUMBER.fullmatch(_system(identifier))
        known = _is_type(identifier, "JHN", "NIPH", "HC") or province is not None
        if known and identifier.get("value") and is_current(identifier, today):
            code = province[1].upper() if province else None
            found[(str(identifier["value"]), code)] = identifier
    if len(found) > 1:
        reasons.append(
            Reason(
                code="patient_ambiguous",
                field="patient.health_number",
                message="Several current health numbers are given.",
                candidates=tuple(
                    Choice(number, label or "") for number, label in sorted(found, key=str)
                ),
            )
        )
        return {}
    for number, province_code in found:
        return {"health_number": number, "province": province_code}
    return {}


def _patient_id(
    identifiers: list[Resource], target: Target, today: date, reasons: list[Reason]
) -> str | None:
    """Return the sender's id of the patient: a record number, else the address of the record.

    An id inside a Bundle, or contained, names another patient in the next one.
    """
    current = [each for each in identifiers if each.get("value") and is_current(each, today)]
    records = [each for each in current if _is_type(each, "MR", "PI", "PT")]
    if not records:
        records = [each for each in current if each.get("system") and not each.get("type")]
        records = [each for each in records if not _HEALTH_NUMBER.fullmatch(_system(each))]
    named = list(dict.fromkeys(_token(each) for each in records))
    if len(named) == 1:
        return named[0]
    if len(named) > 1:
        reasons.append(
            Reason(
                code="patient_ambiguous",
                field="patient.external_patient_id",
                message="Several current record numbers are given.",
                candidates=tuple(Choice(each) for each in named[:10]),
            )
        )
        return None
    if target.entry is None:
        reference = target.reference or ""
        is_local = reference.startswith(("#", "urn:")) or target.ambiguous
        return None if is_local else reference.removeprefix("Patient/") or None
    full_url = target.entry.full_url or ""
    is_address = full_url.startswith(("http://", "https://")) and not target.entry.is_contained
    return full_url if is_address else None


def _token(identifier: Resource) -> str:
    system = identifier.get("system")
    return f"{system}|{identifier['value']}" if system else str(identifier["value"])


def _birth_date(resource: Resource, reasons: list[Reason]) -> dict[str, Any]:
    born = resource.get("birthDate")
    if isinstance(born, str) and len(born) < len("1950-02-01"):
        reasons.append(
            Reason(
                code="unmapped_instruction",
                field="patient.dob",
                message="birthDate is a partial date without a day.",
                evidence={"Patient.birthDate": born},
            )
        )
        return {"dob": None}
    return {"dob": born}


def _telecom(resource: Resource, system: str, today: date) -> str | None:
    for each in resource.get("telecom") or []:
        if each.get("system") == system and each.get("value") and is_current(each, today):
            return str(each["value"])
    return None


def _address(resource: Resource, today: date) -> str | None:
    """Return the home address in use on one line."""
    current = [each for each in resource.get("address") or [] if is_current(each, today)]
    current = [each for each in current if each.get("use") != "billing"]
    home = [each for each in current if each.get("use") == "home"] or current
    if not home:
        return None
    first = home[0]
    lines = [
        *texts(first.get("line")),
        *texts([first.get(n) for n in ("city", "state", "postalCode")]),
    ]
    return str(first.get("text") or ", ".join(lines)) or None


def _allergies(bundle: Bundle, subject: Target) -> Iterator[str]:
    """Yield the patient's allergies that are not refuted, with or without a Patient resource."""
    if subject.reference is None:
        return
    for entry in bundle.of_kind("AllergyIntolerance"):
        target = bundle.target(entry, "patient")
        same = target.reference == subject.reference
        if target.entry is not None and subject.entry is not None:
            same = target.entry.resource is subject.entry.resource
        verified = concept_text(entry.resource.get("verificationStatus")) or ""
        if not same or verified.lower() in {"refuted", "entered-in-error"}:
            continue
        text = concept_text(entry.resource.get("code"))
        if text:
            yield text


def prescriber(bundle: Bundle, request: Entry, today: date) -> Person:
    """Return the requester of a request, with the licence to prescribe."""
    target = bundle.target(request, "requester")
    entry = target.entry
    if entry is not None and entry.kind == "PractitionerRole":
        entry = bundle.target(entry, "practitioner").entry or entry
    resource = entry.resource if entry is not None else {}
    reasons: list[Reason] = []
    if target.ambiguous:
        text = "The reference fits several prescribers of the Bundle."
        reasons.append(Reason(code="illegible_field", field="prescriber", message=text))
    shown = _prescriber_name(resource, today, reasons)
    display = (request.resource.get("requester") or {}).get("display")
    fields = {
        "name": shown or display,
        "phone": _telecom(resource, "phone", today),
        "fax": _telecom(resource, "fax", today),
        **_licence(resource.get("identifier") or [], today, reasons),
    }
    return Person(fields, tuple(reasons))


def _prescriber_name(resource: Resource, today: date, reasons: list[Reason]) -> str | None:
    names = resource.get("name") or []
    if isinstance(names, str):  # an Organization
        return names
    for name in preferred(names, today)[:1]:
        if name.get("text"):
            return str(name["text"])
    parts = _name(resource, today, "prescriber", reasons)
    return " ".join(filter(None, (parts["first_name"], parts["last_name"]))) or None


def _licence(identifiers: list[Resource], today: date, reasons: list[Reason]) -> dict[str, Any]:
    """Return the licence among the identifiers: by its system, else by its type."""
    current = [each for each in identifiers if each.get("value") and is_current(each, today)]
    ranked: dict[int, dict[tuple[str, str], None]] = {}
    for each in current:
        system = _system(each)
        known = _LICENCE.fullmatch(system)
        kind = concept_text(each.get("type"))
        if known:
            college = _COLLEGES.get((known[1], known[2]), f"{known[1].upper()} {known[2]}")
            rank, name = 0, kind or college
        elif system == _NPI or _is_type(each, "NPI"):
            rank, name = 1, "NPI"
        elif _is_type(each, *_LICENCE_TYPES) or (kind and not _is_type(each, *_NOT_LICENCES)):
            rank, name = 2, kind or ""
        else:
            continue
        ranked.setdefault(rank, {})[(name, str(each["value"]))] = None
    if not ranked:
        return {}
    best = list(ranked[min(ranked)])
    if len(best) > 1:
        reasons.append(
            Reason(
                code="illegible_field",
                field="prescriber.licence_number",
                message="Several current licences are given.",
                candidates=tuple(Choice(number, kind) for kind, number in best[:10]),
            )
        )
        return {}
    return {"licence_type": best[0][0], "licence_number": best[0][1]}
