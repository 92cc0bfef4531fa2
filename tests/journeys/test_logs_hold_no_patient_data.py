"""Promise 7: whatever happens, at whatever level, the log has nothing of a patient in it.

The journey has a patient nobody could mistake for a word of ours. It takes every turn it
can: what is accepted, refused, repeated, garbled, searched for, updated, delivered, echoed
back by an endpoint, and raised by a plugin that puts what it saw into its exceptions.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from core.flow.desk import until
from core.flow.gateways import NoSettings, add_destination
from processes import PATIENCE_SECONDS, GatewayProcess
from scraping import Scraped

from gateway.hookspecs import hookimpl
from gateway.records import Job, Sink

PATIENT = {
    "patient_name": "Zephyrine Quackenbush",
    "patient_address": "77 Wisteria Hollow, Miami, FL 33178",
    "patient_phone": "+1 (305) 555-1234",
    "patient_email": "zephyrine@quackenbush.example",
    "rx_number": "RX-ZQ-88231",
    "external_patient_id": "PMS-ZQ-4711",
    "external_order_id": "SO-ZQ-90210",
    "notes": "allergic to walnuts",
    "copay_amount": "917.53",
    "metadata": {"caretaker": "Ottoline Featherstonehaugh"},
}
DRIVER = {"notes": "left with Ottoline", "failure_reason": "walnuts in the hallway"}
TRACES = (
    *("zephyrine", "quackenbush", "wisteria", "5551234", "555-1234", "zq-88231", "zq-4711"),
    *("zq-90210", "walnuts", "917.53", "ottoline", "featherstonehaugh"),
)
PLUGINS = "[plugins.json_api]\n[plugins.webhooks]\n"
SETTINGS = """
[gateway]
port = 0
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
retry_schedule_seconds = [0.05]
give_up_after_seconds = 0.2
"""
ORDERS = "/api/webhook/orders"


def traces_in(text: str) -> list[str]:
    """Return what of the patient, or of a key, stands in ``text``, however it is written."""
    plain = text.lower()
    digits = re.sub(r"\D", "", plain)
    found = [trace for trace in TRACES if trace in plain]
    found += ["the telephone number"] if "13055551234" in digits else []
    return found + re.findall(r"sk_(?:live|test)_[0-9a-f]{40,}|whsec_\w{20,}", text)


@asynccontextmanager
async def echoing(status: int) -> AsyncIterator[str]:
    """Serve on 127.0.0.1 and give every request back as it came, with one ``status``."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head.lower())[1])
            body = head + await reader.readexactly(length) + str(PATIENT).encode()
            said = f"HTTP/1.1 {status} {PATIENT['patient_name']}\r\nConnection: close\r\n"
            writer.write(f"{said}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side is done
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield "http://{}:{}/zephyrine".format(*server.sockets[0].getsockname())


async def travel(url: str, key: str, endpoints: list[str]) -> Scraped:
    """Send the patient through everything; returns what the gateway counted on the way."""
    headers = {"X-API-Key": key, "User-Agent": "Zephyrine Quackenbush"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as http:
        for each in endpoints:
            added = await http.post("/api/webhooks/endpoints", json={"url": each})
            assert added.status_code == 201, added.text
        once = {"Idempotency-Key": "Zephyrine-Quackenbush"}
        for _ in range(2):
            answer = await http.post(ORDERS, json={"orders": [PATIENT]}, headers=once)
            assert answer.status_code == 200, answer.text
        [package] = answer.json()["package_ids"]
        garbled = {**PATIENT, "patient_phone": "walnuts", "priority": "Zephyrine"}
        for body in ({"orders": [PATIENT, garbled]}, {"orders": PATIENT}, [PATIENT], PATIENT):
            await http.post(ORDERS, json=body)
        await http.post(ORDERS, json={"orders": []}, headers=once)
        await http.post(ORDERS, content=str(PATIENT), headers={"Content-Type": "text/plain"})
        await http.post(ORDERS, content='{"orders": [{"patient_name": "Zephyrine')
        for field in ("rx_number", "patient_phone", "external_patient_id", "external_order_id"):
            value = "+13055551234" if field == "patient_phone" else PATIENT[field]
            found = await http.post("/api/packages/search", json={field: value})
            assert len(found.json()["packages"]) == 1, field
        for path in (
            f"/api/packages/{package}",
            f"/api/packages/{package}/events",
            "/api/packages?site=Zephyrine&cursor=Quackenbush",
            "/api/packages/Zephyrine%20Quackenbush",
            "/Zephyrine/Quackenbush?rx=RX-ZQ-88231",
            "/api/packages?status=walnuts",
            "/api/webhooks/logs?endpoint=Zephyrine",
        ):
            await http.get(path)
        for stranger in ("Zephyrine Quackenbush", "sk_live_zephyrine"):
            await http.get("/api/packages", headers={"X-API-Key": stranger})
        events = f"/api/packages/{package}/events"
        for event in ("delivery.attempted", "delivery.completed", "delivery.assigned", "walnuts"):
            reported = {**DRIVER, "event": event, "event_ref": f"Zephyrine {event}"}
            await http.post(events, json=reported)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not arrived(page := Scraped((await http.get("/metrics")).text)):
                await asyncio.sleep(0.2)
    return page


def arrived(page: Scraped) -> bool:
    """Say whether the last event was carried to those who answer, and given up for the others."""
    tries = [
        (dict(labels)["outcome"], count)
        for (name, labels), count in page.numbers.items()
        if name == "gateway_deliveries_total"
    ]
    events = sum(page.labelled("gateway_events_total", "type").values())
    return events == sum(count for outcome, count in tries if outcome == "delivered") and (
        sum(count for outcome, count in tries if outcome == "exhausted") >= events >= 3  # noqa: PLR2004
    )


class Talkative:
    """A plugin that fails wherever it can, with all that it saw in the exception."""

    def __init__(self) -> None:
        self.seen = 0

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


async def test_nothing_of_a_patient_is_ever_handed_to_the_log(harness, caplog):
    """All loggers at their most talkative, those of the libraries included."""
    caplog.set_level(logging.DEBUG)
    for theirs in ("httpx", "httpcore"):  # the client of this test
        caplog.set_level(logging.CRITICAL, theirs)
    plugin = Talkative()
    made = harness(PLUGINS + SETTINGS.replace("[gateway]\nport = 0", ""))
    made.gateway.hooks.register(plugin, "talkative")
    async with echoing(500) as failing, echoing(200) as well, made as gateway:
        key = await gateway.issue_key()
        await add_destination(gateway.gateway)
        page = await travel(gateway.url, key, [failing, well])
        await until(lambda: plugin.seen > 0)

        async def broken(_submission):
            raise RuntimeError(str(PATIENT))

        gateway.gateway.intake.accept = broken
        fault = await gateway.post(ORDERS, key, {"orders": [PATIENT]})

    assert fault.status_code == 500
    log = "\n".join(
        f"{logging.Formatter().format(each)} {vars(each)}"
        for each in caplog.records
        if each.exc_info is None
    )
    assert traces_in(log) == []
    assert traces_in(page.text) == []
    for said in (
        "attempt failed",
        "plugin talkative failed in review_orders",
        "plugin talkative failed in route_events",
        "plugin talkative failed in events_recorded",
        "job talk failed",
        "sink fake failed",
        "RuntimeError",
    ):
        assert said in log


@pytest.mark.parametrize("form", ["text", "json"])
async def test_nothing_of_a_patient_stands_in_the_log_of_a_server(tmp_path, form):
    toml = f'{SETTINGS}{PLUGINS}[logging]\nlevel = "debug"\nformat = "{form}"\n'
    async with (
        echoing(500) as failing,
        echoing(200) as well,
        GatewayProcess(tmp_path, toml) as gateway,
    ):
        key = (await gateway.json("keys", "create", "--name", "test"))["key"]
        page = await travel(gateway.url, key, [failing, well])
        assert await gateway.stop() == 0

    log = gateway.log.read_text("utf-8")
    assert traces_in(log) == []
    assert traces_in(page.text) == []
    # Nor anywhere on the disk: the database, what it keeps beside it, file names.
    for file in tmp_path.rglob("*"):
        assert traces_in(str(file.relative_to(tmp_path))) == []
    lines = log.splitlines()
    assert [line for line in lines if "/api/packages/{package_id}/events" in line]
    assert [line for line in lines if "attempt failed" in line and "dst_" in line]
    if form == "json":
        entries = [json.loads(line) for line in lines]
        assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, entries))
        answered = [each for each in entries if each["message"] == "answered"]
        assert {"request_id", "method", "route", "status", "duration_ms"} <= set(answered[0])


@pytest.mark.parametrize(
    "text",
    ["ZEPHYRINE", "tel 1 305 555 1234", "whsec_" + "a" * 30, "sk_live_" + "0" * 48],
)
def test_a_trace_of_the_patient_is_found_however_it_is_written(text):
    assert traces_in(f"so {text}!")
