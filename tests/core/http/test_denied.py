"""Refused permissions, disclosures to other parties and reveals to people: noted, and bounded."""

import pytest
from session_browser import SessionBrowser

from gateway.clock import SteppingClock
from gateway.storage.stores.access_reports import AuditFilter

TOML = """
[plugins.json_api]
[plugins.webhooks]
[limits]
reads_per_minute = 10000
reveals_per_hour = 3
"""
ORDER = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St",
    "rx_number": "RX-8872341",
}


@pytest.fixture
def clock():
    return SteppingClock()


@pytest.fixture
async def gateway(harness, clock):
    async with harness(TOML, clock=clock) as running:
        yield running


async def trail(gateway, **wanted):
    caller = gateway.caller()
    async with gateway.gateway.database.read() as connection:
        return await gateway.gateway.reports.page(connection, caller, AuditFilter(500, **wanted))


async def placed(gateway, count=1):
    key = await gateway.issue_key()
    orders = [ORDER | {"rx_number": f"RX-{n}"} for n in range(count)]
    answer = await gateway.post("/api/webhook/orders", key, {"orders": orders})
    return [each["package_id"] for each in answer.json()["results"]]


async def test_a_refused_permission_is_noted_once_in_ten_minutes(gateway, clock):
    key = await gateway.issue_key(scopes=["orders.create"])
    for _ in range(50):
        for path in ("/api/packages", "/api/packages/pkg_1", "/api/webhooks/endpoints"):
            assert (await gateway.get(path, key)).status_code == 403

    rows = await trail(gateway, action="permission.denied")

    assert sorted((each.subject, each.kind, each.outcome, each.via) for each in rows) == [
        ("packages.read", "denied", "denied", "key"),
        ("webhooks.read", "denied", "denied", "key"),
    ]
    assert {each.address for each in rows} == {"127.0.0.1"}
    clock.step(601)
    await gateway.get("/api/packages", key)
    assert len(await trail(gateway, action="permission.denied")) == 3


async def test_a_scope_that_a_maker_lacks_is_noted(gateway):
    key = await gateway.issue_key(scopes=["keys.manage", "orders.create"])

    refused = await gateway.post("/api/keys", key, {"name": "x", "scopes": ["packages.read"]})

    assert refused.status_code == 403
    [row] = await trail(gateway, action="permission.denied")
    assert row.subject == "packages.read"


async def test_what_another_partys_key_is_shown_is_a_disclosure_to_it(gateway, clock):
    [package] = await placed(gateway)
    admin = await gateway.issue_key()
    made = await gateway.gateway.keys.issue(
        "dispatch app", account_id="default", actor="cli:0", scopes=["integration"],
        party="Lakeside Couriers",
    )  # fmt: skip
    masked = await gateway.gateway.keys.issue(
        "till", account_id="default", actor="cli:0", party="Another"
    )
    for key in (admin, made.key, made.key, masked.key):
        assert (await gateway.get(f"/api/packages/{package}", key)).status_code == 200
    clock.step(601)
    await gateway.get(f"/api/packages/{package}", made.key)

    answer = await gateway.post("/api/audit/disclosures", admin, {"rx_number": "RX-0"})

    assert [
        (each["recipient_name"], each["recipient"], each["what"], each["count"], each["fields"])
        for each in answer.json()["disclosures"]
    ] == [("Lakeside Couriers", made.id, "package.viewed", 1, ["contact", "identity", "rx"])] * 2


async def test_a_person_is_shown_so_many_records_an_hour(gateway, clock):
    packages = await placed(gateway, 4)
    browser = SessionBrowser(gateway, clock)
    await browser.become_owner()
    for package in [*packages[:3], packages[0]]:
        assert (await browser.get(f"/api/packages/{package}")).status_code == 200

    refused = await browser.get(f"/api/packages/{packages[3]}")

    assert refused.status_code == 429
    assert "revealed records per hour" in refused.json()["error"]
    assert "Maria" not in refused.text
    seen = await trail(gateway, action="package.viewed")
    assert packages[3] not in {each.subject for each in seen}
    key = await gateway.issue_key()  # programs have limits of their own
    assert (await gateway.get(f"/api/packages/{packages[3]}", key)).status_code == 200
