"""Review: one person at a time, corrections kept, written before it is resolved."""

import pytest


@pytest.fixture
async def excepted(submit, rx):
    """A job whose DIN the sender could not decide."""
    sent = rx(medication__din=None, medication__din_candidates=["02242705", "02230711"])
    return await submit(sent)


@pytest.fixture
def review(gateway, key):
    async def asked(queue_id, action, body=None, expect=None):
        answer = await gateway.post(f"/api/rx/{queue_id}/{action}", key, body or {})
        if expect is not None:
            assert answer.status_code == expect, answer.text
        return answer.json()

    return asked


@pytest.fixture
async def key_name(excepted, job):
    """How history calls the key that these tests use."""
    return (await job(excepted))["history"][0]["actor"]


async def test_a_reviewer_s_choice_is_written_and_only_then_resolved(
    clock, excepted, review, lease, report, job, events
):
    found = await job(excepted)
    [reason], key_name = found["reasons"], found["history"][0]["actor"]
    assert reason["code"] == "din_ambiguous"
    assert [each["value"] for each in reason["candidates"]] == ["02242705", "02230711"]
    clock.step(60)

    body = {"corrections": {"medication.din": "02230711"}, "note": "called", "reviewer": "m.t"}
    answer = await review(excepted, "resolve", body, 202)

    assert answer == {"queueId": excepted, "status": "queued"}
    assert [name for name, _ in await events(excepted)] == ["rx.queued", "rx.excepted"]
    [leased] = await lease()
    assert leased["prescription"]["medication"]["din"] == "02230711"
    assert "din_candidates" not in leased["prescription"]["medication"]
    assert leased["idempotency_token"] == f"{excepted}-1"
    clock.step(5)
    assert (await report(leased, "completed")).json()["status"] == "resolved"
    assert (await events(excepted))[2] == (
        "rx.resolved",
        {
            "patient_id": "P-1204",
            "queue_id": excepted,
            "din": "02230711",
            "resolved_by": f"{key_name}/test",
            "resolved_at": "2026-01-01T00:01:00Z",
        },
    )
    found = await job(excepted)
    assert found["corrections"] == [
        {
            "at": "2026-01-01T00:01:00Z",
            "actor": f"{key_name}/test",
            "note": "called",
            "before": {
                "medication.din": None,
                "medication.din_candidates": ["02242705", "02230711"],
            },
            "after": {"medication.din": "02230711", "medication.din_candidates": None},
        }
    ]
    history = [(each["actor"], each["to_status"], each["why"]) for each in found["history"]]
    assert history[2] == (f"{key_name}/test", "queued", "approved")


async def test_a_rejected_job_has_failed_by_a_reviewer(excepted, review, lease, job, events):
    answer = await review(
        excepted, "reject", {"reason": "Silva never came", "reviewer": "m.t"}, 202
    )

    assert answer == {"queueId": excepted, "status": "rejected"}
    assert (await events(excepted))[2] == (
        "rx.failed",
        {"reason": "rejected_by_reviewer", "queue_id": excepted},
    )
    found = await job(excepted)
    assert found["corrections"][0]["note"] == "Silva never came"
    assert found["history"][-1]["why"] == "rejected_by_reviewer"
    assert await lease() == []


@pytest.fixture
async def second(gateway):
    """Return a function that reviews with another key, which M. Tremblay has."""
    issued = await gateway.gateway.keys.issue(
        "M. Tremblay", account_id="default", actor="cli:0", scopes=["rx.read", "rx.review"]
    )

    async def asked(queue_id, action, body=None, expect=None):
        answer = await gateway.post(f"/api/rx/{queue_id}/{action}", issued.key, body or {})
        if expect is not None:
            assert answer.status_code == expect, answer.text
        return answer.json()

    asked.actor = f"{issued.id}/M. Tremblay"
    return asked


async def test_two_people_do_not_work_on_the_same_one(
    clock, excepted, review, second, job, key_name
):
    claimed = await review(excepted, "claim", {}, 200)

    assert claimed == {
        "queueId": excepted,
        "status": "excepted",
        "claimed_by": f"{key_name}/test",
        "claimed_until": "2026-01-01T00:15:00Z",
        "version": 0,
    }
    assert (await job(excepted))["claimed_by"] == f"{key_name}/test"
    for action, body in (("claim", {}), ("resolve", {}), ("reject", {"reason": "no"})):
        await second(excepted, action, body, 409)
    await review(excepted, "claim", {}, 200)
    await review(excepted, "release", {}, 200)
    assert (await job(excepted))["claimed_by"] is None
    assert (await second(excepted, "claim", {}, 200))["claimed_by"] == second.actor
    clock.step(15 * 60 + 1)
    await review(excepted, "resolve", {}, 202)


async def test_only_what_is_excepted_is_reviewed(submit, rx, review):
    queue_id = await submit(rx())

    for action, body in (
        ("claim", {}),
        ("release", {}),
        ("resolve", {}),
        ("reject", {"reason": "no"}),
    ):
        answer = await review(queue_id, action, body, 409)
        assert "queued" in answer["error"]
    await review("rxq_nope", "claim", {}, 404)


async def test_corrections_may_be_nested_and_null_takes_a_value_away(excepted, review, lease):
    corrections = {
        "medication": {"din": "02230711", "quantity": 28, "days_supply": None},
        "patient.first_name": "Anna",
    }

    await review(excepted, "resolve", {"corrections": corrections}, 202)

    [leased] = await lease()
    medication = leased["prescription"]["medication"]
    assert medication["quantity"] == 28
    assert "days_supply" not in medication
    assert leased["prescription"]["patient"]["first_name"] == "Anna"
    assert leased["prescription"]["external_id"] == "FAX-2231-1"
    assert leased["prescription"]["confidence"] == {"medication.din": 0.98}


async def test_corrections_that_do_not_fit_are_refused_and_change_nothing(excepted, review, job):
    before = await job(excepted)
    faulty = (
        {"medication.dosage": "1"},
        {"colour": "red"},
        {"medication": "all of it"},
        {"medication.quantity": "many"},
        {"medication.din": 2230711},
        {"patient.dob": "yesterday"},
        {"prescriber.name": "a\x00b"},
        {"medication.quantity": "1e999999999"},
        {"medication.quantity": "-1e999999999"},
        {"medication.quantity": "Infinity"},
        {"medication.days_supply": 10_000_000},
    )

    for corrections in faulty:
        answer = await review(excepted, "resolve", {"corrections": corrections}, 400)
        assert answer["details"], corrections
    await review(excepted, "reject", {}, 400)
    await review(excepted, "reject", {"reason": ""}, 400)
    assert await job(excepted) == before


MISSPELT = (
    {"medication.din ": "02230711"},
    {"medication.days supply": 30},
    {"patient..last_name": "Silva"},
    {"medication.": "02230711"},
    {"medication": {"": "02230711"}},
    {"medication": {"din\n": "02230711"}},
    {" medication.din": "02230711"},
    {"medication.quantity": 30, "prescriber.Jos\u00e9 Silva": "02230711"},
)


@pytest.mark.parametrize("corrections", MISSPELT)
async def test_a_misspelt_correction_is_refused_and_not_left_out(
    excepted, review, job, corrections
):
    before = await job(excepted)

    answer = await review(excepted, "resolve", {"corrections": corrections}, 400)

    assert [each["field"] for each in answer["details"]] == ["corrections"]
    assert not any(text in str(answer) for text in ("Silva", "02230711"))
    assert await job(excepted) == before


async def test_a_field_that_is_corrected_twice_is_refused(excepted, review, job):
    before = await job(excepted)
    corrections = {"medication.din": "02230711", "medication": {"din": "02242705"}}

    answer = await review(excepted, "resolve", {"corrections": corrections}, 400)

    assert answer["details"] == [{"message": "is corrected twice", "field": "medication.din"}]
    assert await job(excepted) == before


async def test_no_one_reviews_in_another_key_s_name(key_name, excepted, review, second, job):
    await review(excepted, "claim", {}, 200)

    for name in (key_name, f"{key_name}/test", "test"):
        await second(excepted, "resolve", {"reviewer": name}, 409)
    await review(excepted, "release", {}, 200)
    sent = {"reviewer": key_name, "corrections": {"medication.din": "02230711"}}
    await second(excepted, "resolve", sent, 202)

    found = await job(excepted)
    assert found["corrections"][0]["actor"] == found["approved_by"] == second.actor


async def test_two_keys_of_one_name_are_different(gateway, excepted, review):
    other = await gateway.issue_key()
    await review(excepted, "claim", {}, 200)

    answer = await gateway.post(f"/api/rx/{excepted}/claim", other, {})
    assert answer.status_code == 409
    await review(excepted, "resolve", {}, 202)


async def test_what_new_reasons_say_is_masked_for_a_reviewer_who_sees_no_patient(
    submit, rx, review, second
):
    queue_id = await submit(rx(medication__sig=None, patient__allergies=["penicillin"]))
    fixed = {"medication.sig": "1 tab daily", "medication.drug_text": "amoxicillin 250 mg cap"}

    whole = await review(queue_id, "resolve", {"corrections": fixed}, 409)
    masked = await second(queue_id, "resolve", {"corrections": fixed}, 409)

    assert "the patient is allergic to" in str(whole["details"])
    assert [each["message"] for each in masked["details"]] == ["allergy_conflict"]


async def test_what_waits_for_review_is_listed_oldest_first(gateway, key, clock, submit, rx):
    ids = []
    for number in range(3):
        patient = {"external_patient_id": f"P-{number}"}
        ids.append(await submit(rx(external_id=str(number), patient=patient, prescriber=None)))
        clock.step(10)

    first = (await gateway.get("/api/rx?status=excepted&limit=2", key)).json()
    second = (
        await gateway.get(f"/api/rx?status=excepted&cursor={first['next_cursor']}", key)
    ).json()

    assert [each["queueId"] for each in first["jobs"] + second["jobs"]] == ids
    assert [each["age_seconds"] for each in first["jobs"]] == [30, 20]
    assert first["jobs"][0]["reasons"] == ["prescriber_not_found"]


async def test_an_approved_job_that_the_writer_excepts_goes_back_to_a_person(
    excepted, review, lease, report, job, events
):
    await review(excepted, "resolve", {"corrections": {"medication.din": "02230711"}}, 202)
    [leased] = await lease()

    await report(leased, "excepted", reason="patient_not_found")

    found = await job(excepted)
    assert found["status"] == "excepted"
    assert "approved_by" not in found or found["approved_by"] is None
    assert [each["code"] for each in found["reasons"]] == ["patient_not_found"]
    assert [name for name, _ in await events(excepted)] == [
        "rx.queued",
        "rx.excepted",
        "rx.excepted",
    ]
    await review(excepted, "resolve", {}, 202)
    [again] = await lease()
    assert again["idempotency_token"] == f"{excepted}-2"
