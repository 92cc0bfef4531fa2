"""Identity, recall, corrections judged again, versions and flags: nothing slips by."""

import asyncio

import pytest

TODAY = "2026-01-01"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
async def gateway(harness, clock, url):
    toml = f'[plugins.webhooks]\n[plugins.rx_queue]\n[database]\nurl = "{url}"\n[limits]\n'
    async with harness(f"{toml}reads_per_minute = 100000\n", clock) as running:
        yield running


@pytest.fixture
def act(gateway, key):
    async def acted(queue_id, action, body=None, expect=202):
        answer = await gateway.post(f"/api/rx/{queue_id}/{action}", key, body or {})
        assert answer.status_code == expect, answer.text
        return answer.json()

    return acted


async def test_the_same_id_with_another_content_is_a_conflict(gateway, key, rx, submit, job):
    first = await submit(rx())

    answer = await gateway.post("/api/rx", key, rx(medication__quantity=90))

    assert answer.status_code == 409
    assert answer.json()["details"][0]["field"] == "external_id"
    assert first in answer.json()["details"][0]["message"]
    assert "Silva" not in answer.text
    assert (await job(first))["prescription"]["medication"]["quantity"] == 30


async def test_in_a_batch_a_conflict_is_one_result(gateway, key, rx, submit):
    await submit(rx())
    batch = [rx(medication__quantity=90), rx(external_id="B", patient__external_patient_id="P-2")]

    body = (await gateway.post("/api/rx", key, {"prescriptions": batch})).json()

    assert [(each["status"], each.get("code")) for each in body["results"]] == [
        ("rejected", "conflict"),
        ("created", None),
    ]


async def test_what_was_rejected_is_sent_again_as_a_new_job_linked_to_the_old(
    gateway, key, rx, submit, act, job, lease
):
    old = await submit(rx(medication__sig=None))
    await act(old, "reject", {"reason": "no directions"})

    answers = await asyncio.gather(*(gateway.post("/api/rx", key, rx()) for _ in range(5)))

    [new] = {answer.json()["queueId"] for answer in answers}
    assert new != old
    assert (await job(new))["replaces"] == old
    assert (await job(old))["replaced_by"] == new
    assert [each["queueId"] for each in await lease()] == [new]
    again = (await gateway.post("/api/rx", key, rx())).json()
    assert (again["queueId"], again["duplicate"]) == (new, True)


async def test_a_recalled_job_never_reaches_an_agent(rx, submit, act, lease, job, events):
    queue_id = await submit(rx())

    answer = await act(queue_id, "recall", {"reason": "the dose was changed"})

    assert answer["status"] == "rejected"
    assert await lease() == []
    names = [(name, data) for name, data in await events(queue_id) if name != "rx.queued"]
    assert names == [
        ("rx.failed", {"reason": "recalled", "queue_id": queue_id}),
        ("rx.recalled", {"queue_id": queue_id, "state": "rejected"}),
    ]
    found = await job(queue_id)
    assert found["recalled_at"] == "2026-01-01T00:00:00Z"
    assert found["flags"] == ["recalled"]
    await act(queue_id, "recall", expect=409)


async def test_a_recall_of_what_is_being_written_is_flagged(
    rx, submit, act, lease, report, job, events
):
    queue_id = await submit(rx())
    [leased] = await lease()

    assert (await act(queue_id, "recall"))["status"] == "writing"
    answer = await report(leased, "completed")

    assert answer.json() == {"queueId": queue_id, "status": "completed", "recalled": True}
    assert [name for name, _ in await events(queue_id)] == [
        "rx.queued",
        "rx.recalled",
        "rx.completed",
        "rx.flagged",
    ]
    assert (await job(queue_id))["flags"] == ["recalled", "written_after_recall"]


@pytest.mark.parametrize("outcome", ["retry", "failed", "excepted"])
async def test_what_is_recalled_while_it_is_written_is_not_leased_again(
    rx, submit, act, lease, report, outcome
):
    queue_id = await submit(rx())
    [leased] = await lease()
    await act(queue_id, "recall")

    assert (await report(leased, outcome)).json()["status"] == "rejected"

    assert await lease() == []


async def test_a_recalled_job_whose_lease_ended_is_rejected(
    rx, submit, act, lease, job, clock, gateway
):
    queue_id = await submit(rx())
    await lease()
    await act(queue_id, "recall")
    clock.step(121)

    async with asyncio.timeout(10):
        while (await job(queue_id))["status"] != "rejected":  # noqa: ASYNC110 - a job does it
            await asyncio.sleep(0.05)

    assert await lease() == []


async def test_a_narcotic_picked_in_review_asks_again(rx, submit, act, lease, job):
    queue_id = await submit(rx(medication__din=None, medication__din_candidates=["02242705"]))
    picked = {"medication.din": "02324253", "medication.drug_text": "hydromorphone 4 mg tab"}

    refused = await act(queue_id, "resolve", {"corrections": picked}, expect=409)

    assert [each["message"].partition(":")[0] for each in refused["details"]] == [
        "controlled_substance"
    ]
    assert await lease() == []
    body = {"corrections": picked, "confirm": ["controlled_substance"]}
    await act(queue_id, "resolve", body)
    found = await job(queue_id)
    assert found["corrections"][0]["confirmed"] == ["controlled_substance"]
    assert [each["queueId"] for each in await lease()] == [queue_id]


async def test_every_new_reason_is_confirmed_on_its_own(rx, submit, act):
    queue_id = await submit(
        rx(medication__sig=None, patient__allergies=["penicillin"], medication__refills=0)
    )
    fixed = {"medication.sig": "1 tab daily", "medication.drug_text": "amoxicillin 250 mg cap"}
    fixed |= {"medication.refills": 99}

    refused = await act(queue_id, "resolve", {"corrections": fixed}, expect=409)
    codes = {each["message"].partition(":")[0] for each in refused["details"]}
    half = {"corrections": fixed, "confirm": ["allergy_conflict"]}
    still = await act(queue_id, "resolve", half, expect=409)

    assert codes == {"allergy_conflict", "refills_implausible"}
    assert [each["message"].partition(":")[0] for each in still["details"]] == [
        "refills_implausible"
    ]


@pytest.mark.parametrize(
    "corrections",
    [
        {"medication.din": "9"},
        {"medication.quantity": -5},
        {"medication.quantity": 0},
        {"patient.external_patient_id": None, "patient.health_number": None, "patient.dob": None},
    ],
)
async def test_what_no_confirmation_makes_fillable_is_refused(rx, submit, act, job, corrections):
    queue_id = await submit(rx(medication__sig=None))
    body = {
        "corrections": {"medication.sig": "1 tab daily", **corrections},
        "confirm": ["drug_not_found", "quantity_missing", "patient_not_found"],
    }

    await act(queue_id, "resolve", body, expect=400)

    assert (await job(queue_id))["status"] == "excepted"


async def test_a_review_of_what_has_changed_since_is_refused(rx, submit, act, lease, report, job):
    queue_id = await submit(rx(medication__sig=None))
    seen = (await job(queue_id))["version"]
    await act(
        queue_id,
        "resolve",
        {
            "corrections": {"medication.sig": "2 tabs daily"},
            "confirm": ["days_supply_implausible"],
            "version": seen,
        },
    )
    [leased] = await lease()
    await report(leased, "excepted", reason="patient_not_found")

    await act(queue_id, "resolve", {"version": seen}, expect=409)

    await act(queue_id, "resolve", {"version": (await job(queue_id))["version"]})


async def test_each_job_of_a_lease_has_a_token_of_its_own(rx, submit, lease, report):
    for number in range(3):
        await submit(rx(external_id=str(number), patient__external_patient_id=f"P-{number}"))
    one, two, three = await lease()

    assert len({each["lease_token"] for each in (one, two, three)}) == 3
    stolen = {**two, "lease_token": one["lease_token"]}
    assert (await report(stolen, "completed")).status_code == 409
    assert (await report(two, "completed")).status_code == 200


@pytest.mark.parametrize("din", ["Ana Silva 1950", "1234567", "123456789", "٠٢٢٤٢٧٠٥"])
async def test_a_report_with_what_is_no_din_is_refused(rx, submit, lease, report, job, din):
    queue_id = await submit(rx())
    [leased] = await lease()

    answer = await report(leased, "completed", din=din)

    assert answer.status_code == 400
    assert din not in answer.text
    assert (await job(queue_id))["status"] == "writing"


async def test_another_din_than_ordered_is_flagged(rx, submit, lease, report, job, events):
    queue_id = await submit(rx())
    [leased] = await lease()

    await report(leased, "completed", din="02230711")

    assert (await job(queue_id))["flags"] == ["another_din_written"]
    assert (await events(queue_id))[-1] == (
        "rx.flagged",
        {"queue_id": queue_id, "flags": ["another_din_written"]},
    )


async def test_a_job_says_what_each_rule_did(rx, submit, job):
    found = await job(await submit(rx(patient__allergies=["penicillin"])))

    checks = {each["rule"]: each for each in found["checks"]}
    assert checks["supply"] == {
        "rule": "supply",
        "result": "fine",
        "detail": "read as 1 tablet a day; 30 for 30 days",
    }
    assert checks["drug_identity"]["result"] == "not_checked"
    assert "no drug catalog" in checks["drug_identity"]["detail"]
    assert checks["allergies"]["result"] == "fine"


async def test_partial_fills_and_notes_of_the_json_form_are_held(rx, submit, job):
    found = await job(await submit(rx(medication__notes="7 tabs weekly, witnessed")))

    assert [each["code"] for each in found["reasons"]] == ["unmapped_instruction"]


async def test_drugs_are_counted_by_the_hourly_limit(harness, clock, rx):
    toml = "[plugins.rx_queue]\n[limits]\norders_per_hour = 3\n"
    async with harness(toml, clock) as gateway:
        key = await gateway.issue_key()
        drug = rx()["medication"]
        sent = rx(medication=None, medications=[drug, {**drug, "din": "02247521"}])

        assert (await gateway.post("/api/rx", key, sent)).status_code == 202
        refused = await gateway.post("/api/rx", key, {**sent, "external_id": "B"})

    assert refused.status_code == 429
