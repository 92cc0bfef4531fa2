"""Prescriptions in: one or many, judged alone, once however often they are sent."""

import asyncio

from gateway_rx_queue.rules.stock import STOCK_RULES

SITES = """
[[sites]]
code = "main"
name = "Lakeside Pharmacy"
[[sites]]
code = "north"
name = "Northgate Pharmacy"
"""


async def test_a_good_prescription_is_queued_and_published(gateway, key, rx, job, events):
    answer = await gateway.post("/api/rx", key, rx())

    assert answer.status_code == 202
    body = answer.json()
    queue_id = body["queueId"]
    assert queue_id.startswith("rxq_")
    assert body == {"queueId": queue_id, "status": "queued"}
    [found] = (await gateway.get("/api/rx", key)).json()["jobs"]
    assert found["not_checked"][-1] == "allergies"
    assert await events(queue_id) == [
        (
            "rx.queued",
            {
                "queue_id": queue_id,
                "patient_id": "P-1204",
                "external_id": "FAX-2231-1",
                "not_checked": found["not_checked"],
            },
        )
    ]
    found = await job(queue_id)
    assert found["status"] == "queued"
    assert found["prescription"]["medication"]["din"] == "02242705"
    assert found["prescription"]["medication"]["quantity"] == 30
    [history] = found["history"]
    assert history["actor"].startswith("key_")
    assert history == {
        "at": "2026-01-01T00:00:00Z",
        "actor": history["actor"],
        "from_status": None,
        "to_status": "queued",
        "why": "submitted",
    }


async def test_the_same_external_id_again_is_the_same_job(gateway, key, rx, events):
    first = (await gateway.post("/api/rx", key, rx())).json()
    again = await gateway.post("/api/rx", key, rx(confidence={"medication.din": 0.91}))

    assert again.status_code == 202
    assert again.json() == {"queueId": first["queueId"], "status": "queued", "duplicate": True}
    assert len(await events(first["queueId"])) == 1


async def test_the_same_prescription_sent_many_times_at_once_makes_one_job(gateway, key, rx):
    answers = await asyncio.gather(*(gateway.post("/api/rx", key, rx()) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["queueId"] for answer in answers}) == 1
    listed = (await gateway.get("/api/rx", key)).json()["jobs"]
    assert len(listed) == 1


async def test_an_idempotency_key_replays_the_first_answer(gateway, key, rx):
    sent = rx(external_id=None)
    headers = {"Idempotency-Key": "fax-2231"}

    first = await gateway.post("/api/rx", key, sent, headers)
    again = await gateway.post("/api/rx", key, sent, headers)
    other = await gateway.post("/api/rx", key, rx(external_id=None, source="phone"), headers)

    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert other.status_code == 422
    assert len((await gateway.get("/api/rx", key)).json()["jobs"]) == 1


async def test_of_a_batch_the_good_ones_are_kept_and_the_bad_ones_explained(gateway, key, rx):
    batch = [
        rx(external_id="A"),
        {"patient": {}},
        rx(external_id="A"),
        rx(external_id="B", source="owl"),
        "nonsense",
        rx(external_id="C", medication__quantity="1e999999999"),
    ]

    answer = await gateway.post("/api/rx", key, {"prescriptions": batch})

    body = answer.json()
    assert answer.status_code == 202
    [queue_id] = body["queueIds"]
    assert body["created"] == 1
    assert body["results"] == [
        {"index": 0, "status": "created", "queueId": queue_id},
        {
            "index": 1,
            "status": "rejected",
            "errors": [{"message": "medication is required", "field": "medication"}],
        },
        {"index": 2, "status": "duplicate", "queueId": queue_id},
        {
            "index": 3,
            "status": "rejected",
            "errors": [
                {
                    "message": "source must be one of fax, e-rx, api, phone, transfer",
                    "field": "source",
                }
            ],
        },
        {
            "index": 4,
            "status": "rejected",
            "errors": [{"message": "a prescription must be a JSON object"}],
        },
        {
            "index": 5,
            "status": "rejected",
            "errors": [
                {
                    "message": "quantity must be a number of at most 1000000",
                    "field": "medication.quantity",
                }
            ],
        },
    ]


async def test_several_drugs_become_a_linked_job_each(gateway, key, rx, job):
    first, second = rx()["medication"], {**rx()["medication"], "din": "02247521"}
    sent = rx(medication=None, medications=[first, second])

    answer = (await gateway.post("/api/rx", key, sent)).json()

    one, two = answer["queueIds"]
    assert answer["queueId"] == one
    assert (await job(one))["linked"] == [two]
    assert (await job(two))["linked"] == [one]
    assert (await job(two))["prescription"]["medication"]["din"] == "02247521"
    again = (await gateway.post("/api/rx", key, sent)).json()
    assert again["queueIds"] == [one, two]
    assert again["duplicate"] is True


async def test_what_can_not_be_read_is_a_400_that_names_fields_and_no_values(gateway, key, rx):
    faulty = (
        (rx(patient__dob="Silva"), "patient.dob"),
        (rx(medication__quantity=10**9), "medication.quantity"),
        (rx(medication__quantity=-(10**9)), "medication.quantity"),
        (rx(medication__quantity="1e999999999"), "medication.quantity"),
        (rx(medication__quantity="-1e999999999"), "medication.quantity"),
        (rx(medication__quantity="NaN"), "medication.quantity"),
        (rx(medication__quantity="sNaN"), "medication.quantity"),
        (rx(medication__quantity="-Infinity"), "medication.quantity"),
        (rx(medication__days_supply=0), "medication.days_supply"),
        (rx(medication__days_supply=3651), "medication.days_supply"),
        (rx(medication__days_supply=10**30), "medication.days_supply"),
        (rx(patient__first_name="Silva\x00"), "patient.first_name"),
        (rx(confidence={"medication.din": 7}), "confidence[...]"),
        (rx(confidence={"Silva": 0.5}), "confidence"),
        (rx(medication=None), "medication"),
        (rx(medications=[rx()["medication"]]), "medications"),
    )

    for sent, field in faulty:
        answer = await gateway.post("/api/rx", key, sent)
        assert answer.status_code == 400, field
        assert [each.get("field") for each in answer.json()["details"]] == [field]
        assert "Silva" not in answer.text
    for body in ([], 7, {"prescriptions": []}, {"prescriptions": [rx()] * 101}):
        assert (await gateway.post("/api/rx", key, body)).status_code == 400
    headers = {"Idempotency-Key": "two words"}
    assert (await gateway.post("/api/rx", key, rx(), headers)).status_code == 400


async def test_unknown_fields_and_wrong_check_digits_are_warnings(gateway, key, rx, job):
    sent = rx(patient__health_number="1234 567 890", patient__shoe_size="42", colour="red")

    answer = (await gateway.post("/api/rx", key, sent)).json()

    assert answer["warnings"] == [
        {"message": "unknown field; it was ignored", "field": "colour"},
        {"message": "unknown field; it was ignored", "field": "patient.shoe_size"},
        {
            "message": "the check digit doesn't fit; it was kept as it is",
            "field": "patient.health_number",
        },
    ]
    found = await job(answer["queueId"])
    assert found["warnings"] == answer["warnings"]
    assert found["prescription"]["patient"]["health_number"] == "1234567890"


async def test_a_stock_rule_that_fails_sends_its_case_to_a_person_and_the_others_on(
    gateway, key, rx, job, caplog, monkeypatch
):
    def breaks(case):
        if case.prescription.external_id == "B":
            raise ZeroDivisionError(case.prescription.patient.last_name)
        yield from ()

    monkeypatch.setitem(STOCK_RULES, "supply", breaks)
    batch = [
        rx(external_id=name, patient__external_patient_id=name, medication__sig=sig)
        for name, sig in (("A", "1 tab daily"), ("B", None), ("C", "1 tab daily"))
    ]

    answer = await gateway.post("/api/rx", key, {"prescriptions": batch})

    assert answer.status_code == 202
    found = [await job(each["queueId"]) for each in answer.json()["results"]]
    assert [each["status"] for each in found] == ["queued", "excepted", "queued"]
    assert [(each["code"], each["rule"]) for each in found[1]["reasons"]] == [
        ("sig_missing", "required_fields"),
        ("rule_failed", "supply"),
    ]
    assert "rule supply failed, its cases are held for review: ZeroDivisionError" in caplog.text
    assert "Silva" not in caplog.text


async def test_a_prescription_that_a_rule_holds_up_is_excepted_at_once(
    gateway, key, rx, job, events, lease
):
    sent = rx(medication__sig=None, confidence={"medication.din": 0.5})

    answer = await gateway.post("/api/rx", key, sent)

    queue_id = answer.json()["queueId"]
    assert answer.json() == {"queueId": queue_id, "status": "queued"}
    found = await job(queue_id)
    assert found["status"] == "excepted"
    assert [(each["code"], each["rule"]) for each in found["reasons"]] == [
        ("sig_missing", "required_fields"),
        ("low_confidence", "confidence"),
    ]
    assert [(each["from_status"], each["to_status"]) for each in found["history"]] == [
        (None, "queued"),
        ("queued", "excepted"),
    ]
    assert [name for name, _ in await events(queue_id)] == ["rx.queued", "rx.excepted"]
    assert (await events(queue_id))[1][1] == {
        "reasons": ["sig_missing", "low_confidence"],
        "queue_id": queue_id,
    }
    assert await lease() == []


async def test_the_same_drug_for_the_same_patient_twice_is_seen_by_a_person(submit, rx, job):
    first = await submit(rx(external_id="A"))
    second = await submit(rx(external_id="B"))
    other = await submit(rx(external_id="C", patient__external_patient_id="P-7"))

    [reason] = (await job(second))["reasons"]
    assert reason["code"] == "duplicate_rx"
    assert reason["evidence"] == {"queue_id": first, "status": "queued"}
    assert (await job(other))["status"] == "queued"


async def test_the_same_drug_twice_in_one_batch_is_seen_by_a_person(gateway, key, rx, job):
    batch = [rx(external_id="A"), rx(external_id="B")]

    answer = (await gateway.post("/api/rx", key, {"prescriptions": batch})).json()

    states = [(await job(each))["status"] for each in answer["queueIds"]]
    assert states == ["queued", "excepted"]


async def test_the_list_shows_no_patient_and_goes_page_by_page(gateway, key, rx):
    for number in range(5):
        patient = {"external_patient_id": f"P-{number}", "last_name": "Silva"}
        await gateway.post("/api/rx", key, rx(external_id=f"X-{number}", patient=patient))
    first = await gateway.get("/api/rx?limit=3", key)
    second = await gateway.get(f"/api/rx?limit=3&cursor={first.json()['next_cursor']}", key)

    assert "Silva" not in first.text
    assert "P-" not in first.text
    ids = [each["queueId"] for page in (first, second) for each in page.json()["jobs"]]
    assert len(set(ids)) == 5
    assert ids == sorted(ids, reverse=True)
    assert second.json()["next_cursor"] is None
    assert (await gateway.get("/api/rx?limit=0", key)).status_code == 400
    assert (await gateway.get("/api/rx?status=lost", key)).status_code == 400
    assert (await gateway.get("/api/rx/rxq_nope", key)).status_code == 404


async def test_a_key_of_one_site_sees_that_site_alone(harness, rx):
    async with harness("[plugins.rx_queue]\n" + SITES) as gateway:
        main = await gateway.issue_key(site="main")
        north = await gateway.issue_key(site="north")
        whole = await gateway.issue_key()
        first = (await gateway.post("/api/rx", main, rx())).json()["queueId"]
        stolen = await gateway.post("/api/rx", north, rx())
        foreign = await gateway.post("/api/rx", north, rx(site="main"))
        unsaid = await gateway.post("/api/rx", whole, rx(external_id="Z"))

        assert stolen.status_code == 400
        assert "another site" in stolen.json()["details"][0]["message"]
        assert foreign.status_code == 400
        assert unsaid.status_code == 400
        assert (await gateway.get(f"/api/rx/{first}", north)).status_code == 404
        assert (await gateway.get("/api/rx", north)).json()["jobs"] == []
        assert len((await gateway.get("/api/rx?site=main", whole)).json()["jobs"]) == 1
        assert (await gateway.post("/api/rx/lease", north, {})).json() == {"jobs": []}
        for action in ("claim", "release", "resolve"):
            answer = await gateway.post(f"/api/rx/{first}/{action}", north, {})
            assert answer.status_code == 404


async def test_accounts_and_test_keys_never_see_each_other(gateway, key, rx, submit):
    queue_id = await submit(rx())
    others = [await gateway.issue_key(account_id="elsewhere"), await gateway.issue_key(mode="test")]

    for other in others:
        assert (await gateway.get(f"/api/rx/{queue_id}", other)).status_code == 404
        assert (await gateway.get("/api/rx", other)).json()["jobs"] == []
        assert (await gateway.post("/api/rx/lease", other, {})).json() == {"jobs": []}
        answer = await gateway.post("/api/rx", other, rx())
        assert "duplicate" not in answer.json()


async def test_a_view_of_a_job_is_in_the_audit_trail(gateway, rx, submit, job):
    queue_id = await submit(rx())
    await job(queue_id)

    core = gateway.gateway
    from sqlalchemy import text

    async with core.database.read() as connection:
        query = "SELECT action, subject, value FROM audit JOIN patient_lookups ON owner = audit.id"
        rows = list(await connection.execute(text(query)))
    index = core.packages.index("external_patient_id", "default", "P-1204")
    assert ("rx.viewed", queue_id, index) in [(row[0], row[1], bytes(row[2])) for row in rows]


async def test_no_patient_data_is_stored_in_clear_in_the_database(gateway, rx, submit, tmp_path):
    await submit(rx())
    await submit(rx(external_id="S-Silva", medication__sig="Silva says so"))

    files = [path.read_bytes() for path in tmp_path.rglob("gateway.db*")]
    assert files
    for secret in (b"Silva", b"P-1204", b"1950-02-01", b"atorvastatin", b"02242705", b"1234567897"):
        assert not any(secret in each for each in files), secret


async def test_a_batch_of_which_nothing_can_be_kept_is_refused_with_every_reason(gateway, key, rx):
    answer = await gateway.post("/api/rx", key, {"prescriptions": [{}, rx(source="owl")]})

    assert answer.status_code == 400
    assert [(each["index"], each.get("field")) for each in answer.json()["details"]] == [
        (0, None),
        (1, "source"),
    ]
    many = await gateway.post("/api/rx", key, {"prescriptions": "all"})
    assert many.status_code == 400


async def test_the_same_idempotency_key_at_the_same_time_is_never_stored_twice(gateway, key, rx):
    headers = {"Idempotency-Key": "at-once"}
    sent = rx(external_id=None)

    answers = await asyncio.gather(
        *(gateway.post("/api/rx", key, sent, headers) for _ in range(10))
    )

    assert {answer.status_code for answer in answers} <= {202, 409}
    ids = {answer.json()["queueId"] for answer in answers if answer.status_code == 202}
    assert len(ids) == 1
    assert len((await gateway.get("/api/rx", key)).json()["jobs"]) == 1


async def test_patients_without_an_id_are_distinguished_by_number_or_name(gateway, key, rx, lease):
    named = {"first_name": "Ana", "last_name": "Silva", "dob": "1950-02-01"}
    numbered = {"health_number": "1234 567 897", "province": "ON"}
    patients = [
        named,
        {**named, "last_name": "SILVA "},
        numbered,
        {**numbered},
        {**named, "dob": "1951-02-01"},
    ]
    batch = [
        rx(external_id=str(place), patient=patient, medication__din=f"{place:08}")
        for place, patient in enumerate(patients)
    ]

    await gateway.post("/api/rx", key, {"prescriptions": batch})

    leased = await lease()
    assert [each["prescription"]["external_id"] for each in leased] == ["0", "2", "4"]
