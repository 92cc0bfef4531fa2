"""``GET /metrics``: what a gateway tells Prometheus."""

import asyncio
import math
import shutil

import pytest
from core.delivery.delivery_source import Holding, until
from core.delivery.dispatching import Scripted, carried, publish
from core.gateways import (
    Recorder,
    add_destination,
    change_destination,
    opened,
    order,
    sqlite_url,
    submission,
)
from scraping import Scraped
from sqlalchemy import text

from gateway.clock import SteppingClock, to_epoch_ms
from gateway.hookspecs import hookimpl
from gateway.http.access_log import AccessLog
from gateway.http.metrics_page import MetricsPage
from gateway.sdk.records import HealthCheck, HealthReport, Job
from gateway.storage.stores.installation import BACKUP_FAILED, LAST_BACKUP, note_fact
from gateway.testing import Receiver
from gateway.version import __version__, build_id

PLUGINS = "[plugins.json_api]\n[plugins.webhooks]\n"
ORDERS = "/api/webhook/orders"
GOOD = {"patient_name": "Maria Rodriguez", "patient_address": "1 Ocean Dr"}


async def scraped(gateway) -> Scraped:
    answer = await gateway.get("/metrics")
    assert answer.status_code == 200, answer.text
    return Scraped(answer.text)


async def page(gateway) -> Scraped:
    """Return the page of a gateway that doesn't serve."""
    return Scraped((await MetricsPage(gateway).text()).decode())


async def test_metrics_need_no_key_and_come_in_the_text_format(harness):
    async with harness(PLUGINS) as gateway:
        answer = await gateway.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert Scraped(answer.text).number("gateway_info", version=__version__, build=build_id()) == 1


async def test_orders_are_counted_by_source_and_outcome(harness):
    async with harness(PLUGINS) as gateway:
        key = await gateway.issue_key()
        sent = {"orders": [{**GOOD, "external_order_id": "SO-1"}, GOOD, {"patient_name": "X"}]}
        for _ in range(2):
            assert (await gateway.post(ORDERS, key, sent)).status_code == 200
        page = await scraped(gateway)

    name = "gateway_orders_total"
    assert page.number(name, source="json_api", outcome="created") == 3
    assert page.number(name, source="json_api", outcome="duplicate") == 1
    assert page.number(name, source="json_api", outcome="rejected") == 2
    assert page.number("gateway_events_total", type="package.created") == 3
    assert page.number("gateway_batch_size_count", batcher="intake") == 2


async def test_an_answer_given_again_is_no_new_order(harness):
    async with harness(PLUGINS) as gateway:
        key = await gateway.issue_key()
        for _ in range(3):
            headers = {"Idempotency-Key": "once"}
            await gateway.post(ORDERS, key, {"orders": [GOOD]}, headers)
        page = await scraped(gateway)

    assert page.labelled("gateway_orders_total", "outcome") == {"created": 1}


async def test_delivery_updates_are_counted_by_outcome(harness):
    async with harness(PLUGINS) as gateway:
        key = await gateway.issue_key()
        answer = await gateway.post(ORDERS, key, {"orders": [GOOD]})
        [package] = answer.json()["package_ids"]
        at, late = "2026-04-19T18:00:00Z", "2026-04-19T17:00:00Z"
        for update in (
            {"event": "delivery.picked_up", "occurred_at": at, "event_ref": "r-1"},
            {"event": "delivery.picked_up", "occurred_at": at, "event_ref": "r-1"},
            {"event": "delivery.assigned", "occurred_at": late},
            {"event": "delivery.completed", "occurred_at": at},
            {"event": "delivery.assigned"},
            {"event": "delivery.failed", "failure_reason": "x" * 10_000},
        ):
            await gateway.post(f"/api/packages/{package}/events", key, update)
        page = await scraped(gateway)

    assert page.labelled("gateway_updates_total", "outcome") == {
        "applied": 2,
        "duplicate": 1,
        "late": 1,
        "refused": 2,
    }


async def test_tries_are_counted_by_endpoint_and_outcome(harness):
    quick = "[delivery]\nallow_http = true\nallow_networks = ['127.0.0.0/8']\n"
    quick += "retry_schedule_seconds = [0.05]\ngive_up_after_seconds = 0.3\n"
    async with Receiver([200, 500, 500, 500]) as receiver, harness(PLUGINS + quick) as gateway:
        key = await gateway.issue_key()
        added = await gateway.post("/api/webhooks/endpoints", key, {"url": receiver.url})
        endpoint = added.json()["id"]
        for _ in range(2):
            await gateway.post(ORDERS, key, {"orders": [GOOD]})
        exhausted = (endpoint, "exhausted")
        counted = gateway.gateway.metrics.deliveries.values
        await until(lambda: counted.get(exhausted) == 1)
        page = await scraped(gateway)

    outcomes = page.labelled("gateway_deliveries_total", "outcome")
    assert (outcomes["delivered"], outcomes["exhausted"]) == (1, 1)
    assert outcomes["failed"] == len(receiver.received) - 2 >= 1
    seconds = "gateway_attempt_duration_seconds"
    assert page.number(f"{seconds}_count", endpoint=endpoint) == len(receiver.received)
    assert page.number(f"{seconds}_bucket", endpoint=endpoint, le="+Inf") == len(receiver.received)
    assert 0 <= page.number(f"{seconds}_sum", endpoint=endpoint) < 20


async def test_an_endpoints_numbers_begin_at_zero_and_go_with_it(harness):
    async with Receiver() as receiver, harness(PLUGINS, SteppingClock()) as gateway:
        key = await gateway.issue_key()
        added = await gateway.post("/api/webhooks/endpoints", key, {"url": receiver.url})
        endpoint = added.json()["id"]
        await until(lambda: gateway.gateway.engine.last_sweep_at is not None)
        fresh = await scraped(gateway)
        await gateway.post(ORDERS, key, {"orders": [GOOD]})
        counted = gateway.gateway.metrics.deliveries.values
        await until(lambda: (endpoint, "delivered") in counted)
        gateway.gateway.clock.source.step(1)
        used = await scraped(gateway)
        await gateway.request("DELETE", f"/api/webhooks/endpoints/{endpoint}", key)
        gateway.gateway.clock.source.step(1)
        gone = await scraped(gateway)

    zeros = {"delivered": 0, "failed": 0, "exhausted": 0}
    assert fresh.labelled("gateway_deliveries_total", "outcome") == zeros
    assert used.labelled("gateway_deliveries_total", "outcome") == {**zeros, "delivered": 1}
    assert endpoint in used.text
    assert "dst_" not in gone.text
    assert not [each for each in counted_endpoints(gateway) if each == endpoint]


def counted_endpoints(gateway) -> list[str]:
    return [labels[0] for labels, _ in gateway.gateway.metrics.deliveries.rows()]


async def test_requests_are_counted_by_route_and_never_by_path(harness):
    async with harness(PLUGINS) as gateway:
        key = await gateway.issue_key()
        await gateway.get("/api/packages/pkg_RX8872341?since=Rodriguez", key)
        await gateway.get("/api/packages/pkg_RX8872341", key)
        await gateway.get("/api/packages/pkg_RX8872342", key)
        await gateway.get("/Maria/Rodriguez", key)
        page = await scraped(gateway)

    requests = "gateway_http_requests_total"
    route = "/api/packages/{package_id}"
    assert page.number(requests, method="GET", route=route, status="404") == 2
    assert page.number(requests, method="GET", route=route, status="400") == 1
    assert page.number(requests, method="GET", route="unmatched", status="404") == 1
    seconds = "gateway_http_request_duration_seconds_count"
    assert page.number(seconds, method="GET", route=route) == 3
    for sent in ("RX8872341", "Rodriguez", "Maria"):
        assert sent not in page.text


async def test_a_made_up_method_makes_no_new_series(tmp_path):
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 405, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def nowhere(_message=None):
        return {}

    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        log = AccessLog(app, gateway.metrics, gateway.clock)
        for method in ("BREW", "WHEN"):
            await log({"type": "http", "method": method}, nowhere, nowhere)
        numbers = await page(gateway)

    requests = "gateway_http_requests_total"
    assert numbers.labelled(requests, "method") == {"OTHER": 2}


async def test_deliveries_in_flight_are_counted_while_they_are(harness):
    class Held(Recorder):
        holding = Holding()

        async def deliver(self, batch):
            await self.holding.deliver(batch)
            return await super().deliver(batch)

    sink = Held()
    made = harness(PLUGINS, SteppingClock())
    made.gateway.hooks.register(sink, "Held")
    async with made as gateway:
        endpoint = await add_destination(gateway.gateway)
        await publish(gateway.gateway, "pkg_1", "pkg_2")
        await sink.holding.until(lambda: len(sink.holding.held) == 2)
        meanwhile = await scraped(gateway)
        sink.holding.let_go()
        await until(lambda: not gateway.gateway.engine.lanes)
        gateway.gateway.clock.source.step(1)
        afterwards = await scraped(gateway)

    assert meanwhile.number("gateway_in_flight", endpoint=endpoint) == 2
    assert afterwards.number("gateway_in_flight", endpoint=endpoint) is None
    assert afterwards.number("gateway_engine_sweep_age_seconds") >= 0


async def test_due_deliveries_are_counted_with_the_age_of_the_oldest(database_url, tmp_path):
    clock, sink = SteppingClock(), Recorder()
    async with opened(database_url, tmp_path, clock=clock, plugins=[sink]) as gateway:
        waiting, idle = await add_destination(gateway), await add_destination(gateway, events=())
        paused = await add_destination(gateway, state="paused")
        await publish(gateway, "pkg_1", "pkg_2")
        clock.step(90)
        numbers = await page(gateway)
        await carried(gateway, waiting)
        clock.step(1)
        cleared = await page(gateway)

    due, age = "gateway_deliveries_due", "gateway_queue_age_seconds"
    assert numbers.labelled(due, "endpoint") == {waiting: 2, idle: 0, paused: 0}
    assert numbers.labelled(age, "endpoint") == {waiting: 90, idle: 0, paused: 0}
    assert numbers.labelled("gateway_endpoints", "state") == {
        "active": 2,
        "paused": 1,
        "disabled": 0,
    }
    assert cleared.labelled(due, "endpoint")[waiting] == 0
    assert cleared.labelled(age, "endpoint")[waiting] == 0


async def test_the_time_that_an_endpoint_has_been_failing_is_a_metric(tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock)
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock, plugins=[sink]) as gateway:
        endpoint = await add_destination(gateway)
        await publish(gateway)
        await carried(gateway, endpoint)
        clock.step(3600)
        failing = await page(gateway)
        await change_destination(gateway, endpoint, state="disabled")
        clock.step(1)
        disabled = await page(gateway)

    name = "gateway_endpoint_failing_seconds"
    assert failing.number(name, endpoint=endpoint) == 3600
    assert disabled.number(name, endpoint=endpoint) == 0


async def test_an_open_breaker_and_its_remaining_pause_are_metrics(tmp_path):
    clock = SteppingClock()
    sink = Scripted(clock)
    rules = "[delivery]\nbreaker_failures = 1\nbreaker_pauses_seconds = [60]\n"
    options = {"toml": rules, "clock": clock, "plugins": [sink]}
    async with opened(sqlite_url(tmp_path), tmp_path, **options) as gateway:
        endpoint = await add_destination(gateway)
        before = await page(gateway)
        await publish(gateway)
        await carried(gateway, endpoint)
        clock.step(20)
        held = await page(gateway)
        clock.step(50)
        over = await page(gateway)
        sink.changes["delivered"] = True
        await carried(gateway, endpoint)
        clock.step(1)
        well = await page(gateway)

    def told(found):
        names = ("gateway_endpoint_breaker_open", "gateway_endpoint_held_seconds")
        return [found.number(name, endpoint=endpoint) for name in names]

    assert [told(each) for each in (before, held, over, well)] == [[0, 0], [1, 40], [1, 0], [0, 0]]


async def test_a_plugin_that_fails_is_counted_from_zero_on(harness):
    class Clumsy:
        @hookimpl
        def events_recorded(self, events):
            raise ValueError(events)

    made = harness("[plugins.json_api]\n", SteppingClock())
    made.gateway.hooks.register(Clumsy(), "clumsy")
    async with made as gateway:
        before = await scraped(gateway)
        await gateway.post(ORDERS, await gateway.issue_key(), {"orders": [GOOD]})
        gateway.gateway.clock.source.step(1)
        after = await scraped(gateway)

    failures = "gateway_plugin_failures_total"
    assert before.number(failures, plugin="clumsy", hook="events_recorded") == 0
    assert after.number(failures, plugin="clumsy", hook="events_recorded") == 1


async def test_a_job_that_fails_is_counted_from_zero_on(harness):
    failed = asyncio.Event()

    class Poller:
        @hookimpl
        def jobs(self):
            async def fine():
                pass

            async def poll():
                if failed.is_set():
                    await asyncio.sleep(60)
                failed.set()
                raise OSError

            return [Job("poll", poll, every_seconds=0.01), Job("fine", fine, every_seconds=60)]

    made = harness("", SteppingClock())
    made.gateway.hooks.register(Poller(), "poller")
    async with made as gateway:
        await until(lambda: gateway.gateway.metrics.job_failures.values.get(("poll",)) == 1)
        page = await scraped(gateway)

    failures = page.labelled("gateway_job_failures_total", "name")
    assert (failures["poll"], failures["fine"]) == (1, 0)


async def test_without_its_database_a_gateway_still_exports_its_counters(tmp_path, caplog):
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        await gateway.intake.accept(submission(order()))
        async with gateway.database.begin() as connection:
            await connection.execute(text("ALTER TABLE destinations RENAME TO lost"))
        numbers = await page(gateway)

    assert numbers.number("gateway_database_up") == 0
    assert numbers.number("gateway_orders_total", source="json_api", outcome="created") == 1
    assert "gateway_deliveries_due" not in numbers.names()
    assert "the backlog can't be read: OperationalError" in caplog.text


async def test_the_disk_that_is_not_there_yet_is_left_out(tmp_path):
    async with opened(
        sqlite_url(tmp_path), tmp_path, toml="[gateway]\ndata_dir = 'x'\n"
    ) as gateway:
        there = await page(gateway)
        shutil.rmtree(gateway.settings.gateway.data_dir)
        gone = await page(gateway)

    assert there.number("gateway_database_up") == 1
    assert there.number("gateway_disk_free_bytes") > 1_000_000
    assert gone.number("gateway_disk_free_bytes") is None


async def test_the_page_is_made_once_a_second_however_often_it_is_asked_for(tmp_path):
    clock = SteppingClock()
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock) as gateway:
        page = MetricsPage(gateway)
        first, same = await asyncio.gather(page.text(), page.text())
        gateway.metrics.orders_taken("json_api", ["created"])
        clock.step(0.9)
        still = await page.text()
        clock.step(0.2)
        later = await page.text()

    assert first is same is still
    assert b'gateway_orders_total{outcome="created",source="json_api"} 1.0' in later


async def test_numbers_about_the_process_are_there_too(harness):
    pytest.importorskip("resource")  # not on Windows
    async with harness(PLUGINS) as gateway:
        page = await scraped(gateway)

    assert page.number("process_resident_memory_bytes") > 1_000_000
    assert page.number("process_cpu_seconds_total") > 0


async def test_two_gateways_in_one_process_have_a_page_each(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with (
        opened(sqlite_url(tmp_path / "a"), tmp_path / "a") as one,
        opened(sqlite_url(tmp_path / "b"), tmp_path / "b") as other,
    ):
        await one.intake.accept(submission(order()))
        pages = await page(one), await page(other)

    created = [each.labelled("gateway_orders_total", "outcome") for each in pages]
    assert created == [{"created": 1}, {}]


async def test_the_age_and_the_failure_of_the_last_backup_are_metrics(database_url, tmp_path):
    clock = SteppingClock()
    async with opened(database_url, tmp_path, clock=clock) as gateway:
        never = await page(gateway)
        await note_fact(gateway.database, LAST_BACKUP, str(to_epoch_ms(clock.now())))
        await note_fact(gateway.database, BACKUP_FAILED, str(to_epoch_ms(clock.now())))
        clock.step(90)
        made = await page(gateway)

    if gateway.database.dialect == "sqlite":
        assert never.number("gateway_backup_age_seconds") == math.inf
        assert never.number("gateway_backup_failed") == 0
    else:  # PostgreSQL's own backups are not visible from here
        assert "gateway_backup_age_seconds" not in never.text
    assert made.number("gateway_backup_age_seconds") == 90
    assert made.number("gateway_backup_failed") == 1


class Clerk:
    def __init__(self):
        self.healthy = True

    @hookimpl
    def health_checks(self):
        return [HealthCheck("last file", self.check, decides_readiness=False)]

    async def check(self):
        return HealthReport(healthy=self.healthy, detail="march.csv failed")


async def test_what_a_person_has_to_see_to_is_a_metric_without_its_detail(tmp_path):
    clerk = Clerk()
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[clerk]) as gateway:
        green = await page(gateway)
        clerk.healthy = False
        red = await page(gateway)

    assert green.number("gateway_check_ok", check="last file") == 1
    assert red.number("gateway_check_ok", check="last file") == 0
    assert "march" not in red.text
