"""FHIR R4 in: a MedicationRequest, or a Bundle of them, mapped to the JSON of ``/api/rx``.

``fhir.resources`` (the extra ``fhir``) checks that what came is FHIR; here it is only read.
R4B is R4 as far as these resources go. Canadian identifiers follow CA Core+
(https://simplifier.net/ca-core): health numbers are of type JHN, DINs of the naming system
``ca-hc-din``.
"""

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.plugin import InvalidInput, Problem, UnsupportedMedia, decode

MEDIA_TYPE: Final = "application/fhir+json"
_DIN: Final = "ca-hc-din"
_NPN: Final = "ca-hc-npn"
_PROVINCE: Final = re.compile(r"/ca-([a-z]{2})-(?:patient-healthcare-id|patient-hcn|.*hcn)$")
_DAYS: Final = {"d": 1, "day": 1, "days": 1, "wk": 7, "week": 7, "weeks": 7}
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_MOST_PROBLEMS: Final = 20

Resource = Mapping[str, Any]


def check_fhir(body: bytes) -> None:
    """Raise ``InvalidInput`` for what is no FHIR, ``UnsupportedMedia`` without the library.

    The library is imported when it is first needed; call this in a thread.
    """
    sent = decode(body, Any)
    kind = sent.get("resourceType") if isinstance(sent, dict) else None
    if not isinstance(kind, str) or kind not in {"Bundle", "MedicationRequest"}:
        raise InvalidInput("Send a FHIR Bundle or MedicationRequest: see resourceType.")
    try:
        module = importlib.import_module(f"fhir.resources.R4B.{kind.lower()}")
    except ImportError as error:
        raise UnsupportedMedia(
            "This gateway reads no FHIR yet: install rx-gateway[fhir] beside it, or send "
            "application/json."
        ) from error
    try:
        getattr(module, kind).model_validate_json(body)
    except (ValueError, LookupError, TypeError) as error:
        # The last two: it looks up, and puts together, a resourceType that may be anything.
        raise InvalidInput("The request body is not valid FHIR R4.", _problems(error)) from None


def _problems(error: Exception) -> list[Problem]:
    """Name the places at fault; what the library says of them may repeat a value."""
    found: Sequence[Mapping[str, Any]] = getattr(error, "errors", list)()
    places = dict.fromkeys(".".join(_part(each) for each in one["loc"]) for one in found)
    return [
        Problem("doesn't fit FHIR R4", field=place or None)
        for place in list(places)[:_MOST_PROBLEMS]
    ]


def _part(place: Any) -> str:
    text = str(place)
    return text if isinstance(place, int) or _NAME.fullmatch(text) else "…"


def prescriptions(sent: Resource) -> list[dict[str, Any]]:
    """Return a prescription in our JSON shape for each MedicationRequest of a checked body.

    Those of one ``groupIdentifier`` are one prescription with several drugs.
    """
    reader = _Reader(sent)
    made: dict[Any, dict[str, Any]] = {}
    for place, request in enumerate(reader.requests()):
        if request.get("status") != "active":
            problem = Problem(
                "status must be active: nothing else is to be dispensed",
                index=place,
                field="status",
            )
            raise InvalidInput("A MedicationRequest is no order to dispense.", [problem])
        one = reader.prescription(request)
        group = (request.get("groupIdentifier") or {}).get("value")
        key = (group, _reference(request, "subject"), _reference(request, "requester"))
        if group is None:
            made[place] = one
        elif key in made:
            made[key]["medications"].append(one["medication"])
        else:
            drug = one.pop("medication")
            made[key] = {**one, "external_id": group, "medications": [drug]}
    if not made:
        raise InvalidInput("The Bundle holds no MedicationRequest.")
    return list(made.values())


class _Reader:
    """Finds what a request refers to: in its Bundle, or contained in itself."""

    def __init__(self, sent: Resource) -> None:
        entries = sent.get("entry") or [] if sent.get("resourceType") == "Bundle" else []
        self._alone = None if sent.get("resourceType") == "Bundle" else sent
        self._resources: list[Resource] = []
        self._by_reference: dict[str, Resource] = {}
        for entry in entries:
            resource = entry.get("resource")
            if not isinstance(resource, dict):
                continue
            if "resourceType" not in resource:
                raise InvalidInput("A resource in the Bundle has no resourceType.")
            self._resources.append(resource)
            if "id" in resource:
                self._by_reference[f"{resource['resourceType']}/{resource['id']}"] = resource
            if entry.get("fullUrl"):
                self._by_reference[entry["fullUrl"]] = resource

    def requests(self) -> list[Resource]:
        """Return the MedicationRequests."""
        if self._alone is not None:
            return [self._alone]
        return [each for each in self._resources if each["resourceType"] == "MedicationRequest"]

    def prescription(self, request: Resource) -> dict[str, Any]:
        """Return one request in our JSON shape."""
        subject = self._found(request, "subject")
        return {
            "external_id": _first_value(request) or request.get("id"),
            "source": "e-rx",
            "patient": self._patient(request, subject),
            "prescriber": self._prescriber(request),
            "medication": self._medication(request),
        }

    def _found(self, request: Resource, name: str) -> Resource:
        reference = _reference(request, name)
        if reference is None:
            return {}
        if reference.startswith("#"):
            for each in request.get("contained") or []:
                if each.get("id") == reference[1:]:
                    return dict(each)
        whole = "/".join(reference.split("/")[-2:])
        return self._by_reference.get(reference) or self._by_reference.get(whole) or {}

    def _patient(self, request: Resource, patient: Resource) -> dict[str, Any]:
        reference = _reference(request, "subject") or ""
        own_id = patient.get("id") or reference.partition("Patient/")[2] or None
        name = _person(patient)
        made: dict[str, Any] = {
            "first_name": name["first_name"],
            "last_name": name["last_name"] or name["text"],
            "external_patient_id": _identifier(patient, "MR") or own_id,
            "dob": patient.get("birthDate"),
            "phone": _telecom(patient, "phone"),
            "allergies": [*self._allergies(patient)],
        }
        for identifier in patient.get("identifier") or []:
            if _is_of_type(identifier, "JHN") and identifier.get("value"):
                made["health_number"] = identifier["value"]
                found = _PROVINCE.search((identifier.get("system") or "").lower())
                made["province"] = found[1].upper() if found else None
        return made

    def _allergies(self, patient: Resource) -> Iterator[str]:
        for each in self._resources:
            if each["resourceType"] != "AllergyIntolerance":
                continue
            if patient and self._found(each, "patient") is patient:
                text = _concept_text(each.get("code"))
                if text:
                    yield text

    def _prescriber(self, request: Resource) -> dict[str, Any]:
        found = self._found(request, "requester")
        if found.get("resourceType") == "PractitionerRole":
            found = self._found(found, "practitioner")
        name = _person(found)
        shown = " ".join(part for part in (name["first_name"], name["last_name"]) if part)
        licences = found.get("identifier") or [{}]
        return {
            "name": name["text"] or shown or (request.get("requester") or {}).get("display"),
            "licence_type": _type_text(licences[0]),
            "licence_number": licences[0].get("value"),
            "phone": _telecom(found, "phone"),
            "fax": _telecom(found, "fax"),
        }

    def _medication(self, request: Resource) -> dict[str, Any]:
        concept = request.get("medicationCodeableConcept")
        if concept is None:
            concept = self._found(request, "medicationReference").get("code")
        shown = (request.get("medicationReference") or {}).get("display")
        dispense = request.get("dispenseRequest") or {}
        quantity = dispense.get("quantity") or {}
        sigs = [each["text"] for each in request.get("dosageInstruction") or [] if each.get("text")]
        return {
            "din": _code(concept, _DIN),
            "npn": _code(concept, _NPN),
            "drug_text": _concept_text(concept) or shown,
            "quantity": quantity.get("value"),
            "quantity_unit": quantity.get("unit") or quantity.get("code"),
            "days_supply": _days(dispense.get("expectedSupplyDuration")),
            "refills": dispense.get("numberOfRepeatsAllowed"),
            "sig": "; ".join(sigs) or None,
            "no_substitution": _no_substitution(request),
            "written_date": _day(request.get("authoredOn")),
        }


def _reference(resource: Resource, name: str) -> str | None:
    reference: str | None = (resource.get(name) or {}).get("reference")
    return reference


def _person(resource: Resource) -> dict[str, Any]:
    name = (resource.get("name") or [{}])[0]
    given = " ".join(each for each in name.get("given") or [] if each)
    return {"first_name": given or None, "last_name": name.get("family"), "text": name.get("text")}


def _first_value(resource: Resource) -> str | None:
    return next(
        (each["value"] for each in resource.get("identifier") or [] if "value" in each), None
    )


def _identifier(resource: Resource, kind: str) -> str | None:
    found = (each for each in resource.get("identifier") or [] if _is_of_type(each, kind))
    return next((each["value"] for each in found if each.get("value")), None)


def _is_of_type(identifier: Resource, kind: str) -> bool:
    codings = (identifier.get("type") or {}).get("coding") or []
    return any(each.get("code") == kind for each in codings)


def _type_text(identifier: Resource) -> str | None:
    kind = identifier.get("type") or {}
    codings = kind.get("coding") or [{}]
    text: str | None = kind.get("text") or codings[0].get("display") or codings[0].get("code")
    return text


def _telecom(resource: Resource, system: str) -> str | None:
    found = (each for each in resource.get("telecom") or [] if each.get("system") == system)
    return next((each["value"] for each in found if each.get("value")), None)


def _code(concept: Resource | None, system: str) -> str | None:
    for coding in (concept or {}).get("coding") or []:
        if (coding.get("system") or "").lower().endswith(system):
            code: str | None = coding.get("code")
            return code
    return None


def _concept_text(concept: Resource | None) -> str | None:
    codings = (concept or {}).get("coding") or []
    shown = next((each["display"] for each in codings if each.get("display")), None)
    return (concept or {}).get("text") or shown


def _day(moment: Any) -> str | None:
    if not isinstance(moment, str | None):
        raise _unread("authoredOn", "a text: 2026-04-19, or more exact")
    return (moment or "")[:10] or None


def _unread(field: str, wanted: str) -> InvalidInput:
    """Refuse what the library lets pass though FHIR's JSON has another type there."""
    return InvalidInput(
        "A MedicationRequest cannot be read.", [Problem(f"must be {wanted}", field=field)]
    )


def _days(duration: Resource | None) -> int | None:
    value = (duration or {}).get("value")
    if isinstance(value, str):
        raise _unread("dispenseRequest.expectedSupplyDuration.value", "a number")
    unit = (duration or {}).get("code") or (duration or {}).get("unit") or ""
    factor = _DAYS.get(unit.lower())
    if value is None or factor is None or value != int(value):
        return None
    return int(value) * factor


def _no_substitution(request: Resource) -> bool | None:
    allowed = (request.get("substitution") or {}).get("allowedBoolean")
    return None if allowed is None else not allowed
