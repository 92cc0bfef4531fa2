"""Endpoints over HTTP: added, listed, shown, changed, removed."""

from datetime import UTC, datetime

import pytest

from gateway.testing import Receiver, SteppingClock

START = datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)
URL = "http://127.0.0.1:9/hooks?tenant=7"
SITES = """
[[sites]]
code = "main"
name = "Lakeside Pharmacy"
[[sites]]
code = "north"
name = "Northside Pharmacy"
"""
AS_ADDED = {
    "url": URL,
    "format": "scriptrun",
    "events": ["*"],
    "site": None,
    "description": "",
    "header_names": [],
    "max_per_second": None,
    "max_in_flight": 32,
    "ordered": False,
    "status": "active",
    "status_reason": None,
    "mode": "live",
    "created_at": "2026-04-19T18:42:10Z",
    "last_success_at": None,
    "failing_since": None,
    "breaker": {"state": "closed", "failures": 0, "opened_at": None, "next_try_at": None},
    "rotation_ends_at": None,
    "secret_since": "2026-04-19T18:42:10Z",
}

# What is sent, and what is shown differently afterwards.
CHANGES = [
    *(
        (change, change)
        for change in (
            {"url": "http://127.0.0.1:9/other"},
            {"events": ["rx.*", "endpoint.disabled"]},
            {"site": "north"},
            {"site": None},
            {"description": "a new name"},
            {"max_per_second": 100},
            {"max_per_second": None},
            {"max_in_flight": 1},
            {"ordered": False},
            {"status": "paused"},
            {"description": "both", "status": "paused"},
        )
    ),
    ({"headers": {"X-New": "v4lue"}}, {"header_names": ["X-New"]}),
    ({"headers": {}}, {"header_names": []}),
    ({"status": "disabled"}, {"status": "disabled", "status_reason": "by_operator"}),
]


async def test_an_endpoint_is_added_with_defaults_and_its_secret_is_shown_once(open_api):
    async with open_api(clock=SteppingClock(START)) as api:
        answer = await api.call("POST", "/webhooks/endpoints", {"url": URL})
        assert answer.status_code == 201
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        added = answer.json()
        endpoint_id, secret = added.pop("id"), added.pop("secret")
        assert endpoint_id.startswith("dst_")
        assert secret.startswith("whsec_")
        assert len(secret) == len("whsec_") + 44
        assert added == AS_ADDED
        shown = await api.call("GET", f"/webhooks/endpoints/{endpoint_id}")
        listed = await api.call("GET", "/webhooks/endpoints")
        changed = await api.call("PATCH", f"/webhooks/endpoints/{endpoint_id}", {})
    assert shown.json() == {"id": endpoint_id, **AS_ADDED}
    assert listed.json() == {"endpoints": [{"id": endpoint_id, **AS_ADDED}]}
    assert changed.json() == {"id": endpoint_id, **AS_ADDED}
    for answer in (shown, listed, changed):
        assert "whsec_" not in answer.text


async def test_an_endpoint_is_added_with_everything_that_can_be_said_of_it(open_api):
    fields = {
        "format": "standard",
        "events": ["delivery.*", "rx.completed"],
        "site": "main",
        "description": "Zoé's board",
        "max_per_second": 2.5,
        "max_in_flight": 4,
        "ordered": True,
    }
    async with open_api(SITES) as api:
        added = await api.add(URL, headers={"X-Token": "t0p-s3cret", "X-B": "2"}, **fields)
        shown = await api.call("GET", f"/webhooks/endpoints/{added['id']}")
    assert {name: added[name] for name in fields} == fields
    assert shown.json()["header_names"] == ["X-Token", "X-B"]
    assert "t0p-s3cret" not in shown.text
    assert "t0p-s3cret" not in str(added)


async def test_endpoints_are_listed_oldest_first(open_api):
    async with open_api(clock=(clock := SteppingClock(START))) as api:
        added = []
        for _ in range(3):
            added.append((await api.add(URL))["id"])
            clock.step(1)
        listed = await api.ask("GET", "/webhooks/endpoints")
    assert [each["id"] for each in listed["endpoints"]] == added


async def test_two_endpoints_never_get_the_same_secret(api):
    assert (await api.add(URL))["secret"] != (await api.add(URL))["secret"]


async def test_one_field_is_changed_and_the_rest_stays(open_api):
    as_added = {
        "format": "autorx",
        "site": "main",
        "description": "a name",
        "max_per_second": 7.0,
        "max_in_flight": 8,
        "ordered": True,
    }
    async with open_api(SITES) as api:
        for change, shown in CHANGES:
            added = await api.add(URL, headers={"X-Old": "v4lue"}, **as_added)
            del added["secret"]
            changed = await api.change(added["id"], **change)
            assert (change, changed) == (change, {**added, **shown})
            assert await api.show(added["id"]) == changed
            assert "v4lue" not in str(changed)


async def test_changed_fields_apply_to_the_next_delivery(open_api):
    async with Receiver() as old, Receiver() as new, open_api() as api:
        added = await api.add(f"{old.url}/a", headers={"X-Old": "1"})
        await api.change(added["id"], url=f"{new.url}/b", headers={"X-New": "2"})
        await api.order()
        [webhook] = await new.wait_for(1)
    assert webhook.path == "/b"
    assert webhook.headers["x-new"] == "2"
    assert "x-old" not in webhook.headers
    assert old.received == []


async def test_the_format_of_an_endpoint_cannot_change(api):
    added = await api.add(URL, format="autorx")
    path = f"/webhooks/endpoints/{added['id']}"
    refused = await api.ask("PATCH", path, {"format": "standard"}, 400)
    assert refused == {
        "error": "The request body doesn't fit.",
        "code": "invalid_input",
        "details": [{"message": "Object contains unknown field format"}],
    }
    assert (await api.show(added["id"]))["format"] == "autorx"


async def test_a_change_with_one_fault_changes_nothing(api):
    added = await api.add(URL)
    path = f"/webhooks/endpoints/{added['id']}"
    refused = await api.ask("PATCH", path, {"description": "new", "max_in_flight": 0}, 400)
    assert refused == {
        "error": "The endpoint has faults.",
        "code": "invalid_input",
        "details": [
            {"message": "max_in_flight must be between 1 and 256", "field": "max_in_flight"}
        ],
    }
    assert (await api.show(added["id"]))["description"] == ""


@pytest.mark.parametrize("status", ["paused", "disabled"])
async def test_an_endpoint_is_switched_off_though_its_url_is_no_longer_allowed(harness, status):
    plugins = "[plugins.json_api]\n[plugins.webhooks]\n"
    async with harness(plugins) as gateway:
        key = await gateway.issue_key()
        added = (await gateway.post("/api/webhooks/endpoints", key, {"url": URL})).json()
    async with harness(plugins + "[delivery]\nallow_http = false\n") as gateway:
        path = f"/api/webhooks/endpoints/{added['id']}"
        answer = await gateway.request("PATCH", path, key, {"status": status})
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == status
        moved = await gateway.request("PATCH", path, key, {"url": URL + "&x=1"})
        assert moved.status_code == 400


async def test_an_endpoint_is_changed_though_its_site_is_no_longer_configured(harness):
    plugins = "[plugins.json_api]\n[plugins.webhooks]\n"
    async with harness(plugins + SITES) as gateway:
        key = await gateway.issue_key()
        sent = {"url": URL, "site": "north"}
        added = (await gateway.post("/api/webhooks/endpoints", key, sent)).json()
    async with harness(plugins) as gateway:
        path = f"/api/webhooks/endpoints/{added['id']}"
        answer = await gateway.request("PATCH", path, key, {"description": "closed since"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["site"] == "north"
        moved = await gateway.request("PATCH", path, key, {"site": "main"})
        assert moved.status_code == 400


async def test_a_removed_endpoint_is_gone_and_its_log_stays(open_api):
    async with Receiver() as receiver, open_api() as api:
        added = await api.add(receiver.url)
        await api.order()
        [logged] = await api.logged(1)
        path = f"/webhooks/endpoints/{added['id']}"
        answer = await api.call("DELETE", path)
        assert (answer.status_code, answer.content) == (204, b"")
        await api.ask("GET", path, status=404)
        await api.ask("PATCH", path, {}, 404)
        await api.ask("DELETE", path, status=404)
        assert await api.ask("GET", "/webhooks/endpoints") == {"endpoints": []}
        assert await api.log() == [logged]
        assert await api.log(f"?endpoint={added['id']}") == [logged]
        assert (await api.delivery(logged["delivery_id"]))["attempts"] == [logged]
        await api.order()
        await api.idle()
    assert len(receiver.received) == 1


async def test_the_secret_of_a_removed_endpoint_is_gone_from_the_database(api):
    added = await api.add(URL, headers={"X-Token": "t0p-s3cret"})
    gateway = api.harness.gateway
    query = f"SELECT settings FROM destinations WHERE id = '{added['id']}'"

    async def kept():
        async with gateway.database.read() as connection:
            sealed = (await connection.exec_driver_sql(query)).scalar_one()
        return gateway.sealer.unseal(bytes(sealed), table="destinations", row_id=added["id"])

    before = await kept()
    assert added["secret"].encode() in before
    assert b"t0p-s3cret" in before
    await api.ask("DELETE", f"/webhooks/endpoints/{added['id']}", status=204)
    assert await kept() == b"{}"


async def test_secrets_and_headers_are_sealed_in_the_database(api, tmp_path):
    added = await api.add(URL, headers={"X-Token": "t0p-s3cret"})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files)
    assert added["id"].encode() in kept
    assert added["secret"].encode() not in kept
    assert added["secret"].removeprefix("whsec_").encode() not in kept
    assert b"t0p-s3cret" not in kept


async def test_each_change_of_an_endpoint_is_in_the_audit_trail(api):
    added = await api.add(URL)
    path = f"/webhooks/endpoints/{added['id']}"
    await api.change(added["id"], description="new")
    await api.ask("POST", f"{path}/rotate", {})
    await api.ask("POST", f"{path}/rotate/finish")
    await api.ask("DELETE", path, status=204)
    async with api.harness.gateway.database.read() as connection:
        rows = await connection.exec_driver_sql(
            f"SELECT action FROM audit WHERE subject = '{added['id']}' ORDER BY sequence"
        )
        assert list(rows.scalars()) == [
            "endpoint.added",
            "endpoint.changed",
            "endpoint.rotated",
            "endpoint.rotation_finished",
            "endpoint.removed",
        ]
