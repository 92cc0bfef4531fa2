"""What reviewers and the queue's pages ask for: evidence, drafts, the next one, the overview."""

import asyncio
from datetime import timedelta

import pytest

DINS = ["02242705", "02230711"]


@pytest.fixture
async def excepted(submit, rx):
    """A job whose DIN the sender could not decide."""
    return await submit(rx(medication__din=None, medication__din_candidates=DINS))


@pytest.fixture
def asked(gateway, key):
    async def ask(method, path, body=None, expect=200, as_key=None):
        answer = await gateway.request(method, f"/api/rx{path}", as_key or key, body)
        assert answer.status_code == expect, answer.text
        return answer.json()

    return ask


async def test_the_evidence_marks_what_was_filled_before_and_is_masked_where_it_has_to_be(
    gateway, excepted, submit, rx, lease, report, asked
):
    # Given an earlier prescription of the patient with one of the two products, written.
    before = await submit(rx(external_id="FAX-1", medication__din=DINS[1]))
    [leased] = await lease()
    assert leased["queueId"] == before
    await report(leased, "completed")

    evidence = await asked("GET", f"/{excepted}/evidence")

    assert [(each["value"], each.get("filled_on")) for each in evidence["candidates"]] == [
        (DINS[0], None),
        (DINS[1], "2026-01-01"),
    ]
    [fill] = evidence["fills"]
    assert (fill["queueId"], fill["din"], fill["quantity"]) == (before, DINS[1], 30.0)
    masked = await gateway.issue_key(scopes=["rx.review"])
    shown = await asked("GET", f"/{excepted}/evidence", as_key=masked)
    assert [set(each.values()) - {None} for each in shown["candidates"]] == [set(), set()]
    assert shown["fills"] == []


async def test_a_draft_is_sealed_and_one_s_own_and_goes_with_the_decision(gateway, excepted, asked):
    draft = {"fields": {"medication.sig": "1 tab at bed"}, "note": "called"}
    other = await gateway.issue_key()
    await asked("PUT", f"/{excepted}/draft", draft)

    assert await asked("GET", f"/{excepted}/draft") == draft
    assert await asked("GET", f"/{excepted}/draft", as_key=other) == {}
    async with gateway.gateway.database.read() as connection:
        [row] = await connection.exec_driver_sql("SELECT payload FROM rx_drafts")
    assert b"bed" not in bytes(row[0])
    long = {f"medication.f{number}": "x" * 4000 for number in range(9)}
    await asked("PUT", f"/{excepted}/draft", {"fields": long}, 400)
    await asked("POST", f"/{excepted}/reject", {"reason": "sent twice"}, 202)
    assert await asked("GET", f"/{excepted}/draft") == {}
    await asked("PUT", f"/{excepted}/draft", draft, 409)


async def test_typing_keeps_a_claim_that_is_half_over(clock, excepted, asked, job):
    await asked("POST", f"/{excepted}/claim", {})
    clock.step(7 * 60)
    await asked("PUT", f"/{excepted}/draft", {"note": "a"})
    assert (await job(excepted))["claimed_until"] == "2026-01-01T00:15:00Z"
    clock.step(60)
    await asked("PUT", f"/{excepted}/draft", {"note": "ab"})
    assert (await job(excepted))["claimed_until"] == "2026-01-01T00:23:00Z"


async def test_two_reviewers_who_ask_at_once_never_get_the_same(gateway, submit, rx, asked):
    assert await asked("POST", "/claim-next") == {"job": None}
    ids = [await submit(rx(external_id=f"N-{n}", medication__quantity=None)) for n in range(3)]
    second = await gateway.issue_key()
    answers = await asyncio.gather(
        *(asked("POST", "/claim-next", as_key=each) for each in (None, second))
    )
    taken = [each["job"]["queueId"] for each in answers]

    assert sorted(taken) == sorted(ids)[:2]
    assert (await asked("POST", "/claim-next"))["job"]["queueId"] in taken  # its own again


async def test_a_failed_job_is_tried_again_with_the_same_token(
    clock, submit, rx, lease, report, asked, job
):
    queue_id = await submit(rx())
    [leased] = await lease()
    await report(leased, "failed", reason="patient_file_locked")

    assert await asked("POST", f"/{queue_id}/retry", expect=202) == {
        "queueId": queue_id,
        "status": "queued",
    }
    [again] = await lease()
    assert again["idempotency_token"] == leased["idempotency_token"]
    assert again["attempt"] == 1
    await report(again, "completed")
    found = await job(queue_id)
    assert found["status"] == "completed"
    assert found["failure_reason"] is None
    whys = [each["why"] for each in found["history"]]
    assert whys == ["submitted", "leased", "patient_file_locked", "retried", "leased", "written"]
    await asked("POST", f"/{queue_id}/retry", expect=409)


async def test_a_job_that_waits_is_tried_at_once_and_one_that_was_taken_back_is_not(
    submit, rx, lease, report, asked
):
    queue_id = await submit(rx())
    [leased] = await lease()
    await report(leased, "retry")
    assert await lease() == []

    await asked("POST", f"/{queue_id}/retry", expect=202)
    assert [each["queueId"] for each in await lease()] == [queue_id]
    recalled = await submit(rx(external_id="FAX-9", patient__external_patient_id="P-9"))
    await asked("POST", f"/{recalled}/recall", {}, 202)
    await asked("POST", f"/{recalled}/retry", expect=409)
    await asked("POST", "/rxq_nope/retry", expect=404)


async def test_what_was_erased_at_its_age_is_not_tried_again(
    gateway, clock, submit, rx, lease, report, asked
):
    queue_id = await submit(rx())
    [leased] = await lease()
    await report(leased, "failed")
    clock.step(timedelta(days=91).total_seconds())
    jobs = gateway.gateway.hooks.jobs()
    await next(each for each in jobs if each.name == "rx-retention").run()

    answer = await asked("POST", f"/{queue_id}/retry", expect=409)
    assert answer["error"] == "The prescription was erased at its age; send it again."


async def test_the_overview_counts_by_state_and_knows_when_agents_asked(
    gateway, clock, excepted, submit, rx, lease, asked
):
    await submit(rx(external_id="FAX-1"))
    clock.step(60)
    await submit(rx(external_id="FAX-2", patient__external_patient_id="P-2"))
    [leased] = await lease(most=1)
    result = {"lease_token": leased["lease_token"], "outcome": "completed"}
    await asked("POST", f"/{leased['queueId']}/result", result)
    assert await lease(most=5)
    other = await gateway.issue_key(account_id="other")

    found = await asked("GET", "/overview")
    states = {each["status"]: each for each in found["states"] if each["count"]}

    assert {name: each["count"] for name, each in states.items()} == {
        "excepted": 1,
        "writing": 1,
        "completed": 1,
    }
    assert states["excepted"]["oldest_at"] == "2026-01-01T00:00:00Z"
    assert found["writer"] == "agent"
    [agent] = found["agents"]
    assert (agent["name"], agent["asked_at"]) == ("test", "2026-01-01T00:01:00Z")
    assert (await asked("GET", "/overview", as_key=other))["agents"] == []


async def test_every_change_of_a_job_is_in_the_feed_that_pages_watch(
    gateway, excepted, asked, lease
):
    await asked("POST", f"/{excepted}/claim", {})
    async with gateway.gateway.database.read() as connection:
        query = "SELECT account_id, mode, ids FROM changes WHERE topic = 'prescriptions'"
        rows = list(await connection.exec_driver_sql(query))
    assert [(row[0], row[1], row[2]) for row in rows] == [("default", "live", excepted)] * 2
