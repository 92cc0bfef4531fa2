"""One attempt of a delivery: which address is dialled, how the answer is read, what is kept."""

from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from gateway_webhooks.sender import Sender
from gateway_webhooks.settings import EndpointSettings, WebhooksSettings
from hostile import answering, serving, silent

from gateway.plugin import AddressGuard, Batch
from gateway.testing import Receiver, SteppingClock

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
LOOPBACK = AddressGuard.of(allow_http=True, allow_networks=["127.0.0.0/8"])
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Names:
    """A name server with fixed answers that counts its look-ups."""

    def __init__(self, *addresses):
        self.addresses = list(addresses)
        self.asked = []

    async def __call__(self, host):
        self.asked.append(host)
        if not self.addresses:
            raise OSError("no such host")
        return self.addresses


def batch(url, *deliveries, timeout_seconds=5.0, **endpoint):
    settings = EndpointSettings(url=url, format="autorx", secret=SECRET, **endpoint)
    return Batch(None, settings, deliveries, timeout_seconds)


def sender(names=None, clock=None):
    clock = clock or SteppingClock(NOW)
    return Sender(WebhooksSettings(), LOOPBACK, clock, names, trusted_accounts=["default"])


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_delivered(claimed, status):
    async with serving(answering(f"{status} Fine")) as server:
        url = f"http://127.0.0.1:{server.port}/"
        [outcome] = await sender().deliver(batch(url, claimed()))
    assert (outcome.delivered, outcome.status, outcome.error) == (True, status, None)
    assert outcome.delivery_id == "dlv_1"
    assert outcome.started_at == NOW
    assert not outcome.gone


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 304, 400, 401, 404, 429, 500, 503])
async def test_everything_else_failed_and_a_redirect_is_not_followed(claimed, status):
    async with Receiver() as elsewhere:
        moved = f"Location: {elsewhere.url}/\r\n".encode()
        async with serving(answering(f"{status} Not here", headers=moved)) as server:
            url = f"http://127.0.0.1:{server.port}/"
            [outcome] = await sender().deliver(batch(url, claimed()))
        assert elsewhere.received == []
    assert (outcome.delivered, outcome.status, outcome.error) == (False, status, None)
    assert not outcome.gone
    assert outcome.busy == (status in {429, 503})


async def test_410_says_that_the_endpoint_is_gone(claimed):
    async with serving(answering("410 Gone")) as server:
        url = f"http://127.0.0.1:{server.port}/"
        [outcome] = await sender().deliver(batch(url, claimed()))
    assert (outcome.delivered, outcome.status, outcome.gone) == (False, 410, True)


@pytest.mark.parametrize(("length", "kept"), [(0, 0), (2048, 2048), (2049, 2048), (100_000, 2048)])
async def test_two_kilobytes_of_an_answer_are_kept(claimed, length, kept):
    body = bytes(ord("a") + place % 26 for place in range(length))
    async with serving(answering("500 Oh", body)) as server:
        url = f"http://127.0.0.1:{server.port}/"
        [outcome] = await sender().deliver(batch(url, claimed()))
    assert outcome.excerpt == body[:kept]


async def test_the_endpoints_retry_after_is_passed_on(claimed):
    async with serving(answering("503 Busy", headers=b"Retry-After: 120\r\n")) as server:
        url = f"http://127.0.0.1:{server.port}/"
        [outcome] = await sender().deliver(batch(url, claimed()))
    assert outcome.retry_after_seconds == 120.0


async def test_a_nonsensical_retry_after_does_not_undo_a_success(claimed):
    head = b"Retry-After: Mon, 01 Jan 99999999999999999999 00:00:00 GMT\r\n"
    async with serving(answering(headers=head)) as server:
        url = f"http://127.0.0.1:{server.port}/"
        [outcome] = await sender().deliver(batch(url, claimed()))
    assert (outcome.delivered, outcome.retry_after_seconds) == (True, None)


async def test_an_endpoint_that_never_answers_is_a_timeout(claimed):
    async with serving(silent()) as server:
        sent = batch(f"http://127.0.0.1:{server.port}/", claimed(), timeout_seconds=0.1)
        [outcome] = await sender().deliver(sent)
    assert (outcome.delivered, outcome.status, outcome.error) == (False, None, "timeout")


async def test_a_batch_of_many_is_attempted_concurrently_and_answered_in_order(claimed):
    deliveries = [claimed(id=f"evt_{number}", data={"n": number}) for number in range(5)]
    async with Receiver() as receiver:
        outcomes = await sender().deliver(batch(receiver.url, *deliveries))
    assert [outcome.delivered for outcome in outcomes] == [True] * 5
    assert {each.json()["id"] for each in receiver.received} == {f"evt_{n}" for n in range(5)}


async def test_a_host_that_no_longer_leads_to_an_allowed_address_is_not_called(claimed):
    names, clock = Names("127.0.0.1"), SteppingClock(NOW)
    async with Receiver() as receiver:
        port = receiver.url.rpartition(":")[2]
        made, sent = sender(names, clock), batch(f"http://hooks.example.com:{port}/", claimed())
        [before] = await made.deliver(sent)
        names.addresses = ["169.254.169.254"]
        clock.step(5)
        [after] = await made.deliver(sent)
        names.addresses = ["127.0.0.1", "10.0.0.1"]
        [mixed] = await made.deliver(sent)
        assert len(receiver.received) == 1
    assert before.delivered
    for refused in (after, mixed):
        assert (refused.delivered, refused.status) == (False, None)
        assert refused.error == "refused_address"
        assert refused.delivery_id == "dlv_1"


async def test_a_checked_address_is_good_for_five_seconds(claimed):
    names, clock = Names("127.0.0.1"), SteppingClock(NOW)
    async with Receiver() as receiver:
        port = receiver.url.rpartition(":")[2]
        made, sent = sender(names, clock), batch(f"http://hooks.example.com:{port}/", claimed())
        await made.deliver(sent)
        clock.step(4.9)
        await made.deliver(sent)
        assert names.asked == ["hooks.example.com"]
        clock.step(0.1)
        await made.deliver(sent)
        assert names.asked == ["hooks.example.com"] * 2
    assert {each.headers["host"] for each in receiver.received} == {f"hooks.example.com:{port}"}


async def test_a_host_that_has_no_address_is_a_dns_failure(claimed):
    [outcome] = await sender(Names()).deliver(batch("http://hooks.example.com/", claimed()))
    assert (outcome.delivered, outcome.error) == (False, "dns")


async def test_a_url_that_may_not_be_called_any_more_is_refused(claimed):
    strict = Sender(WebhooksSettings(), AddressGuard.of(False, []), SteppingClock(NOW), Names())  # noqa: FBT003
    [outcome] = await strict.deliver(batch("http://127.0.0.1/", claimed()))
    assert (outcome.delivered, outcome.error) == (False, "refused_address")


async def test_an_attempt_dials_every_address_of_a_host_until_one_answers(claimed):
    # Nobody listens at the first two; on this port the third one answers.
    names = Names("127.0.0.2", "127.0.0.3", "127.0.0.1")
    async with Receiver() as receiver:
        port = receiver.url.rpartition(":")[2]
        url, made, answers = f"http://hooks.example.com:{port}/", sender(names), []
        for attempt in range(1, 6):
            [outcome] = await made.deliver(batch(url, claimed(attempt=attempt)))
            answers.append(outcome.status or outcome.error)
    assert answers == [200] * 5
    assert [each.json()["attempt"] for each in receiver.received] == [1, 2, 3, 4, 5]


async def test_an_endpoints_own_headers_are_sent(claimed):
    async with Receiver() as receiver:
        own = {"Authorization": "Bearer abc", "X-Tenant": "7"}
        await sender().deliver(batch(receiver.url, claimed(), headers=own))
    headers = receiver.received[0].headers
    assert (headers["authorization"], headers["x-tenant"]) == ("Bearer abc", "7")
    assert ip_address(headers["host"].partition(":")[0]).is_loopback


async def test_the_plugins_connections_end_with_the_gateway(open_api):
    async with serving(answering("204 Fine")) as server:
        async with open_api() as api:
            url = f"http://127.0.0.1:{server.port}/"
            await api.add(url, events=["package.created"])
            await api.order()
            await server.until(lambda seen: seen.requests)
            assert server.gone == 0
        # In less than the four seconds after which idle connections end by themselves.
        await server.until(lambda seen: seen.gone == seen.connections, seconds=3.5)
