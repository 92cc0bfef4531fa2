"""FHIR by its own rules: what is no order, whose it is, what is mapped, what is held by name."""

import copy

import pytest

pytest.importorskip("fhir.resources", reason="the extra fhir is not installed")

HEADERS = {"Content-Type": "application/fhir+json"}
DIN = "http://terminology.hl7.org/NamingSystem/ca-hc-din"
HCN = "https://fhir.infoway-inforoute.ca/NamingSystem/ca-on-patient-hcn"
BC = "https://fhir.infoway-inforoute.ca/NamingSystem/ca-bc-patient-healthcare-id"
JHN = {"coding": [{"code": "JHN"}]}
REQUEST = {
    "resourceType": "MedicationRequest",
    "id": "m1",
    "status": "active",
    "intent": "order",
    "subject": {"reference": "Patient/p1"},
    "requester": {"display": "Dr. Lee"},
    "medicationCodeableConcept": {
        "coding": [{"system": DIN, "code": "02242705"}],
        "text": "atorvastatin 20 mg tab",
    },
    "authoredOn": "2025-12-20",
    "dosageInstruction": [{"text": "1 tab daily"}],
    "dispenseRequest": {
        "quantity": {"value": 30, "unit": "tab"},
        "numberOfRepeatsAllowed": 0,
        "expectedSupplyDuration": {"value": 30, "code": "d"},
    },
}
SITES = '[[sites]]\ncode = "main"\nname = "L"\ntimezone = "America/Toronto"\n'


def request(**changes):
    made = copy.deepcopy(REQUEST) | changes
    return {name: value for name, value in made.items() if value is not None}


def dispense(**changes):
    return {"dispenseRequest": copy.deepcopy(REQUEST["dispenseRequest"]) | changes}


def patient(**changes):
    made = {
        "resourceType": "Patient",
        "id": "p1",
        "name": [{"family": "Silva", "given": ["Ana"]}],
        "birthDate": "1950-02-01",
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def bundle(*resources, **more):
    entries = [each if "resource" in each else {"resource": each} for each in resources]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries, **more}


@pytest.fixture
def send(gateway, key):
    async def sent(body, expect=202):
        answer = await gateway.post("/api/rx", key, body, HEADERS)
        assert answer.status_code == expect, answer.text
        return answer.json()

    return sent


@pytest.fixture
def mapped(send, job):
    async def one(body):
        answer = await send(body)
        return await job(answer.get("queueId") or answer["queueIds"][0])

    return one


MEDICATION = {"resourceType": "Medication", "id": "drug", "status": "entered-in-error"}
CANCEL = {
    "resourceType": "MessageHeader",
    "eventCoding": {"system": "urn:x", "code": "rx-cancel-request"},
    "source": {"endpoint": "urn:x"},
}
COMPOSITION = {
    "resourceType": "Composition",
    "status": "final",
    "type": {"text": "summary"},
    "date": "2026-01-01",
    "author": [{"display": "x"}],
    "title": "Summary",
}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (request(doNotPerform=True), "doNotPerform"),
        (request(intent="plan"), "intent"),
        (request(intent="option"), "intent"),
        (request(intent="instance-order"), "intent"),
        (request(reportedBoolean=True), "reportedBoolean"),
        (request(status="on-hold"), "status"),
        (request(implicitRules="urn:rules"), "implicitRules"),
        (request(modifierExtension=[{"url": "urn:x", "valueBoolean": True}]), "modifierExtension"),
        (request(subject={"reference": "Group/herd"}), "subject"),
        (
            request(
                medicationCodeableConcept=None,
                medicationReference={"reference": "#drug"},
                contained=[MEDICATION],
            ),
            "medicationReference",
        ),
        (bundle(CANCEL, request(), type="message"), "entry.resource.eventCoding"),
        (
            bundle({"resource": request(), "request": {"method": "DELETE", "url": "x/1"}}),
            "entry.request.method",
        ),
        (
            bundle(
                COMPOSITION,
                request(),
                type="document",
                identifier={"value": "d"},
                timestamp="2026-01-01T00:00:00Z",
            ),
            "entry.resource.type",
        ),
    ],
)
async def test_what_is_no_order_is_refused_with_the_reason(send, gateway, key, body, field):
    answer = await send(body, expect=400)

    assert [each["field"] for each in answer["details"]] == [field]
    assert (await gateway.get("/api/rx", key)).json()["jobs"] == []


@pytest.mark.parametrize("intent", ["order", "original-order", "reflex-order", "filler-order"])
async def test_intents_of_orders_are_taken(mapped, intent):
    assert (await mapped(request(intent=intent)))["status"] == "queued"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (dispense(quantity={"value": 30, "comparator": "<=", "unit": "tab"}), "quantity"),
        (dispense(initialFill={"quantity": {"value": 7}}), "initialFill"),
        (dispense(dispenseInterval={"value": 7, "code": "d"}), "dispenseInterval"),
        (dispense(expectedSupplyDuration={"value": 36, "code": "h"}), "expectedSupplyDuration"),
        ({"note": [{"text": "witnessed ingestion"}]}, "notes"),
        ({"priority": "stat"}, "priority"),
        ({"priorPrescription": {"reference": "MedicationRequest/1"}}, "priorPrescription"),
        ({"authoredOn": "2025-12"}, "authoredOn"),
        ({"substitution": {"allowedCodeableConcept": {"text": "ask"}}}, "substitution"),
        (
            {"dosageInstruction": [{"text": "as told", "timing": {"event": ["2026-01-01"]}}]},
            "timing.event",
        ),
        (
            {
                "dosageInstruction": [
                    {
                        "text": "1 tab daily",
                        "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
                        "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "tab"}}],
                    }
                ]
            },
            "dosageInstruction",
        ),
    ],
)
async def test_what_has_no_field_is_held_by_name(mapped, changes, name):
    found = await mapped(request(**changes))

    held = [each for each in found["reasons"] if each["code"] == "unmapped_instruction"]
    assert [name for each in held if name in each["field"]]
    assert found["status"] == "excepted"


@pytest.mark.parametrize(
    ("dosages", "sig"),
    [
        (
            [
                {
                    "sequence": 2,
                    "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
                    "doseAndRate": [{"doseQuantity": {"value": 5, "unit": "mg"}}],
                },
                {"sequence": 1, "text": "10 mg daily for 7 days"},
            ],
            "10 mg daily for 7 days; then 5 mg, once a day",
        ),
        (
            [
                {
                    "text": "1 tab",
                    "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
                    "asNeededCodeableConcept": {"text": "pain"},
                    "additionalInstruction": [{"text": "Do not drive"}],
                    "patientInstruction": "With food",
                    "maxDosePerPeriod": {
                        "numerator": {"value": 2, "unit": "tab"},
                        "denominator": {"value": 1, "unit": "d"},
                    },
                }
            ],
            "1 tab, 2 times a day, as needed for pain, Do not drive, With food, max 2 tab per day",
        ),
        (
            [
                {
                    "timing": {
                        "repeat": {
                            "frequency": 1,
                            "period": 8,
                            "periodUnit": "h",
                            "boundsDuration": {"value": 10, "code": "d"},
                        }
                    },
                    "doseAndRate": [{"doseQuantity": {"value": 5, "unit": "mL"}}],
                    "route": {"text": "oral"},
                }
            ],
            "5 mL, every 8 hours, for 10 days, oral",
        ),
        (
            [{"timing": {"code": {"coding": [{"code": "BID"}]}}, "text": "1 tab"}],
            "1 tab, bid",
        ),
    ],
)
async def test_a_dosage_is_put_into_words_in_full(mapped, dosages, sig):
    found = await mapped(request(dosageInstruction=dosages))

    assert found["prescription"]["medication"]["sig"] == sig


async def test_months_codes_of_substitution_and_ingredients_are_mapped(mapped):
    system = "http://terminology.hl7.org/CodeSystem/v3-substanceAdminSubstitution"
    drug = {
        "resourceType": "Medication",
        "id": "drug",
        "code": {"coding": [{"system": DIN, "code": "02242705", "display": "ATORVASTATIN"}]},
        "form": {"text": "tablet"},
        "ingredient": [
            {
                "itemCodeableConcept": {"text": "atorvastatin"},
                "strength": {
                    "numerator": {"value": 40, "unit": "mg"},
                    "denominator": {"value": 1, "unit": "tab"},
                },
            }
        ],
    }
    months = dispense(
        quantity={"value": 90, "unit": "tab"}, expectedSupplyDuration={"value": 3, "code": "mo"}
    )
    found = await mapped(
        request(
            medicationCodeableConcept=None,
            medicationReference={"reference": "#drug"},
            contained=[drug],
            substitution={"allowedCodeableConcept": {"coding": [{"system": system, "code": "N"}]}},
            reasonCode=[{"text": "cholesterol"}],
            **months,
        )
    )

    medication = found["prescription"]["medication"]
    assert medication["days_supply"] == 90
    assert medication["no_substitution"] is True
    assert (medication["strength"], medication["form"]) == ("40 mg/tab", "tablet")
    assert medication["indication"] == "cholesterol"
    assert [each["message"] for each in found["warnings"]] == ["3 mo was read as 90 days"]


async def test_a_validity_in_the_future_is_held_and_kept(mapped):
    period = {"start": "2026-03-01", "end": "2026-06"}

    found = await mapped(request(**dispense(validityPeriod=period)))

    assert [each["code"] for each in found["reasons"]] == ["not_yet_valid"]
    assert found["prescription"]["medication"]["valid_until"] == "2026-06-01"


async def test_two_dins_are_a_choice_for_a_person(mapped):
    codings = [{"system": DIN, "code": code} for code in ("02242705", "02230711")]

    found = await mapped(request(medicationCodeableConcept={"coding": codings, "text": "x"}))

    assert [each["code"] for each in found["reasons"]] == ["din_ambiguous"]


async def test_two_requests_with_one_number_are_two_jobs(send, job):
    number = [{"value": "RX-1"}]
    other = {"coding": [{"system": DIN, "code": "02230711"}], "text": "metformin 500 mg"}
    body = bundle(
        request(identifier=number),
        request(id="m2", identifier=number, medicationCodeableConcept=other),
    )

    answer = await send(body)

    dins = [(await job(each))["prescription"]["medication"]["din"] for each in answer["queueIds"]]
    assert dins == ["02242705", "02230711"]
    again = await send(body)
    assert [each["status"] for each in again["results"]] == ["duplicate", "duplicate"]
    changed = request(identifier=number, dosageInstruction=[{"text": "2 tabs daily"}])
    await send(changed, expect=409)


async def test_the_same_value_of_two_systems_is_two_requests(send):
    one = await send(request(id=None, identifier=[{"system": "urn:a", "value": "1"}]))
    two = await send(request(id=None, identifier=[{"system": "urn:b", "value": "1"}]))

    assert one["queueId"] != two["queueId"]


async def test_no_local_id_identifies_a_patient(send, job, lease):
    for family in ("Silva", "Roy", "Chen"):
        await send(bundle(patient(name=[{"family": family}]), request(id=family)))
        contained = request(id=f"c-{family}", subject={"reference": "#p1"})
        person = patient(name=[{"family": family}], birthDate="1960-01-01")
        await send({**contained, "contained": [person]})

    jobs = await lease(10)

    people = [each["prescription"]["patient"] for each in jobs]
    assert len(people) == 6
    assert all("external_patient_id" not in each for each in people)


async def test_a_relative_reference_is_resolved_in_its_own_server(send, job):
    entries = []
    for server, name in (("a", "Anna"), ("b", "Bert")):
        base = f"https://{server}.example/fhir"
        person = patient(id="1", name=[{"family": name}])
        entries.append({"fullUrl": f"{base}/Patient/1", "resource": person})
        entries.append(
            {
                "fullUrl": f"{base}/MedicationRequest/1",
                "resource": request(id=server, subject={"reference": "Patient/1"}),
            }
        )

    answer = await send(bundle(*entries))

    people = [(await job(each))["prescription"]["patient"] for each in answer["queueIds"]]
    assert [(each["last_name"], each["external_patient_id"]) for each in people] == [
        ("Anna", "https://a.example/fhir/Patient/1"),
        ("Bert", "https://b.example/fhir/Patient/1"),
    ]


async def test_current_names_numbers_and_phones_are_taken(mapped):
    person = patient(
        name=[
            {"use": "old", "family": "Maiden", "given": ["Eve"]},
            {"use": "official", "family": "Nguyen", "given": ["Eve", "Thi"]},
        ],
        identifier=[
            {"use": "old", "type": JHN, "system": BC, "value": "9698658215"},
            {"type": JHN, "system": BC, "value": "9", "period": {"end": "2020"}},
            {"system": HCN, "value": "1234567897"},
        ],
        telecom=[
            {"system": "phone", "use": "old", "value": "6135550000"},
            {"system": "phone", "use": "home", "value": "6135551111"},
        ],
        address=[{"line": ["1 Main"], "city": "Ottawa"}],
    )

    found = (await mapped(bundle(person, request())))["prescription"]["patient"]

    assert (found["first_name"], found["last_name"]) == ("Eve Thi", "Nguyen")
    assert (found["health_number"], found["province"]) == ("1234567897", "ON")
    assert (found["phone"], found["address"]) == ("6135551111", "1 Main, Ottawa")


async def test_an_allergy_without_a_patient_resource_is_the_patients(mapped):
    allergy = {
        "resourceType": "AllergyIntolerance",
        "patient": {"reference": "Patient/p1"},
        "code": {"text": "Atorvastatin"},
    }

    found = await mapped(bundle(allergy, request()))

    assert [each["code"] for each in found["reasons"]] == ["allergy_conflict"]


async def test_the_licence_is_found_among_the_numbers_of_a_prescriber(mapped):
    system = "https://fhir.infoway-inforoute.ca/NamingSystem/ca-on-license-physician"
    role = {"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "#d"}}
    doctor = {
        "resourceType": "Practitioner",
        "id": "d",
        "identifier": [
            {"system": "https://emr.example/user-id", "value": "4711"},
            {"system": system, "value": "54321"},
        ],
        "name": [{"family": "Roy", "given": ["Ines"]}],
    }

    found = await mapped(request(requester={"reference": "#r"}, contained=[role, doctor]))

    prescriber = found["prescription"]["prescriber"]
    assert prescriber == {"name": "Ines Roy", "licence_type": "CPSO", "licence_number": "54321"}


async def test_a_moment_in_utc_is_a_day_of_the_sites_zone(harness, clock):
    async with harness("[plugins.rx_queue]\n" + SITES, clock) as gateway:
        key = await gateway.issue_key()
        days = []
        for number, moment in enumerate(("2025-12-28T03:30:00Z", "2025-12-28T03:30:00-05:00")):
            sent = request(id=f"m{number}", authoredOn=moment)
            answer = await gateway.post("/api/rx", key, sent, HEADERS)
            found = await gateway.get(f"/api/rx/{answer.json()['queueId']}", key)
            days.append(found.json()["prescription"]["medication"]["written_date"])

    assert days == ["2025-12-27", "2025-12-28"]
