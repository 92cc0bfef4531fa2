"""Keys over HTTP: nobody grants what they lack."""

from datetime import timedelta

import pytest

from gateway.clock import SteppingClock
from gateway.model.account import Caller

TOML = """
[[sites]]
code = "main"
name = "Lakeside"
[[sites]]
code = "north"
name = "Northside"
[plugins.json_api]
"""
OWN = ["keys.manage", "orders.create", "packages.read"]


@pytest.fixture
async def gateway(harness):
    async with harness(TOML) as running:
        yield running


async def made(gateway, key, **body):
    return await gateway.post("/api/keys", key, {"name": "till"} | body)


async def test_a_key_is_created_listed_and_revoked(gateway):
    admin = await gateway.issue_key(scopes=[*OWN, "packages.update"])

    answer = await made(gateway, admin, expires_in_days=30)

    assert answer.status_code == 201
    new = answer.json()
    assert new["scopes"] == ["orders.create", "packages.read", "packages.update"]
    assert new["key"].startswith("sk_live_")
    assert (await gateway.get("/api/packages", new["key"])).status_code == 200
    listed = (await gateway.get("/api/keys", admin)).json()["keys"]
    assert [each["name"] for each in listed] == ["test", "till"]
    assert listed[1] == {
        **{name: new[name] for name in ("id", "name", "mode", "site", "scopes", "expires_at")},
        "prefix": new["key"][:12],
        "state": "active",
        "created_at": listed[1]["created_at"],
        "last_used_at": listed[1]["last_used_at"],
        "revoked_at": None,
        "made_by": None,
        "party": None,
    }

    revoked = await gateway.request("DELETE", f"/api/keys/{new['id']}", admin)

    assert (revoked.status_code, revoked.json()["state"]) == (200, "revoked")
    assert (await gateway.get("/api/packages", new["key"])).status_code == 401


@pytest.mark.parametrize(
    ("body", "status", "code", "named"),
    [
        ({}, 403, "forbidden", "packages.update"),  # part of the preset orders
        ({"scopes": ["reveal.contact"]}, 403, "forbidden", "reveal.contact"),
        ({"scopes": ["webhooks"]}, 403, "forbidden", "deliveries.resend"),
        ({"scopes": ["keys.manage"]}, 403, "not_allowed", "keys.manage"),
        ({"scopes": ["people.manage"]}, 403, "not_allowed", "people.manage"),
        ({"scopes": ["audit.read"]}, 403, "not_allowed", "audit.read"),
        ({"scopes": ["reports.access"]}, 403, "not_allowed", "reports.access"),
        ({"scopes": ["all"]}, 403, "not_allowed", "audit.read"),
        ({"scopes": ["orders.create"], "mode": "test"}, 403, "not_allowed", "live"),
        ({"scopes": ["orders.craete"]}, 400, "invalid_input", "orders.create"),
        ({"scopes": []}, 400, "invalid_input", "length"),
        ({"scopes": ["legacy"]}, 400, "invalid_input", "orders"),
        ({"name": " "}, 400, "invalid_input", "one line"),
        ({"name": "a\nb"}, 400, "invalid_input", "one line"),
        ({"scopes": ["orders.create"], "site": "west"}, 400, "invalid_input", "account's sites"),
        ({"scopes": ["orders.create"], "expires_in_days": 0}, 400, "invalid_input", ">= 1"),
        ({"scopes": ["orders.create"], "account": "x"}, 400, "invalid_input", "account"),
    ],
)
async def test_a_key_can_not_make_a_key_that_may_more(gateway, body, status, code, named):
    admin = await gateway.issue_key(scopes=OWN)

    answer = await made(gateway, admin, **body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert named in answer.text
    assert len((await gateway.get("/api/keys", admin)).json()["keys"]) == 1


async def test_a_key_of_one_site_makes_keys_of_that_site(gateway):
    admin = await gateway.issue_key(scopes=OWN, site="main")

    own = await made(gateway, admin, scopes=["orders.create"])
    theirs = await made(gateway, admin, scopes=["orders.create"], site="north")

    assert (own.status_code, own.json()["site"]) == (201, "main")
    assert (theirs.status_code, theirs.json()["code"]) == (403, "not_allowed")


async def test_a_caller_of_two_sites_names_one_of_them(gateway):
    sites = frozenset({"main", "north"})
    person = Caller("default", "live", "person_1", sites, frozenset(OWN), kind="person")
    grant = {"account_id": "default", "actor": "person_1", "scopes": ["orders.create"]}

    issued = await gateway.gateway.keys.issue("till", **grant, site="north", maker=person)

    assert issued.site == "north"
    for site in (None, "west"):
        with pytest.raises(Exception, match="your own sites only"):
            await gateway.gateway.keys.issue("till", **grant, site=site, maker=person)


async def test_a_key_does_not_outlive_the_key_that_makes_it(gateway):
    keys, now = gateway.gateway.keys, gateway.gateway.clock.now()
    ends = now + timedelta(days=7)
    admin = await keys.issue(
        "admin", account_id="default", actor="cli:0", scopes=OWN, expires_at=ends
    )

    capped = await made(gateway, admin.key, scopes=["orders.create"])
    longer = await made(gateway, admin.key, scopes=["orders.create"], expires_in_days=30)

    [first, _] = (await gateway.get("/api/keys", admin.key)).json()["keys"]
    assert capped.json()["expires_at"] == first["expires_at"]
    assert longer.status_code == 400
    assert "outlive" in longer.json()["error"]


async def test_keys_of_other_accounts_modes_and_sites_are_neither_seen_nor_revoked(gateway):
    admin = await gateway.issue_key(scopes=OWN, site="main")
    keys = gateway.gateway.keys
    theirs = [
        await keys.issue("other", account_id="other", actor="cli:0"),
        await keys.issue("test", account_id="default", actor="cli:0", mode="test", site="main"),
        await keys.issue("north", account_id="default", actor="cli:0", site="north"),
        await keys.issue("everywhere", account_id="default", actor="cli:0"),
    ]

    assert [each["name"] for each in (await gateway.get("/api/keys", admin)).json()["keys"]] == [
        "test"
    ]
    for each in theirs:
        answer = await gateway.request("DELETE", f"/api/keys/{each.id}", admin)
        assert answer.status_code == 404
        await keys.authenticate(each.key)


async def test_an_expired_key_is_refused_from_the_next_request_on(harness):
    stepping = SteppingClock()
    async with harness(TOML, stepping) as gateway:
        ends = stepping.now() + timedelta(days=1)
        key = await gateway.gateway.keys.issue(
            "till", account_id="default", actor="cli:0", expires_at=ends
        )
        assert (await gateway.get("/api/packages", key.key)).status_code == 200

        stepping.step(86_400)

        answer = await gateway.get("/api/packages", key.key)
        assert answer.status_code == 401
        assert "has expired" in answer.json()["error"]
        assert gateway.gateway.keys.state((await gateway.gateway.keys.list())[0]) == "expired"
