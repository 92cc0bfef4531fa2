"""FHIR R4 in: a MedicationRequest, or a Bundle of them."""

import copy
import sys

import pytest

pytest.importorskip("fhir.resources", reason="the extra fhir is not installed")

HEADERS = {"Content-Type": "application/fhir+json"}
DIN = "http://terminology.hl7.org/NamingSystem/ca-hc-din"
DURATION = "dispenseRequest.expectedSupplyDuration.value"
REQUEST = {
    "resourceType": "MedicationRequest",
    "id": "m1",
    "identifier": [{"system": "urn:emr", "value": "RX-77"}],
    "status": "active",
    "intent": "order",
    "subject": {"reference": "Patient/p1"},
    "requester": {"reference": "urn:uuid:role"},
    "medicationCodeableConcept": {
        "coding": [{"system": DIN, "code": "02242705", "display": "LIPITOR 20 MG"}],
        "text": "atorvastatin 20 mg tab",
    },
    "authoredOn": "2025-12-20T10:00:00Z",
    "dosageInstruction": [{"text": "1 tab daily"}],
    "dispenseRequest": {
        "quantity": {"value": 30, "unit": "tab"},
        "numberOfRepeatsAllowed": 3,
        "expectedSupplyDuration": {"value": 30, "unit": "days", "code": "d"},
    },
    "substitution": {"allowedBoolean": False},
}
PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [
        {"type": {"coding": [{"code": "MR"}]}, "value": "P-1204"},
        {
            "type": {"coding": [{"code": "JHN"}]},
            "system": "https://fhir.infoway-inforoute.ca/NamingSystem/ca-on-patient-hcn",
            "value": "1234567897",
        },
    ],
    "name": [{"family": "Silva", "given": ["Ana", "Maria"]}],
    "birthDate": "1950-02-01",
    "telecom": [{"system": "phone", "value": "416-555-0100"}],
}
ENTRIES = [
    {"fullUrl": "https://emr.example.com/Patient/p1", "resource": PATIENT},
    {
        "fullUrl": "urn:uuid:role",
        "resource": {
            "resourceType": "PractitionerRole",
            "practitioner": {"reference": "Practitioner/d1"},
        },
    },
    {
        "resource": {
            "resourceType": "Practitioner",
            "id": "d1",
            "name": [{"family": "Lee", "given": ["Kim"]}],
            "identifier": [{"type": {"text": "CPSO"}, "value": "54321"}],
            "telecom": [{"system": "fax", "value": "416-555-0199"}],
        }
    },
    {
        "resource": {
            "resourceType": "AllergyIntolerance",
            "patient": {"reference": "Patient/p1"},
            "code": {"text": "penicillin"},
        }
    },
]


def bundle(*requests):
    whole = [*ENTRIES, *({"resource": request} for request in requests)]
    return {"resourceType": "Bundle", "type": "collection", "entry": whole}


def lasting(value):
    return {"expectedSupplyDuration": {"value": value, "code": "d"}}


def request(**changes):
    made = copy.deepcopy(REQUEST) | changes
    return {name: value for name, value in made.items() if value is not None}


@pytest.fixture
def send(gateway, key):
    async def sent(body, expect=202):
        answer = await gateway.post("/api/rx", key, body, HEADERS)
        assert answer.status_code == expect, answer.text
        return answer.json()

    return sent


async def test_a_bundle_becomes_a_prescription_with_all_that_it_says(send, job):
    answer = await send(bundle(REQUEST))

    [queue_id] = answer["queueIds"]
    assert answer["warnings"] == []
    found = await job(queue_id)
    assert found["status"] == "queued"
    assert found["prescription"] == {
        "external_id": "RX-77",
        "source": "e-rx",
        "patient": {
            "external_patient_id": "P-1204",
            "first_name": "Ana Maria",
            "last_name": "Silva",
            "dob": "1950-02-01",
            "phone": "416-555-0100",
            "health_number": "1234567897",
            "province": "ON",
            "allergies": ["penicillin"],
        },
        "prescriber": {
            "name": "Kim Lee",
            "licence_type": "CPSO",
            "licence_number": "54321",
            "fax": "416-555-0199",
        },
        "medication": {
            "din": "02242705",
            "drug_text": "atorvastatin 20 mg tab",
            "quantity": 30,
            "quantity_unit": "tab",
            "days_supply": 30,
            "sig": "1 tab daily",
            "refills": 3,
            "no_substitution": True,
            "written_date": "2025-12-20",
        },
    }


async def test_a_request_alone_with_what_it_contains_is_one_prescription(send, job):
    alone = request(
        identifier=None,
        subject={"reference": "Patient/p9"},
        requester={"reference": "#doc"},
        medicationCodeableConcept=None,
        medicationReference={"reference": "#drug"},
        dispenseRequest={
            "quantity": {"value": 12.5, "code": "mL"},
            "numberOfRepeatsAllowed": 0,
            "expectedSupplyDuration": {"value": 2, "code": "wk"},
        },
        contained=[
            {"resourceType": "Practitioner", "id": "doc", "name": [{"text": "Dr. Lee"}]},
            {
                "resourceType": "Medication",
                "id": "drug",
                "code": {"coding": [{"system": DIN, "code": "02247521", "display": "SYRUP"}]},
            },
        ],
    )

    answer = await send(alone)

    found = (await job(answer["queueId"]))["prescription"]
    assert found["external_id"] == "m1"
    assert found["patient"] == {"external_patient_id": "p9"}
    assert found["prescriber"] == {"name": "Dr. Lee"}
    assert found["medication"]["din"] == "02247521"
    assert found["medication"]["drug_text"] == "SYRUP"
    assert found["medication"]["quantity"] == 12.5
    assert found["medication"]["days_supply"] == 14


async def test_requests_of_one_group_are_linked_jobs_of_their_own(send, job):
    group = {"groupIdentifier": {"value": "G-1"}}
    second = request(
        id="m2",
        medicationCodeableConcept={"coding": [{"system": DIN, "code": "02247521"}]},
        **group,
    )
    other = request(id="m3", identifier=None)

    answer = await send(bundle(request(**group), second, other))

    assert answer["created"] == 3
    one, two, three = answer["queueIds"]
    assert (await job(one))["linked"] == [two]
    assert (await job(two))["prescription"]["medication"]["din"] == "02247521"
    assert (await job(two))["external_id"] == "RX-77"
    assert (await job(three))["linked"] == []


@pytest.mark.parametrize(
    ("body", "message", "field"),
    [
        ({"resourceType": "Patient"}, "Bundle or MedicationRequest", None),
        ([], "Bundle or MedicationRequest", None),
        (bundle(), "no MedicationRequest", None),
        (bundle(request(authoredOn="Silva")), "not valid FHIR", "entry.4.resource.authoredOn"),
        (bundle(request(Silva="Silva")), "not valid FHIR", "entry.4.resource.Silva"),
        (request(status="cancelled"), "no order to dispense", "status"),
        ({"resourceType": ["Bundle"]}, "Bundle or MedicationRequest", None),
        (bundle({"resourceType": "Silva"}), "not valid FHIR", None),
        (bundle({"resourceType": ["Silva"]}), "not valid FHIR", None),
        (bundle({"resourceType": 7}), "not valid FHIR", None),
        (request(contained=[{"resourceType": "Silva"}]), "not valid FHIR", None),
        (bundle({}), "no resourceType", None),
        (request(authoredOn=20251220), "cannot be read", "authoredOn"),
        (request(dispenseRequest=lasting("1.5")), "cannot be read", DURATION),
        (request(dispenseRequest=lasting("30")), "cannot be read", DURATION),
        (request(dispenseRequest=lasting(1e308)), "", "medication.days_supply"),
    ],
)
async def test_what_is_no_order_in_fhir_is_refused(send, body, message, field):
    answer = await send(body, expect=400)

    assert message in answer["error"]
    assert [each.get("field") for each in answer.get("details", [])] == ([field] if field else [])
    assert all("Silva" not in each["message"] for each in answer.get("details", []))


async def test_without_the_library_the_answer_says_what_to_install(send, monkeypatch):
    monkeypatch.setitem(sys.modules, "fhir.resources.R4B.bundle", None)

    answer = await send(bundle(REQUEST), expect=415)

    assert "rx-gateway[fhir]" in answer["error"]
