"""What an endpoint gets by content, and what of an event's data it learns."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from click.testing import CliRunner
from gateway_webhooks.disclosure import (
    FieldFilter,
    disclosed,
    disclosure_problems,
    unfit_field,
)
from msgspec import structs

from gateway.cli import main
from gateway.plugin import Event
from gateway.testing import Receiver

AT = datetime(2026, 4, 19, tzinfo=UTC)
DATA = {
    "package_id": "pkg_1",
    "priority": "stat",
    "requires_signature": True,
    "copay_amount": Decimal("12.50"),
    "rx_number": None,
    "proof": {"lat": 25.86, "photo_url": "https://example.com/1"},
    "reasons": ["din_ambiguous", "controlled_substance"],
}
EVENT = Event(
    id="evt_1",
    type="package.created",
    account_id="default",
    mode="live",
    subject="pkg_1",
    data=DATA,
    occurred_at=AT,
    recorded_at=AT,
    actor="key_1",
    routing={"metadata": {"clinic": "A-12"}, "controlled": "yes", "priority": "routine"},
)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("priority", FieldFilter(equal="stat")),
        ("priority", FieldFilter(one_of=("urgent", "stat"))),
        ("package_id", FieldFilter(prefix="pkg_")),
        ("requires_signature", FieldFilter(equal="true")),
        ("copay_amount", FieldFilter(equal="12.50")),
        ("proof.lat", FieldFilter(prefix="25.")),
        ("reasons", FieldFilter(equal="controlled_substance")),
        ("metadata.clinic", FieldFilter(prefix="A-")),
        ("controlled", FieldFilter(equal="yes")),
    ],
)
def test_a_field_that_fits_lets_the_event_through(name, wanted):
    assert unfit_field(EVENT, {name: wanted}) is None


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("priority", FieldFilter(equal="routine")),  # what is sent counts before what isn't
        ("priority", FieldFilter(prefix="Stat")),
        ("rx_number", FieldFilter(prefix="R")),
        ("rx_number", FieldFilter(equal="None")),
        ("nowhere", FieldFilter(equal="x")),
        ("proof", FieldFilter(prefix="{")),
        ("proof.lat.deeper", FieldFilter(equal="x")),
        ("metadata.clinic", FieldFilter(one_of=("A-1", "A-2"))),
    ],
)
def test_a_field_that_is_something_else_or_is_not_there_keeps_it_back(name, wanted):
    assert unfit_field(EVENT, {"priority": FieldFilter(equal="stat"), name: wanted}) == name


def test_an_event_of_a_package_that_is_as_usual_says_so():
    plain = structs.replace(EVENT, type="delivery.arrived", data={}, routing={})
    usual = {
        "priority": FieldFilter(equal="routine"),
        "requires_signature": FieldFilter(equal="false"),
    }

    assert unfit_field(plain, usual) is None
    assert unfit_field(plain, {"priority": FieldFilter(equal="stat")}) == "priority"
    assert unfit_field(structs.replace(plain, subject="rxq_1"), usual) == "priority"


@pytest.mark.parametrize(
    ("send", "renames", "learned"),
    [
        (None, {}, DATA),
        ([], {}, {}),
        (["package_id", "proof.lat"], {}, {"package_id": "pkg_1", "proof": {"lat": 25.86}}),
        (["package_id", "nowhere"], {}, {"package_id": "pkg_1"}),
        (["rx_number"], {"rx_number": "rx"}, {"rx": None}),
        (["priority"], {"package_id": "id"}, {"priority": "stat"}),
    ],
)
def test_an_endpoint_learns_the_fields_it_is_given_and_no_other(send, renames, learned):
    assert disclosed(DATA, send, renames) == learned


@pytest.mark.parametrize(
    ("filters", "send", "renames", "field"),
    [
        ({"priority": FieldFilter()}, None, {}, "filter_fields.priority"),
        ({"a": FieldFilter(equal="x", prefix="y")}, None, {}, "filter_fields.a"),
        ({"a b": FieldFilter(equal="x")}, None, {}, "filter_fields"),
        ({}, ["proof..lat"], {}, "send_fields"),
        ({}, ["x"] * 101, {}, "send_fields"),
        ({}, None, {"a": ""}, "rename_fields"),
        ({}, None, {"a": "c", "b": "c"}, "rename_fields"),
        ({}, ["a", "b"], {"a": "b"}, "rename_fields"),
    ],
)
def test_what_can_not_be_meant_is_refused(filters, send, renames, field):
    assert [each.field for each in disclosure_problems(filters, send, renames)] == [field]


ORDER = {
    "patient_name": "Ana Silva",
    "patient_address": "9 Elm St",
    "external_order_id": "A-1",
    "metadata": {"clinic": "A-12"},
}


@pytest.fixture
async def receiver():
    async with Receiver() as running:
        yield running


@pytest.fixture
async def gateway(harness):
    async with harness("[plugins.json_api]\n[plugins.webhooks]\n[plugins.rx_queue]\n") as running:
        yield running


async def added(gateway, key, url, **fields) -> str:
    sent = {"url": url, "format": "standard", **fields}
    answer = await gateway.post("/api/webhooks/endpoints", key, sent)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_events_go_where_their_content_fits_and_say_no_more_than_is_allowed(
    gateway, receiver
):
    key = await gateway.issue_key()
    first = {"metadata.clinic": {"prefix": "A-"}}
    await added(
        gateway,
        key,
        f"{receiver.url}/clinic",
        filter_fields=first,
        send_fields=["package_id", "external_order_id"],
        rename_fields={"external_order_id": "number"},
    )
    other = {"metadata.clinic": {"prefix": "B-"}}
    await added(gateway, key, f"{receiver.url}/other", filter_fields=other)
    answer = await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
    package_id = answer.json()["package_ids"][0]
    await gateway.post(f"/api/packages/{package_id}/events", key, {"event": "package.ready"})

    received = await receiver.wait_for(2)

    assert [each.path for each in received] == ["/clinic", "/clinic"]
    assert {each.json()["type"]: each.json()["data"] for each in received} == {
        "package.created": {"package_id": package_id, "number": "A-1"},
        "package.ready": {"package_id": package_id, "number": "A-1"},
    }


async def test_an_event_that_every_filter_keeps_back_says_so(gateway, receiver):
    key = await gateway.issue_key()
    none = {"priority": {"equal": "stat"}}
    await added(gateway, key, receiver.url, filter_fields=none)
    answer = await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
    package_id = answer.json()["package_ids"][0]

    [event] = (await gateway.get(f"/api/packages/{package_id}/events", key)).json()["events"]

    assert event["not_sent"] == "the plugin webhooks left no destination for it (route_events)"


async def test_a_filter_that_is_set_later_holds_what_is_queued(gateway, receiver):
    key = await gateway.issue_key()
    endpoint = await added(gateway, key, receiver.url)
    path = f"/api/webhooks/endpoints/{endpoint}"
    await gateway.request("PATCH", path, key, {"status": "paused"})
    await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
    wanted = {"filter_fields": {"priority": {"equal": "stat"}}, "status": "active"}
    await gateway.request("PATCH", path, key, wanted)
    test = await gateway.post(f"{path}/test", key)

    assert test.json()["state"] == "delivered"
    [received] = await receiver.wait_for(1)
    assert received.json()["type"] == "webhook.test"


async def test_a_preview_shows_a_real_event_and_sends_nothing(gateway, receiver):
    key = await gateway.issue_key()
    masked_key = await gateway.issue_key(scopes=("webhooks.read", "orders.create"))
    endpoint = await added(gateway, key, receiver.url, events=["rx.*"])
    path = f"/api/webhooks/endpoints/{endpoint}/preview"
    missing = await gateway.post(path, key, {})
    endpoint = await added(gateway, key, receiver.url, events=["delivery.*", "package.created"])
    path = f"/api/webhooks/endpoints/{endpoint}/preview"
    await gateway.request("PATCH", path.removesuffix("/preview"), key, {"status": "disabled"})
    order = ORDER | {"rx_number": "RX-1", "priority": "stat"}
    await gateway.post("/api/webhook/orders", key, {"orders": [order]})

    wanted = {
        "send_fields": ["rx_number", "priority"],
        "rename_fields": {"rx_number": "rx"},
        "filter_fields": {"priority": {"equal": "urgent"}},
    }
    shown = (await gateway.post(path, key, wanted)).json()
    masked = (await gateway.post(path, masked_key, wanted)).json()

    assert missing.status_code == 404
    assert shown["body"]["data"] == {"rx": "RX-1", "priority": "stat"}
    assert (shown["sent"], shown["unfit_field"]) == (False, "priority")
    assert "external_patient_id" in shown["left_out"]
    assert masked["body"]["data"] == {"rx": "…", "priority": "stat"}
    wrong = await gateway.post(path, key, {"filter_fields": {"priority": {}}})
    assert wrong.status_code == 400
    assert receiver.received == []


RX = {
    "patient": {"first_name": "Ana", "last_name": "Silva", "dob": "1950-02-01"},
    "prescriber": {"name": "Dr. Lee", "licence_type": "CPSO", "licence_number": "54321"},
    "medication": {
        "drug_text": "hydromorphone 2 mg tab",
        "quantity": 30,
        "days_supply": 10,
        "sig": "1 tab daily",
        "written_date": "2026-11-01",
    },
}


async def test_controlled_prescriptions_go_to_one_endpoint_only_without_names(gateway, receiver):
    key = await gateway.issue_key()
    await added(
        gateway,
        key,
        f"{receiver.url}/vault",
        filter_fields={"controlled": {"equal": "yes"}},
        send_fields=["queue_id"],
        exclusive=True,
    )
    rest = await added(gateway, key, f"{receiver.url}/rest")

    answer = await gateway.post("/api/rx", key, RX)
    [first, *_] = await receiver.wait_for(1)
    await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
    received = await receiver.wait_for(2)
    while "/rest" not in {each.path for each in received}:  # in whichever order they come
        received = await receiver.wait_for(len(received) + 1)
    preview = await gateway.post(f"/api/webhooks/endpoints/{rest}/preview", key, {})

    assert answer.status_code == 202
    assert first.path == "/vault"
    assert first.json()["data"] == {"queue_id": answer.json()["queueId"]}
    assert {each.path for each in received if each.json()["type"].startswith("rx.")} == {"/vault"}
    assert preview.json()["only_to"] is None, "the newest event is the order"
    shown = await gateway.post(
        f"/api/webhooks/endpoints/{rest}/preview", key, {"event_id": first.headers["webhook-id"]}
    )
    assert (shown.json()["sent"], shown.json()["unfit_field"]) == (False, None)
    assert shown.json()["only_to"].startswith("dst_")


async def test_what_is_for_one_endpoint_stays_from_the_others_while_that_one_is_disabled(
    gateway, receiver
):
    key = await gateway.issue_key()
    only = {"filter_fields": {"controlled": {"equal": "yes"}}, "exclusive": True}
    vault = await added(gateway, key, f"{receiver.url}/vault", **only)
    rest = await added(gateway, key, f"{receiver.url}/rest", events=["rx.*"])
    vault, rest = (f"/api/webhooks/endpoints/{each}" for each in (vault, rest))
    await gateway.request("PATCH", vault, key, {"status": "disabled"})
    await gateway.post("/api/rx", key, RX)
    since = {"since": "2020-01-01T00:00:00Z"}
    rehearsed = await gateway.post(f"{rest}/recover/rehearse", key, since)
    await gateway.request("PATCH", vault, key, {"status": "active"})
    of_vault = await gateway.post(f"{vault}/recover/rehearse", key, since)

    await gateway.post(f"{rest}/test", key)
    [first] = await receiver.wait_for(1)

    assert first.json()["type"] == "webhook.test"
    assert rehearsed.json()["would_queue"] == 0, "nor does a recovery send it elsewhere"
    assert of_vault.json()["would_queue"] >= 1


def test_the_command_chooses_what_is_sent_and_shows_it(tmp_path):
    config = tmp_path / "gateway.toml"
    config.write_text(
        "[plugins.json_api]\n[plugins.webhooks]\n[delivery]\nallow_http = true\n"
        'allow_networks = ["127.0.0.0/8"]\n'
    )

    def run(*words):
        words = ("endpoints", *words, "--json", "--config", str(config))
        done = CliRunner().invoke(main, words, prog_name="gateway", catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    endpoint = run("add", "http://127.0.0.1:9/x")["id"]
    words = ("--filter", "priority=stat|urgent", "--filter", "rx_number^=RX-")
    chosen = run(
        *("data", endpoint, *words, "--send", "package_id, rx_number"),
        *("--rename", "rx_number=rx"),
    )

    assert chosen["filter_fields"] == {
        "priority": {"one_of": ["stat", "urgent"]},
        "rx_number": {"prefix": "RX-"},
    }
    assert (chosen["send_fields"], chosen["rename_fields"]) == (
        ["package_id", "rx_number"],
        {"rx_number": "rx"},
    )
    assert run("data", endpoint, "--exclusive")["exclusive"] is True
    cleared = run("data", endpoint, "--no-filter", "--send", "all", "--no-rename", "--shared")
    assert not {"filter_fields", "send_fields", "rename_fields", "exclusive"} & set(cleared)
