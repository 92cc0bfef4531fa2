"""What plugin authors test with: a receiver, a whole gateway, and a clock that is moved by hand."""

import asyncio
import contextlib
import gc
import socket
import sqlite3
import weakref

import httpx
import pytest
from waiting import PATIENCE_SECONDS

from gateway.clock import SteppingClock
from gateway.model.account import Caller
from gateway.runtime import Gateway
from gateway.settings import parse_settings
from gateway.testing import Receiver


async def posted(receiver, body=b"{}", **headers) -> httpx.Response:
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        return await client.post(receiver.url + "/hook?a=1", content=body, headers=headers)


async def test_a_receiver_keeps_what_it_is_sent():
    async with Receiver() as receiver:
        answer = await posted(receiver, b'{"n": 1}', **{"X-Event": "package.created"})
        [received] = await receiver.wait_for(1)

    assert (answer.status_code, answer.text) == (200, "ok")
    assert (received.method, received.path) == ("POST", "/hook?a=1")
    assert received.headers["x-event"] == "package.created"
    assert (received.body, received.json()) == (b'{"n": 1}', {"n": 1})


async def test_a_receiver_answers_with_given_statuses_and_then_200():
    async with Receiver([503, 410]) as receiver:
        receiver.headers = {"Retry-After": "7"}
        answers = [await posted(receiver) for _ in range(3)]

    assert [each.status_code for each in answers] == [503, 410, 200]
    assert {each.headers["retry-after"] for each in answers} == {"7"}


async def test_a_receiver_takes_several_requests_on_one_connection_and_several_at_once():
    async with Receiver() as receiver, httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        for _ in range(3):
            await client.post(receiver.url)
        await asyncio.gather(*(client.post(receiver.url) for _ in range(5)))
        assert len(await receiver.wait_for(8)) == 8


async def test_waiting_for_what_never_comes_ends():
    async with Receiver(timeout_seconds=0.01) as receiver:
        with pytest.raises(TimeoutError):
            await receiver.wait_for(1)


async def test_a_receiver_that_is_closed_listens_no_more():
    async with Receiver() as receiver:
        url = receiver.url
        idle = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    idle[1].close()

    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
            await client.post(url)


def test_a_receiver_that_was_not_opened_says_so():
    with pytest.raises(RuntimeError, match="use the receiver with `async with`"):
        _ = Receiver().url


ORDER = {"patient_name": "Ana Silva", "patient_address": "1 Main St"}


async def test_a_harness_is_a_whole_gateway(harness):
    async with harness("[plugins.json_api]") as gateway:
        key = await gateway.issue_key()
        made = await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
        listed = await gateway.get("/api/packages", key)
        as_bytes = await gateway.post("/api/webhook/orders", key, b"{")
        refused = await gateway.get("/api/packages")
        typed = await gateway.post(
            "/api/webhook/orders", key, {"orders": [ORDER]}, {"Content-Type": "text/plain"}
        )

    [package] = listed.json()["packages"]
    assert made.json()["package_ids"] == [package["id"]]
    assert (as_bytes.status_code, refused.status_code, typed.status_code) == (400, 401, 415)


async def test_keys_of_a_harness_are_of_the_mode_site_and_account_asked_for(harness):
    sites = '[[sites]]\ncode = "main"\nname = "Lakeside"\n'
    async with harness(f"{sites}[plugins.json_api]") as gateway:
        for wanted in (
            {"mode": "live", "account_id": "default", "site": None},
            {"mode": "test", "account_id": "other", "site": None},
            {"mode": "live", "account_id": "default", "site": "main"},
        ):
            caller = await gateway.gateway.keys.authenticate(await gateway.issue_key(**wanted))
            assert (caller.mode, caller.account_id, caller.site) == tuple(wanted.values())
        every = gateway.gateway.permissions.names
        assert gateway.caller() == Caller("default", "live", "test", None, every)
        at_main = Caller("default", "test", "test", frozenset({"main"}), every)
        assert gateway.caller(mode="test", site="main") == at_main


async def test_a_harness_goes_by_the_clock_it_is_given(harness):
    clock = SteppingClock()
    async with harness("[plugins.json_api]", clock=clock) as gateway:
        clock.step(3600)
        key = await gateway.issue_key()
        await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
        listed = await gateway.get("/api/packages", key)

    assert listed.json()["packages"][0]["created_at"] == "2026-01-01T01:00:00Z"


def file_of(folder):
    """Return the schema of a gateway's file and what was set for good when it was made."""
    with contextlib.closing(sqlite3.connect(folder / "data" / "gateway.db")) as connection:
        schema = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name")
        settings = ("auto_vacuum", "journal_mode", "encoding", "page_size")
        kept = [connection.execute(f"PRAGMA {name}").fetchall() for name in settings]
        versions = connection.execute("SELECT version_num FROM alembic_version ORDER BY 1")
        return schema.fetchall(), kept, versions.fetchall()


async def test_a_harness_opens_the_file_that_migrations_make(harness, tmp_path):
    toml = "[plugins.json_api]\n[plugins.csv]\n[plugins.rx_queue]"
    settings = parse_settings(toml, source=None, directory=tmp_path / "real", environ={})
    async with Gateway(settings) as migrated, harness(toml) as gateway:
        assert len(migrated.migrated.revisions) >= 3
        assert gateway.gateway.migrated.revisions == ()

    assert file_of(tmp_path) == file_of(tmp_path / "real")


async def test_a_harness_keeps_what_is_stored_where_it_opens_again(harness):
    async with harness("[plugins.json_api]") as before:
        key = await before.issue_key()
    async with harness("[plugins.json_api]") as after:
        assert (await after.get("/api/packages", key)).status_code == 200


async def test_several_gateways_run_side_by_side(harness, tmp_path):
    there = tmp_path / "there"
    apart = f'[database]\nurl = "sqlite+aiosqlite:///{there}.db"\n[plugins.json_api]'
    async with harness("[plugins.json_api]") as one, harness(apart) as two:
        assert one.url != two.url
        key = await one.issue_key()
        assert (await one.get("/api/packages", key)).status_code == 200
        assert (await two.get("/api/packages", key)).status_code == 401


async def test_a_harness_that_is_closed_serves_no_more(harness):
    async with harness("") as gateway:
        host, port = gateway.url.removeprefix("http://").split(":")
        assert (await gateway.get("/health/ready")).status_code == 200
        assert gateway.gateway.engine is not None

    assert gateway.gateway.engine is None
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0


async def test_webhooks_of_a_harness_may_go_to_this_machine_unless_it_says_otherwise(harness):
    usual = harness("")
    strict = harness("[delivery]\nallow_http = false")

    assert usual.gateway.settings.delivery.allow_networks == ("127.0.0.0/8",)
    assert usual.gateway.settings.delivery.allow_http
    assert strict.gateway.settings.delivery.allow_networks == ()


async def test_what_a_run_reads_once_keeps_no_gateway_that_ended(harness):
    gateways = weakref.WeakSet()
    for _ in range(3):
        async with harness("[plugins.csv]\n") as running:
            gateways.add(running.gateway)
    del running
    gc.collect()

    assert len(gateways) <= 1  # the event loop may still have the last one's tasks
