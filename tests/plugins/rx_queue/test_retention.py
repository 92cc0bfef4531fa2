"""What is over is emptied at its age, and later deleted; what is not over stays."""

import asyncio

import pytest
from click.testing import CliRunner
from gateway_rx_queue.retention import Retention
from gateway_rx_queue.store import JobStore
from sqlalchemy import text

from gateway.cli import main

DAY = 24 * 3600


@pytest.fixture
async def retained(harness, clock):
    toml = "[plugins.rx_queue]\n[retention]\npayload_days = 10\nmetadata_days = 100\n"
    async with harness(toml, clock) as running:
        yield running


async def apply(gateway):
    [job] = [each for each in gateway.gateway.hooks.jobs() if each.name == "rx-retention"]
    await job.run()


async def test_a_finished_job_is_emptied_and_an_open_one_stays(retained, clock, rx):
    key = await retained.issue_key()
    done = (await retained.post("/api/rx", key, rx())).json()["queueId"]
    [leased] = (await retained.post("/api/rx/lease", key, {})).json()["jobs"]
    body = {"lease_token": leased["lease_token"], "outcome": "completed"}
    await retained.post(f"/api/rx/{done}/result", key, body)
    waits = (await retained.post("/api/rx", key, rx(external_id="B", prescriber=None))).json()
    clock.step(11 * DAY)

    await apply(retained)

    shown = (await retained.get(f"/api/rx/{done}", key)).json()
    assert shown["purged"] is True
    assert shown["prescription"] is None
    assert shown["status"] == "completed"
    assert [each["to_status"] for each in shown["history"]] == ["queued", "writing", "completed"]
    kept = (await retained.get(f"/api/rx/{waits['queueId']}", key)).json()
    assert kept["prescription"]["patient"]["last_name"] == "Silva"
    again = (await retained.post("/api/rx", key, rx())).json()
    assert again == {"queueId": done, "status": "completed", "duplicate": True}


async def test_its_rows_go_later(retained, clock, rx):
    key = await retained.issue_key()
    queue_id = (await retained.post("/api/rx", key, rx(prescriber=None))).json()["queueId"]
    await retained.post(f"/api/rx/{queue_id}/reject", key, {"reason": "no"})
    clock.step(101 * DAY)

    await apply(retained)

    assert (await retained.get(f"/api/rx/{queue_id}", key)).status_code == 404
    async with retained.gateway.database.read() as connection:
        for table in ("rx_jobs", "rx_history"):
            found = await connection.execute(text(f"SELECT count(*) FROM {table}"))
            assert found.scalar() == 0


async def test_more_than_one_transaction_s_worth_goes_too(retained, clock, rx):
    key = await retained.issue_key()
    batch = [rx(external_id=str(number), prescriber=None) for number in range(5)]
    taken = (await retained.post("/api/rx", key, {"prescriptions": batch})).json()
    for queue_id in taken["queueIds"]:
        await retained.post(f"/api/rx/{queue_id}/reject", key, {"reason": "no"})
    clock.step(11 * DAY)

    gateway = retained.gateway
    await Retention(gateway, JobStore(gateway), rows_at_once=2).run()

    listed = (await retained.get("/api/rx", key)).json()["jobs"]
    assert [each["purged"] for each in listed] == [True] * 5


async def test_nothing_goes_where_it_is_turned_off(harness, clock, rx):
    async with harness("[plugins.rx_queue]\n[retention]\nenabled = false\n", clock) as gateway:
        key = await gateway.issue_key()
        queue_id = (await gateway.post("/api/rx", key, rx(prescriber=None))).json()["queueId"]
        await gateway.post(f"/api/rx/{queue_id}/reject", key, {"reason": "no"})
        clock.step(5000 * DAY)
        await apply(gateway)

        assert "purged" not in (await gateway.get(f"/api/rx/{queue_id}", key)).json()


def test_a_new_seal_key_reaches_prescriptions_too(tmp_path, rx):
    from gateway_rx_queue import mapping
    from gateway_rx_queue.service import RxService
    from gateway_rx_queue.settings import RxQueueSettings

    from gateway.model.account import Caller
    from gateway.runtime import Gateway
    from gateway.settings import load_settings

    config = tmp_path / "gateway.toml"
    config.write_text("[plugins.rx_queue]\n", encoding="utf-8")

    async def submitted():
        async with Gateway(load_settings(config, {})) as gateway:
            caller = Caller("default", "live", "key_1")
            queue = RxService(gateway, RxQueueSettings())
            await queue.intake.accept(caller, [mapping.candidate(rx())], None)

    asyncio.run(submitted())
    for words in (("seal", "rotate"), ("seal", "reseal")):
        result = CliRunner().invoke(main, [*words, "--config", str(config)])
        assert result.exit_code == 0, result.output
    assert "rx_jobs: 1 of 1 sealed again" in result.stderr


async def test_the_events_of_a_job_stay_until_it_is_finished(retained, clock, rx):
    """It is the core that empties events; the queue says which of its jobs are not over."""
    key = await retained.issue_key()
    waits = (await retained.post("/api/rx", key, rx(prescriber=None))).json()["queueId"]
    over = (await retained.post("/api/rx", key, rx(external_id="B", prescriber=None))).json()
    await retained.post(f"/api/rx/{over['queueId']}/reject", key, {"reason": "no"})
    clock.step(11 * DAY)

    await retained.gateway.housekeeper.run()

    async with retained.gateway.database.read() as connection:
        found = await connection.execute(text("SELECT subject, purged FROM events"))
        stored = {(row.subject, bool(row.purged)) for row in found}
    assert stored == {(waits, False), (over["queueId"], True)}
