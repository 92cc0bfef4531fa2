"""MedicationRequests as orders: refused requests, mapped and held elements."""

from collections.abc import Iterator, Mapping
from datetime import date, tzinfo
from typing import Any, Final, NamedTuple

from gateway.plugin import InvalidInput, Problem
from gateway_rx_queue.fhir import medication, people
from gateway_rx_queue.fhir.bundle import Bundle, Entry
from gateway_rx_queue.fhir.dosage import directions
from gateway_rx_queue.fhir.validation import Resource, refused
from gateway_rx_queue.fhir.values import concept_text, local_day
from gateway_rx_queue.model import Reason

_INTENTS: Final = frozenset({"order", "original-order", "reflex-order", "filler-order"})
_MAX_HELD_CHARACTERS: Final = 500
# Elements that don't affect what is dispensed; a warning names them.
_NOT_READ: Final = (
    "encounter",
    "supportingInformation",
    "recorder",
    "performerType",
    "instantiatesCanonical",
    "instantiatesUri",
    "basedOn",
    "courseOfTherapyType",
    "insurance",
    "eventHistory",
    "statusReason",
    "reasonReference",
)
# Elements that may change what is dispensed.
_HELD: Final = ("priorPrescription", "detectedIssue", "performer", "reportedReference")
_OUTPATIENT: Final = frozenset({"outpatient", "community", "discharge"})
_URGENT: Final = frozenset({"urgent", "asap", "stat"})


class Order(NamedTuple):
    """One request as a prescription in our JSON shape.

    ``unmapped`` are its reasons for review. The same ``identity`` again is the same request;
    requests of one ``group`` are linked.
    """

    prescription: dict[str, Any]
    unmapped: tuple[Reason, ...] = ()
    identity: str | None = None
    group: str | None = None
    warnings: tuple[Problem, ...] = ()


def orders(sent: Resource, zone: tzinfo, today: date) -> list[Order]:
    """Return the orders of a body that ``check_fhir`` accepted.

    ``zone`` is the site's, in which a time in UTC may be on another day. Raises ``InvalidInput``
    with the reason when one of the requests isn't an order; then none is accepted.
    """
    bundle = Bundle(sent)
    requests = list(bundle.of_kind("MedicationRequest"))
    if not requests:
        raise InvalidInput("The Bundle holds no MedicationRequest.")
    for place, request in enumerate(requests):
        _refuse(bundle, request, place)
    return [_order(bundle, request, zone, today) for request in requests]


def _refuse(bundle: Bundle, request: Entry, place: int) -> None:
    """Raise ``InvalidInput`` for a request that must not be dispensed."""
    resource = request.resource
    checks = (
        (resource.get("status") != "active", "status must be active", "status"),
        (resource.get("intent") not in _INTENTS, "intent must be order", "intent"),
        (resource.get("doNotPerform") is True, "doNotPerform forbids the drug", "doNotPerform"),
        (
            resource.get("reportedBoolean") is True,
            "it reports another's prescription",
            "reportedBoolean",
        ),
        ("implicitRules" in resource, "implicitRules are not known here", "implicitRules"),
    )
    for wrong, message, field in checks:
        if wrong:
            raise refused(f"{message}: nothing is to be dispensed", field, place)
    for each in (resource, *_referred(bundle, request)):
        path = _modifier(each)
        if path is not None:
            raise refused("an extension that is not known here changes its meaning", path, place)


def _referred(bundle: Bundle, request: Entry) -> Iterator[Resource]:
    for name in ("subject", "requester", "medicationReference"):
        entry = bundle.target(request, name).entry
        if entry is not None:
            yield entry.resource


def _modifier(value: Any, path: str = "", depth: int = 0) -> str | None:
    """Return where a modifierExtension is (https://hl7.org/fhir/R4/extensibility.html#modifier)."""
    if depth > 12:  # noqa: PLR2004 - deeper than any of these resources
        return None
    if isinstance(value, Mapping):
        if value.get("modifierExtension"):
            return f"{path}modifierExtension"
        for name, each in value.items():
            found = _modifier(each, f"{path}{name}.", depth + 1)
            if found is not None:
                return found
    if isinstance(value, list):
        for each in value:
            found = _modifier(each, path, depth + 1)
            if found is not None:
                return found
    return None


def _order(bundle: Bundle, request: Entry, zone: tzinfo, today: date) -> Order:
    resource = request.resource
    patient = people.patient(bundle, request, today)
    prescriber = people.prescriber(bundle, request, today)
    drug = medication.drug(bundle, request)
    dispense = medication.dispense(resource)
    said = directions(resource.get("dosageInstruction") or [])
    written = local_day(resource.get("authoredOn"), zone, "authoredOn")
    held = [*drug.held, *dispense.held, *said.held, *_held(resource, written)]
    return Order(
        {
            "external_id": _external_id(resource),
            "source": "e-rx",
            "patient": patient.fields,
            "prescriber": prescriber.fields,
            "medication": {
                **drug.fields,
                **dispense.fields,
                "sig": said.sig,
                "written_date": written.isoformat() if written else None,
                "notes": "\n".join(_notes(resource)) or None,
                "indication": _indication(resource),
            },
        },
        (
            *patient.reasons,
            *prescriber.reasons,
            *(
                Reason(
                    code="unmapped_instruction",
                    field=name,
                    message="This element has no field here, and has to be read.",
                    evidence={name: text[:_MAX_HELD_CHARACTERS]},
                )
                for name, text in held
            ),
        ),
        _identity(request),
        _group(request),
        tuple(_warnings(resource, drug.remarks + dispense.remarks)),
    )


def _held(resource: Resource, written: date | None) -> Iterator[tuple[str, str]]:
    if resource.get("authoredOn") and written is None:
        yield "authoredOn", f"a partial date without a day: {resource['authoredOn']}"
    if resource.get("priority") in _URGENT:
        yield "priority", str(resource["priority"])
    for concept in resource.get("category") or []:
        codes = {each.get("code") for each in concept.get("coding") or []}
        if codes and not codes & _OUTPATIENT:
            yield "category", concept_text(concept) or ""
    for name in _HELD:
        if resource.get(name):
            yield name, "it refers to something else"
    if (resource.get("text") or {}).get("status") == "additional":
        yield "text", "the narrative says more than the elements"
    # Extensions of primitive values, such as _authoredOn.
    for name in sorted(resource):
        if name.startswith("_"):
            yield name, "an extension of a value"


def _warnings(resource: Resource, remarks: tuple[str, ...]) -> Iterator[Problem]:
    for remark in remarks:
        yield Problem(remark, field="medication.days_supply")
    for name in _NOT_READ:
        if resource.get(name):
            yield Problem("not read: it says nothing of what is dispensed", field=name)


def _external_id(resource: Resource) -> str | None:
    """Return the first identifier's value for people to read, else the resource's id."""
    values = [str(each["value"]) for each in resource.get("identifier") or [] if each.get("value")]
    return values[0][:255] if values else resource.get("id")


def _identity(request: Entry) -> str | None:
    """Return the identity of a request: system and value of all identifiers, and id.

    An identifier alone doesn't: several drugs share the number of one order.
    """
    resource, url = request.resource, request.full_url or ""
    tokens = sorted(
        f"{each.get('system') or ''}|{each['value']}"
        for each in resource.get("identifier") or []
        if each.get("value")
    )
    place = url if url.startswith(("http://", "https://", "urn:uuid:")) else ""
    own = str(resource.get("id") or ("" if tokens else place))
    if not tokens and not own:
        return None
    return "fhir:" + "\x1f".join(("MedicationRequest", own, *tokens))


def _group(request: Entry) -> str | None:
    """Return the group, of one patient and prescriber: two patients are never linked."""
    group = request.resource.get("groupIdentifier") or {}
    if not group.get("value"):
        return None
    refers = [
        str((request.resource.get(name) or {}).get("reference"))
        for name in ("subject", "requester")
    ]
    return "\x1f".join((str(group.get("system") or ""), str(group["value"]), *refers))


def _notes(resource: Resource) -> Iterator[str]:
    for each in resource.get("note") or []:
        if each.get("text"):
            yield str(each["text"])


def _indication(resource: Resource) -> str | None:
    said = [concept_text(each) for each in resource.get("reasonCode") or []]
    return "; ".join(filter(None, said))[:500] or None
