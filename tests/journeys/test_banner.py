"""A banner: three pharmacies in one account, endpoints for all of them and for one.

Each endpoint is told of its own sites' events and of nothing else; a key that is bound to a
site neither sees nor touches another's, on any route there is.
"""

import asyncio
from collections import Counter

import httpx
import pytest
from pictures import body, photo
from sqlalchemy import select
from waiting import PATIENCE_SECONDS

from gateway.storage.backup.write import saved_tables
from gateway.testing import Receiver

pytestmark = pytest.mark.slow

TOML = """
[limits]
orders_requests_per_minute = 100000
reads_per_minute = 100000
updates_requests_per_minute = 100000
[plugins.json_api]
[plugins.webhooks]
[plugins.rx_queue]
[plugins.csv]
[[sites]]
code = "lakeside"
name = "Lakeside Pharmacy"
[[sites]]
code = "northgate"
name = "Northgate Pharmacy"
[[sites]]
code = "harbour"
name = "Harbour Pharmacy"
"""
SITES = ("lakeside", "northgate", "harbour")
ORDERS = "/api/webhook/orders"
ENDPOINTS = "/api/webhooks/endpoints"
STEPS = ("delivery.picked_up", "delivery.completed")
RX = {"source": "fax", "patient": {"last_name": "Silva"}, "medication": {"drug_text": "x"}}


def order(site=None, **more):
    made = {"patient_name": "Ana Silva", "patient_address": "1 Lake Rd", **more}
    return made if site is None else {**made, "site": site}


async def handed_in(gateway, key, site=None, **more):
    """Hand an order in that is taken; returns the id of its package."""
    answer = await gateway.post(ORDERS, key, {"orders": [order(site, **more)]})
    assert answer.status_code == 200, answer.text
    [package] = answer.json()["package_ids"]
    return package


async def idle(gateway):
    """Wait until nothing is on its way any more."""
    engine, dispatcher = gateway.gateway.engine, gateway.gateway.dispatcher
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await dispatcher.destinations_with_work() or engine.lanes:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_each_endpoint_is_told_of_its_own_sites_and_of_what_it_asked_for(harness):
    subscriptions = {
        "warehouse": {"events": ["delivery.*"]},
        "reporting": {"events": ["package.created", "delivery.completed"], "format": "standard"},
        "lakeside": {"events": ["*"], "site": "lakeside"},
        "northgate": {"events": ["delivery.completed"], "site": "northgate", "format": "autorx"},
    }
    async with Receiver() as receiver, harness(TOML) as gateway:
        hub = await gateway.issue_key()
        for name, wanted in subscriptions.items():
            added = await gateway.post(ENDPOINTS, hub, {"url": f"{receiver.url}/{name}", **wanted})
            assert added.status_code == 201, added.text
        packages = {}
        for site in SITES:
            # A site's own key needn't say the site, the hub's has to
            own = await gateway.issue_key(site=site)
            packages[site] = [await handed_in(gateway, own), await handed_in(gateway, hub, site)]
            for package in packages[site]:
                for step in STEPS:
                    path = f"/api/packages/{package}/events"
                    assert (await gateway.post(path, own, {"event": step})).status_code == 200
        await receiver.wait_for(6 * 2 + 6 * 2 + 2 * 3 + 2 * 1)
        await idle(gateway)

    def told(name):
        """Return what an endpoint was told: how often of which event of which site."""
        of = {package: site for site in SITES for package in packages[site]}
        found = Counter()
        for webhook in receiver.received:
            if webhook.path == f"/{name}":
                body = webhook.json()
                kind = body.get("event") or body["type"]
                data = body["data"]
                found[kind, of[data.get("package_id") or data["packageId"]]] += 1
        return found

    steps = {(step, site): 2 for step in STEPS for site in SITES}
    created = {("package.created", site): 2 for site in SITES}
    assert told("warehouse") == steps
    assert told("reporting") == {
        **created,
        **{each: count for each, count in steps.items() if each[0] == "delivery.completed"},
    }
    assert told("lakeside") == {
        each: count for each, count in {**created, **steps}.items() if each[1] == "lakeside"
    }
    assert told("northgate") == {("delivery.completed", "northgate"): 2}


async def test_an_order_of_a_banner_says_its_site_or_comes_with_its_key(harness):
    async with harness(TOML) as gateway:
        hub, lakeside = await gateway.issue_key(), await gateway.issue_key(site="lakeside")
        nowhere = await gateway.post(ORDERS, hub, {"orders": [order()]})
        elsewhere = await gateway.post(ORDERS, lakeside, {"orders": [order("harbour")]})

    names = "name one of this account's sites (harbour, lakeside, northgate)"
    assert (nowhere.status_code, nowhere.json()["details"]) == (
        400,
        [{"index": 0, "field": "site", "message": f"site is required: {names}"}],
    )
    assert (elsewhere.status_code, elsewhere.json()["details"]) == (
        400,
        [{"index": 0, "field": "site", "message": "this key belongs to another site"}],
    )


async def test_two_sites_may_use_the_same_idempotency_key(harness):
    """Their tills count from 1 each; one's answer is none of the other's business."""
    once = {"Idempotency-Key": "1001"}
    async with harness(TOML) as gateway:
        keys = [await gateway.issue_key(site=site) for site in SITES] + [await gateway.issue_key()]
        answers = []
        for key, site in zip(keys, (None, None, None, "harbour"), strict=True):
            body = {"orders": [order(site)]}
            answers.append([await gateway.post(ORDERS, key, body, once) for _ in range(2)])

    packages = [answer.json()["package_ids"] for pair in answers for answer in pair]
    assert {each.status_code for pair in answers for each in pair} == {200}
    assert [pair[1].headers.get("idempotent-replayed") for pair in answers] == ["true"] * 4
    assert packages[::2] == packages[1::2]
    assert len({each for [each] in packages}) == 4


class Owner:
    """Lakeside, with one of everything that has an id."""

    def __init__(self, gateway, key):
        self.gateway, self.key = gateway, key
        self.ids = {}

    async def ask(self, method, path, body=None, status=200):
        answer = await self.gateway.request(method, path, self.key, body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def furnish(self, url):
        self.ids["package_id"] = await handed_in(self.gateway, self.key, rx_number="RX-1")
        sent = {"url": url, "events": ["*"]}
        self.ids["endpoint_id"] = (await self.ask("POST", ENDPOINTS, sent, 201))["id"]
        path = f"{ENDPOINTS}/{self.ids['endpoint_id']}"
        self.ids["delivery_id"] = (await self.ask("POST", f"{path}/test"))["id"]
        since = {"since": "2020-01-01T00:00:00Z"}
        self.ids["recovery_id"] = (await self.ask("POST", f"{path}/recover", since, 202))["id"]
        self.ids["queue_id"] = (await self.ask("POST", "/api/rx", RX, 202))["queueId"]
        self.ids["import_id"] = await self.imported()
        self.ids["key_id"] = (await self.ask("GET", "/api/keys"))["keys"][0]["id"]
        self.ids["file_id"] = await self.photographed()
        self.ids["token"] = "forged"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self.recovered():  # noqa: ASYNC110 - as asked
                await asyncio.sleep(0.05)
        await idle(self.gateway)

    async def recovered(self):
        shown = await self.ask("GET", f"/api/webhooks/recoveries/{self.ids['recovery_id']}")
        return shown["state"] == "done"

    async def photographed(self):
        sent, headers = body(photo(), kind="photo")
        path = f"/api/packages/{self.ids['package_id']}/files"
        answer = await self.gateway.request("POST", path, self.key, sent, headers)
        assert answer.status_code == 201, answer.text
        return answer.json()["file_id"]

    async def imported(self):
        async with httpx.AsyncClient(
            headers={"X-API-Key": self.key}, timeout=PATIENCE_SECONDS
        ) as http:
            file = {"file": ("a.csv", b"patient_name,patient_address\nAna,1 Lake Rd\n,\nBo,\n")}
            answer = await http.post(f"{self.gateway.url}/api/packages/import", files=file)
        assert answer.status_code == 200, answer.text
        return answer.headers["x-import-id"]

    async def everything(self):
        """Return every row of every table, but for the trail of who asked, agents' own included."""
        gateway = self.gateway.gateway
        tables = saved_tables(gateway.hooks.tables())
        own = {"audit", "patient_lookups", "api_keys", "rx_agents", "changes"}
        async with gateway.database.read() as connection:
            return {
                table.name: [tuple(row) for row in await connection.execute(select(table))]
                for table in tables
                if table.name not in own
            }


# What each route would take if it were allowed; those not named here take nothing.
# A signed-in person alone may call these; a key is refused before anything is looked up.
BY_SESSION = ("/api/session", "/api/people", "/api/emergencies")
BODIES = {
    "PATCH /api/packages/{package_id}": {"needs_person": True},
    "POST /api/packages/{package_id}/reveal": {"purpose": "care"},
    "PATCH /api/packages/imports/{import_id}/check": {"columns": {}},
    "PATCH /api/keys/{key_id}": {"scopes": ["packages.read"]},
    "POST /api/packages/{package_id}/events": {"event": "delivery.completed"},
    "PATCH /api/webhooks/endpoints/{endpoint_id}": {"description": "mine now"},
    "POST /api/webhooks/endpoints/{endpoint_id}/rotate": {"overlap_hours": 1},
    "POST /api/webhooks/endpoints/{endpoint_id}/recover": {"since": "2020-01-01T00:00:00Z"},
    "POST /api/webhooks/endpoints/{endpoint_id}/recover/rehearse": {
        "since": "2020-01-01T00:00:00Z"
    },
    "POST /api/rx/{queue_id}/result": {"lease_token": "t", "outcome": "failed", "reason": "x"},
    "POST /api/rx/{queue_id}/claim": {},
    "POST /api/rx/{queue_id}/release": {},
    "POST /api/rx/{queue_id}/resolve": {"note": "fine"},
    "POST /api/rx/{queue_id}/reject": {"reason": "no"},
}
INTRUDERS = {
    "another site": {"site": "northgate"},
    "another account": {"account_id": "other"},
    "test data": {"mode": "test", "site": "lakeside"},
}


async def routes(gateway):
    """Return method and path of every route that the gateway tells of."""
    paths = (await gateway.get("/openapi.json")).json()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


@pytest.mark.parametrize("intruder", INTRUDERS.values(), ids=INTRUDERS)
async def test_no_route_shows_or_changes_what_is_another_sites(harness, intruder):
    async with Receiver() as receiver, harness(TOML) as gateway:
        owner = Owner(gateway, await gateway.issue_key(site="lakeside"))
        await owner.furnish(receiver.url)
        key = await gateway.issue_key(**intruder)
        before = await owner.everything()
        sent = len(receiver.received)
        told = []
        for method, path in await routes(gateway):
            if path.startswith(("/health", "/metrics", *BY_SESSION)):
                continue
            if "{" in path:
                answer = await gateway.request(
                    method, path.format(**owner.ids, number=1), key, BODIES.get(f"{method} {path}")
                )
                assert answer.status_code == 404, f"{method} {path}: {answer.text}"
            elif method == "GET":
                answer = await gateway.get(path, key)
                assert answer.status_code == 200, f"{method} {path}: {answer.text}"
            else:
                continue
            told.append(answer.text)
        for path, body in (
            ("/api/packages/search", {"rx_number": "RX-1"}),
            ("/api/rx/lease", {"max": 10}),
        ):
            told.append((await gateway.post(path, key, body)).text)
        batch = {"events": [{"event": "completed", "package_id": owner.ids["package_id"]}]}
        refused = await gateway.post("/api/delivery-events", key, batch)
        await idle(gateway)

        assert await owner.everything() == before
        assert len(receiver.received) == sent
        # And all of it is there, for whoever it belongs to
        for method, path in await routes(gateway):
            if method != "GET" or "{" not in path or path.endswith("/check"):
                continue  # an import of this test was made in one step
            if not path.startswith(("/files/", *BY_SESSION)):
                answer = await gateway.get(path.format(**owner.ids, number=1), owner.key)
                assert answer.status_code == 200, f"{path}: {answer.text}"

    assert refused.status_code == 400
    for text in told:
        assert [name for name, each in owner.ids.items() if each in text] == []


async def test_an_endpoint_that_moves_to_a_site_brings_no_other_sites_deliveries_along(harness):
    async with Receiver() as receiver, harness(TOML) as gateway:
        hub, northgate = await gateway.issue_key(), await gateway.issue_key(site="northgate")
        added = await gateway.post(ENDPOINTS, hub, {"url": receiver.url})
        path = f"{ENDPOINTS}/{added.json()['id']}"
        await handed_in(gateway, hub, "lakeside")
        await handed_in(gateway, hub, "northgate")
        await receiver.wait_for(2)
        await idle(gateway)
        whole = (await gateway.get("/api/webhooks/logs", hub)).json()["attempts"]
        changed = await gateway.request("PATCH", path, hub, {"site": "northgate"})
        seen = (await gateway.get("/api/webhooks/logs", northgate)).json()["attempts"]
        answers = {
            each["delivery_id"]: (
                await gateway.get(f"/api/webhooks/deliveries/{each['delivery_id']}", northgate)
            ).status_code
            for each in whole
        }
        resent = [
            (await gateway.post(f"/api/webhooks/deliveries/{each}/resend", northgate)).status_code
            for each in answers
        ]

    assert changed.status_code == 200
    assert len(whole) == 2
    [own] = seen
    assert answers == {
        each["delivery_id"]: 200 if each["delivery_id"] == own["delivery_id"] else 404
        for each in whole
    }
    assert sorted(resent) == [200, 404]
