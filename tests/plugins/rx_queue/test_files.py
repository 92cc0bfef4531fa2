"""The pages of the fax that a prescription came on: kept, listed, opened, erased with it."""

from datetime import timedelta

import pytest
from pictures import MARK, body, fax, photo

from gateway.testing import SteppingClock

PLUGINS = """
[plugins.rx_queue]
[limits]
reads_per_minute = 1000000
"""
RX = {"patient": {"external_patient_id": "P-7"}, "medication": {"din": "02242705"}}


async def send(gateway, key, job_id, content, **headers):
    sent, own = body(content, name="page.pdf")
    path = f"/api/rx/{job_id}/files"
    return await gateway.request("POST", path, key, sent, {**own, **headers})


@pytest.fixture
async def queue(harness):
    clock = SteppingClock()
    async with harness(PLUGINS, clock) as gateway:
        key = await gateway.issue_key()
        job = (await gateway.post("/api/rx", key, RX)).json()["queueId"]
        yield gateway, key, job, clock


async def test_pages_are_listed_in_their_order_and_open_without_their_metadata(queue):
    gateway, key, job, clock = queue
    first = await send(gateway, key, job, fax(pages=2))
    clock.step(1)
    second = await send(gateway, key, job, photo("PNG"))
    listed = (await gateway.get(f"/api/rx/{job}/files", key)).json()["files"]
    opened = await gateway.get(f"/api/files/{first.json()['file_id']}", key)

    assert (first.status_code, second.status_code) == (201, 201)
    assert (first.json()["kind"], first.json()["pages"]) == ("fax_page", 2)
    assert [each["file_id"] for each in listed] == [
        each.json()["file_id"] for each in (first, second)
    ]
    assert opened.headers["content-type"] == "application/pdf"
    assert MARK.encode() not in opened.content


async def test_a_page_needs_a_job_of_ones_own_and_a_file_that_can_be_kept(queue):
    gateway, key, job, _ = queue
    other = await gateway.issue_key(account_id="other")
    statuses = [
        (await send(gateway, other, job, photo())).status_code,
        (await send(gateway, key, "rxq_nope", photo())).status_code,
        (await send(gateway, key, job, b"<svg/>")).status_code,
        (await gateway.get(f"/api/rx/{job}/files", other)).status_code,
    ]

    assert statuses == [404, 404, 415, 404]


async def test_pages_are_erased_with_their_prescription(queue):
    gateway, key, job, clock = queue
    sent = await send(gateway, key, job, photo())
    file_id = sent.json()["file_id"]
    await gateway.post(f"/api/rx/{job}/reject", key, {"reason": "sent twice"})
    retention = next(each for each in gateway.gateway.hooks.jobs() if each.name == "rx-retention")
    clock.step(timedelta(days=89).total_seconds())
    await retention.run()
    before = await gateway.get(f"/api/files/{file_id}", key)
    clock.step(timedelta(days=2).total_seconds())
    await retention.run()
    after = await gateway.get(f"/api/files/{file_id}", key)
    late = await send(gateway, key, job, photo())

    assert (before.status_code, after.status_code, late.status_code) == (200, 404, 409)
