"""Who gets which event, and which key sees which endpoint: accounts, modes, sites, patterns."""

import asyncio
import socket

import pytest
from gateway_webhooks.endpoints import Endpoints
from gateway_webhooks.schema import EndpointChange, EndpointIn
from gateway_webhooks.signing import sign_scriptrun
from hostile import answering, saying, serving, silent

from gateway.plugin import AddressGuard
from gateway.testing import Receiver

SITES = """
[[sites]]
code = "main"
name = "Lakeside Pharmacy"
[[sites]]
code = "north"
name = "Northside Pharmacy"
"""
URL = "http://127.0.0.1:9/"

# Every address that takes an id, as /openapi.json has it.
ROUTES = [
    ("GET", "/webhooks/endpoints/{endpoint_id}", None),
    ("PATCH", "/webhooks/endpoints/{endpoint_id}", {"status": "disabled"}),
    ("DELETE", "/webhooks/endpoints/{endpoint_id}", None),
    ("POST", "/webhooks/endpoints/{endpoint_id}/rotate", {}),
    ("POST", "/webhooks/endpoints/{endpoint_id}/rotate/finish", None),
    ("POST", "/webhooks/endpoints/{endpoint_id}/test", None),
    ("POST", "/webhooks/endpoints/{endpoint_id}/enable", None),
    ("POST", "/webhooks/endpoints/{endpoint_id}/recover", {"since": "2020-01-01T00:00:00Z"}),
    (
        "POST",
        "/webhooks/endpoints/{endpoint_id}/recover/rehearse",
        {"since": "2020-01-01T00:00:00Z"},
    ),
    ("POST", "/webhooks/endpoints/{endpoint_id}/preview", {}),
    ("GET", "/webhooks/endpoints/{endpoint_id}/stats", None),
    ("GET", "/webhooks/endpoints/{endpoint_id}/fields", None),
    ("GET", "/webhooks/recoveries/{recovery_id}", None),
    ("GET", "/webhooks/deliveries/{delivery_id}", None),
    ("GET", "/webhooks/deliveries/{delivery_id}/attempts/{number}", None),
    ("POST", "/webhooks/deliveries/{delivery_id}/resend", None),
]
UNKNOWN_IDS = {
    "endpoint_id": "dst_0",
    "delivery_id": "dlv_0",
    "recovery_id": "rcv_0",
    "number": "1",
}
STRANGERS = {
    "another account": {"account_id": "another"},
    "a test key": {"mode": "test"},
    "a key of another site": {"site": "north"},
}


def by_path(receiver):
    found = {}
    for each in receiver.received:
        found.setdefault(each.path[1:], []).append(each.headers["x-scriptrun-event"])
    return {path: sorted(events) for path, events in found.items()}


async def test_the_table_has_every_address_that_takes_an_id(api):
    paths = (await api.harness.get("/openapi.json")).json()["paths"]
    documented = {
        (method.upper(), path.removeprefix("/api"))
        for path, operations in paths.items()
        for method in operations
        if path.startswith("/api/webhooks/") and "{" in path
    }
    assert documented == {(method, path) for method, path, _ in ROUTES}


@pytest.mark.parametrize("reach", STRANGERS.values(), ids=STRANGERS.keys())
async def test_another_accounts_id_is_not_found_in_any_call(open_api, reach):
    async with Receiver() as receiver, open_api(SITES) as api:
        added = await api.add(receiver.url, site="main", events=["package.created"])
        del added["secret"]
        await api.order(site="main")
        [logged] = await api.logged(1)
        path = f"/webhooks/endpoints/{added['id']}/recover"
        recovery = await api.ask("POST", path, {"since": "2020-01-01T00:00:00Z"}, 202)
        before = await api.show(added["id"]), await api.delivery(logged["delivery_id"])
        stranger = await api.with_key(**reach)

        ids = {
            "endpoint_id": added["id"],
            "delivery_id": logged["delivery_id"],
            "recovery_id": recovery["id"],
            "number": "1",
        }
        for method, path, body in ROUTES:
            theirs = await stranger.call(method, path.format(**ids), body)
            unknown = await stranger.call(method, path.format(**UNKNOWN_IDS), body)
            assert (method, path, theirs.status_code) == (method, path, 404)
            assert theirs.content == unknown.content
        assert await stranger.ask("GET", "/webhooks/endpoints") == {"endpoints": []}
        assert await stranger.log() == []
        assert await stranger.log(f"?endpoint={added['id']}") == []

        await api.idle()
        after = await api.show(added["id"]), await api.delivery(logged["delivery_id"])
        assert after == before
    assert len(receiver.received) == 1


@pytest.mark.parametrize("key", [None, "sk_live_unknown"], ids=["no key", "unknown key"])
async def test_nothing_is_answered_without_a_key_that_holds(api, key):
    added = await api.add(URL)
    stranger = type(api)(api.harness, key)
    for method, path, body in ROUTES:
        ids = UNKNOWN_IDS | {"endpoint_id": added["id"]}
        answer = await stranger.call(method, path.format(**ids), body)
        assert (method, path, answer.status_code) == (method, path, 401)


async def test_each_endpoint_gets_the_events_that_its_patterns_ask_for(open_api):
    patterns = {
        "star": ["*"],
        "group": ["delivery.*"],
        "one": ["package.created"],
        "two": ["delivery.completed", "package.created"],
        "twice": ["delivery.*", "delivery.completed"],
        "other": ["rx.*", "endpoint.*", "webhook.*"],
    }
    async with Receiver() as receiver, open_api() as api:
        for name, events in patterns.items():
            await api.add(f"{receiver.url}/{name}", events=events)
        package_id = await api.order()
        await api.report(package_id, "delivery.picked_up")
        await api.report(package_id, "delivery.completed")
        await receiver.wait_for(10)
        await api.idle()
    assert by_path(receiver) == {
        "star": ["delivery.completed", "delivery.picked_up", "package.created"],
        "group": ["delivery.completed", "delivery.picked_up"],
        "one": ["package.created"],
        "two": ["delivery.completed", "package.created"],
        "twice": ["delivery.completed", "delivery.picked_up"],
    }


async def test_an_endpoint_of_a_site_gets_that_sites_events_only(open_api):
    async with Receiver() as receiver, open_api(SITES) as api:
        await api.add(f"{receiver.url}/main", site="main")
        await api.add(f"{receiver.url}/north", site="north")
        await api.add(f"{receiver.url}/all")
        at_main = await api.order(site="main")
        at_north = await api.order(site="north")
        await receiver.wait_for(4)
        await api.idle()
    arrived = sorted((each.path, each.json()["data"]["package_id"]) for each in receiver.received)
    assert arrived == sorted(
        [("/main", at_main), ("/north", at_north), ("/all", at_main), ("/all", at_north)]
    )


async def test_events_of_a_test_key_reach_test_endpoints_only(open_api):
    async with Receiver() as receiver, open_api() as live:
        test = await live.with_key(mode="test")
        added = await test.add(f"{receiver.url}/test")
        assert added["mode"] == "test"
        await live.add(f"{receiver.url}/live")
        in_test, in_live = await test.order(), await live.order()
        await receiver.wait_for(2)
        await live.idle()
        [seen] = (await test.ask("GET", "/webhooks/endpoints"))["endpoints"]
        assert seen["id"] == added["id"]
        [logged] = await test.log()
    assert {each.path: each.json()["data"]["package_id"] for each in receiver.received} == {
        "/test": in_test,
        "/live": in_live,
    }
    assert logged["endpoint_id"] == added["id"]


async def test_a_key_of_a_site_sees_and_makes_that_sites_endpoints_only(open_api):
    async with Receiver() as receiver, open_api(SITES) as api:
        at_main = await api.with_key(site="main")
        everywhere = await api.add(f"{receiver.url}/all")
        await api.add(f"{receiver.url}/north", site="north")
        own = await at_main.add(f"{receiver.url}/own")
        assert own["site"] == "main"
        assert (await at_main.add(f"{receiver.url}/named", site="main"))["site"] == "main"
        listed = (await at_main.ask("GET", "/webhooks/endpoints"))["endpoints"]
        assert [each["url"].rpartition("/")[2] for each in listed] == ["own", "named"]
        await at_main.ask("GET", f"/webhooks/endpoints/{everywhere['id']}", status=404)
        await api.order(site="main")
        await receiver.wait_for(3)
        await api.logged(3)
        logged = await at_main.log()
        assert {each["endpoint_id"] for each in logged} == {each["id"] for each in listed}


@pytest.mark.parametrize("site", ["north", "elsewhere"])
async def test_a_key_of_a_site_cannot_reach_further(open_api, site):
    refusal = {
        "error": "The endpoint has faults.",
        "code": "invalid_input",
        "details": [{"message": "this key belongs to another site", "field": "site"}],
    }
    async with open_api(SITES) as api:
        at_main = await api.with_key(site="main")
        sent = {"url": URL, "site": site}
        assert await at_main.ask("POST", "/webhooks/endpoints", sent, 400) == refusal
        added = await at_main.add(URL)
        path = f"/webhooks/endpoints/{added['id']}"
        assert await at_main.ask("PATCH", path, {"site": site}, 400) == refusal
        # Asking for every site means, for this key, every site that it reaches.
        assert (await at_main.change(added["id"], site=None))["site"] == "main"


async def test_a_site_that_the_account_does_not_have_is_refused(open_api):
    foreign = SITES + '[[sites]]\ncode = "far"\nname = "Far"\naccount = "another"\n'
    async with open_api(foreign) as api:
        for site in ("far", "nowhere", ""):
            assert await api.ask(
                "POST", "/webhooks/endpoints", {"url": URL, "site": site}, 400
            ) == {
                "error": "The endpoint has faults.",
                "code": "invalid_input",
                "details": [
                    {
                        "message": "unknown site; use the code of one of the account's sites in "
                        "gateway.toml",
                        "field": "site",
                    }
                ],
            }
        another = await api.with_key(account_id="another")
        assert (await another.add(URL, site="far"))["site"] == "far"


HIDDEN = {"Authorization": "Bearer of-the-old-host"}


async def test_headers_and_secret_do_not_survive_a_move_to_another_host(open_api):
    async with Receiver() as old, Receiver() as other, open_api() as api:
        added = await api.add(old.url, headers=HIDDEN, events=["package.created"])
        await api.ask("POST", f"/webhooks/endpoints/{added['id']}/rotate", {})
        stranger = await api.with_key()
        moved = await stranger.change(added["id"], url=other.url)
        await api.order()
        [received] = await other.wait_for(1)

    assert moved["header_names"] == []
    assert moved["rotation_ends_at"] is None
    assert moved["secret"] not in {None, added["secret"]}
    assert "authorization" not in received.headers
    sent = received.headers["x-scriptrun-signature"]
    at = int(sent.partition(",")[0].removeprefix("t="))
    assert sent == sign_scriptrun(moved["secret"], at, received.body)


async def test_headers_and_secret_stay_at_another_path_of_the_same_host(open_api):
    async with open_api() as api:
        added = await api.add("https://hooks.example.com/a", headers=HIDDEN)
        moved = await api.change(added["id"], url="https://HOOKS.example.com/b?c=1")

    assert moved["header_names"] == ["Authorization"]
    assert "secret" not in moved


async def test_a_move_to_another_host_may_bring_headers_along(open_api):
    async with open_api() as api:
        added = await api.add("https://hooks.example.com/", headers=HIDDEN)
        own = {"X-Token": "new"}
        moved = await api.change(added["id"], url="https://other.example.com/", headers=own)

    assert moved["header_names"] == ["X-Token"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST"])
async def test_the_name_of_a_new_endpoint_is_looked_up(harness, host):
    """Refused when it is added, with the reason, and not only when it is called."""
    async with harness("[delivery]\nallow_networks = []\n[plugins.webhooks]") as gateway:
        key = await gateway.issue_key()
        path = "/api/webhooks/endpoints"
        refused = await gateway.post(path, key, {"url": f"https://{host}/"})
        added = await gateway.post(path, key, {"url": "https://hooks.example.com/"})
        endpoint = f"{path}/{added.json()['id']}"
        moved = await gateway.request("PATCH", endpoint, key, {"url": f"https://{host}/"})

    assert added.status_code == 201  # a name that can't be looked up now may be there later
    for answer in (refused, moved):
        assert answer.status_code == 400
        [problem] = answer.json()["details"]
        assert problem["field"] == "url"
        assert "loopback" in problem["message"]


# Private networks that the settings allow: their answers are the operator's alone

PRIVATE = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
timeout_seconds = 1
"""
SECRETS = b"the router's own page"


def operators(api):
    """Return what the command line uses."""
    guard = AddressGuard.of(allow_http=True, allow_networks=["127.0.0.0/8"])
    return Endpoints(api.harness.gateway, guard, by_operator=True)


async def first_attempt(api, endpoint_id):
    tested = await api.ask("POST", f"/webhooks/endpoints/{endpoint_id}/test")
    [attempt] = tested["attempts"]
    return attempt


async def test_a_key_reads_no_answers_out_of_a_private_network(open_api):
    moved = b"Location: http://10.0.0.7/admin\r\n"
    async with open_api(PRIVATE) as api, serving(answering("302 Moved", SECRETS, moved)) as server:
        added = await api.add(f"http://127.0.0.1:{server.port}/")
        attempt = await first_attempt(api, added["id"])
        [logged] = await api.logged(1)

    assert (attempt["status"], attempt["error"], attempt["response"]) == (302, None, "")
    assert logged == attempt


async def test_an_endpoint_is_no_port_scanner(open_api):
    """A closed port, one that is silent and one that speaks something else look the same."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    async with (
        open_api(PRIVATE) as api,
        serving(saying(b"SSH-2.0-OpenSSH_9.7\r\n")) as other,
        serving(silent()) as quiet,
    ):
        seen, loop = [], asyncio.get_running_loop()
        for port in (closed, other.port, quiet.port):
            added = await api.add(f"http://127.0.0.1:{port}/")
            began = loop.time()
            attempt = await first_attempt(api, added["id"])
            assert loop.time() - began >= 0.95, "each takes as long as the silent one"
            seen.append((attempt["error"], attempt["status"], attempt["duration_ms"]))

    assert seen == [("unreachable", None, 0)] * 3
    assert "the operator added" in attempt["explanation"]


async def test_the_operator_s_own_endpoint_shows_answers_until_a_key_changes_its_url(open_api):
    async with open_api(PRIVATE) as api, serving(answering("500 No", SECRETS)) as server:
        service, caller = operators(api), api.harness.caller()
        url = f"http://127.0.0.1:{server.port}/"
        added, _ = await service.add(caller, EndpointIn(url=url))
        shown = await first_attempt(api, added.id)
        await api.change(added.id, url=url, description="same place")
        still_shown = await first_attempt(api, added.id)
        await api.change(added.id, url=f"{url}admin")
        hidden = await first_attempt(api, added.id)
        await service.change(caller, added.id, EndpointChange(url=f"{url}admin"))
        shown_again = await first_attempt(api, added.id)

    responses = [each["response"] for each in (shown, still_shown, hidden, shown_again)]
    assert responses == [SECRETS.decode(), SECRETS.decode(), "", SECRETS.decode()]


async def test_a_trusted_account_reads_answers_out_of_a_private_network(open_api):
    trusting = PRIVATE + 'trusted_accounts = ["default"]\n'
    async with open_api(trusting) as api, serving(answering("500 No", SECRETS)) as server:
        added = await api.add(f"http://127.0.0.1:{server.port}/")
        attempt = await first_attempt(api, added["id"])

    assert attempt["response"] == SECRETS.decode()
