"""The contract finds what is wrong with sinks and routes: each fault is shown one that has it."""

import asyncio
from datetime import datetime
from typing import Annotated, Literal

import msgspec
import pytest
from core.gateways import opened, sqlite_url
from litestar import Response, Router, get, post
from litestar.params import FromPath, RawBody
from sqlalchemy import Column, MetaData, Table, Text

from gateway.auth.roles import Permissions
from gateway.clock import SystemClock
from gateway.hookspecs import hookimpl
from gateway.model.catalog import core_event_types
from gateway.model.delivery import Outcome
from gateway.model.permission import Permission
from gateway.plugin import InvalidInput, decode
from gateway.sdk.records import Sink
from gateway.storage.plugin_tables import PluginTables
from gateway.testing import contract, routes, sinks


class Inner(msgspec.Struct):
    port: int


class Where(msgspec.Struct):
    url: str
    callback_uri: str
    host: str
    address: str
    port: int
    weight: float
    secure: bool
    kind: Literal["a", "b"]
    inner: Inner
    tags: list[str]
    headers: dict[str, str]
    token: Annotated[str, msgspec.Meta(examples=["whsec_1"])]
    name: Annotated[str, msgspec.Meta(max_length=10)]
    maybe: str | None
    either: int | str
    since: str = "left out"


def test_settings_of_a_destination_are_made_up_from_their_names_and_types():
    assert sinks.example_settings(Where, 4711) == {
        "url": "http://127.0.0.1:4711/",
        "callback_uri": "http://127.0.0.1:4711/",
        "host": "127.0.0.1",
        "address": "127.0.0.1:4711",
        "port": 4711,
        "weight": 1,
        "secure": False,
        "kind": "a",
        "inner": {"port": 4711},
        "tags": [],
        "headers": {},
        "token": "whsec_1",
        "name": "example",
        "maybe": None,
        "either": 1,
    }


async def test_a_closed_port_refuses_connections():
    with sinks.closed_port() as port, pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


class Nowhere(msgspec.Struct):
    url: str


def answering(**changes):
    """Make a sink whose outcomes are honest but for ``changes``."""

    async def deliver(batch):
        assert batch.settings.url.startswith("http://127.0.0.1:")
        return [
            Outcome(
                **{
                    "delivery_id": each.id,
                    "delivered": False,
                    "started_at": each.created_at,
                    "duration_ms": 1,
                    "error": "connect",
                    **changes,
                }
            )
            for each in batch.deliveries
        ]

    return Sink("acme", Nowhere, deliver, max_batch=2)


async def faults_of(sink, **deadline) -> list[str]:
    settings = sinks.example_settings(Nowhere, 9)
    event_types = core_event_types()[:1]
    return await sinks.sink_faults(sink, settings, event_types, SystemClock(), **deadline)


async def test_a_sink_that_is_honest_has_no_faults():
    assert await faults_of(answering()) == []
    assert await faults_of(answering(error=None, status=502)) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"delivered": True, "error": None}, "reported as delivered to a closed port"),
        ({"error": None}, "failed without a status or an error"),
        ({"started_at": datetime(2026, 1, 1)}, "started_at has no time zone"),  # noqa: DTZ001
        ({"duration_ms": -1}, "duration_ms is negative"),
        ({"excerpt": b"x" * 2049}, "the excerpt has more than 2048 bytes"),
    ],
)
async def test_an_outcome_that_is_wrong_is_found(changes, fault):
    assert set(await faults_of(answering(**changes))) == {f"package.created: {fault}"}


async def test_a_delivery_that_needed_no_call_may_say_so():
    assert await faults_of(answering(delivered=True, error="nothing_to_tell")) == []


async def test_outcomes_that_are_missing_or_of_other_deliveries_are_found():
    async def nothing(_batch):
        return []

    for sink in (Sink("acme", Nowhere, nothing), answering(delivery_id="dlv_other")):
        assert "package.created: not one outcome for each delivery" in await faults_of(sink)


async def test_a_sink_that_takes_its_time_is_found():
    honest = answering()

    async def slow(batch):
        await asyncio.sleep(0.05)
        return await honest.deliver(batch)

    sink = Sink("acme", Nowhere, slow)
    assert await faults_of(sink, timeout_seconds=0.01, grace_seconds=0.01) == [
        "package.created: the deadline of 0.01 s was not kept"
    ]


class Body(msgspec.Struct):
    count: int


@post("/fine/{number:int}", summary="Take it", opt={"permission": "any", "body": Body})
async def fine(body: RawBody, number: FromPath[int]) -> dict[str, int]:
    """Take what is sent."""
    return {"count": decode(body, Body).count + number}


@post("/silent", include_in_schema=True)
async def silent(body: RawBody) -> None:
    decode(body, Body)


@post("/open", summary="Take it", opt={"public": True, "body": Body})
async def anybody(body: RawBody) -> int:
    """Take what is sent, from anybody."""
    return len(body)


@post("/falls", summary="Take it", opt={"permission": "orders.create"})
async def falls(body: RawBody) -> None:
    """Fall over anything that is not UTF-8."""
    body.decode()


@post("/repeats", summary="Take it", opt={"permission": ("orders.create", "packages.read")})
async def repeats(body: RawBody) -> None:
    """Repeat what is sent."""
    raise InvalidInput(body.decode("latin-1"))


@get("/page", summary="Show it", include_in_schema=False, opt={"permission": "any"})
async def page() -> Response[str]:
    """Refuse in a form of its own."""
    return Response("too many", status_code=400, media_type="text/plain")


class Routes:
    """A plugin with the routes above."""

    def __init__(self, *handlers):
        self.handlers = handlers

    @hookimpl
    def http_routers(self):
        return [Router("/api/acme", route_handlers=list(self.handlers))]


def found(*handlers) -> list[routes.RouteUnderTest]:
    return routes.routes_of(Routes(*handlers).http_routers())


async def test_tables_that_no_migration_makes_are_found(tmp_path):
    tables = MetaData()
    Table("nowhere", tables, Column("id", Text))
    Table("packages", tables, Column("id", Text))
    Table("alembic_version", tables, Column("version_num", Text), Column("more", Text))
    async with (
        opened(sqlite_url(tmp_path), tmp_path) as gateway,
        gateway.database.read() as connection,
    ):
        brought = [PluginTables(tables, tmp_path)]
        found = await connection.run_sync(contract._table_faults, brought)

    assert sorted(found) == [
        "alembic_version has other columns than its migrations make",
        "nowhere is made by no migration",
        "packages is one of the core's tables",
    ]


def test_routes_are_found_with_something_for_each_parameter():
    assert [each.name for each in found(fine, page)] == [
        "POST /api/acme/fine/1",
        "GET /api/acme/page",
    ]


def test_routes_that_say_nothing_of_themselves_are_found():
    assert sorted(routes.documentation_faults(found(fine, silent, page))) == [
        "POST /api/acme/silent has no docstring",
        "POST /api/acme/silent has no summary",
    ]


def test_routes_that_name_no_permission_or_one_that_there_is_not_are_found():
    assert sorted(routes.permission_faults(found(fine, anybody, silent, falls), Permissions())) == [
        'POST /api/acme/silent names no permission: add opt={"permission": …}, or "public": True'
    ]
    own = post("/own", opt={"permission": "acme.sync"})(anybody.fn)
    [fault] = routes.permission_faults(found(own), Permissions())
    assert fault == "POST /api/acme/own needs acme.sync, which no plugin brings"
    brought = Permissions([Permission("acme.sync", "Start a sync.")])
    assert list(routes.permission_faults(found(own), brought)) == []


async def test_routes_that_take_garbage_fall_over_it_or_repeat_it_are_found(harness):
    handlers = [fine, anybody, falls, repeats, page]
    gateway = harness("")
    gateway.gateway.hooks.register(Routes(*handlers), "acme")
    async with gateway:
        tried = found(*handlers)
        open_doors = await routes.access_faults(gateway, tried)
        found_faults = await routes.garbage_faults(gateway, tried)
        faults = set(found_faults)

    assert open_doors == []
    assert len(found_faults) == len(faults)  # each is told once, not for every body
    assert faults == {
        "POST /api/acme/open answers 201 to what is no JSON",
        "POST /api/acme/falls answers 500 to garbage",
        "POST /api/acme/repeats repeats what was sent",
        "POST /api/acme/repeats refuses in another form than all the others",
    }


async def test_a_route_that_lets_anybody_in_is_found(harness):
    gateway = harness("")
    gateway.gateway.hooks.register(Routes(anybody), "acme")
    async with gateway:
        secret = [each._replace(handler=fine) for each in found(anybody)]
        assert await routes.access_faults(gateway, secret) == [
            "POST /api/acme/open answers 201 to no key",
            "POST /api/acme/open answers 201 to a wrong key",
        ]
