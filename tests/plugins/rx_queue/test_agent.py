"""A writer agent: leases, reports, and what becomes of jobs whose agent went away."""

import asyncio
from datetime import datetime

import pytest
from waiting import PATIENCE_SECONDS

DONE = ("rx.queued", "rx.completed")
# Without a catalog, and for a patient whose allergies nothing names.
UNCHECKED = ["drug_identity", "drug_name", "strength", "quantity_unit", "repeats", "controlled"]
UNCHECKED += ["allergies"]


async def test_a_job_is_leased_written_and_published(
    gateway, rx, submit, lease, report, job, events
):
    queue_id = await submit(rx())

    [leased] = await lease()
    answer = await report(leased, "completed", din="02242705")

    assert leased == {
        "queueId": queue_id,
        "lease_token": leased["lease_token"],
        "lease_expires_at": "2026-01-01T00:02:00Z",
        "lease_seconds": 120.0,
        "idempotency_token": f"{queue_id}-0",
        "attempt": 1,
        "site": None,
        "prescription": (await job(queue_id))["prescription"],
    }
    assert answer.json() == {"queueId": queue_id, "status": "completed"}
    assert (await events(queue_id))[1] == (
        "rx.completed",
        {"patient_id": "P-1204", "queue_id": queue_id, "din": "02242705"},
    )
    history = [(each["to_status"], each["why"]) for each in (await job(queue_id))["history"]]
    assert history == [("queued", "submitted"), ("writing", "leased"), ("completed", "written")]


async def test_without_a_din_in_the_report_the_ordered_one_is_published(
    rx, submit, lease, report, events
):
    queue_id = await submit(rx())
    [leased] = await lease()

    await report(leased, "completed")

    assert (await events(queue_id))[1][1]["din"] == "02242705"


async def test_a_job_that_is_leased_is_not_leased_again(rx, submit, lease):
    await submit(rx())

    assert len(await lease()) == 1
    assert await lease() == []


async def test_when_its_lease_ends_a_job_is_offered_again_with_the_same_token(
    clock, rx, submit, lease, report, job, events
):
    queue_id = await submit(rx())
    [first] = await lease()
    clock.step(121)

    late = await report(first, "completed")
    again = await lease(wait_seconds=10)

    assert late.status_code == 409
    [second] = again
    assert second["idempotency_token"] == first["idempotency_token"]
    assert second["lease_token"] != first["lease_token"]
    assert second["attempt"] == 2
    assert (await report(first, "completed")).status_code == 409
    assert (await report(second, "completed")).status_code == 200
    assert tuple(name for name, _ in await events(queue_id)) == DONE
    assert [each["why"] for each in (await job(queue_id))["history"]] == [
        "submitted",
        "leased",
        "lease_ended",
        "leased",
        "written",
    ]


async def test_a_clock_that_is_set_back_keeps_no_job_from_agents(
    gateway, clock, rx, submit, lease, report
):
    people = [
        rx(external_id=name, patient__external_patient_id=name, patient__last_name=name)
        for name in ("Roy", "Tran", "Wong")
    ]
    tried, taken = [await submit(each) for each in people[:2]]
    first, second = await lease()
    await report(first, "retry", reason="busy")
    waiting = await submit(people[2])

    clock.step(-86_400)

    # What is due can be taken, the other two wait for as long as they would have anyway
    found = await lease(wait_seconds=20)
    assert [each["queueId"] for each in found] == [waiting]
    assert (await report(found[0], "completed")).status_code == 200
    clock.step(6)
    assert [each["queueId"] for each in await lease()] == [tried]
    clock.step(100)
    assert (await report(second, "retry", reason="busy")).status_code == 200
    clock.step(6)
    assert [each["queueId"] for each in await lease()] == [taken]


async def test_a_lease_is_reported_once(rx, submit, lease, report, events):
    queue_id = await submit(rx())
    [leased] = await lease()

    answers = await asyncio.gather(*(report(leased, "completed") for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert tuple(name for name, _ in await events(queue_id)) == DONE


async def test_a_token_of_another_caller_is_refused(gateway, rx, submit, lease, report, job):
    await submit(rx())
    [leased] = await lease()
    stranger = await gateway.issue_key(account_id="elsewhere")

    wrong = {**leased, "lease_token": "guess"}
    assert (await report(wrong, "completed")).status_code == 409
    assert (await report(leased, "completed", as_key=stranger)).status_code == 404
    assert (await report({**leased, "queueId": "rxq_x"}, "completed")).status_code == 404
    assert (await job(leased["queueId"]))["status"] == "writing"


async def test_a_retry_comes_back_after_a_pause_and_the_last_one_fails(
    harness, clock, rx, events_of
):
    settings = "[plugins.rx_queue]\nmax_attempts = 2\nretry_schedule_seconds = [30]\n"
    async with harness(settings, clock) as gateway:
        key = await gateway.issue_key()
        queue_id = (await gateway.post("/api/rx", key, rx())).json()["queueId"]
        for attempt in (1, 2):
            jobs = (await gateway.post("/api/rx/lease", key, {})).json()["jobs"]
            assert [each["attempt"] for each in jobs] == [attempt]
            body = {"lease_token": jobs[0]["lease_token"], "outcome": "retry", "reason": "busy"}
            answer = await gateway.post(f"/api/rx/{queue_id}/result", key, body)
            assert answer.json()["status"] == ("queued" if attempt == 1 else "failed")
            assert (await gateway.post("/api/rx/lease", key, {})).json()["jobs"] == []
            clock.step(30)

        assert await events_of(gateway, queue_id) == [
            (
                "rx.queued",
                {
                    "queue_id": queue_id,
                    "patient_id": "P-1204",
                    "external_id": "FAX-2231-1",
                    "not_checked": UNCHECKED,
                },
            ),
            ("rx.failed", {"reason": "busy", "queue_id": queue_id}),
        ]


async def test_a_job_that_kills_every_agent_fails_in_the_end(harness, clock, rx, events_of):
    async with harness("[plugins.rx_queue]\nmax_attempts = 2\n", clock) as gateway:
        key = await gateway.issue_key()
        queue_id = (await gateway.post("/api/rx", key, rx())).json()["queueId"]
        for _ in range(2):
            leased = await gateway.post("/api/rx/lease", key, {"wait_seconds": 10})
            assert len(leased.json()["jobs"]) == 1
            clock.step(121)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(recorded := await events_of(gateway, queue_id)) < 2:  # noqa: ASYNC110 - a job does it
                await asyncio.sleep(0.05)

        assert recorded[1] == (
            "rx.failed",
            {"reason": "writer_gave_no_answer", "queue_id": queue_id},
        )


async def test_an_agent_can_fail_a_job_for_good(rx, submit, lease, report, job, events):
    queue_id = await submit(rx())
    [leased] = await lease()

    await report(leased, "failed", reason="Ana Silva's file is locked")

    assert (await events(queue_id))[1] == (
        "rx.failed",
        {"reason": "Ana Silva's file is locked", "queue_id": queue_id},
    )
    found = await job(queue_id)
    assert found["failure_reason"] == "Ana Silva's file is locked"
    assert found["history"][-1]["why"] == "writer"  # free text stays sealed


async def test_an_agent_can_ask_a_person(rx, submit, lease, report, job, events):
    queue_id = await submit(rx())
    [leased] = await lease()
    choice = {"value": "02230711", "label": "PMS-ATORVASTATIN"}

    answer = await report(
        leased,
        "excepted",
        reasons=["patient_ambiguous", {"code": "din_ambiguous", "candidates": [choice]}],
    )

    assert answer.json()["status"] == "excepted"
    assert (await events(queue_id))[1] == (
        "rx.excepted",
        {"reasons": ["patient_ambiguous", "din_ambiguous"], "queue_id": queue_id},
    )
    reasons = (await job(queue_id))["reasons"]
    assert reasons[1]["candidates"] == [choice]
    assert [each["rule"] for each in reasons] == ["writer", "writer"]


async def test_jobs_of_one_patient_are_handed_out_one_after_the_other(rx, submit, lease, report):
    dins = ["02242705", "02247521", "02258595"]
    ids = [await submit(rx(external_id=din, medication__din=din)) for din in dins]
    other = await submit(rx(external_id="other", patient__external_patient_id="P-9"))

    first = await lease()
    assert [each["queueId"] for each in first] == [ids[0], other]
    await report(first[0], "retry")
    assert await lease() == []  # the first one comes first, whenever that is
    assert [each["queueId"] for each in await lease()] == []


async def test_agents_that_ask_at_once_get_jobs_of_their_own_the_oldest_first(
    clock, rx, submit, lease, report
):
    patients = ["P-1", "P-1", "P-2", "P-3", "P-4", "P-5"]
    ids = [
        await submit(
            rx(
                external_id=str(number),
                patient__external_patient_id=patient,
                medication__din=f"{number:08}",
            )
        )
        for number, patient in enumerate(patients)
    ]
    asked = [{"most": 2}, {"most": 1}, {"most": 1, "lease_seconds": 20}, {"most": 5}]

    answers = await asyncio.gather(*(lease(**each) for each in asked))

    # By place; the second one of P-1 is nobody's yet. One with another duration claims by itself.
    places = [[ids.index(job["queueId"]) for job in jobs] for jobs in answers]
    assert sorted(place for each in places for place in each) == [0, 2, 3, 4, 5]
    assert all(place == sorted(place) for place in places)
    assert all(len(each) <= by["most"] for each, by in zip(places, asked, strict=True))
    tokens = {job["lease_token"] for jobs in answers for job in jobs}
    assert len(tokens) == 5
    for jobs, each in zip(answers, asked, strict=True):
        for job in jobs:
            ends = datetime.fromisoformat(job["lease_expires_at"])
            assert (ends - clock.now()).total_seconds() == pytest.approx(
                each.get("lease_seconds", 120), abs=1
            )
            assert (await report(job, "completed")).status_code == 200
    assert [each["queueId"] for each in await lease()] == [ids[1]]


async def test_an_approved_job_waits_for_a_later_one_of_its_patient_that_is_being_written(
    gateway, key, rx, submit, lease, report
):
    held_up = await submit(rx(medication__sig=None))
    later = await submit(rx(external_id="later", medication__din="02247521"))
    [leased] = await lease()
    assert leased["queueId"] == later

    answer = await gateway.post(f"/api/rx/{held_up}/resolve", key, {})
    assert answer.status_code == 202
    assert await lease() == []
    await report(leased, "completed")
    [next_one] = await lease()
    assert next_one["queueId"] == held_up


async def test_the_next_of_a_patient_follows_when_the_first_is_written(rx, submit, lease, report):
    ids = [
        await submit(rx(external_id=din, medication__din=din)) for din in ("02242705", "02247521")
    ]
    [first] = await lease()
    waiting = asyncio.create_task(lease(wait_seconds=20))

    await report(first, "completed")

    async with asyncio.timeout(PATIENCE_SECONDS):
        [second] = await waiting
    assert [first["queueId"], second["queueId"]] == ids


async def test_a_waiting_agent_is_woken_by_a_submission(gateway, rx, submit, lease):
    waiting = asyncio.create_task(lease(wait_seconds=25))
    await an_agent_waits(gateway)

    async with asyncio.timeout(PATIENCE_SECONDS):
        queue_id = await submit(rx())
        [leased] = await waiting
    assert leased["queueId"] == queue_id


async def an_agent_waits(gateway):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not queue_of(gateway).long_poll._waiting:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


def queue_of(gateway):
    [plugin] = [
        plugin
        for plugin in gateway.gateway.hooks._manager.get_plugins()
        if type(plugin).__name__ == "RxQueue"
    ]
    return plugin._queue


async def test_fifty_waiting_agents_ask_the_database_once_a_second(gateway, key):
    body = {"wait_seconds": 2.5}
    answers = await asyncio.gather(*(gateway.post("/api/rx/lease", key, body) for _ in range(50)))

    assert all(answer.json() == {"jobs": []} for answer in answers)
    assert queue_of(gateway).long_poll.looks <= 3


async def test_what_was_committed_elsewhere_is_found_by_the_look(gateway, rx, lease, submit):
    long_poll = queue_of(gateway).long_poll
    waiting = asyncio.create_task(lease(wait_seconds=25))
    await an_agent_waits(gateway)
    wake, long_poll.wake = long_poll.wake, lambda _: None  # as if another process took it in
    queue_id = await submit(rx())
    long_poll.wake = wake

    async with asyncio.timeout(PATIENCE_SECONDS):
        [leased] = await waiting
    assert leased["queueId"] == queue_id


async def test_a_key_of_one_site_is_handed_that_site_s_jobs_alone(harness, rx):
    sites = '[[sites]]\ncode = "main"\nname = "A"\n[[sites]]\ncode = "north"\nname = "B"\n'
    async with harness("[plugins.rx_queue]\n" + sites) as gateway:
        key = await gateway.issue_key()
        north = await gateway.issue_key(site="north")
        await gateway.post("/api/rx", key, rx(site="main"))
        second = await gateway.post("/api/rx", key, rx(site="north", external_id="B"))
        jobs = (await gateway.post("/api/rx/lease", north, {"max": 10})).json()["jobs"]

        assert [each["queueId"] for each in jobs] == [second.json()["queueId"]]
        assert jobs[0]["site"] == "north"


async def test_leases_and_reports_that_make_no_sense_are_refused(
    gateway, key, rx, submit, lease, report
):
    for body in ({"max": 0}, {"max": 101}, {"wait_seconds": 31}, {"more": 1}, []):
        assert (await gateway.post("/api/rx/lease", key, body)).status_code == 400
    await submit(rx())
    [leased] = await lease()
    assert (await report(leased, "perhaps")).status_code == 400
    assert (await report(leased, "excepted", reasons=["Not A Code"])).status_code == 400


@pytest.mark.slow
@pytest.mark.long
async def test_no_job_is_twice_in_flight_and_none_is_left_behind(gateway, key, rx, lease, report):
    for start in range(0, 2000, 100):
        batch = [
            rx(
                external_id=f"X-{number}",
                patient__external_patient_id=f"P-{number % 700}",
                medication__din=f"{number:08}",
            )
            for number in range(start, start + 100)
        ]
        answer = await gateway.post("/api/rx", key, {"prescriptions": batch})
        assert answer.json()["created"] == 100
    flying: set[str] = set()
    patients: set[str] = set()
    seen: list[str] = []

    async def agent():
        while jobs := await lease(10, wait_seconds=0.5):
            for each in jobs:
                patient = each["prescription"]["patient"]["external_patient_id"]
                assert each["queueId"] not in flying
                assert patient not in patients
                flying.add(each["queueId"])
                patients.add(patient)
            for each in jobs:
                flying.discard(each["queueId"])
                patients.discard(each["prescription"]["patient"]["external_patient_id"])
                assert (await report(each, "completed")).status_code == 200
                seen.append(each["queueId"])

    await asyncio.gather(*(agent() for _ in range(20)))

    assert len(seen) == len(set(seen)) == 2000
    assert (await gateway.get("/api/rx?status=queued", key)).json()["jobs"] == []


async def test_a_gateway_that_is_asked_to_end_does_not_wait_for_waiting_agents(harness):
    async with harness("[plugins.rx_queue]\n") as gateway:
        key = await gateway.issue_key()
        waiting = asyncio.create_task(gateway.post("/api/rx/lease", key, {"wait_seconds": 30}))
        await an_agent_waits(gateway)
        gateway.gateway.stopping.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await waiting

    assert answer.json() == {"jobs": []}


async def test_an_agent_that_hung_up_is_given_nothing(gateway, key, rx, submit, lease):
    async with asyncio.timeout(PATIENCE_SECONDS):
        _, writer = await asyncio.open_connection(*gateway.url[7:].split(":"))
        body = b'{"wait_seconds": 30}'
        writer.write(
            b"POST /api/rx/lease HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            + f"X-API-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        await an_agent_waits(gateway)
        writer.close()
        await writer.wait_closed()
        while queue_of(gateway).long_poll._waiting:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
    queue_id = await submit(rx())

    assert [each["queueId"] for each in await lease()] == [queue_id]


async def test_results_of_several_jobs_are_reported_at_once_and_judged_one_by_one(
    gateway, key, rx, submit, lease, job
):
    ids = [await submit(rx(external_id=f"FAX-{number}")) for number in range(3)]
    leased = {each["queueId"]: each["lease_token"] for each in await lease(max=3)}
    held = [each for each in ids if each in leased]

    results = [
        {"queueId": held[0], "lease_token": leased[held[0]], "outcome": "completed"},
        {"queueId": held[0], "lease_token": leased[held[0]], "outcome": "completed"},
        {"queueId": "rxq_none", "lease_token": "x", "outcome": "completed"},
        {"queueId": ids[-1], "lease_token": "x", "outcome": "completed", "din": "12"},
    ]
    answer = await gateway.post("/api/rx/results", key, {"results": results})

    assert answer.status_code == 200, answer.text
    found = answer.json()["results"]
    assert [(each["index"], each["status"], each.get("code")) for each in found] == [
        (0, "completed", None),
        (1, "refused", "conflict"),
        (2, "refused", "not_found"),
        (3, "refused", "invalid_input"),
    ]
    assert found[3]["error"].endswith("must be the eight digits of the DIN that was written")
    assert (await job(held[0]))["status"] == "completed"


@pytest.mark.parametrize("count", [0, 101])
async def test_a_report_has_one_to_a_hundred_results(gateway, key, count):
    result = {"queueId": "rxq_none", "lease_token": "x", "outcome": "completed"}

    answer = await gateway.post("/api/rx/results", key, {"results": [result] * count})

    assert answer.status_code == 400
