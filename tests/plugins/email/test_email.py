"""Mails about what needs a person: one when it begins, one when it is over."""

from datetime import UTC, datetime, timedelta

import pytest
from gateway_email.settings import EmailSettings, is_address
from plugins.email.conftest import MailServer
from waiting import until

from gateway.plugin import Destination, HealthReport, new_id
from gateway.testing import SteppingClock

pytestmark = pytest.mark.pages

ADDRESS = "pharmacist@lakeside.example"
START = datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)
HOUR = 3600


@pytest.fixture
def clock():
    return SteppingClock(START)


async def watch(gateway):
    [job] = [each for each in gateway.gateway.hooks.jobs() if each.name == "email-watch"]
    await job.run()


async def add(gateway, key, **fields):
    answer = await gateway.post("/api/email/recipients", key, {"address": ADDRESS, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def failing_endpoint(gateway, clock, *, minutes, name="board", site=None, sink="email"):
    """Store an endpoint that has failed for some minutes."""
    now = clock.now()
    endpoint = Destination(
        id=new_id("dst", now),
        account_id="default",
        mode="live",
        sink=sink,
        name=name,
        events=("package.created",),
        settings={"address": "nobody@lakeside.example", "attention": False},
        site=site,
        created_at=now,
    )
    store = gateway.gateway.destinations
    async with gateway.gateway.database.begin() as connection:
        await store.add(connection, endpoint)
    await set_failing(gateway, endpoint.id, now - timedelta(minutes=minutes))
    return endpoint.id


async def set_failing(gateway, endpoint_id, since):
    from sqlalchemy import update

    from gateway.clock import to_epoch_ms
    from gateway.storage.schema import destinations

    async with gateway.gateway.database.begin() as connection:
        await connection.execute(
            update(destinations)
            .where(destinations.c.id == endpoint_id)
            .values(failing_since_ms=None if since is None else to_epoch_ms(since))
        )


async def mails(server: MailServer, count):
    async def arrived():
        return len(server.inbox.mails) >= count

    await until(arrived)
    return [" ".join(mail["Subject"].split()) for mail in server.inbox.mails]


def body(mail, kind):
    part = mail.get_body((kind,))
    assert part is not None
    return part.get_content()


@pytest.mark.parametrize("mail_server", ["starttls", "tls", "none"], indirect=True)
async def test_an_endpoint_that_fails_for_an_hour_brings_one_mail(harness, clock, mail_server):
    async with harness(mail_server.toml() + "\n[plugins.webhooks]\n", clock) as gateway:
        key = await gateway.issue_key()
        await add(gateway, key)
        endpoint = await failing_endpoint(gateway, clock, minutes=16, sink="webhooks")
        await watch(gateway)
        await mails(mail_server, 1)
        for _ in range(60):
            clock.step(60)
            await watch(gateway)
        text = "The endpoint board fails; its webhooks are kept and tried again."
        assert await mails(mail_server, 1) == [text]

        await set_failing(gateway, endpoint, None)
        await watch(gateway)
        assert await mails(mail_server, 2) == [text, f"Over: {text}"]

    [first, over] = mail_server.inbox.mails
    assert first["To"] == ADDRESS
    assert f"gateway deliveries list --endpoint {endpoint}" in body(first, "plain")
    page = f"http://localhost:8080/dashboard/endpoints/{endpoint}"
    assert page in body(first, "plain")
    assert f'<a href="{page}">Show it</a>' in body(first, "html")
    assert text in body(first, "html")
    assert "prefers-color-scheme: dark" in body(first, "html")
    assert endpoint not in body(over, "plain")


async def test_an_endpoint_that_comes_and_goes_all_night_brings_one_pair_of_mails(
    harness, clock, mail_server
):
    async with harness(mail_server.toml(), clock) as gateway:
        await add(gateway, await gateway.issue_key())
        endpoint = await failing_endpoint(gateway, clock, minutes=16)
        for _ in range(5):
            await watch(gateway)
            await mails(mail_server, 1)
            await set_failing(gateway, endpoint, None)
            clock.step(HOUR / 2)
            await watch(gateway)
            await mails(mail_server, 2)
            await set_failing(gateway, endpoint, clock.now() - timedelta(minutes=20))
            clock.step(HOUR / 2)
        assert len(mail_server.inbox.mails) == 2

        clock.step(6 * HOUR)
        await watch(gateway)
        assert len(await mails(mail_server, 3)) == 3


async def test_a_name_never_ends_a_header_or_becomes_markup(harness, clock, mail_server):
    name = "<b>x</b>\r\nBcc: thief@evil.example"
    async with harness(mail_server.toml(), clock) as gateway:
        await add(gateway, await gateway.issue_key())
        await failing_endpoint(gateway, clock, minutes=16, name=name)
        await watch(gateway)
        await mails(mail_server, 1)

    [mail] = mail_server.inbox.mails
    assert mail["Bcc"] is None
    assert "Bcc: thief" in mail["Subject"]
    assert "<b>" not in body(mail, "html")
    assert "&lt;b&gt;" in body(mail, "html")


async def test_a_recipient_of_one_site_gets_that_sites_mails(harness, clock, mail_server):
    toml = (
        '[[sites]]\ncode = "main"\nname = "Main"\n[[sites]]\ncode = "north"\nname = "North"\n'
        + mail_server.toml()
    )
    async with harness(toml, clock) as gateway:
        await add(gateway, await gateway.issue_key(), site="north")
        await failing_endpoint(gateway, clock, minutes=16, name="a", site="main")
        await failing_endpoint(gateway, clock, minutes=16, name="b", site="north")
        await watch(gateway)
        assert (await mails(mail_server, 1))[0].startswith("The endpoint b fails")
        await watch(gateway)
    assert len(mail_server.inbox.mails) == 1


async def test_a_mail_server_that_is_down_delays_and_loses_nothing(harness, clock, mail_server):
    async with harness(mail_server.toml(), clock) as gateway:
        await add(gateway, await gateway.issue_key())
        mail_server.inbox.answer = "451 try later"
        await failing_endpoint(gateway, clock, minutes=16)
        await watch(gateway)

        async def was_tried():
            found = await attempts(gateway)
            return bool(found)

        await until(was_tried)
        assert [(each.status, each.error) for each in (await attempts(gateway))[:1]] == [
            (451, "smtp_refused")
        ]
        mail_server.inbox.answer = "250 OK"
        clock.step(HOUR)
        gateway.gateway.wake([each.destination_id for each in await attempts(gateway)])
        assert len(await mails(mail_server, 1)) == 1


async def test_a_mail_server_that_is_down_for_a_day_delays_and_loses_nothing(
    harness, clock, mail_server
):
    async with harness(mail_server.toml(), clock) as gateway:
        await add(gateway, await gateway.issue_key())
        await mail_server.stop()
        # With the quarter hours below almost a day: after 24 hours deliveries are exhausted.
        for hour in range(23):
            if hour % 6 == 0:
                await failing_endpoint(gateway, clock, minutes=16, name=f"board {hour}")
                await watch(gateway)
            known = await deliveries(gateway)
            gateway.gateway.wake(list({each.destination_id for each in known}))
            await until(lambda: none_is_due(gateway, clock))
            clock.step(HOUR)
        waiting = await deliveries(gateway)
        assert [each.state for each in waiting] == ["pending"] * 4

        await mail_server.start(again=True)
        for _ in range(12):  # the breaker and the schedule let some wait for some hours more
            known = await deliveries(gateway)
            if all(each.state == "delivered" for each in known):
                break
            gateway.gateway.wake(list({each.destination_id for each in known}))
            await until(lambda: none_is_due(gateway, clock))
            clock.step(HOUR)
        assert [each.state for each in await deliveries(gateway)] == ["delivered"] * 4
    said = " ".join(f"{mail['Subject']} {body(mail, 'plain')}" for mail in mail_server.inbox.mails)
    for hour in (0, 6, 12, 18):
        assert f"board {hour} fails" in " ".join(said.split())


async def deliveries(gateway):
    async with gateway.gateway.database.read() as connection:
        return await gateway.gateway.delivery_log.page(connection, gateway.caller(), limit=50)


async def none_is_due(gateway, clock):
    """Return whether each delivery had its attempt, or waits behind the open breaker."""
    found = await deliveries(gateway)
    return all(each.reason or each.due_at is None or each.due_at > clock.now() for each in found)


async def attempts(gateway):
    from gateway.plugin import AttemptFilter

    async with gateway.gateway.database.read() as connection:
        found = await gateway.gateway.delivery_log.attempts_page(
            connection, gateway.caller(), AttemptFilter(limit=10)
        )
    return [attempt for _, attempt in found]


@pytest.mark.parametrize(
    ("spoiled", "error"),
    [
        ({"password": '"wrong"'}, "smtp_login_refused"),
        ({"ca_file": None}, "tls"),
        ({"port": '"closed"'}, "connect"),
    ],
)
async def test_the_reason_of_a_failure_is_named(harness, clock, mail_server, spoiled, error):
    toml = mail_server.toml()
    for key, value in spoiled.items():
        lines = [each for each in toml.split("\n") if not each.startswith(f"{key} = ")]
        if value is not None:
            lines.append(f"{key} = {'1' if key == 'port' else value}")
        toml = "\n".join(lines)
    async with harness(toml, clock) as gateway:
        await add(gateway, await gateway.issue_key())
        await failing_endpoint(gateway, clock, minutes=16)
        await watch(gateway)

        async def was_tried():
            return bool(await attempts(gateway))

        await until(was_tried)
        assert (await attempts(gateway))[-1].error == error
    assert mail_server.inbox.mails == []


@pytest.mark.parametrize("mail_server", ["starttls", "tls"], indirect=True)
async def test_a_check_logs_in_at_the_mail_server_and_sends_nothing(harness, clock, mail_server):
    async with harness(mail_server.toml(), clock) as gateway:
        [check] = [
            each
            for each in gateway.gateway.hooks.health_checks()
            if each.name.endswith("mail server")
        ]
        up = await check.check()
        await mail_server.stop()
        down = await check.check()

    assert (up.healthy, up.detail) == (True, f"localhost:{mail_server.known_port} takes mail")
    assert (down.healthy, down.detail) == (False, f"localhost:{mail_server.known_port}: connect")
    assert not check.decides_readiness
    assert mail_server.inbox.mails == []


async def test_the_sample_s_mail_server_is_no_fault_and_is_named(harness, clock):
    sample = '[plugins.email]\nhost = "smtp.pharmacy.example"\nfrom = "g@pharmacy.example"\n'
    async with harness(sample, clock) as gateway:
        reports = [await each.check() for each in gateway.gateway.hooks.health_checks()]

    assert (
        HealthReport(
            healthy=True,
            detail="no mail server is set up yet: change host and from under [plugins.email]",
        )
        in reports
    )


async def test_a_refused_recipient_is_named_as_that(harness, clock, mail_server):
    mail_server.inbox.recipient_answer = "550 no such user"
    async with harness(mail_server.toml(), clock) as gateway:
        await add(gateway, await gateway.issue_key())
        await failing_endpoint(gateway, clock, minutes=16)
        await watch(gateway)

        async def was_tried():
            return bool(await attempts(gateway))

        await until(was_tried)
        last = (await attempts(gateway))[-1]
    assert (last.status, last.error) == (550, "smtp_recipient_refused")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"address": "no address"}, "address"),
        ({"address": "a@b.example\r\nBcc: c@d.example"}, "address"),
        ({"address": "zoë@lakeside.example"}, "address"),
        ({"events": ["*"]}, "events"),
        ({"events": ["not a type"]}, "events"),
        ({"attention": False}, "events"),
        ({"site": "elsewhere"}, "site"),
    ],
)
async def test_a_recipient_that_can_not_be_is_refused(harness, clock, mail_server, fields, field):
    async with harness(mail_server.toml(), clock) as gateway:
        key = await gateway.issue_key()
        answer = await gateway.post("/api/email/recipients", key, {"address": ADDRESS, **fields})
    assert answer.status_code == 400
    assert [each["field"] for each in answer.json()["details"]] == [field]


async def test_a_recipient_is_added_once_listed_and_removed(harness, clock, mail_server):
    async with harness(mail_server.toml(), clock) as gateway:
        key = await gateway.issue_key()
        added = await add(gateway, key)
        again = await gateway.post("/api/email/recipients", key, {"address": ADDRESS.upper()})
        assert again.status_code == 409
        listed = (await gateway.get("/api/email/recipients", key)).json()["recipients"]
        assert listed == [added]
        path = f"/api/email/recipients/{added['id']}"
        assert (await gateway.request("DELETE", path, key)).status_code == 204
        assert (await gateway.request("DELETE", path, key)).status_code == 404


@pytest.mark.parametrize(
    "address",
    ["a@b.example", "first.last+tag@sub.lakeside.example", "o'neil@x.example", "a@localhost"],
)
def test_common_addresses_are_addresses(address):
    assert is_address(address)


def test_mail_in_clear_is_for_this_machine_only():
    with pytest.raises(ValueError, match="security"):
        EmailSettings(host="mail.example", sender="a@b.example", security="none")
