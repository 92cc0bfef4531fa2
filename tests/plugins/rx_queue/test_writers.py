"""Writers that are called: the simulator, the bridge over HTTP, and one that a vendor brings."""

import asyncio
import hashlib
import hmac

import pytest
from gateway_rx_queue.extension_points import RxWriter, WriteOutcome
from gateway_rx_queue.sender import outcome_from
from gateway_rx_queue.service import RxService
from gateway_rx_queue.settings import RxQueueSettings
from gateway_rx_queue.writers.push_writer import PushWriter
from sqlalchemy import text
from waiting import PATIENCE_SECONDS

from gateway.errors import PluginError
from gateway.hookspecs import hookimpl
from gateway.plugin import OutboundResponse, SystemClock
from gateway.testing import Receiver, SteppingClock

SIMULATOR = '[plugins.rx_queue]\nwriter = "simulator"\nretry_schedule_seconds = [0.05]\n'


async def until(gateway, key, queue_id, *states):
    """Wait until a job is in one of ``states``, 10 seconds at most."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = (await gateway.get(f"/api/rx/{queue_id}", key)).json()
            if found["status"] in states:
                return found
            await asyncio.sleep(0.02)


async def submitted(gateway, key, sent):
    answer = await gateway.post("/api/rx", key, sent)
    assert answer.status_code == 202, answer.text
    return answer.json()["queueId"]


LIMITS = "[limits]\nreads_per_minute = 100000\n"


@pytest.mark.parametrize(
    ("wish", "state", "tries"),
    [
        ("", "completed", 1),
        ("simulate:retry=2", "completed", 3),
        ("simulate:fail", "failed", 1),
        ("simulate:except", "excepted", 1),
        ("simulate:delay=0.01", "completed", 1),
    ],
)
async def test_the_simulator_does_as_it_is_asked(harness, rx, wish, state, tries):
    async with harness(SIMULATOR + LIMITS) as gateway:
        key = await gateway.issue_key()
        sent = rx(medication__drug_text=f"aspirin {wish}", medication__written_date=today(gateway))
        queue_id = await submitted(gateway, key, sent)
        found = await until(gateway, key, queue_id, state)

    assert found["attempts"] == tries
    if state == "failed":
        assert found["failure_reason"] == "simulated_failure"


def today(gateway):
    return gateway.gateway.clock.now().date().isoformat()


async def test_what_the_simulator_excepts_is_written_once_a_person_approved(harness, rx):
    async with harness(SIMULATOR + LIMITS) as gateway:
        key = await gateway.issue_key()
        sent = rx(external_id="simulate:except", medication__written_date=today(gateway))
        queue_id = await submitted(gateway, key, sent)
        await until(gateway, key, queue_id, "excepted")
        await gateway.post(f"/api/rx/{queue_id}/resolve", key, {})
        found = await until(gateway, key, queue_id, "resolved")
        refused = await gateway.post("/api/rx/lease", key, {})

    assert found["history"][-1]["actor"] == "writer:simulator"
    assert refused.status_code == 409  # nobody but the writer of the settings takes jobs


async def test_a_bridge_is_posted_each_job_signed_and_its_silence_means_written(harness, rx):
    async with Receiver([503]) as bridge:
        toml = f"""
            [plugins.rx_queue]
            writer = "http"
            retry_schedule_seconds = [0.05]
            [plugins.rx_queue.http]
            url = "{bridge.url}/write"
            secret = "hush"
            allow_http = true
            allow_networks = ["127.0.0.0/8"]
            [delivery]
            """
        async with harness(toml + LIMITS) as gateway:
            key = await gateway.issue_key()
            sent = rx(medication__written_date=today(gateway))
            queue_id = await submitted(gateway, key, sent)
            first, second = await bridge.wait_for(2)
            found = await until(gateway, key, queue_id, "failed", "completed", "queued")

    stamp, _, signature = first.headers["x-rx-signature"].removeprefix("t=").partition(",v1=")
    signed = f"{stamp}.".encode() + first.body
    assert signature == hmac.new(b"hush", signed, hashlib.sha256).hexdigest()
    assert first.json() == {
        "queueId": queue_id,
        "idempotency_token": f"{queue_id}-0",
        "attempt": 1,
        "site": None,
        "prescription": found["prescription"],
    }
    assert second.json()["attempt"] == 2
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.path == "/write"


async def test_a_bridge_in_a_private_network_has_to_be_allowed(harness, rx):
    async with Receiver() as bridge:
        toml = f"""
            [plugins.rx_queue]
            writer = "http"
            max_attempts = 1
            [plugins.rx_queue.http]
            url = "{bridge.url}"
            secret = "hush"
            [delivery]
            """
        async with harness(toml + LIMITS) as gateway:
            key = await gateway.issue_key()
            sent = rx(medication__written_date=today(gateway))
            queue_id = await submitted(gateway, key, sent)
            found = await until(gateway, key, queue_id, "failed")

    assert bridge.received == []
    assert found["failure_reason"] == "bridge_refused_address"


def answered(status, body=b"", **more):
    return OutboundResponse(duration_ms=1, status=status, body=body, **more)


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (answered(200), "completed", None),
        (answered(204), "completed", None),
        (answered(200, b'{"outcome": "completed", "din": "02230711"}'), "completed", None),
        (answered(200, b'{"outcome": "failed", "reason": "locked"}'), "failed", "locked"),
        (answered(200, b'{"outcome": "excepted", "reasons": ["sig_missing"]}'), "excepted", None),
        (answered(200, b"ok"), "retry", "bridge_answer_unreadable"),
        (answered(200, b'{"outcome": "perhaps"}'), "retry", "bridge_answer_unreadable"),
        (answered(200, b"{}", cut=True), "retry", "bridge_answer_too_long"),
        (answered(422), "failed", "bridge_answered_422"),
        (answered(400), "failed", "bridge_answered_400"),
        (answered(401), "retry", "bridge_answered_401"),
        (answered(404), "retry", "bridge_answered_404"),
        (answered(429), "retry", "bridge_answered_429"),
        (answered(500), "retry", "bridge_answered_500"),
        (answered(302), "retry", "bridge_answered_302"),
        (OutboundResponse(duration_ms=1, error="timeout"), "retry", "bridge_timeout"),
    ],
)
def test_what_a_bridge_s_answer_means(answer, outcome, reason):
    read = outcome_from(answer)

    assert (read.outcome, read.reason) == (outcome, reason)


def bring(gateway, *records):
    class Vendor:
        @hookimpl
        def extensions(self, point):
            return list(records) if point == "rx_queue.writers" else []

    gateway.gateway.hooks.register(Vendor(), "vendor")


async def test_a_vendor_s_writer_is_given_batches_without_two_of_a_patient(harness, rx):
    batches = []

    async def write(jobs):
        batches.append([job.queue_id for job in jobs])
        return [WriteOutcome(outcome="completed", din="00000001") for _ in jobs]

    gateway = harness('[plugins.rx_queue]\nwriter = "acme"\n' + LIMITS)
    bring(gateway, RxWriter("acme", write, max_batch=5, max_in_flight=1))
    async with gateway:
        key = await gateway.issue_key()
        whole = [
            rx(
                external_id=str(number),
                patient__external_patient_id=f"P-{number % 3}",
                medication__din=f"{number:08}",
                medication__written_date=today(gateway),
            )
            for number in range(6)
        ]
        taken = (await gateway.post("/api/rx", key, {"prescriptions": whole})).json()
        for queue_id in taken["queueIds"]:
            found = await until(gateway, key, queue_id, "completed")

    assert sorted(map(len, batches)) == [3, 3]
    assert found["din_written"] == "00000001"


@pytest.mark.parametrize("fault", ["raises", "silent", "hangs"])
async def test_a_writer_s_fault_is_a_try_that_did_not_work(harness, rx, caplog, fault):
    tries = []

    async def write(jobs):
        tries.append(jobs[0].idempotency_token)
        if len(tries) == 1:
            if fault == "raises":
                raise ValueError(jobs[0].prescription.patient.last_name)
            if fault == "hangs":
                await asyncio.Event().wait()
            return []
        return [WriteOutcome(outcome="completed")]

    toml = (
        '[plugins.rx_queue]\nwriter = "acme"\nretry_schedule_seconds = [0.05]\nlease_seconds = 2\n'
    )
    gateway = harness(toml + LIMITS)
    bring(gateway, RxWriter("acme", write))
    async with gateway:
        key = await gateway.issue_key()
        sent = rx(medication__written_date=today(gateway))
        queue_id = await submitted(gateway, key, sent)
        await until(gateway, key, queue_id, "completed")

    assert tries == [f"{queue_id}-0"] * 2
    assert "Silva" not in caplog.text


@pytest.mark.parametrize(("asked", "least"), [(600.0, 600.0), (1e9, 86_400.0), (None, 0.0)])
async def test_a_writer_may_ask_for_a_longer_pause_of_a_day_at_most(harness, rx, asked, least):
    async def write(_jobs):
        return [WriteOutcome(outcome="retry", reason="busy", retry_after_seconds=asked)]

    toml = '[plugins.rx_queue]\nwriter = "acme"\nretry_schedule_seconds = [5, 5]\n'
    clock = SteppingClock(SystemClock().now())
    gateway = harness(toml + LIMITS, clock)
    bring(gateway, RxWriter("acme", write))
    async with gateway:
        key = await gateway.issue_key()
        await submitted(gateway, key, rx(medication__written_date=today(gateway)))
        query = text("SELECT due_at_ms FROM rx_jobs WHERE state = 'queued' AND attempts = 1")
        due_at_ms = None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while due_at_ms is None:
                async with gateway.gateway.database.read() as connection:
                    due_at_ms = (await connection.execute(query)).scalar()
                await asyncio.sleep(0.02)

    pause_seconds = due_at_ms / 1000 - clock.now().timestamp()
    assert max(least, 5.0) - 1 <= pause_seconds <= max(least, 5.0) * 1.11


async def test_a_write_that_is_running_at_the_end_is_finished(harness, rx):
    began, go_on = asyncio.Event(), asyncio.Event()

    async def write(jobs):
        began.set()
        await go_on.wait()
        return [WriteOutcome(outcome="completed")]

    gateway = harness('[plugins.rx_queue]\nwriter = "acme"\n')
    bring(gateway, RxWriter("acme", write))
    async with gateway:
        key = await gateway.issue_key()
        queue_id = await submitted(gateway, key, rx(medication__written_date=today(gateway)))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await began.wait()
        asyncio.get_running_loop().call_later(0.1, go_on.set)
    async with gateway.gateway as again, again.database.read() as connection:
        rows = await connection.execute(text("SELECT id, state FROM rx_jobs"))
        assert list(rows) == [(queue_id, "completed")]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ((), "writer must be one of agent, http, simulator"),
        (("a writer",), "no RxWriter"),
        ((RxWriter("acme", None), RxWriter("acme", None)), "writer is defined by two plugins"),
    ],
)
async def test_a_writer_that_no_plugin_has_stops_the_start(harness, records, message):
    gateway = harness('[plugins.rx_queue]\nwriter = "acme"\n')
    bring(gateway, *records)

    with pytest.raises(PluginError, match=message):
        await gateway.__aenter__()


def test_settings_that_can_not_work_are_refused(harness):
    faulty = (
        ('writer = "Not a name"', "writer"),
        ('writer = "http"', "url and secret"),
        ("retry_schedule_seconds = []", "retry_schedule_seconds"),
        ("min_confidence = 1.5", "min_confidence"),
        ('http = { allow_networks = ["nowhere"] }', "allow_networks"),
        ("unknown = 1", "unknown"),
    )
    for line, word in faulty:
        made = harness(f"[plugins.rx_queue]\n{line}\n")
        [problem] = [each.problem for each in made.gateway.plugins if each.name == "rx_queue"]
        assert word in problem, line
    fine = harness("[plugins.rx_queue.sites.main]\nmin_confidence = 0.5\n")
    assert [each.problem for each in fine.gateway.plugins if each.name == "rx_queue"] == [None]


async def test_a_write_that_outlives_the_end_is_offered_again(harness, rx):
    began = asyncio.Event()

    async def write(jobs):
        began.set()
        await asyncio.Event().wait()

    async with harness("[plugins.rx_queue]\n") as gateway:
        key = await gateway.issue_key()
        queue_id = await submitted(gateway, key, rx(medication__written_date=today(gateway)))
        settings = RxQueueSettings(writer="acme")
        leasing = RxService(gateway.gateway, settings).leasing
        writer = RxWriter("acme", write)
        pump = PushWriter(gateway.gateway, settings, leasing, [writer], grace_seconds=0.05)
        await pump.open()
        await pump.run()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await began.wait()
        await pump.close()

        shown = (await gateway.get(f"/api/rx/{queue_id}", key)).json()
    assert shown["status"] == "writing"  # until its lease ends


async def test_a_report_that_comes_too_late_changes_nothing(harness, rx, clock, caplog):
    tries = []

    async def write(jobs):
        tries.append(jobs[0].attempt)
        if len(tries) == 1:
            clock.step(121)  # the lease ends while it writes
        return [WriteOutcome(outcome="completed")]

    gateway = harness('[plugins.rx_queue]\nwriter = "acme"\n' + LIMITS, clock)
    bring(gateway, RxWriter("acme", write))
    async with gateway:
        key = await gateway.issue_key()
        queue_id = await submitted(gateway, key, rx())
        found = await until(gateway, key, queue_id, "completed")

    assert tries == [1, 2]
    assert "took longer than its lease" in caplog.text
    assert [each["why"] for each in found["history"]].count("written") == 1
