"""Whole gateways in front of receivers of the zoo: what arrives, how often, and what is shown."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from core.delivery.dispatching import looked_up, publish
from core.gateways import add_destination, destination, opened, sqlite_url
from gateway_webhooks.sender import Sender
from gateway_webhooks.settings import EndpointSettings, WebhooksSettings
from receivers import zoo

from gateway.clock import SystemClock
from gateway.hookspecs import hookimpl
from gateway.outbound.ssrf_guard import AddressGuard
from gateway.sdk.records import Sink

GUARD = AddressGuard.of(allow_http=True, allow_networks=["127.0.0.0/8"])


class Webhooks:
    """The sink of the webhooks plugin, for a receiver whose name only the test knows."""

    def __init__(self, place):
        self.sender = Sender(
            WebhooksSettings(), GUARD, SystemClock(), place.resolve, trusted_accounts=["default"]
        )

    @hookimpl
    def lifespan(self):
        return [self.sender.client]

    @hookimpl
    def sinks(self):
        return [Sink("webhooks", EndpointSettings, self.sender.deliver)]


@asynccontextmanager
async def in_front_of(place, directory, *, toml=""):
    """Open a gateway whose one endpoint is ``place``; yields it and the endpoint's id."""
    url = sqlite_url(directory)
    async with opened(url, directory, toml=toml, plugins=[Webhooks(place)]) as gateway:
        settings = {"url": place.url, "format": "scriptrun", "secret": "whsec_c2VjcmV0"}
        yield gateway, await add_destination(gateway, sink="webhooks", settings=settings)


async def ended(gateway, ids):
    """Wait until all these deliveries have ended; returns their states."""
    states = set()
    async with asyncio.timeout(60):
        for each in ids:
            while (  # noqa: ASYNC110 - the log is what is looked at
                delivery := (await looked_up(gateway, each))[0]
            ).state == "pending":
                await asyncio.sleep(0.05)
            states.add(delivery.state)
    return states


@pytest.mark.parametrize(
    ("receiver", "count"),
    [
        (zoo.one_address_refuses, 150),
        (zoo.one_address_hangs, 150),
        (zoo.closes_after_each_answer, 300),
    ],
)
async def test_all_arrive_once_and_the_breaker_stays_closed(tmp_path, receiver, count):
    async with receiver() as place, in_front_of(place, tmp_path) as (gateway, endpoint):
        async with gateway.running():
            ids = await publish(gateway, *(f"pkg_{number}" for number in range(count)))
            states = await ended(gateway, ids)
        shown = await destination(gateway, endpoint)

    assert states == {"delivered"}
    assert len(place.bodies) == count == len(set(place.bodies))
    assert (shown.breaker.state, shown.failing_since) == ("closed", None)


async def test_a_body_that_is_cut_is_delivered_and_noted_beside_its_status(tmp_path):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nthanks"
    async with (
        zoo.receiver(zoo.saying_once(answer)) as place,
        in_front_of(place, tmp_path) as (gateway, _),
        gateway.running(),
    ):
        [delivery_id] = await publish(gateway)
        await ended(gateway, [delivery_id])
        delivery, [attempt] = await looked_up(gateway, delivery_id)

    assert (delivery.state, attempt.status, attempt.error) == ("delivered", 200, "body_cut")
    assert attempt.excerpt == "thanks"
    assert len(place.bodies) == 1


async def test_a_redirect_shows_where_it_leads(tmp_path):
    answer = (
        b"HTTP/1.1 308 Moved\r\nLocation: https://new.example/in\r\nContent-Length: 3\r\n\r\nbye"
    )
    async with (
        zoo.receiver(zoo.saying(answer)) as place,
        in_front_of(place, tmp_path) as (gateway, endpoint),
    ):
        [delivery_id] = await publish(gateway)
        await gateway.dispatcher.lane(endpoint).run()
        _, [attempt] = await looked_up(gateway, delivery_id)

    assert (attempt.status, attempt.delivered) == (308, False)
    assert attempt.excerpt == "Location: https://new.example/in\n\nbye"


async def test_the_log_says_in_a_sentence_why_an_attempt_failed(tmp_path, caplog):
    async with zoo.speaks_no_tls() as place, in_front_of(place, tmp_path) as (gateway, endpoint):
        await publish(gateway)
        await gateway.dispatcher.lane(endpoint).run()

    [line] = [each for each in caplog.records if each.message == "attempt failed"]
    assert line.error == "tls_not_spoken"
    assert line.reason.startswith("the server does not speak TLS on this port")


async def test_headers_go_out_as_the_vendors_pages_write_them(tmp_path):
    async with zoo.well() as place, in_front_of(place, tmp_path) as (gateway, endpoint):
        await publish(gateway)
        await gateway.dispatcher.lane(endpoint).run()

    names = [line.partition(b":")[0] for line in place.heads[0].split(b"\r\n")[2:-2]]
    assert names[:3] == [b"X-ScriptRun-Event", b"X-ScriptRun-Signature", b"Content-Type"]
