"""Promise 7: whatever happens, nothing of a patient stands in a log, a number or a file name.

The patient takes every turn there is: accepted, refused, repeated, garbled, searched for,
reported on, delivered, echoed back by endpoints, put into exceptions by a plugin, looked up
at the console, backed up.
"""

import asyncio
import json
import logging

import pytest
from core.delivery.delivery_source import until
from core.gateways import NoSettings, add_destination
from journeys.patient import PATIENT, Journey, echoing, traces_in, traces_on_disk
from processes import PATIENCE_SECONDS, GatewayProcess
from scraping import Scraped

from gateway.cli.logs import TextLines
from gateway.hookspecs import hookimpl
from gateway.sdk.records import Job, Sink

PLUGINS = "[plugins.json_api]\n[plugins.webhooks]\n[plugins.rx_queue]\n[plugins.csv]\n"
SETTINGS = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
retry_schedule_seconds = [0.05]
give_up_after_seconds = 0.2
[limits]
reads_per_minute = 100000
updates_requests_per_minute = 100000
"""


async def gone_through(journey: Journey, failing: str, well: str) -> Scraped:
    """Go the whole way; returns /metrics when all was delivered or given up."""
    ids = {}
    for name, url in (("failing", failing), ("well", well)):
        sent = {"url": url, "headers": {"X-Caretaker": "Ottoline"}, "events": ["*"]}
        added = await journey.send("POST", "/api/webhooks/endpoints", json=sent)
        assert added.status_code == 201, added.text
        ids[name] = added.json()["id"]
    package = await journey.orders()
    await journey.searches(package)
    await journey.reports(package)
    await journey.uploads()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            page = Scraped((await journey.http.get("/metrics")).text)
            deliveries = "gateway_deliveries_total"
            arrived = page.number(deliveries, endpoint=ids["well"], outcome="delivered")
            given_up = page.number(deliveries, endpoint=ids["failing"], outcome="exhausted")
            if arrived >= 3 and given_up >= 1:
                return page
            await asyncio.sleep(0.2)


def check_refusals(journey: Journey) -> None:
    statuses = {each.status_code for each in journey.refusals}
    assert statuses == {400, 401, 404, 405, 409, 413, 415, 422}
    for each in journey.refusals:
        told = each.text + str(each.headers)
        assert traces_in(told) == [], f"{each.request.method} {each.request.url}: {told}"


async def at_the_console(gateway: GatewayProcess) -> None:
    """Look things up at the console, wrongly too: what it says on stderr may end up in a log."""
    for words, code in (
        (("events", "list"), 0),
        (("deliveries", "list", "--state", "exhausted"), 0),
        (("endpoints", "test", "Zephyrine"), 1),
        (("events", "show", "Quackenbush"), 1),
        (("deliveries", "resend", "walnuts"), 1),
        (("storage", "prune"), 0),
        (("backup",), 0),
        (("check",), 0),
    ):
        found, _, err = await gateway.run(*words)
        assert (found, traces_in(err)) == (code, []), (words, err)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.long
async def test_nothing_of_a_patient_is_left_in_clear_by_a_server(tmp_path, form):
    logged = f'[logging]\nlevel = "debug"\nformat = "{form}"\n'
    async with (
        echoing(500) as failing,
        echoing(200) as well,
        GatewayProcess(tmp_path, f"[gateway]\nport = 0\n{SETTINGS}{logged}{PLUGINS}") as gateway,
    ):
        key = (await gateway.json("keys", "create", "--name", "test", "--scope", "all"))["key"]
        journey = Journey(gateway.url, key)
        async with journey.http:
            page = await gone_through(journey, failing, well)
        if form == "text":  # once is enough: it says the same whatever the server's log looks like
            await at_the_console(gateway)
        # While it runs and while its write-ahead log is there, and again when it is not
        running = list(traces_on_disk(tmp_path, but=gateway.config))
        assert await gateway.stop() == 0

    check_refusals(journey)
    assert traces_in(page.text) == []
    assert running == []
    assert list(traces_on_disk(tmp_path, but=gateway.config)) == []
    lines = gateway.log.read_text("utf-8").splitlines()
    assert traces_in("\n".join(lines)) == []
    # And that is not for want of saying anything
    for said in ("attempt failed", "attempt delivered", "is exhausted", "/api/packages/search"):
        assert [line for line in lines if said in line], said
    if form == "json":
        entries = [json.loads(line) for line in lines]
        assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, entries))


class Talkative:
    """A plugin that fails wherever it can, with all that it saw in the exception."""

    seen = 0

    @hookimpl
    def review_orders(self, orders):
        raise ValueError(orders[0].patient_name, orders)

    @hookimpl
    def route_events(self, events):
        raise KeyError(events)

    @hookimpl
    def events_recorded(self, events):
        raise RuntimeError(str(events))

    @hookimpl
    def sinks(self):
        return [Sink("fake", NoSettings, self.deliver)]

    @hookimpl
    def jobs(self):
        return [Job("talk", self.talk, every_seconds=0.05)]

    async def deliver(self, batch):
        self.seen += 1
        raise OSError(str(batch), str(PATIENT))

    async def talk(self):
        raise RuntimeError(str(PATIENT))


async def test_nothing_that_a_plugin_raises_gets_into_the_log(harness, caplog):
    """All loggers at their most talkative, written down as the log does it."""
    caplog.set_level(logging.DEBUG)
    for theirs in ("httpx", "httpcore", "aiosqlite"):  # this test's client; never heard below
        caplog.set_level(logging.WARNING, theirs)  # "warning", which other tests see to
    plugin = Talkative()
    made = harness(PLUGINS + SETTINGS)
    made.gateway.hooks.register(plugin, "talkative")
    async with echoing(500) as failing, echoing(200) as well, made as gateway:
        journey = Journey(gateway.url, await gateway.issue_key())
        await add_destination(gateway.gateway)
        async with journey.http:
            page = await gone_through(journey, failing, well)
            await until(lambda: plugin.seen > 0)

            async def broken(_submission):
                raise RuntimeError(str(PATIENT))

            gateway.gateway.intake.accept = broken
            body = {"orders": [PATIENT]}
            fault = await journey.send("POST", "/api/webhook/orders", json=body)

    form = TextLines()
    log = "\n".join(form.format(each) for each in caplog.records)
    assert (fault.status_code, traces_in(fault.text)) == (500, [])
    assert traces_in(log) == []
    assert traces_in(page.text) == []
    for said in (
        "plugin talkative failed in review_orders",
        "plugin talkative failed in route_events",
        "plugin talkative failed in events_recorded",
        "job talk of plugin talkative failed",
        "sink fake failed",
        "RuntimeError",
    ):
        assert said in log


@pytest.mark.parametrize(
    "text",
    ["ZEPHYRINE", "tel +1 (305) 555-1234", "whsec_" + "a" * 30, "sk_live_" + "0" * 48],
)
def test_a_trace_of_the_patient_is_found_however_it_is_written(text):
    assert traces_in(f"so {text}!")
