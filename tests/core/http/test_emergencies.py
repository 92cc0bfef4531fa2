"""Break-glass: one record, 30 minutes, a reason, and another person who reviews it."""

import msgspec
import pytest
from session_browser import PASSWORD, SessionBrowser

from gateway.clock import SteppingClock
from gateway.model.account import Caller

TOML = """
[plugins.json_api]
[[sites]]
code = "main"
name = "Lakeside"
[[sites]]
code = "north"
name = "Northside"
"""
REASON = "The driver found the patient unconscious and asks what was delivered."
ORDER = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St",
    "rx_number": "RX-8872341",
    "site": "main",
}


@pytest.fixture
def clock():
    return SteppingClock()


@pytest.fixture
async def running(harness, clock):
    async with harness(TOML, clock=clock) as opened:
        yield opened


@pytest.fixture
async def owner(running, clock):
    browser = SessionBrowser(running, clock)
    await browser.become_owner()
    clock.step(30)
    return browser


async def invited(owner, role, sites=None):
    body = {"email": f"{role}@x.example", "role": role, "sites": sites}
    made = await owner.post("/api/people/invitations", body)
    browser = SessionBrowser(owner.harness, owner.clock)
    await browser.accept(made.json()["link"])
    owner.clock.step(30)
    return browser


async def package_at(running, site="main"):
    key = await running.issue_key()
    placed = await running.post("/api/webhook/orders", key, {"orders": [ORDER | {"site": site}]})
    return placed.json()["results"][0]["package_id"]


async def test_one_record_is_shown_in_full_for_thirty_minutes(owner, running, clock):
    driver = await invited(owner, "dispatcher")
    package, other = await package_at(running), await package_at(running, "north")
    assert "RX-8872341" not in (await driver.get(f"/api/packages/{package}")).text

    opened = await driver.post("/api/emergencies", {"package_id": package, "reason": REASON})

    assert opened.status_code == 201
    assert "RX-8872341" in (await driver.get(f"/api/packages/{package}")).text
    assert "RX-8872341" not in (await driver.get(f"/api/packages/{other}")).text
    assert "RX-8872341" not in (await driver.get("/api/packages")).text
    for _ in range(3):
        clock.step(10 * 60)
        await driver.post("/api/session/extend")
    assert "RX-8872341" not in (await driver.get(f"/api/packages/{package}")).text


async def test_it_stays_on_the_list_until_another_person_reviews_it(owner, running):
    officer = await invited(owner, "privacy_officer")
    driver = await invited(owner, "dispatcher")
    package = await package_at(running)
    made = await driver.post("/api/emergencies", {"package_id": package, "reason": REASON})
    mine = await owner.post("/api/emergencies", {"package_id": package, "reason": REASON})
    listed = (await officer.get("/api/emergencies")).json()["emergencies"]
    assert [each["reason"] for each in listed] == [REASON, REASON]
    review = f"/api/emergencies/{made.json()['id']}/review"

    assert (await driver.get("/api/emergencies")).status_code == 403
    own = await owner.post(f"/api/emergencies/{mine.json()['id']}/review")
    assert (own.status_code, "Another person" in own.text) == (403, True)
    assert (await officer.post(review)).status_code == 204
    assert (await officer.post(review)).status_code == 409

    left = (await officer.get("/api/emergencies")).json()["emergencies"]
    assert [each["id"] for each in left] == [mine.json()["id"]]
    assert len((await officer.get("/api/emergencies?unreviewed=false")).json()["emergencies"]) == 2


async def test_the_privacy_officer_is_told_until_it_is_reviewed(owner, running):
    driver = await invited(owner, "dispatcher")
    package = await package_at(running)
    attention = running.gateway.attention

    async def kinds(caller):
        return [each.kind for each in await attention.of(caller)]

    officer = Caller("default", "live", "per_1", None, frozenset({"audit.read"}), kind="person")
    assert "emergency" not in await kinds(officer)
    made = await driver.post("/api/emergencies", {"package_id": package, "reason": REASON})

    assert "emergency" in await kinds(officer)
    assert "emergency" in await kinds(Caller("default", "live", "email"))  # what is mailed
    assert "emergency" not in await kinds(msgspec.structs.replace(officer, permissions=frozenset()))
    officer_browser = await invited(owner, "privacy_officer")
    await officer_browser.post(f"/api/emergencies/{made.json()['id']}/review")
    assert "emergency" not in await kinds(officer)


async def test_it_needs_the_permission_a_fresh_factor_a_reason_and_ones_own_site(
    owner, running, clock
):
    integrator = await invited(owner, "integrator")
    driver = await invited(owner, "dispatcher", ["north"])
    package = await package_at(running)
    asked = {"package_id": package, "reason": REASON}

    assert (await integrator.post("/api/emergencies", asked)).json()["code"] == "forbidden"
    assert (await driver.post("/api/emergencies", asked)).status_code == 404
    short = await driver.post("/api/emergencies", asked | {"reason": "because"})
    assert short.status_code == 400
    clock.step(6 * 60)
    stale = await driver.post("/api/emergencies", asked)
    assert stale.json()["code"] == "step_up_required"
    await driver.post("/api/session/step-up", {"password": PASSWORD, "code": driver.code()})
    assert (await driver.post("/api/emergencies", asked)).status_code == 404


async def test_the_permission_gone_the_record_is_closed(owner, running):
    driver = await invited(owner, "dispatcher")
    package = await package_at(running)
    await driver.post("/api/emergencies", {"package_id": package, "reason": REASON})
    person = (await driver.get("/api/session")).json()["person_id"]

    change = {"role": "integrator", "sites": None}
    assert (await owner.send("PATCH", f"/api/people/{person}", change)).status_code == 204

    assert (await driver.get(f"/api/packages/{package}")).status_code == 403
