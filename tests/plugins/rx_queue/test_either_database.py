"""A prescription's whole life, the same on SQLite and on PostgreSQL."""

import asyncio

import pytest

pytestmark = pytest.mark.slow


async def test_a_prescription_lives_the_same_life_on_either_database(
    harness, database_url, rx, clock, events_of
):
    toml = f'[plugins.rx_queue]\n[database]\nurl = "{database_url}"\n'
    async with harness(toml, clock) as gateway:
        key = await gateway.issue_key()
        batch = [
            rx(external_id=str(number), medication__din=f"{number:08}", prescriber=None)
            for number in range(3)
        ]
        batch += [
            rx(external_id=f"ok-{number}", patient__external_patient_id=f"P-{number}")
            for number in range(70)
        ]
        headers = {"Idempotency-Key": "batch"}
        taken = (await gateway.post("/api/rx", key, {"prescriptions": batch}, headers)).json()
        again = await gateway.post("/api/rx", key, {"prescriptions": batch}, headers)
        assert again.json() == taken
        assert taken["created"] == 73
        first = taken["queueIds"][0]
        claimed = await gateway.post(f"/api/rx/{first}/claim", key, {})
        assert claimed.status_code == 200, claimed.text
        resolved = await gateway.post(
            f"/api/rx/{first}/resolve", key, {"corrections": {"prescriber.name": "Dr. No"}}
        )
        assert resolved.status_code == 202, resolved.text
        rejected = await gateway.post(
            f"/api/rx/{taken['queueIds'][1]}/reject", key, {"reason": "no"}
        )
        assert rejected.status_code == 202
        answers = await asyncio.gather(
            *(gateway.post("/api/rx/lease", key, {"max": 20}) for _ in range(5))
        )
        jobs = [job for answer in answers for job in answer.json()["jobs"]]
        assert len({job["queueId"] for job in jobs}) == len(jobs) == 71
        for job in jobs[1:]:
            body = {"lease_token": job["lease_token"], "outcome": "completed"}
            done = await gateway.post(f"/api/rx/{job['queueId']}/result", key, body)
            assert done.status_code == 200, done.text
        clock.step(1000)
        [lost] = (await gateway.post("/api/rx/lease", key, {"wait_seconds": 10})).json()["jobs"]
        assert lost["queueId"] == jobs[0]["queueId"]
        assert lost["attempt"] == 2
        body = {"lease_token": lost["lease_token"], "outcome": "retry"}
        await gateway.post(f"/api/rx/{lost['queueId']}/result", key, body)
        shown = (await gateway.get(f"/api/rx/{first}", key)).json()
        assert [each["to_status"] for each in shown["history"]][:3] == [
            "queued",
            "excepted",
            "queued",
        ]
        waiting = (await gateway.get("/api/rx?status=excepted", key)).json()["jobs"]
        assert [each["queueId"] for each in waiting] == [taken["queueIds"][2]]
        names = [name for name, _ in await events_of(gateway, taken["queueIds"][5])]
        assert names == ["rx.queued", "rx.completed"]
