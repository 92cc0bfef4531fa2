"""Proof that is kept here reaches a receiver as an expiring link, in all three formats."""

import base64
from datetime import UTC, datetime

import pytest
from pictures import MARK, body, photo, picture, saved
from sqlalchemy import select

from gateway.storage.schema import audit
from gateway.testing import Receiver, SteppingClock

START = datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)
PUBLIC = '[gateway]\npublic_url = "https://gateway.example.com"\n'
SIGNATURE = saved(picture(300, 100, mode="RGBA"), "PNG")


async def upload(api, package_id, content, kind="photo", **fields):
    sent, headers = body(content, kind=kind, **fields)
    path = f"/api/packages/{package_id}/files"
    answer = await api.harness.request("POST", path, api.key, sent, headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["file_id"]


async def opened(api, link):
    """Open a link as a receiver does: without a key."""
    assert link.startswith("https://gateway.example.com/files/")
    return await api.harness.get(link.removeprefix("https://gateway.example.com"))


async def proved(api, **proof):
    """Deliver an order with a photo; returns its package, the photo's id, and the event's."""
    package_id = await api.order()
    file_id = await upload(api, package_id, photo())
    event_id = await api.report(
        package_id, "delivery.completed", proof={"photo_file": file_id, **proof}
    )
    return package_id, file_id, event_id


def proof_in(webhook, form):
    data = webhook.json()["data"]
    if form == "autorx":
        return {"photo_url": data["proof"]["photoUrl"], "photo_file": data["proof"]["photoFile"]}
    return data["proof"]


async def test_the_link_in_each_format_opens_the_photo_without_a_key(open_api):
    formats = ["scriptrun", "autorx", "standard"]
    clock = SteppingClock(START)
    async with (
        Receiver() as first,
        Receiver() as second,
        Receiver() as third,
        open_api(PUBLIC, clock=clock) as api,
    ):
        ids = {}
        for form, receiver in zip(formats, (first, second, third), strict=True):
            added = await api.add(receiver.url, format=form, events=["delivery.completed"])
            ids[form] = added["id"]
        _, file_id, _ = await proved(api)
        links = {}
        for form, receiver in zip(formats, (first, second, third), strict=True):
            [webhook] = await receiver.wait_for(1)
            proof = proof_in(webhook, form)
            assert proof["photo_file"] == file_id
            links[form] = proof["photo_url"]
        stored = await api.harness.get(f"/api/files/{file_id}", api.key)
        answers = {form: await opened(api, link) for form, link in links.items()}
        async with api.harness.gateway.database.read() as connection:
            views = await connection.execute(
                select(audit.c.actor).where(
                    audit.c.action == "file.viewed", audit.c.subject == file_id
                )
            )
            actors = [row[0] for row in views]

    assert len(set(links.values())) == 3  # each names its endpoint
    for answer in answers.values():
        assert (answer.status_code, answer.content) == (200, stored.content)
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["content-disposition"] == f'attachment; filename="{file_id}.jpg"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert MARK.encode() not in answer.content
    assert sorted(actors[1:]) == sorted(ids.values())  # after the key's own view


async def test_every_attempt_of_a_delivery_has_the_same_link_and_a_new_run_a_new_one(open_api):
    clock = SteppingClock(START)
    async with Receiver(answers=[503, 503]) as receiver, open_api(PUBLIC, clock=clock) as api:
        added = await api.add(receiver.url, events=["delivery.completed"])
        await proved(api)
        for count in (2, 3):
            await api.logged(count - 1)
            api.later(3600, added["id"])
            await receiver.wait_for(count)
        [delivery_id] = {each["delivery_id"] for each in await api.logged(3)}
        bodies = [each.body for each in receiver.received]
        clock.step(60)
        await api.ask("POST", f"/webhooks/deliveries/{delivery_id}/resend")
        again = (await receiver.wait_for(4))[3]

    assert len(set(bodies)) == 1
    assert proof_in(again, "scriptrun")["photo_url"] not in bodies[0].decode()


async def test_a_link_ends_after_its_days(open_api):
    clock = SteppingClock(START)
    toml = PUBLIC + "[files]\nlink_days = 2\n"
    async with Receiver() as receiver, open_api(toml, clock=clock) as api:
        await api.add(receiver.url, events=["delivery.completed"])
        await proved(api)
        [webhook] = await receiver.wait_for(1)
        link = proof_in(webhook, "scriptrun")["photo_url"]
        clock.step(2 * 86_400 - 1)
        last = await opened(api, link)
        clock.step(1)
        late = await opened(api, link)

    assert last.status_code == 200
    assert (late.status_code, late.json()["code"]) == (404, "not_found")
    assert "expired or was revoked" in late.json()["error"]


async def test_a_revoked_link_stays_closed_and_a_recovery_makes_a_new_one(open_api):
    clock = SteppingClock(START)
    async with Receiver(answers=[503]) as receiver, open_api(PUBLIC, clock=clock) as api:
        added = await api.add(receiver.url, events=["delivery.completed"])
        _, file_id, _ = await proved(api)
        [webhook] = await receiver.wait_for(1)
        await api.logged(1)
        clock.step(1)
        await api.ask("POST", f"/files/{file_id}/revoke")
        api.later(3600, added["id"])
        second = (await receiver.wait_for(2))[1]  # the next attempt of the same delivery
        closed = await opened(api, proof_in(second, "scriptrun")["photo_url"])
        [attempt, _] = await api.logged(2)
        await api.ask("POST", f"/webhooks/deliveries/{attempt['delivery_id']}/resend")
        third = (await receiver.wait_for(3))[2]
        open_again = await opened(api, proof_in(third, "scriptrun")["photo_url"])
        mine = await api.harness.get(f"/api/files/{file_id}", api.key)

    assert webhook.body == second.body
    assert closed.status_code == 404
    assert open_again.status_code == 200
    assert mine.status_code == 200  # with a key it opens as before


async def test_the_links_of_a_removed_endpoint_are_closed(open_api):
    async with Receiver() as receiver, open_api(PUBLIC) as api:
        added = await api.add(receiver.url, events=["delivery.completed"])
        await proved(api)
        [webhook] = await receiver.wait_for(1)
        link = proof_in(webhook, "scriptrun")["photo_url"]
        before = await opened(api, link)
        await api.ask("DELETE", f"/webhooks/endpoints/{added['id']}", status=204)
        after = await opened(api, link)

    assert (before.status_code, after.status_code) == (200, 404)


async def test_no_part_of_a_link_can_be_changed(open_api):
    async with Receiver() as receiver, open_api(PUBLIC) as api:
        await api.add(receiver.url, events=["delivery.completed"])
        await proved(api)
        [webhook] = await receiver.wait_for(1)
        token = proof_in(webhook, "scriptrun")["photo_url"].rpartition("/")[2]
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        statuses = set()
        for place in range(len(raw)):
            changed = bytearray(raw)
            changed[place] ^= 1
            forged = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
            statuses.add((await api.harness.get(f"/files/{forged}")).status_code)
        for forged in ("", "x", token[:-1], token + "A", "é" * 10, "A" * 5000, token + "%00"):
            answer = await api.harness.get(f"/files/{forged}")
            statuses.add(answer.status_code)

    assert statuses == {404}


async def test_a_gateway_on_loopback_sends_the_id_alone(open_api):
    async with Receiver() as receiver, open_api("") as api:
        await api.add(receiver.url, events=["delivery.completed"])
        _, file_id, _ = await proved(api, signer_name="A. Silva")
        [webhook] = await receiver.wait_for(1)

    assert webhook.json()["data"]["proof"] == {"photo_file": file_id, "signer_name": "A. Silva"}


async def test_an_address_elsewhere_is_sent_as_it_came(open_api):
    elsewhere = {"photo_url": "https://photos.example.com/1.jpg", "lat": 1.5, "lng": 2.5}
    async with Receiver() as receiver, open_api(PUBLIC) as api:
        await api.add(receiver.url, events=["delivery.completed"])
        package_id = await api.order()
        await api.report(package_id, "delivery.completed", proof=elsewhere)
        [webhook] = await receiver.wait_for(1)

    assert webhook.json()["data"]["proof"] == elsewhere


async def test_files_that_came_with_the_reports_reference_are_its_proof(open_api):
    async with Receiver() as receiver, open_api(PUBLIC) as api:
        await api.add(receiver.url, events=["delivery.completed"])
        package_id = await api.order()
        photo_id = await upload(api, package_id, photo(), event_ref="drop-17")
        signature_id = await upload(api, package_id, SIGNATURE, "signature", event_ref="drop-17")
        await upload(api, package_id, photo("PNG"), event_ref="another")
        await api.report(package_id, "delivery.completed", event_ref="drop-17")
        [webhook] = await receiver.wait_for(1)
        proof = proof_in(webhook, "scriptrun")
        signature = await opened(api, proof["signature_url"])

    assert (proof["photo_file"], proof["signature_file"]) == (photo_id, signature_id)
    assert signature.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("proof", "field", "sentence"),
    [
        ({"photo_file": "file_1"}, "proof.photo_file", "must be the id of a file kept here"),
        ({"photo_file": "file_" + "0" * 32}, "proof.photo_file", "is no photo of this package"),
        ({"photo_file": "other"}, "proof.photo_file", "is no photo of this package"),
        ({"signature_file": "mine"}, "proof.signature_file", "is no signature of this package"),
        (
            {"photo_file": "mine", "photo_url": "https://a.example/1"},
            "proof.photo_file",
            "send photo_file or photo_url, not both",
        ),
    ],
)
async def test_a_report_names_only_files_of_its_own_package(open_api, proof, field, sentence):
    async with open_api(PUBLIC) as api:
        package_id, other = await api.order(), await api.order()
        known = {
            "mine": await upload(api, package_id, photo()),
            "other": await upload(api, other, photo()),
        }
        sent = {name: known.get(value, value) for name, value in proof.items()}
        path = f"/packages/{package_id}/events"
        answer = await api.ask("POST", path, {"event": "delivery.completed", "proof": sent}, 400)

    [detail] = answer["details"]
    assert detail["field"] == field
    assert sentence in detail["message"]
