"""Every route with every preset of scopes: allowed, masked or refused, exactly as the table says.

The table below is the contract of the routes that it names. A route that it doesn't name is for
the presets that have the permission it declares; one for people alone lets no key in.
"""

import json
from typing import Any, Final

import pytest
from waiting import until

from gateway.auth.roles import PRESETS
from gateway.http.app import create_litestar
from gateway.http.auth import declared_routes, needed
from gateway.testing import Receiver

TOML: Final = """
[limits]
reads_per_minute = 100000
updates_requests_per_minute = 100000
orders_requests_per_minute = 100000
[[sites]]
code = "main"
name = "Lakeside"
[[sites]]
code = "north"
name = "Northside"
[plugins.json_api]
[plugins.csv]
[plugins.webhooks]
[plugins.rx_queue]
[plugins.shopify]
"""
ORDER: Final = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St, Miami, FL 33178",
    "patient_phone": "+13055550123",
    "patient_email": "maria@example.com",
    "rx_number": "RX-8872341",
    "notes": "key under the mat",
    "external_patient_id": "PMS-9081",
    "external_order_id": "SO-1001",
    "metadata": {"gift": "for her daughter"},
    "site": "main",
}
PATIENT: Final = {
    "external_patient_id": "P-1204",
    "first_name": "Ana",
    "last_name": "Silva",
    "dob": "1950-02-01",
    "allergies": ["penicillin"],
}
RX: Final = {
    "external_id": "FAX-2231-1",
    "site": "main",
    "patient": PATIENT,
    "prescriber": {"name": "Dr. Lee"},
    "medication": {"din": "02242705", "drug_text": "atorvastatin", "sig": "1 tab daily"},
}
SECRETS: Final = (
    *("Rodriguez", "123 Main", "33178", "5550123", "maria@", "8872341", "mat", "PMS-9081"),
    *("SO-1001", "daughter", "Silva", "1950-02-01", "penicillin", "P-1204", "Dr. Lee"),
    *("02242705", "atorvastatin", "1 tab daily", "FAX-2231", "sig.png", "25.86"),
)

ORDERS, INTEGRATION = {"orders", "integration", "all", "legacy"}, {"integration", "all", "legacy"}
WEBHOOKS, AGENT, REST = {"webhooks", "all", "legacy"}, {"agent", "all", "legacy"}, {"all", "legacy"}
EVERYBODY, ONLY_ALL = {*ORDERS, "webhooks", "agent"}, {"all"}
TABLE: Final[dict[str, set[str]]] = {
    "POST /api/webhook/orders": ORDERS,
    "GET /api/packages": ORDERS,
    "POST /api/packages/search": ORDERS,
    "GET /api/packages/{package_id}": ORDERS,
    "PATCH /api/packages/{package_id}": REST,
    "GET /api/packages/{package_id}/events": ORDERS,
    "POST /api/packages/{package_id}/events": ORDERS,
    "POST /api/delivery-events": ORDERS,
    "GET /api/event-types": EVERYBODY,
    "POST /api/packages/import": REST,
    "GET /api/packages/imports/{import_id}": REST,
    "GET /api/packages/imports/{import_id}/rejected": REST,
    "GET /api/packages/imports": REST,
    "POST /api/packages/imports": REST,
    "DELETE /api/packages/imports/{import_id}": REST,
    "GET /api/packages/imports/{import_id}/check": REST,
    "PATCH /api/packages/imports/{import_id}/check": REST,
    "POST /api/packages/imports/{import_id}/samples": REST,
    "POST /api/packages/imports/{import_id}/start": REST,
    "POST /api/packages/imports/{import_id}/stop": REST,
    "POST /api/packages/imports/{import_id}/undo": REST,
    "GET /api/webhooks/endpoints": WEBHOOKS,
    "POST /api/webhooks/endpoints": WEBHOOKS,
    "GET /api/webhooks/endpoints/{endpoint_id}": WEBHOOKS,
    "PATCH /api/webhooks/endpoints/{endpoint_id}": WEBHOOKS,
    "DELETE /api/webhooks/endpoints/{endpoint_id}": WEBHOOKS,
    "POST /api/webhooks/endpoints/{endpoint_id}/rotate": WEBHOOKS,
    "POST /api/webhooks/endpoints/{endpoint_id}/rotate/finish": WEBHOOKS,
    "POST /api/webhooks/endpoints/{endpoint_id}/test": WEBHOOKS,
    "POST /api/webhooks/endpoints/{endpoint_id}/enable": WEBHOOKS,
    "POST /api/webhooks/endpoints/{endpoint_id}/recover": WEBHOOKS,
    "GET /api/webhooks/recoveries/{recovery_id}": WEBHOOKS,
    "GET /api/webhooks/logs": WEBHOOKS,
    "GET /api/webhooks/deliveries/{delivery_id}": WEBHOOKS,
    "POST /api/webhooks/deliveries/{delivery_id}/resend": WEBHOOKS,
    "POST /api/rx": REST,
    "GET /api/rx": REST,
    "GET /api/rx/{queue_id}": REST,
    "POST /api/rx/lease": AGENT,
    "POST /api/rx/{queue_id}/result": AGENT,
    "POST /api/rx/{queue_id}/claim": REST,
    "POST /api/rx/{queue_id}/release": REST,
    "POST /api/rx/{queue_id}/resolve": REST,
    "POST /api/rx/{queue_id}/reject": REST,
    "POST /api/rx/{queue_id}/recall": REST,
    "GET /api/shopify/orders": ORDERS,
    "POST /api/shopify/orders/{order_id}/release": REST,
    "POST /api/shopify/orders/{order_id}/clear": REST,
    "GET /api/keys": ONLY_ALL,
    "POST /api/keys": ONLY_ALL,
    "DELETE /api/keys/{key_id}": ONLY_ALL,
}
KEYS: Final = (*PRESETS, "all")


def routes_of(gateway) -> dict[str, Any]:
    """Return the options of every route that needs a key, by method and path."""
    return {
        f"{method} {path}": options
        for method, path, options in declared_routes(create_litestar(gateway))
        if not options.get("public")
    }


async def keys_of(gateway) -> dict[str, str]:
    """Issue a key of each preset; one from before there were scopes for ``legacy``."""
    scopes = {name: [name] if name != "legacy" else sorted(PRESETS["legacy"]) for name in KEYS}
    return {name: await gateway.issue_key(scopes=each) for name, each in scopes.items()}


async def test_the_table_names_no_route_that_is_gone(harness):
    async with harness(TOML) as gateway:
        found = set(routes_of(gateway.gateway))

    assert sorted(set(TABLE) - found) == []


def expected(name: str, options: dict[str, Any], every: frozenset[str]) -> set[str]:
    """Return the presets that a route lets in."""
    if options.get("session"):
        return set()
    if name in TABLE:
        return TABLE[name]
    having = {**PRESETS, "all": every}
    wanted = {*needed(options)} - {"any"}
    return {preset for preset, scopes in having.items() if wanted <= scopes}


@pytest.mark.parametrize("preset", KEYS)
async def test_every_route_lets_in_exactly_the_keys_of_the_table(harness, preset):
    wrong = []
    async with harness(TOML) as gateway:
        key = (await keys_of(gateway))[preset]
        for name, options in routes_of(gateway.gateway).items():
            method, path = name.split(" ")
            path = path.replace("{import_id}", "imp_1").replace("{email}", "a@b.c")
            path = path.replace("{number}", "1")
            for part in (
                *("package", "endpoint", "recovery", "delivery", "queue", "order", "key"),
                *("session", "factor", "person"),
            ):
                path = path.replace(f"{{{part}_id}}", "nowhere")
            media = options.get("media", ("application/json",))[0]
            body = b"{}" if method not in {"GET", "DELETE"} else None
            headers = {} if body is None else {"Content-Type": media}
            answer = await gateway.request(method, path, key, body, headers)
            # A page sends a caller who isn't signed in to the page of signing in.
            refusals = {303, 307, 401, 403} if options.get("session") else {401, 403}
            is_refused = answer.status_code in refusals
            allowed = preset in expected(name, options, gateway.gateway.permissions.names)
            if is_refused is allowed or answer.status_code >= 500:
                wrong.append(f"{preset}: {name} answers {answer.status_code}")
            if answer.status_code == 403 and not options.get("session"):
                [detail] = answer.json()["details"]
                assert any(each in detail["message"] for each in needed(options)), name
                assert answer.json()["code"] == "forbidden"

    assert wrong == []


@pytest.fixture
async def filled(harness):
    """Return a gateway with a delivered order, a job in review, and the ids of both."""
    async with harness(TOML) as gateway:
        key = await gateway.issue_key()
        answer = await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
        [package] = answer.json()["package_ids"]
        proof = {"signature_url": "https://example.com/sig.png", "lat": 25.86, "lng": -80.29}
        done = {"event": "delivery.completed", "proof": proof, "notes": "key under the mat"}
        answer = await gateway.post(f"/api/packages/{package}/events", key, done)
        assert answer.status_code == 200, answer.text
        answer = await gateway.post("/api/rx", key, RX)
        assert answer.status_code == 202, answer.text
        yield gateway, package, answer.json()["queueId"]


def reads(package: str, job: str) -> list[tuple[str, str, Any]]:
    return [
        ("GET", "/api/packages", None),
        ("GET", f"/api/packages/{package}", None),
        ("GET", f"/api/packages/{package}/events", None),
        ("POST", "/api/packages/search", {"rx_number": "RX-8872341"}),
        ("POST", "/api/packages/search", {"external_order_id": "SO-1001"}),
        ("GET", f"/api/rx/{job}", None),
        ("GET", "/api/rx", None),
        ("GET", "/api/shopify/orders", None),
    ]


async def test_what_is_read_is_masked_for_a_key_that_reveals_nothing(filled):
    gateway, package, job = filled
    key = await gateway.issue_key(scopes=["orders", "rx.read", "rx.review", "events.read"])

    for method, path, body in reads(package, job):
        answer = await gateway.request(method, path, key, body)
        assert answer.status_code == 200, answer.text
        leaked = [each for each in SECRETS if each in answer.text]
        assert leaked == [], f"{method} {path}: {answer.text}"
    shown = (await gateway.get(f"/api/packages/{package}", key)).json()
    assert (shown["patient_name"], shown["patient_address"], shown["rx_number"]) == (
        "Maria R.",
        "Main St, Miami, FL",
        "…2341",
    )
    patient = (await gateway.get(f"/api/rx/{job}", key)).json()["prescription"]["patient"]
    assert (patient["first_name"], patient["last_name"], patient["dob"]) == ("Ana", "S.", None)


async def test_what_is_read_is_whole_for_a_key_that_reveals_both(filled):
    gateway, package, job = filled
    key = await gateway.issue_key(scopes=["orders", "rx.read", "reveal.contact", "reveal.rx"])

    texts = [
        (await gateway.request(method, path, key, body)).text
        for method, path, body in reads(package, job)
    ]

    assert [each for each in SECRETS if each not in "".join(texts)] == []
    order = json.loads(texts[1])
    assert {name: order[name] for name in ORDER} == ORDER


async def test_each_reveal_permission_shows_its_own_part(filled):
    gateway, package, job = filled
    contact = await gateway.issue_key(scopes=["orders", "rx.read", "reveal.contact"])
    rx = await gateway.issue_key(scopes=["orders", "rx.read", "reveal.rx"])

    with_contact = (await gateway.get(f"/api/packages/{package}", contact)).json()
    with_rx = (await gateway.get(f"/api/packages/{package}", rx)).json()
    job_with_contact = (await gateway.get(f"/api/rx/{job}", contact)).json()["prescription"]
    job_with_rx = (await gateway.get(f"/api/rx/{job}", rx)).json()["prescription"]

    assert (with_contact["patient_phone"], with_contact["rx_number"]) == ("+13055550123", "…2341")
    assert (with_rx["patient_phone"], with_rx["rx_number"]) == (None, "RX-8872341")
    assert (job_with_contact["patient"]["dob"], job_with_contact["medication"]) == (
        "1950-02-01",
        None,
    )
    assert job_with_rx["patient"]["dob"] is None
    assert job_with_rx["medication"] != {}


async def test_the_default_key_sends_orders_and_does_nothing_that_a_thief_wants(filled):
    gateway, package, job = filled
    issued = await gateway.gateway.keys.issue("till", account_id="default", actor="cli:0")
    key = issued.key

    sent = await gateway.post(
        "/api/webhook/orders", key, {"orders": [{**ORDER, "external_order_id": "SO-2"}]}
    )
    picked_up = {"event": "delivery.assigned"}
    [new] = sent.json()["package_ids"]
    moved = await gateway.post(f"/api/packages/{new}/events", key, picked_up)
    assert (sent.status_code, moved.status_code) == (200, 200)
    assert "Rodriguez" not in (await gateway.get(f"/api/packages/{package}", key)).text
    for path, body, permission in (
        ("/api/webhooks/endpoints", {"url": "https://example.com/"}, "webhooks.manage"),
        ("/api/rx/lease", {"max": 1}, "rx.agent"),
        (f"/api/rx/{job}/resolve", {}, "rx.review"),
        ("/api/keys", {"name": "more"}, "keys.manage"),
    ):
        answer = await gateway.post(path, key, body)
        assert answer.status_code == 403
        assert permission in answer.json()["error"]


async def test_a_receivers_answer_is_not_shown_to_a_key_that_reveals_nothing(filled):
    gateway, _, _ = filled
    every = await gateway.issue_key()
    key = await gateway.issue_key(scopes=["webhooks"])
    order = {**ORDER, "external_order_id": "SO-9"}
    async with Receiver() as receiver:
        body = {"url": receiver.url, "events": ["package.created"]}
        endpoint = (await gateway.post("/api/webhooks/endpoints", every, body)).json()["id"]
        await gateway.post("/api/webhook/orders", every, {"orders": [order]})
        await receiver.wait_for(1)
        tried = await gateway.post(f"/api/webhooks/endpoints/{endpoint}/test", key)

    [attempt] = tried.json()["attempts"]  # of a test event, which holds no patient data
    assert attempt["response"] == "ok"
    whole = await until(lambda: logged(gateway, every))
    assert whole[0]["response"] == "ok"
    [masked] = await logged(gateway, key)
    assert masked["response"] == ""
    path = f"/api/webhooks/deliveries/{masked['delivery_id']}"
    assert (await gateway.get(path, key)).json()["attempts"][0]["response"] == ""


async def logged(gateway, key):
    answer = await gateway.get("/api/webhooks/logs?event=package.created", key)
    return answer.json()["attempts"]


async def test_a_key_of_another_account_mode_or_site_finds_nothing(filled):
    gateway, package, job = filled
    keys = [
        await gateway.issue_key(account_id="other"),
        await gateway.issue_key(mode="test"),
        await gateway.issue_key(site="north"),
    ]

    for key in keys:
        assert (await gateway.get(f"/api/packages/{package}", key)).status_code == 404
        assert (await gateway.get(f"/api/rx/{job}", key)).status_code == 404
        assert (await gateway.get("/api/packages", key)).json()["packages"] == []


async def test_a_narrowed_key_is_narrower_from_the_next_request_on(filled):
    gateway, package, _ = filled
    keys = gateway.gateway.keys
    issued = await keys.issue("till", account_id="default", actor="cli:0", scopes=["integration"])
    assert "Rodriguez" in (await gateway.get(f"/api/packages/{package}", issued.key)).text

    await keys.narrow(issued.id, actor="cli:0", scopes=["packages.read"])

    assert "Rodriguez" not in (await gateway.get(f"/api/packages/{package}", issued.key)).text
    answer = await gateway.post("/api/webhook/orders", issued.key, {"orders": [ORDER]})
    assert answer.json()["code"] == "forbidden"
