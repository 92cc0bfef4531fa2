"""Webhooks that the gateway really sent, put before the verifiers that receivers run."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from webhook_verifiers import SCRIPTRUN_PAGE, Webhook, missing_program, run_verifier, run_verifiers

from gateway.testing import Receiver, SteppingClock

FORMATS = ("scriptrun", "autorx", "standard")


async def sent_in(api, receiver, formats=FORMATS, *, rotate=False):
    """Send one delivery.completed in each format: format → (webhook, the new secret if any)."""
    path = "/webhooks/endpoints/{}/rotate"
    secrets, following = {}, {}
    for wire_format in formats:
        url = f"{receiver.url}/{wire_format}"
        added = await api.add(url, format=wire_format, events=["delivery.completed"])
        secrets[wire_format] = added["secret"]
        if rotate:
            rotated = await api.ask("POST", path.format(added["id"]), {"overlap_hours": 1})
            following[wire_format] = rotated["secret"]
    package_id = await api.order(external_patient_id="P-1204")
    await api.report(package_id, "delivery.completed", copay_collected=12.5, driver_id="Zoé 💊")
    arrived = {each.path[1:]: each for each in await receiver.wait_for(len(formats))}
    for endpoint in (await api.ask("GET", "/webhooks/endpoints"))["endpoints"]:
        await api.ask("DELETE", f"/webhooks/endpoints/{endpoint['id']}", status=204)
    return {
        name: (Webhook(name, secrets[name], arrived[name].headers, arrived[name].body), new)
        for name, new in ((name, following.get(name)) for name in formats)
    }


def one_byte_changed(webhook):
    return replace(webhook, body=webhook.body.replace(b"12.50", b"92.50"))


def page_verifier(webhooks):
    missing = missing_program(SCRIPTRUN_PAGE)
    if missing is not None:
        pytest.skip(f"ScriptRun's own verifier is not run here: {missing} is not installed")
    return run_verifier(SCRIPTRUN_PAGE, webhooks)


async def test_every_runtimes_verifier_accepts_what_was_sent_and_no_changed_byte(open_api):
    long_ago = SteppingClock(datetime.now(UTC) - timedelta(seconds=360))
    async with Receiver() as receiver, open_api() as api:
        sent = await sent_in(api, receiver)
    async with Receiver() as receiver, open_api(clock=long_ago) as api:
        stale = await sent_in(api, receiver)
    genuine = [sent[wire_format][0] for wire_format in FORMATS]
    changed = [one_byte_changed(webhook) for webhook in genuine]
    old = [stale[wire_format][0] for wire_format in ("scriptrun", "standard")]
    assert all(one.body != other.body for one, other in zip(genuine, changed, strict=True))

    answers = await asyncio.to_thread(run_verifiers, [*genuine, *changed, *old])
    assert "python" in answers
    for runtime, accepted in answers.items():
        assert (runtime, accepted) == (runtime, [True] * 3 + [False] * 5)


async def test_every_runtimes_verifier_accepts_either_secret_during_a_rotation(open_api):
    async with Receiver() as receiver, open_api() as api:
        sent = await sent_in(api, receiver, rotate=True)
    in_use = [webhook for webhook, _ in sent.values()]
    following = [replace(webhook, secret=new_secret) for webhook, new_secret in sent.values()]
    changed = [one_byte_changed(webhook) for webhook in (*in_use, *following)]

    answers = await asyncio.to_thread(run_verifiers, [*in_use, *following, *changed])
    assert "python" in answers
    for runtime, accepted in answers.items():
        assert (runtime, accepted) == (runtime, [True] * 6 + [False] * 6)


async def test_the_vendors_own_verifier_accepts_what_was_sent_before_and_during_a_rotation(
    open_api,
):
    long_ago = SteppingClock(datetime.now(UTC) - timedelta(seconds=360))
    async with Receiver() as receiver, open_api() as api:
        plain, _ = (await sent_in(api, receiver, ["scriptrun"]))["scriptrun"]
    async with Receiver() as receiver, open_api() as api:
        rotating, _ = (await sent_in(api, receiver, ["scriptrun"], rotate=True))["scriptrun"]
    async with Receiver() as receiver, open_api(clock=long_ago) as api:
        stale, _ = (await sent_in(api, receiver, ["scriptrun"]))["scriptrun"]

    cases = [plain, rotating, one_byte_changed(plain), one_byte_changed(rotating), stale]
    accepted = await asyncio.to_thread(page_verifier, cases)
    assert accepted == [True, True, False, False, False]
    assert rotating.headers["x-scriptrun-signature"].count("v1=") == 2
